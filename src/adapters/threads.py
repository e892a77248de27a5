"""Threads for the poller: several requests to Galaxy at once, and the heartbeat."""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import define, frozen

from galaxy_jobs.domain.errors import DomainError


M_ARENA_MAX = -8
"""Of glibc's malloc.h."""

MAX_ARENAS = 2
"""Memory pools that all threads share. By default each new thread gets one of its own,
and keeps what is free in it from the others: memory grows for hours."""

T = TypeVar("T")
R = TypeVar("R")


def limit_arenas() -> None:
    """Have the threads of this process share memory; before any is started.

    Does nothing where the C library is not glibc.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, MAX_ARENAS)


@define
class _Call(Generic[T, R]):
    """A call in a pool of threads.

    Attributes:
        began: When it began, on the monotonic clock; None before that.
    """

    function: Callable[[T], R]
    item: T
    began: float | None = None

    def __call__(self) -> R:
        self.began = time.monotonic()
        return self.function(self.item)


@frozen
class ThreadMapper:
    """Maps a function over items in a bounded pool of threads.

    Attributes:
        pool: It has some threads more than *threads*, for calls that are late.
        threads: Calls of one map at once, without those that are late.
    """

    pool: ThreadPoolExecutor
    threads: int

    @classmethod
    def open(cls, threads: int, late: int) -> Iterator[ThreadMapper]:
        """Yield a mapper; its threads end afterwards.

        Args:
            threads: See :attr:`threads`.
            late: How many more there are.
        """
        with ThreadPoolExecutor(threads + late, thread_name_prefix="galaxy") as pool:
            yield cls(pool, threads)

    def __call__(
        self,
        function: Callable[[T], R],
        items: Iterable[T],
        *,
        timeout: timedelta | None = None,
        late: Callable[[T], Callable[[Callable[[], R]], None]] | None = None,
    ) -> Iterator[R]:
        """Return the results as they come; see :class:`Mapper`."""
        waiting = deque(items)
        running: dict[Future[R], _Call[T, R]] = {}
        limit = None if timeout is None else timeout.total_seconds()
        try:
            while waiting or running:
                while waiting and len(running) < self.threads:
                    call = _Call(function, waiting.popleft())
                    running[self.pool.submit(call)] = call
                done, _ = wait(running, _left(running, limit), FIRST_COMPLETED)
                for future in done:
                    if limit != 0:
                        del running[future]
                        yield future.result()
                now = time.monotonic()
                for future, call in [*running.items()]:
                    if limit is not None and now - (call.began or now) >= limit:
                        assert late is not None
                        del running[future]
                        store = late(call.item)
                        future.add_done_callback(partial(_hand_over, store))
        finally:
            for future in running:
                future.cancel()


def _left(calls: Mapping[Any, _Call[Any, Any]], limit: float | None) -> float | None:
    """Return the seconds until the first of these calls may be late."""
    if limit is None:
        return None
    now = time.monotonic()
    return max(min((call.began or now) + limit - now for call in calls.values()), 0.0)


def _hand_over(store: Callable[[Callable[[], R]], None], future: Future[R]) -> None:
    store(future.result)


@frozen
class ThreadPipelines:
    """Runs the two pipelines of a sweep at once; see :class:`Poll`."""

    pool: ThreadPoolExecutor

    @classmethod
    def open(cls) -> Iterator[ThreadPipelines]:
        """Yield pipelines; their threads end afterwards."""
        with ThreadPoolExecutor(2, thread_name_prefix="pipeline") as pool:
            yield cls(pool)

    def __call__(self, pipeline: Callable[[], None]) -> None:
        """Run it twice at once, and raise the first error of either."""
        for future in [self.pool.submit(pipeline) for _ in range(2)]:
            future.result()


@contextmanager
def heartbeat(
    beat: Callable[[], None], *, every: timedelta, at_most: timedelta
) -> Iterator[None]:
    """Repeat a call in a thread during the block; see :attr:`Poll.heartbeat`.

    A process that is stopped or killed calls nothing any more.
    """
    ended = threading.Event()
    deadline = time.monotonic() + at_most.total_seconds()

    def run() -> None:
        while not ended.wait(every.total_seconds()) and time.monotonic() < deadline:
            with suppress(DomainError):
                beat()

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

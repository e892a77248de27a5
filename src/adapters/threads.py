"""Threads for the poller: several requests to Galaxy at once, and the heartbeat."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

from attrs import frozen

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


@frozen
class ThreadMapper:
    """Maps a function over items in a bounded pool of threads."""

    pool: ThreadPoolExecutor

    @classmethod
    def open(cls, threads: int) -> Iterator[ThreadMapper]:
        """Yield a mapper; its threads end afterwards."""
        with ThreadPoolExecutor(threads, thread_name_prefix="galaxy") as pool:
            yield cls(pool)

    def __call__(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Return the results in the order of the items."""
        return self.pool.map(function, items)


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

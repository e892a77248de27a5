"""Threads for the poller: requests to Galaxy at once, the heartbeat, and deliveries."""

from __future__ import annotations

import ctypes
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen

from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.domain.model.webhook import Webhook, WebhookId


M_ARENA_MAX = -8
"""Of glibc's malloc.h."""

MAX_ARENAS = 2
"""Memory pools that all threads share. By default each new thread gets one of its own,
and keeps what is free in it from the others: memory grows for hours."""

DELIVERY_INTERVAL = 1.0
"""Seconds between two looks for deliveries that are due."""

MAX_THREADS = 256
"""Threads that deliver events at most."""

MAX_REST = 15.0
"""Seconds until items of batches are tried again after several failures, at most."""

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


@define
class BatchWorker:
    """Invokes the items of batches in threads of its own, until it is stopped.

    While nothing may be begun, each thread asks again after *interval*, and after a
    longer one each time that Galaxy or the database could not be asked; once
    :meth:`wake` is called, at once.

    Attributes:
        invoke_next: Invokes the next item that may be begun; returns whether there was
            one.
        threads: How many threads there are.
        interval: In seconds.
        failed: Called with each error, in the thread.
    """

    invoke_next: Callable[[], bool]
    threads: int
    interval: float = 1.0
    failed: Callable[[Exception], object] = lambda _: None
    _woken: threading.Condition = field(factory=threading.Condition, init=False)
    _stopped: bool = field(default=False, init=False)
    _running: list[threading.Thread] = field(factory=list, init=False)

    def start(self) -> None:
        """Start the threads; they end with the process, or once it is stopped."""
        for _ in range(self.threads):
            thread = threading.Thread(target=self._run, name="batches", daemon=True)
            self._running.append(thread)
            thread.start()

    def wake(self) -> None:
        """Have the threads that wait look for items now."""
        with self._woken:
            self._woken.notify_all()

    def stop(self) -> None:
        """Begin no more items; those under way go on."""
        self._stopped = True
        self.wake()

    def join(self) -> None:
        """Wait until the items under way are recorded, once it is stopped."""
        for thread in self._running:
            thread.join()

    def run_out(self, seconds: float) -> None:
        """Invoke items in threads until none may be begun, for so long at most.

        An error ends its thread: the item waits, or the reconciler settles it. An
        unexpected one is passed to *failed*.
        """
        deadline = time.monotonic() + seconds

        def run() -> None:
            try:
                while time.monotonic() < deadline and self.invoke_next():
                    pass
            except DomainError:
                pass
            except Exception as error:  # noqa: BLE001 - the other threads go on
                self.failed(error)

        with ThreadPoolExecutor(self.threads, thread_name_prefix="batches") as pool:
            for future in [pool.submit(run) for _ in range(self.threads)]:
                future.result()

    def _run(self) -> None:
        failures = 0
        while not self._stopped:
            try:
                if self.invoke_next():
                    failures = 0
                    continue
                rest = self.interval
            except Exception as error:  # noqa: BLE001 - the next item may go well
                self.failed(error)
                rest = min(self.interval * 2.0**failures, MAX_REST)
                failures = min(failures + 1, 10)
            with self._woken:
                if not self._stopped:
                    self._woken.wait(rest)


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


@define(eq=False)
class DeliveryThreads:
    """Delivers to many receivers at once, to each by a few threads of its own.

    So a receiver that hangs holds up no other, and nothing else.

    Attributes:
        due: Returns the webhooks that there is something to deliver to.
        deliver: Delivers a batch to one, and returns whether to go on at once.
        each: Threads of one receiver; one that is in trouble has a single one.
    """

    due: Callable[[], Sequence[Webhook]]
    deliver: Callable[[Webhook], bool]
    each: int = 4
    _busy: Counter[WebhookId] = field(factory=Counter, init=False)
    _changed: threading.Condition = field(factory=threading.Condition, init=False)

    def run(self, *, until: float = math.inf, until_idle: bool = False) -> None:
        """Deliver what is due.

        Args:
            until: When to stop, on the monotonic clock.
            until_idle: Whether to stop once nothing is due, too.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        while time.monotonic() < until:
            due = self.due()
            for webhook in due:
                self._begin(webhook)
            with self._changed:
                if until_idle and not due and not self._busy.total():
                    return
                # A thread that has ended may have left something.
                self._changed.wait(DELIVERY_INTERVAL)

    def _begin(self, webhook: Webhook) -> None:
        id_ = webhook.webhook_id
        threads = 1 if webhook.failures else self.each
        with self._changed:
            missing = min(threads - self._busy[id_], MAX_THREADS - self._busy.total())
            self._busy[id_] += max(missing, 0)
        for _ in range(missing):
            threading.Thread(
                target=self._work, args=(webhook,), name="delivery", daemon=True
            ).start()

    def _work(self, webhook: Webhook) -> None:
        try:
            # Until nothing is left, or it fails: another look shows what is due then.
            with suppress(DomainError):
                while self.deliver(webhook):
                    pass
        finally:
            with self._changed:
                self._busy[webhook.webhook_id] -= 1
                self._changed.notify()

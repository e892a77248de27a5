"""Reads the transitions of jobs once per process and hands them to all subscribers.

One thread listens to the feed and reads each transition once. The latest ones are
kept in memory, in order; a subscriber has only a *position* among them, the id of the
last transition it was given, and takes what comes after. A subscriber that is too far
behind, because it asked for old transitions or reads slowly, takes them from the
database, a bounded number at a time. So each costs the same whether it keeps up or
not, and none is skipped or delivered twice: ids become visible in their order.

What is shared is touched by the event loop alone; the thread hands over to it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import structlog
from attrs import define, field, frozen

from galaxy_jobs.domain import (
    SERVICE,
    DatasetId,
    InvocationId,
    JobTransition,
    Label,
    TransitionFeed,
    Viewer,
)
from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.model.labels import has_all


log = structlog.get_logger(__name__)

KEPT_TRANSITIONS = 500
"""Transitions kept in memory for subscribers that keep up."""

BATCH_SIZE = 200
"""Transitions read from the database at once."""

FEED_INTERVAL = timedelta(seconds=1)
"""Time after which the feed is read without a notification, should one get lost."""

RECONNECT_DELAY = 1.0
"""Seconds after which a lost connection to the feed is opened again."""


@frozen(kw_only=True)
class TransitionFilter:
    """Selects the transitions of a viewer; everything that is given has to match."""

    viewer: Viewer
    dataset_id: DatasetId | None = None
    invocation_id: InvocationId | None = None
    labels: frozenset[Label] = frozenset()

    def matches(self, transition: JobTransition) -> bool:
        """Whether a transition is selected."""
        if not self.viewer.sees(transition.owner):
            return False
        invocation_id = transition.transition.invocation_id
        dataset_id = self.viewer.id_of(transition.dataset_id)
        fits = self.dataset_id in {None, dataset_id}
        fits = fits and self.invocation_id in {None, invocation_id}
        return fits and has_all(transition.labels, self.labels)


@define(eq=False)
class Subscription:
    """Wakes a subscriber when there is something for it, or when it is to end.

    Attributes:
        filter: The transitions that wake it; None: none does.
        ended: Whether the subscriber is to end.
    """

    filter: TransitionFilter | None
    woken: asyncio.Event = field(factory=asyncio.Event)
    ended: bool = False

    def end(self) -> None:
        """Wake the subscriber to end."""
        self.ended = True
        self.woken.set()

    async def wait(self, until: float) -> bool:
        """Wait until a time of the event loop; return whether woken before."""
        try:
            async with asyncio.timeout_at(until):
                await self.woken.wait()
        except TimeoutError:
            return False
        self.woken.clear()
        return True


@define(eq=False)
class Broadcast:
    """Hands out the transitions of jobs.

    Attributes:
        position: The id up to which everything has been read.
        stopping: Whether all subscribers are to end.
    """

    feed: TransitionFeed
    kept: int = field(default=KEPT_TRANSITIONS, kw_only=True)
    interval: timedelta = field(default=FEED_INTERVAL, kw_only=True)
    position: int = field(default=0, init=False)
    stopping: bool = field(default=False, init=False)
    _latest: deque[JobTransition] = field(factory=deque, init=False)
    _dropped: int = field(default=0, init=False)  # the id up to which none is kept
    _subscriptions: set[Subscription] = field(factory=set, init=False)
    _starting: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _stopped: threading.Event = field(factory=threading.Event, init=False)

    async def start(self) -> None:
        """Start to listen, unless that has been done.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        async with self._starting:
            if self._thread is not None:
                return
            self.position = self._dropped = await self.last_id(SERVICE)
            self._thread = threading.Thread(
                target=self._listen,
                args=(self.position, asyncio.get_running_loop()),
                name="broadcast",
                daemon=True,
            )
            self._thread.start()

    def stop(self) -> None:
        """Wake all subscribers and stop listening."""
        self.stopping = True
        self._stopped.set()
        for subscription in self._subscriptions:
            subscription.end()

    async def last_id(self, viewer: Viewer) -> int:
        """Return the id of the latest transition of a viewer's jobs in the database.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        return await asyncio.to_thread(self.feed.latest, viewer)

    @property
    def subscribers(self) -> int:
        """The number of open subscriptions."""
        return len(self._subscriptions)

    @contextmanager
    def subscribe(self, selected: TransitionFilter | None) -> Iterator[Subscription]:
        """Open a subscription while the block runs."""
        subscription = Subscription(selected, ended=self.stopping)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def after(
        self, position: int, selected: TransitionFilter
    ) -> tuple[Sequence[JobTransition], int]:
        """Return the transitions after a position, and the position reached by them.

        Raises:
            StoreUnavailable: They are no longer kept, and the database could not be
                reached.
        """
        while position < self._dropped:
            before = self.position
            stored = await asyncio.to_thread(
                self.feed.after,
                position,
                selected.viewer,
                limit=BATCH_SIZE,
                dataset_id=selected.dataset_id,
                invocation_id=selected.invocation_id,
                labels=selected.labels,
            )
            last = stored[-1].transition.id if stored else 0
            # All up to `before` were visible when the database was asked.
            position = last if len(stored) == BATCH_SIZE else max(before, last)
            if stored:
                return stored, position
        kept: list[JobTransition] = []
        for transition in reversed(self._latest):
            if transition.transition.id <= position:
                break
            if selected.matches(transition):
                kept.append(transition.shown_to(selected.viewer))
        return kept[::-1], max(position, self.position)

    def _listen(self, position: int, loop: asyncio.AbstractEventLoop) -> None:
        """Read each transition once (the thread)."""
        while not self._stopped.is_set():
            try:
                for _ in self.feed.watch(self.interval):
                    if self._stopped.is_set():
                        return
                    while batch := self.feed.after(position, SERVICE, limit=BATCH_SIZE):
                        position = batch[-1].transition.id
                        loop.call_soon_threadsafe(self._publish, batch)
            except StoreUnavailable as error:
                if not self._stopped.wait(RECONNECT_DELAY):
                    log.warning("listening again", problem=str(error))
            except Exception:
                if loop.is_closed():  # no subscriber is left
                    return
                # Whatever it was, subscribers must not wait for ever.
                log.exception("cannot listen")
                self._stopped.wait(RECONNECT_DELAY)

    def _publish(self, batch: Sequence[JobTransition]) -> None:
        """Keep what was read, and wake its subscribers."""
        self._latest.extend(batch)
        while len(self._latest) > self.kept:
            self._dropped = self._latest.popleft().transition.id
        self.position = batch[-1].transition.id
        for subscription in self._subscriptions:
            selected = subscription.filter
            if selected is not None and any(map(selected.matches, batch)):
                subscription.woken.set()

"""Streams that tell a page to load itself again: server-sent events.

Rule of the file: an event carries no data, so none can be missed: a page is fetched
again as a whole. Each stream compares the mark of what there is now with the mark of
what its page shows.

One task reads for all streams. A transition wakes it at once; progress and staleness
have none, so one query a second finds which of the jobs that are shown have changed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Hashable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import structlog
from attrs import define, field

from galaxy_jobs.adapters.broadcast import Broadcast, Subscription, TransitionFilter
from galaxy_jobs.domain import SERVICE, Invocation, InvocationId, ports
from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.model.invocation import Revision
from galaxy_jobs.domain.ports import JobTransition
from galaxy_jobs.entrypoints.api.events import Batch


log = structlog.get_logger(__name__)

READ_INTERVAL = 1.0
"""Seconds between two readings, unless a transition comes first."""

EVENT_INTERVAL = 0.3
"""Seconds between two readings at least: changes come in bursts."""

WAKE_COUNT = 20
"""Streams of a page that are woken at once, each :data:`WAKE_INTERVAL`."""

WAKE_INTERVAL = 0.01
"""Seconds between two groups of streams, for other requests to be answered."""


def mark_of(jobs: Mapping[InvocationId, Invocation | Revision], now: datetime) -> str:
    """Return the mark of a page with these jobs: it differs whenever the page would."""
    shown = [(id_, job.version, job.is_stale(now)) for id_, job in jobs.items()]
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


@define(eq=False)
class Page:
    """A page as it would be shown now, and the streams that follow it.

    Attributes:
        read: Returns the jobs that it shows; called in a thread.
        moved_by: Whether a transition may have changed which jobs these are.
        jobs: The revisions of these jobs, in their order.
        mark: The mark of the page; None before it was read.
        woken_for: The mark for which its streams were woken last.
        subscriptions: Those of its streams.
    """

    read: Callable[[], Sequence[Invocation]]
    moved_by: Callable[[JobTransition], bool]
    jobs: dict[InvocationId, Revision] = field(factory=dict)
    mark: str | None = None
    woken_for: str | None = None
    subscriptions: set[Subscription] = field(factory=set)
    _read_at: float = 0.0
    _reading: asyncio.Lock = field(factory=asyncio.Lock)

    async def refresh(self, clock: ports.Clock) -> None:
        """Read it, unless a reading has begun since the call.

        Raises:
            DomainError: It could not be read.
        """
        now = asyncio.get_running_loop().time
        called_at = now()
        async with self._reading:
            if self._read_at < called_at:
                read_at = now()
                jobs = await asyncio.to_thread(self.read)
                self.jobs = {job.invocation_id: job.revision for job in jobs}
                self.mark, self._read_at = mark_of(self.jobs, clock()), read_at

    def update(
        self, revisions: Mapping[InvocationId, Revision], now: datetime
    ) -> Collection[Subscription]:
        """Take over newer revisions; return the subscriptions to be woken."""
        for id_, job in self.jobs.items():
            latest = revisions.get(id_, job)
            if latest.version >= job.version:
                self.jobs[id_] = latest
        self.mark = mark_of(self.jobs, now)
        if self.mark == self.woken_for:
            return ()
        self.woken_for = self.mark
        return tuple(self.subscriptions)


@define(eq=False)
class LivePages:
    """The pages that streams follow. Belongs to one event loop."""

    broadcast: Broadcast
    invocations: ports.InvocationRepository
    clock: ports.Clock
    read_interval: float = field(default=READ_INTERVAL, kw_only=True)
    event_interval: float = field(default=EVENT_INTERVAL, kw_only=True)
    _pages: dict[Hashable, Page] = field(factory=dict, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    @contextmanager
    def follow(
        self,
        key: Hashable,
        page: Page,
        subscribed: AbstractContextManager[Subscription],
    ) -> Iterator[Subscription]:
        """Have a subscription woken for a page while the block runs.

        Args:
            key: The key of the page, in which its viewer is.
            page: Is followed unless there is one of that key.
            subscribed: Opens the subscription.
        """
        with subscribed as subscription:
            page = self._pages.setdefault(key, page)
            page.subscriptions.add(subscription)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._watch(self.broadcast.position))
            try:
                yield subscription
            finally:
                page.subscriptions.discard(subscription)
                if not page.subscriptions:
                    del self._pages[key]

    async def changes(
        self, key: Hashable, mark: str, *, ends: bool
    ) -> AsyncIterator[Batch]:
        """Yield an event ``change`` whenever a page that is followed is out of date.

        If the page *ends*, the event is ``end`` once no job is active. *mark* is what
        the client shows.

        Raises:
            DomainError: The page could not be read at first.
        """
        page = self._pages[key]
        if page.mark != mark:
            await page.refresh(self.clock)
        shown: str | None = mark
        while True:
            if page.mark == shown:
                yield Batch(b"")
                continue
            shown = page.mark
            ended = all(job.state.is_terminal for job in page.jobs.values())
            event = b"end" if ends and ended else b"change"
            # Browsers drop events without data.
            yield Batch(b"event: %b\ndata: {}\n\n" % event)

    async def _watch(self, position: int) -> None:
        now = asyncio.get_running_loop().time
        with self.broadcast.subscribe(TransitionFilter(viewer=SERVICE)) as subscription:
            while self._pages:
                await subscription.wait(now() + self.read_interval)
                if subscription.ended:
                    return
                began = now()
                try:
                    position = await self._read(position)
                except StoreUnavailable:
                    pass  # the streams go on when it is back
                except Exception:
                    # Whatever it was, subscribers must not wait for ever.
                    log.exception("cannot read pages")
                # Reading takes at most half of the time.
                await asyncio.sleep(max(self.event_interval, now() - began))

    async def _read(self, position: int) -> int:
        """Read what may have changed after a position, and return the next one."""
        changes, position = await self.broadcast.after(
            position, TransitionFilter(viewer=SERVICE)
        )
        pages = tuple(self._pages.values())
        for page in pages:
            if any(map(page.moved_by, changes)):
                await page.refresh(self.clock)
        ids = {id_ for page in pages for id_ in page.jobs}
        revisions = await asyncio.to_thread(self.invocations.revisions, ids, SERVICE)
        now = self.clock()
        for page in pages:
            for count, subscription in enumerate(page.update(revisions, now), 1):
                subscription.woken.set()
                if count % WAKE_COUNT == 0:
                    await asyncio.sleep(WAKE_INTERVAL)
            await asyncio.sleep(0)  # other requests are answered between two pages
        return position

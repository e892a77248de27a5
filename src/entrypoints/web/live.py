"""Streams that tell a page to load itself again: server-sent events.

Rule of the file: an event carries no data, so none can be missed: a page is fetched
again as a whole. Each stream compares the mark of what there is now with the mark of
what its page shows, beginning with the first reading.

A change of state wakes a stream at once. Progress moves in between, too: as long as a
job that is shown is active, its stream reads again after :data:`READ_INTERVAL`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from attrs import frozen

from galaxy_jobs.domain import Invocation
from galaxy_jobs.entrypoints.api.events import HEARTBEAT, Batch


READ_INTERVAL = 1.0
"""Seconds between two readings while a job is active."""

EVENT_INTERVAL = 0.3
"""Seconds between two events at least: changes come in bursts."""


@frozen(kw_only=True)
class View:
    """What a page would show now.

    Attributes:
        mark: Differs whenever the page would show something else.
        active: Whether it may change without a change of state.
        ended: Whether it will never change again.
    """

    mark: str
    active: bool
    ended: bool = False

    @classmethod
    def of(cls, jobs: Sequence[Invocation], now: datetime) -> View:
        """Return what a page with these jobs would show."""
        shown = [
            (job.invocation_id, job.updated_at, job.superseded_by, job.is_stale(now))
            for job in jobs
        ]
        mark = hashlib.sha256(repr(shown).encode()).hexdigest()[:16]
        return cls(mark=mark, active=not all(job.state.is_terminal for job in jobs))


async def changes(
    read: Callable[[], View],
    mark: str,
    *,
    read_interval: float = READ_INTERVAL,
    event_interval: float = EVENT_INTERVAL,
) -> AsyncIterator[Batch]:
    """Yield an event ``change`` or ``end`` whenever a page is out of date.

    Args:
        read: Returns what the page would show now; called in a thread.
        mark: Of what the page shows.
        read_interval: Seconds between two readings while a job is active.
        event_interval: Seconds between two events at least.

    Raises:
        DomainError: *read* failed.
    """
    while True:
        view = await asyncio.to_thread(read)
        if view.mark == mark:
            yield Batch(b"", pause=read_interval if view.active else HEARTBEAT)
            continue
        mark = view.mark
        # Browsers drop events without data.
        yield Batch(b"event: %b\ndata: {}\n\n" % (b"end" if view.ended else b"change"))
        await asyncio.sleep(event_interval)

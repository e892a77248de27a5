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
from collections.abc import AsyncIterator, Callable, Collection
from datetime import datetime

from galaxy_jobs.domain import Invocation
from galaxy_jobs.entrypoints.api.events import HEARTBEAT, Batch


READ_INTERVAL = 1.0
"""Seconds between two readings while a job is active."""

EVENT_INTERVAL = 0.3
"""Seconds between two events at least: changes come in bursts."""


def state_of(jobs: Collection[Invocation], now: datetime) -> tuple[str, bool]:
    """Return the state of a page that shows these jobs.

    That is its mark, which differs whenever it would show something else, and whether
    any of the jobs is active, so that this may happen without a change of state.
    """
    shown = [
        (job.invocation_id, job.updated_at, job.superseded_by, job.is_stale(now))
        for job in jobs
    ]
    mark = hashlib.sha256(repr(shown).encode()).hexdigest()[:16]
    return mark, any(not job.state.is_terminal for job in jobs)


async def changes(
    read: Callable[[], tuple[str, bool]],
    mark: str,
    *,
    ends: bool,
    read_interval: float = READ_INTERVAL,
    event_interval: float = EVENT_INTERVAL,
) -> AsyncIterator[Batch]:
    """Yield an event ``change`` whenever a page is out of date.

    If the page *ends*, the event is ``end`` once no job is active. *read* is called in
    a thread and returns what :func:`state_of` does; *mark* is what the page shows.

    Raises:
        DomainError: *read* failed.
    """
    while True:
        shown, (mark, active) = mark, await asyncio.to_thread(read)
        if mark == shown:
            yield Batch(b"", pause=read_interval if active else HEARTBEAT)
            continue
        event = b"end" if ends and not active else b"change"
        # Browsers drop events without data.
        yield Batch(b"event: %b\ndata: {}\n\n" % event)
        await asyncio.sleep(event_interval)

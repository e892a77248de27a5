"""What tells a page that it is out of date: server-sent events.

Rule of the file: an event says nothing but that there is news, and the page is
fetched again as it was before. So nothing of it can be missed: each stream compares
what there is now with the mark of what its page shows, beginning with the first look.

A change of state wakes a stream at once. The bars move in between, too; as long as
something is under way, a stream looks for itself.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager

from attrs import frozen
from litestar.response import Stream

from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.entrypoints.api.events import EVENT_STREAM, HEARTBEAT, RETRY, joined
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.api.schemas import JobJson
from galaxy_jobs.entrypoints.broadcast import Fanout, Wanted


LOOK_EVERY = 1.0
"""After how many seconds it is looked again while something is under way."""

AT_MOST_EVERY = 0.3
"""For how many seconds a page is left alone after an event: changes come in swarms."""


@frozen(kw_only=True)
class Sight:
    """What a look has found.

    Attributes:
        mark: Differs where a page would show something else.
        active: Whether it may change without a change of state.
        ended: Whether nothing of it will ever change.
    """

    mark: str
    active: bool
    ended: bool = False


def mark_of(jobs: Iterable[JobJson]) -> str:
    """Return the mark of a page that shows these jobs."""
    shown = [(j.invocation_id, j.updated_at, j.superseded_by, j.stale) for j in jobs]
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


async def follow(
    fanout: Fanout,
    taken: AbstractContextManager[None],
    wanted: Wanted,
    look: Callable[[], Sight],
    mark: str,
) -> Stream:
    """Return the stream of a page.

    Args:
        fanout: Wakes it.
        taken: A place for it, which it has as long as it lasts.
        wanted: By what it is woken.
        look: Finds out how things stand; called in a thread.
        mark: Of what the page shows.

    Raises:
        Refused: There is no place left, or the service is being stopped.
        StoreUnavailable: The database could not be reached.
    """
    if fanout.stopping:
        raise Refused("shutting-down", "The service is being stopped. Ask again.")
    await fanout.start()
    told = _told(fanout, taken, wanted, look, mark)
    # Begun here, since a stream that is refused must not have been answered yet.
    beginning = await anext(told)
    return Stream(
        joined(beginning, told),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _told(
    fanout: Fanout,
    taken: AbstractContextManager[None],
    wanted: Wanted,
    look: Callable[[], Sight],
    mark: str,
) -> AsyncIterator[bytes]:
    now = asyncio.get_running_loop().time
    with taken, fanout.waiting_for(wanted) as waiting:
        yield b"retry: %d\n\n" % (RETRY * 1000)
        while not fanout.stopping:
            try:
                seen = await asyncio.to_thread(look)
            except DomainError:
                return  # the browser comes back, and is told then what is wrong
            if seen.mark != mark:
                mark = seen.mark
                # Without data, browsers would not hand it on.
                yield b"event: %b\ndata: {}\n\n" % (b"end" if seen.ended else b"change")
                await asyncio.sleep(AT_MOST_EVERY)
                continue
            pause = LOOK_EVERY if seen.active else HEARTBEAT
            if not await waiting.news(now() + pause):
                yield b":\n\n"

"""Changes of jobs as they happen: server-sent events.

Rule of the file: every event that is sent once has the id that leads on from
there, and so has the beginning of each stream and every heartbeat. A client that
was cut off, by whatever, resumes by the last id it has, here or at another
replica, and has missed nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.model.values import DatasetId, InvocationId
from galaxy_jobs.domain.ports import JobTransition
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.api.auth import name_of
from galaxy_jobs.entrypoints.api.limits import Places
from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.api.problems import Refused, refusals
from galaxy_jobs.entrypoints.broadcast import KEPT, Fanout, Wanted


EVENT_STREAM = "text/event-stream"

HEARTBEAT = 15.0
"""After how many seconds without an event a sign of life is sent."""

RETRY = 2
"""After how many seconds a client that was cut off is to come back."""

ID = re.compile(r"[0-9]{1,18}")


@get(
    "/events",
    operation_id="job_events",
    summary="Be told of changes as they happen",
    description="Server-sent events: an event `transition` for each change of a job's "
    "state, from now on, or from the event `Last-Event-ID` on (browsers send that by "
    "themselves when they reconnect). None is missed and none is told twice. Comments "
    "are sent as a sign of life.",
    responses={
        200: ResponseSpec(
            schemas.EventJson,
            generate_examples=False,
            media_type=EVENT_STREAM,
            description="A stream without an end; this is the `data` of each event.",
        ),
        **refusals("too-many-requests", "shutting-down", "database-unavailable"),
    },
)
async def get_events(
    *,
    request: Request[Any, Any, Any],
    fanout: Needs[Fanout],
    places: Needs[Places],
    dataset_id: Annotated[
        str | None, QueryParameter(description="a text: only of jobs on this dataset")
    ] = None,
    invocation_id: Annotated[
        str | None, QueryParameter(description="a text: only of this job")
    ] = None,
    last_event_id: Annotated[
        str | None,
        QueryParameter(
            description="the id of an event; for who cannot send the header"
        ),
    ] = None,
    resumed: Annotated[
        str | None,
        HeaderParameter(
            name="Last-Event-ID", description="The id of the last event received."
        ),
    ] = None,
) -> Stream:
    """Tell of changes as they happen."""
    if fanout.stopping:
        raise Refused("shutting-down", "The service is being stopped. Ask again.")
    await fanout.start()
    wanted = Wanted(
        dataset_id=None if dataset_id is None else DatasetId(dataset_id),
        invocation_id=None if invocation_id is None else InvocationId(invocation_id),
    )
    # A browser reconnects to the address it has, with a header that is newer.
    place = await _place(resumed or last_event_id, fanout)
    told = _told(fanout, wanted, place, places.taken(name_of(request)))
    # Begun here, since a stream that is refused must not have been answered yet.
    beginning = await anext(told)
    return Stream(
        joined(beginning, told),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _place(said: str | None, fanout: Fanout) -> int:
    """Return the place where a stream begins.

    Raises:
        Refused: It is none.
        StoreUnavailable: The database could not be reached.
    """
    if said is None:
        return fanout.place
    if ID.fullmatch(said) is None:
        raise Refused(
            "malformed-request",
            f"Last-Event-ID is {said[:100]!r}; expected the `id` of an event.",
        )
    place = int(said)
    # Another replica may have told of what this one has not read yet.
    if place > fanout.place and place > await fanout.latest():
        raise Refused(
            "malformed-request",
            f"Last-Event-ID is {said}, and there is no event of that id. Was the "
            "database set back? Begin anew, without it.",
        )
    return place


async def _told(
    fanout: Fanout, wanted: Wanted, place: int, taken: AbstractContextManager[None]
) -> AsyncIterator[bytes]:
    """Yield what goes over the wire; ends with the service, or with the database.

    Raises:
        Refused: There is no place left.
    """
    now = asyncio.get_running_loop().time
    with taken, fanout.waiting_for(wanted) as waiting:
        yield b"retry: %d\nid: %d\n\n" % (RETRY * 1000, place)
        while not fanout.stopping:
            try:
                found, place = await fanout.beyond(place, wanted)
            except StoreUnavailable:
                return
            if found:
                yield b"".join(map(_event, found))
            elif not await waiting.news(now() + HEARTBEAT):
                yield b": still here\nid: %d\n\n" % place


async def joined(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield all of a stream whose first part was taken from it already."""
    yield first
    async for one in others:
        yield one


@lru_cache(KEPT)  # the same for everybody
def _event(one: JobTransition) -> bytes:
    data = msgspec.json.encode(schemas.event(one))
    return b"id: %d\nevent: transition\ndata: %b\n\n" % (one.transition.id, data)


ROUTES = [get_events]
"""Below ``/jobs``."""

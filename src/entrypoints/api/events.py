"""Server-sent events: the streams of the API and of the pages.

Rule of the file: every transition is sent with an id to resume from, and so are the
beginning of each stream and every heartbeat. A client that was cut off resumes with
the last id it has, here or at another replica, and misses nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from attrs import frozen
from litestar import Request, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from galaxy_jobs.domain.errors import DomainError
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
"""Seconds without an event after which a heartbeat is sent."""

RETRY = b"retry: 2000\n"
"""Asks clients that were cut off to connect again after 2000 ms."""

ID = re.compile(r"[0-9]{1,18}")


@frozen
class Batch:
    """What the source of a stream has read.

    Attributes:
        events: Server-sent events, encoded; empty if there are none.
        heartbeat: The comment sent if there is nothing to send during the pause.
        pause: Seconds until the source is read again, unless a transition comes first.
    """

    events: bytes
    heartbeat: bytes = b":\n\n"
    pause: float = HEARTBEAT


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
    """Stream the transitions of jobs."""
    wanted = Wanted(
        dataset_id=None if dataset_id is None else DatasetId(dataset_id),
        invocation_id=None if invocation_id is None else InvocationId(invocation_id),
    )
    # A browser reconnects to the same address; its header is newer.
    source = transitions(fanout, wanted, resumed or last_event_id)
    return await stream(fanout, places.taken(name_of(request)), wanted, source)


async def stream(
    fanout: Fanout,
    slot: AbstractContextManager[None],
    wanted: Wanted,
    source: AsyncIterator[Batch],
) -> Stream:
    """Return a stream of server-sent events: what a source reads, and heartbeats.

    It ends when the service stops, or when the source fails: the client then
    connects again and gets the reason as a problem.

    Args:
        fanout: Wakes it.
        slot: Held as long as the stream is open.
        wanted: The transitions that wake it.
        source: Read at once, after each wake-up and after each pause.

    Raises:
        Refused: No slot is free, the service is being stopped, or the source refuses.
        DomainError: The source failed at its first reading.
    """
    if fanout.stopping:
        raise Refused("shutting-down", "The service is being stopped. Ask again.")
    await fanout.start()
    chunks = _chunks(fanout, slot, wanted, source)
    # Taken before the response begins, so that a refusal is still a problem.
    first = await anext(chunks)
    return Stream(
        _joined(first, chunks),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _chunks(
    fanout: Fanout,
    slot: AbstractContextManager[None],
    wanted: Wanted,
    source: AsyncIterator[Batch],
) -> AsyncIterator[bytes]:
    now = asyncio.get_running_loop().time
    with slot, fanout.waiting_for(wanted) as subscription:
        batch = await anext(source)
        yield RETRY + (batch.events or batch.heartbeat)
        while not fanout.stopping:
            if not batch.events and not await subscription.news(now() + batch.pause):
                yield batch.heartbeat
            try:
                batch = await anext(source)
            except DomainError:
                return
            if batch.events:
                yield batch.events


async def _joined(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in others:
        yield chunk


async def transitions(
    fanout: Fanout,
    wanted: Wanted,
    last_event_id: str | None,
    *,
    pause: float = HEARTBEAT,
) -> AsyncIterator[Batch]:
    """Yield the transitions after an event, batch by batch, without an end.

    Args:
        fanout: Where they come from; started.
        wanted: Which ones.
        last_event_id: The event's id; None: from now on.
        pause: Seconds between heartbeats.

    Raises:
        Refused: There is no event of that id.
        StoreUnavailable: The database could not be reached.
    """
    place = await _place(last_event_id, fanout)
    while True:
        found, place = await fanout.beyond(place, wanted)
        yield Batch(
            b"".join(map(_event, found)), b": still here\nid: %d\n\n" % place, pause
        )


async def _place(last_event_id: str | None, fanout: Fanout) -> int:
    if last_event_id is None:
        return fanout.place
    if ID.fullmatch(last_event_id) is None:
        raise Refused(
            "malformed-request",
            f"Last-Event-ID is {last_event_id[:100]!r}; expected the `id` of an event.",
        )
    place = int(last_event_id)
    # Another replica may have sent what this one has not read yet.
    if place > fanout.place and place > await fanout.latest():
        raise Refused(
            "malformed-request",
            f"Last-Event-ID is {last_event_id}, but there is no event of that id. Was "
            "the database restored from a backup? Connect again without it.",
        )
    return place


@lru_cache(KEPT)  # the same for every client
def _event(change: JobTransition) -> bytes:
    data = msgspec.json.encode(schemas.event(change))
    return b"id: %d\nevent: transition\ndata: %b\n\n" % (change.transition.id, data)


ROUTES = [get_events]
"""Below ``/jobs``."""

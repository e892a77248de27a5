"""Server-sent events: the streams of the API and of the pages.

Rule of the file: every event has data, and those of the API an id to resume from, the
first one of a stream included. A client that was cut off resumes with the last id it
has, here or at another replica, and misses nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from attrs import frozen
from litestar import Request
from litestar.response import Stream

from galaxy_jobs.adapters.broadcast import (
    BATCH_SIZE,
    Broadcast,
    Subscription,
    TransitionFilter,
)
from galaxy_jobs.domain import (
    DatasetId,
    DomainError,
    InvocationId,
    JobFilter,
    JobTransition,
    Label,
    Viewer,
    ports,
)
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.api.auth import TokenCache, caller_of, rate_key
from galaxy_jobs.entrypoints.api.job_filters import LabelTexts
from galaxy_jobs.entrypoints.api.limits import StreamSlots
from galaxy_jobs.entrypoints.api.parameters import Needs, header, query
from galaxy_jobs.entrypoints.api.problems import shutting_down
from galaxy_jobs.entrypoints.api.routing import Routes, response


ROUTES = Routes("/jobs", tags=["jobs"])

EVENT_STREAM = "text/event-stream"

HEARTBEAT_INTERVAL = 15.0
"""Seconds without an event after which a heartbeat is sent."""

HEARTBEAT = b":\n"
"""A comment. With an empty line, many clients would read an event without data."""

RETRY = b"retry: 2000\n"
"""Asks clients that were cut off to connect again after 2000 ms."""

ID = re.compile(r"[0-9]{1,18}")


@frozen
class Subscriptions:
    """Opens the subscriptions of what stays open for long: streams, waiting requests.

    Attributes:
        broadcast: Wakes and ends them.
        slots: Limits their number.
        token_cache: Checks the tokens of their callers.
    """

    broadcast: Broadcast
    slots: StreamSlots
    token_cache: TokenCache

    @contextmanager
    def open(
        self, request: Request[Any, Any, Any], selected: TransitionFilter | None
    ) -> Iterator[Subscription]:
        """Open a subscription; it is ended within 5 s if its caller is let in no more.

        Raises:
            Refused: No slot is free.
        """
        caller = caller_of(request)
        with (
            self.slots.hold(rate_key(request)),
            self.broadcast.subscribe(selected) as subscription,
            self.token_cache.watch(caller, subscription.end),
        ):
            yield subscription


@frozen
class Batch:
    """What the source of a stream has read.

    Attributes:
        events: Server-sent events, encoded; empty if there are none.
        pause: Seconds until the source is read again, unless a transition comes first.
            A heartbeat is sent then.
    """

    events: bytes
    pause: float = HEARTBEAT_INTERVAL


@ROUTES.get(
    "/events",
    "job-not-found",
    "too-many-requests",
    "shutting-down",
    responses={200: response(schemas.EventJson, media_type=EVENT_STREAM)},
)
async def job_events(
    *,
    request: Request[Any, Any, Any],
    subscriptions: Needs[Subscriptions],
    invocations: Needs[ports.InvocationRepository],
    viewer: Needs[Viewer],
    dataset_id: Annotated[
        DatasetId | None, query("a text: only of jobs on this dataset", "reads-1")
    ] = None,
    invocation_id: Annotated[
        InvocationId | None, query("a text: only of this job", "f2db41e1fa331b3e")
    ] = None,
    labels: LabelTexts = None,
    last_event_id: Annotated[
        str | None, query("the id of an event, where the header cannot be sent", "4711")
    ] = None,
    resumed: Annotated[
        str | None,
        header("The id of the last event received.", "4711", name="Last-Event-ID"),
    ] = None,
) -> Stream:
    """Stream state changes.

    Server-sent events: an event `transition` for each change of a job's state, from
    now on, or after the event `Last-Event-ID` (browsers send that when they
    reconnect). None is missed and none is sent twice.

    A stream from now on begins with an event `connected`, whose id is that of the
    latest change. If there is no event `Last-Event-ID`, as after a restore of the
    database, the first event is `reset`, and all changes there are follow it.
    Comments are heartbeats.
    """
    if invocation_id is not None:
        # 404 if there is none
        await asyncio.to_thread(invocations.get, invocation_id, viewer)
    selected = TransitionFilter(
        viewer=viewer,
        dataset_id=dataset_id,
        invocation_id=invocation_id,
        labels=JobFilter(labels=frozenset(map(Label.parse, labels or ()))).labels,
    )
    # A browser reconnects to the same address; its header is newer.
    broadcast = subscriptions.broadcast
    source = transitions(broadcast, selected, resumed or last_event_id)
    return await stream(broadcast, subscriptions.open(request, selected), source)


async def stream(
    broadcast: Broadcast,
    subscribed: AbstractContextManager[Subscription],
    source: AsyncIterator[Batch],
) -> Stream:
    """Return a stream of server-sent events: what a source reads, and heartbeats.

    It ends with its subscription, or when the source fails: the client then connects
    again and gets the reason as a problem. The *source* is read at once, whenever the
    subscription is woken, and after each pause.

    Raises:
        Refused: No slot is free, the service is being stopped, or the source refuses.
        DomainError: The source failed at its first reading.
    """
    now = asyncio.get_running_loop().time

    async def chunks() -> AsyncIterator[bytes]:
        with subscribed as subscription:
            batch = await anext(source)
            yield RETRY + (batch.events or HEARTBEAT)
            while not subscription.ended:
                if not batch.events and not await subscription.wait(
                    now() + batch.pause
                ):
                    yield HEARTBEAT
                try:
                    batch = await anext(source)
                except DomainError:
                    return
                if batch.events:
                    yield batch.events

    if broadcast.stopping:
        raise shutting_down()
    await broadcast.start()
    rest = chunks()
    # Taken before the response begins, so that a refusal is still a problem.
    first = await anext(rest)
    return Stream(
        _joined(first, rest),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _joined(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in others:
        yield chunk


async def transitions(
    broadcast: Broadcast,
    selected: TransitionFilter,
    last_event_id: str | None,
    *,
    pause: float = HEARTBEAT_INTERVAL,
) -> AsyncIterator[Batch]:
    """Yield the transitions after an event (None: from now on), without an end.

    Raises:
        StoreUnavailable: The database could not be reached.
    """
    first = b""
    if last_event_id is None:
        position = broadcast.position
        if not selected.viewer.sees_all:  # how far the jobs of others are shows nowhere
            position = await broadcast.last_id(selected.viewer)
        first = _encoded(position, "connected", {"id": position})
    elif await _exists(last_event_id, broadcast, selected.viewer):
        position = int(last_event_id)
    else:
        position = 0
        detail = f"There is no event {last_event_id[:100]!r}. All events follow."
        first = _encoded(position, "reset", {"id": position, "detail": detail})
    while True:
        changes, position = await broadcast.after(position, selected)
        yield Batch(first + b"".join(map(_event, changes)), pause)
        first = b""


async def _exists(event_id: str, broadcast: Broadcast, viewer: Viewer) -> bool:
    if ID.fullmatch(event_id) is None:
        return False
    # Another replica may have sent what this one has not read yet.
    position = int(event_id)
    read = broadcast.position if viewer.sees_all else 0
    return position <= read or position <= await broadcast.last_id(viewer)


def _encoded(event_id: int, name: str, data: object) -> bytes:
    """Return a server-sent event."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (
        event_id,
        name.encode(),
        msgspec.json.encode(data),
    )


@lru_cache(BATCH_SIZE)  # the same for every client that sees it
def _event(change: JobTransition) -> bytes:
    return _encoded(change.transition.id, "transition", schemas.event(change))

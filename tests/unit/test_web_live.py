"""A page gets an event whenever it is out of date, and one task reads for all pages."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from attrs import evolve

from galaxy_jobs.adapters.broadcast import Broadcast
from galaxy_jobs.adapters.testing.memory import (
    MemoryInvocations,
    MemoryStore,
    MemoryTransitionFeed,
)
from galaxy_jobs.domain import DatasetId, Invocation, InvocationId, InvocationState
from galaxy_jobs.domain.errors import JobNotFound, StoreUnavailable
from galaxy_jobs.domain.model.invocation import Revision
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.ports import JobFilter, JobTransition
from galaxy_jobs.entrypoints.api.events import stream
from galaxy_jobs.entrypoints.web import live
from tests.support.build import an_invocation


HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)
ALL = JobFilter()
CHANGE, END = b"event: change\ndata: {}\n\n", b"event: end\ndata: {}\n\n"
QUEUED, RUNNING, COMPLETED = (
    InvocationState.QUEUED,
    InvocationState.IN_PROGRESS,
    InvocationState.COMPLETED,
)


class Invocations(MemoryInvocations):
    """Invocations that may be unavailable; counts the queries of the task."""

    failure: Exception | None = None
    queries = 0

    def revisions(
        self, invocation_ids: Collection[InvocationId], viewer: Viewer
    ) -> Mapping[InvocationId, Revision]:
        Invocations.queries += 1
        if Invocations.failure:
            raise Invocations.failure
        return super().revisions(invocation_ids, viewer)


class World:
    """Jobs, and streams of the pages that show them."""

    def __init__(self) -> None:
        self.store, self.now, self.readings = MemoryStore(), NOW, 0
        self.invocations = Invocations(self.store)
        Invocations.failure, Invocations.queries = None, 0
        self.broadcast = Broadcast(MemoryTransitionFeed(self.store), interval=HOUR)
        self.pages = live.LivePages(
            self.broadcast,
            self.invocations,
            lambda: self.now,
            read_interval=0.01,
            event_interval=0,
        )

    def put(self, name: str, **changes: Any) -> None:
        """Store a job, or change it; a transition only if its state is another."""
        id_ = InvocationId(name)
        with self.store.lock:
            before = self.store.invocations.get(id_)
            version = 0 if before is None else before.version + 1
            new = before or evolve(an_invocation(), invocation_id=id_)
            self.store.put(before, evolve(new, version=version, **changes))

    def shown(self, name: str) -> str:
        """Return the mark of the page of a job."""
        job = self.invocations.get(InvocationId(name), SERVICE)
        return live.mark_of({job.invocation_id: job}, self.now)

    async def follow(
        self, name: str | None = None, mark: str = "", wanted: JobFilter = ALL
    ) -> AsyncIterator[bytes]:
        """Open a stream of a job's page, or a list's; return its events."""

        def read() -> Sequence[Invocation]:
            self.readings += 1
            if name is not None:
                return [self.invocations.get(InvocationId(name), SERVICE)]
            return self.invocations.page(wanted, SERVICE, 25).items

        def moved_by(change: JobTransition) -> bool:
            return name is None and wanted.moved_by(change, SERVICE, is_first=True)

        key = name or wanted
        page = live.Page(read, moved_by)
        subscribed = self.pages.follow(key, page, self.broadcast.subscribe(None))
        source = self.pages.changes(key, mark, ends=name is not None)
        response = await stream(self.broadcast, subscribed, source)
        assert response.headers["Cache-Control"] == "no-store"
        return self._events(cast("AsyncIterator[bytes]", response.iterator))

    async def _events(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        first = await anext(chunks)
        assert first.startswith(b"retry: 2000\n")
        if (event := first.removeprefix(b"retry: 2000\n")) != b":\n":
            yield event
        async for event in chunks:
            if event != b":\n":
                yield event

    async def rounds(self, count: int = 3) -> None:
        """Wait until the task has read so many times more."""
        queries = Invocations.queries + count
        while Invocations.queries < queries:  # noqa: ASYNC110 - nothing is sent
            await asyncio.sleep(0.001)


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        try:
            async with asyncio.timeout(30):
                await test(world)
        finally:
            world.broadcast.stop()
            with world.store.changed:
                world.store.changed.notify_all()

    asyncio.run(main())


def test_what_changed_before_the_stream_began_comes_first() -> None:
    async def test(world: World) -> None:
        world.put("inv1")
        mark = world.shown("inv1")
        world.put("inv1")
        events = await world.follow("inv1", mark)
        assert await anext(events) == CHANGE

    run(test)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"state": RUNNING},
        {"superseded_by": InvocationId("inv2")},
    ],
    ids=["progress", "state", "superseded"],
)
@pytest.mark.parametrize("state", [QUEUED, COMPLETED])
def test_every_change_of_a_job_that_is_shown_is_one_event(
    state: InvocationState, change: dict[str, Any]
) -> None:
    async def test(world: World) -> None:
        world.put("inv1", state=state)
        events = await world.follow("inv1", world.shown("inv1"))
        waiting = asyncio.ensure_future(anext(events))
        await world.rounds()
        assert not waiting.done()
        world.put("inv1", **change)
        after = world.invocations.get(InvocationId("inv1"), SERVICE).state
        assert await waiting == (END if after.is_terminal else CHANGE)
        waiting = asyncio.ensure_future(anext(events))
        await world.rounds()
        assert not waiting.done()

    run(test)


def test_a_job_that_becomes_stale_is_an_event() -> None:
    async def test(world: World) -> None:
        world.put("inv1", stale_at=NOW + HOUR)
        events = await world.follow("inv1", world.shown("inv1"))
        waiting = asyncio.ensure_future(anext(events))
        await world.rounds()
        assert not waiting.done()
        world.now += 2 * HOUR
        assert await waiting == CHANGE

    run(test)


def test_a_list_has_an_event_for_its_jobs_and_for_a_new_one() -> None:
    async def test(world: World) -> None:
        world.put("inv1")
        events = await world.follow()
        assert await anext(events) == CHANGE  # the page had no mark
        waiting = asyncio.ensure_future(anext(events))
        await world.rounds()
        assert (world.readings, waiting.done()) == (1, False)
        world.put("inv1")
        assert await waiting == CHANGE
        assert world.readings == 1
        world.put("inv2")
        assert await anext(events) == CHANGE
        world.put("inv2")
        assert await anext(events) == CHANGE
        assert world.readings == 2

    run(test)


def test_many_streams_cost_no_more_queries_than_one() -> None:
    async def test(world: World) -> None:
        for name in ("inv1", "inv2"):
            world.put(name)
        opened = [
            await world.follow(name, "" if name is None else world.shown(name))
            for name in (None, "inv1", "inv2")
            for _ in range(50)
        ]
        waiting = [asyncio.ensure_future(anext(events)) for events in opened]
        await asyncio.wait(waiting[:50])  # the lists had no mark
        # A list is read again for each page that was shown before.
        assert world.readings <= 50 + 2
        await world.rounds()
        queries, readings = Invocations.queries, world.readings
        world.put("inv1")
        await asyncio.wait(waiting[:100])
        assert Invocations.queries - queries <= 3
        assert world.readings == readings
        assert not any(each.done() for each in waiting[100:])
        for each in waiting:
            each.cancel()

    run(test)


def test_streams_go_on_when_the_store_is_back() -> None:
    async def test(world: World) -> None:
        world.put("inv1")
        events = await world.follow("inv1", world.shown("inv1"))
        waiting = asyncio.ensure_future(anext(events))
        await world.rounds()
        Invocations.failure = StoreUnavailable("away")
        world.put("inv1")
        await world.rounds()
        assert not waiting.done()
        Invocations.failure = None
        assert await waiting == CHANGE

    run(test)


def test_streams_end_with_the_service() -> None:
    async def test(world: World) -> None:
        world.put("inv1")
        events = await world.follow("inv1", world.shown("inv1"))
        waiting = asyncio.ensure_future(anext(events, None))
        await asyncio.sleep(0)
        world.broadcast.stop()
        assert await waiting is None
        assert not world.pages._pages

    run(test)


def test_a_stream_that_cannot_be_read_at_first_is_refused_and_forgotten() -> None:
    async def test(world: World) -> None:
        with pytest.raises(JobNotFound):
            await world.follow("inv1")
        assert not world.pages._pages
        world.put("inv1")
        events = await world.follow("inv1")
        assert await anext(events) == CHANGE

    run(test)


@pytest.mark.parametrize(
    ("before", "after", "states", "moved"),
    [
        (None, QUEUED, set(), (True, False)),
        (None, QUEUED, {QUEUED}, (True, False)),
        (QUEUED, RUNNING, set(), (False, False)),
        (QUEUED, RUNNING, {QUEUED}, (True, True)),
        (QUEUED, RUNNING, {RUNNING}, (True, True)),
        (QUEUED, RUNNING, {QUEUED, RUNNING}, (False, False)),
        (QUEUED, RUNNING, {COMPLETED}, (False, False)),
    ],
)
def test_a_transition_moves_jobs_into_lists_and_out_of_them(
    before: InvocationState | None,
    after: InvocationState,
    states: set[InvocationState],
    moved: tuple[bool, bool],
) -> None:
    store = MemoryStore()
    new = evolve(an_invocation(), state=after)
    store.put(None if before is None else evolve(new, state=before), new)
    (change,) = MemoryTransitionFeed(store).after(0, SERVICE, limit=1)
    wanted = JobFilter(states=frozenset(states))
    assert wanted.moved_by(change, SERVICE, is_first=True) is moved[0]
    assert wanted.moved_by(change, SERVICE, is_first=False) is moved[1]
    for other in (
        evolve(wanted, dataset_ids=frozenset([DatasetId("other")])),
        evolve(wanted, workflow_names=frozenset(["other"])),
    ):
        assert not other.moved_by(change, SERVICE, is_first=True)

"""News of jobs reach all who wait, each once and in order, whatever they missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import cast

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.adapters.broadcast import Broadcast, Subscription, TransitionFilter
from galaxy_jobs.adapters.testing.memory import MemoryStore, MemoryTransitionFeed
from galaxy_jobs.domain import DatasetId, InvocationId, InvocationState, Label
from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer, namespace
from galaxy_jobs.domain.ports import JobTransition
from galaxy_jobs.entrypoints.api import events
from tests.support.build import an_invocation


HOUR = timedelta(hours=1)
LIMIT = 20.0


class Feed(MemoryTransitionFeed):
    """A feed that can break."""

    broken = False

    def after(
        self,
        place: int,
        viewer: Viewer,
        *,
        limit: int,
        dataset_id: DatasetId | None = None,
        invocation_id: InvocationId | None = None,
        labels: Collection[Label] = (),
    ) -> Sequence[JobTransition]:
        if Feed.broken:
            raise StoreUnavailable("away")
        return super().after(
            place,
            viewer,
            limit=limit,
            dataset_id=dataset_id,
            invocation_id=invocation_id,
            labels=labels,
        )


class World:
    """A store, and a fan-out that keeps three transitions."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.broadcast = Broadcast(Feed(self.store), kept=3, interval=HOUR)

    def change(self, job: int, dataset: int = 0, owner: str | None = None) -> None:
        """Record some transition of a job."""
        before = an_invocation()
        after = evolve(
            before,
            invocation_id=InvocationId(f"inv{job}"),
            dataset_id=DatasetId(f"{namespace(owner) if owner else ''}d{dataset}"),
            labels={"job": str(job)},
            owner=owner,
            state=InvocationState.IN_PROGRESS,
        )
        with self.store.lock:
            self.store.put(before, after)

    async def read_up(self) -> None:
        """Wait until this process has read all that there is."""
        async with asyncio.timeout(LIMIT):
            while self.broadcast.position < len(self.store.transitions):  # noqa: ASYNC110 - nothing of it is to be told
                await asyncio.sleep(0.001)


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        Feed.broken = False
        world = World()
        await world.broadcast.start()
        try:
            await test(world)
        finally:
            Feed.broken = False
            world.broadcast.stop()
            with world.store.changed:
                world.store.changed.notify_all()

    asyncio.run(main())


async def collect(world: World, wanted: TransitionFilter, place: int) -> list[int]:
    """Return the ids of all that is wanted beyond a place."""
    ids: list[int] = []
    while True:
        found, place = await world.broadcast.after(place, wanted)
        if not found:
            return ids
        ids += [one.transition.id for one in found]


async def woken(waiting: Subscription) -> None:
    assert await waiting.wait(asyncio.get_running_loop().time() + LIMIT)


def test_who_waits_is_woken_by_what_it_wants_alone() -> None:
    async def test(world: World) -> None:
        wanted = TransitionFilter(viewer=SERVICE, dataset_id=DatasetId("d1"))
        with world.broadcast.subscribe(wanted) as waiting:
            world.change(1, dataset=0)
            await world.read_up()
            assert not waiting.woken.is_set()
            world.change(2, dataset=1)
            await woken(waiting)
            assert await collect(world, wanted, 0) == [2]
        assert world.broadcast.subscribers == 0

    run(test)


@given(
    changes=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12),
    place=st.integers(0, 12),
    wanted=st.builds(
        TransitionFilter,
        viewer=st.just(SERVICE),
        dataset_id=st.sampled_from([None, DatasetId("d0"), DatasetId("d1")]),
        invocation_id=st.sampled_from([None, InvocationId("inv0")]),
        labels=st.frozensets(st.sampled_from([Label("job", "0"), Label("job", "1")])),
    ),
)
def test_from_any_place_each_is_told_once_and_in_order(
    changes: list[tuple[int, bool]], place: int, wanted: TransitionFilter
) -> None:
    async def test(world: World) -> None:
        told: list[int] = []
        at = place
        for job, reads_now in changes:
            world.change(job, dataset=job % 2)
            await world.read_up()
            if reads_now and at <= len(world.store.transitions):
                found, at = await world.broadcast.after(at, wanted)
                told += [one.transition.id for one in found]
        told += await collect(world, wanted, at)
        assert told == [
            one.transition.id
            for one in MemoryTransitionFeed(world.store).after(
                place,
                SERVICE,
                limit=100,
                dataset_id=wanted.dataset_id,
                invocation_id=wanted.invocation_id,
                labels=wanted.labels,
            )
        ]

    run(test)


def test_what_is_kept_has_an_end() -> None:
    async def test(world: World) -> None:
        for n in range(50):
            world.change(n)
        await world.read_up()
        assert len(world.broadcast._latest) == 3
        assert await collect(world, TransitionFilter(viewer=SERVICE), 0) == list(
            range(1, 51)
        )
        Feed.broken = True  # who keeps up needs no database
        assert await collect(world, TransitionFilter(viewer=SERVICE), 47) == [
            48,
            49,
            50,
        ]
        with pytest.raises(StoreUnavailable):
            await collect(world, TransitionFilter(viewer=SERVICE), 46)

    run(test)


def test_a_database_that_goes_away_is_listened_to_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("galaxy_jobs.adapters.broadcast.RECONNECT_DELAY", 0.01)

    async def test(world: World) -> None:
        with world.broadcast.subscribe(TransitionFilter(viewer=SERVICE)) as waiting:
            Feed.broken = True
            world.change(1)
            await asyncio.sleep(0.05)
            assert world.broadcast.position == 0
            Feed.broken = False
            await woken(waiting)
            assert await collect(world, TransitionFilter(viewer=SERVICE), 0) == [1]

    run(test)


def test_at_the_end_everybody_is_woken() -> None:
    async def test(world: World) -> None:
        with world.broadcast.subscribe(TransitionFilter(viewer=SERVICE)) as waiting:
            waits = asyncio.create_task(woken(waiting))
            await asyncio.sleep(0)
            world.broadcast.stop()
            await waits

    run(test)


def test_a_stream_begins_with_its_position_and_sends_heartbeats() -> None:
    async def test(world: World) -> None:
        wanted = TransitionFilter(viewer=SERVICE, dataset_id=DatasetId("d1"))
        source = events.transitions(world.broadcast, wanted, None, pause=0.001)
        response = await events.stream(
            world.broadcast, world.broadcast.subscribe(wanted), source
        )
        chunks = cast("AsyncIterator[bytes]", response.iterator)
        greeting = b'id: 0\nevent: connected\ndata: {"id":0}\n\n'
        assert await anext(chunks) == b"retry: 2000\n" + greeting
        world.change(1, dataset=0)
        await world.read_up()
        assert await anext(chunks) == b":\n"
        world.change(2, dataset=1)
        await world.read_up()
        while (event := await anext(chunks)).startswith(b":"):
            pass
        first, second, third, *end = event.split(b"\n")
        assert (first, second, end) == (b"id: 2", b"event: transition", [b"", b""])
        assert third.startswith(b'data: {"id":2,')
        world.broadcast.stop()
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)

    run(test)


def test_a_stream_has_the_jobs_of_its_viewer_alone() -> None:
    lab_a, lab_b = (Viewer(owner=name, sees_all=False) for name in ("a", "b"))

    async def begun(world: World, viewer: Viewer, last: str | None) -> bytes:
        """Return how a stream begins."""
        source = events.transitions(
            world.broadcast, TransitionFilter(viewer=viewer), last
        )
        return (await anext(source)).events

    async def test(world: World) -> None:
        world.change(1, owner="a")
        await world.read_up()
        before = [await begun(world, lab_a, last) for last in (None, "0", "1", "2")]
        for _ in range(5):  # more than are kept in memory
            world.change(2, owner="b")
        await world.read_up()
        after = [await begun(world, lab_a, last) for last in (None, "0", "1", "2")]
        assert after == before
        assert after[0] == b'id: 1\nevent: connected\ndata: {"id":1}\n\n'
        assert b"event: reset" in after[3]
        assert b'"dataset_id":"d0"' in after[1]
        connected = await begun(world, lab_b, None)
        assert connected.startswith(b"id: 6\nevent: connected")
        with world.broadcast.subscribe(TransitionFilter(viewer=lab_a)) as waiting:
            world.change(2, owner="b")
            await world.read_up()
            assert not waiting.woken.is_set()
            world.change(1, owner="a")
            await woken(waiting)

    run(test)


def test_a_stream_resumes_after_the_event_it_is_given() -> None:
    async def test(world: World) -> None:
        for job in (1, 2):
            world.change(job)
        await world.read_up()
        source = events.transitions(
            world.broadcast, TransitionFilter(viewer=SERVICE), "1"
        )
        response = await events.stream(
            world.broadcast,
            world.broadcast.subscribe(TransitionFilter(viewer=SERVICE)),
            source,
        )
        first = await anext(cast("AsyncIterator[bytes]", response.iterator))
        assert first.startswith(b"retry: 2000\nid: 2\nevent: transition\n")
        assert b"id: 1" not in first

    run(test)

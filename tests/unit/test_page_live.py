"""A page is told that it is out of date: at once, of everything, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import cast

import pytest
from attrs import define, evolve

from galaxy_jobs.adapters.testing.memory import MemoryStore, MemoryTransitionFeed
from galaxy_jobs.domain import InvocationId, InvocationState
from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.entrypoints.broadcast import Fanout, Wanted
from galaxy_jobs.entrypoints.web import live
from galaxy_jobs.entrypoints.web.live import Sight
from tests.support.build import an_invocation


HOUR = timedelta(hours=1)
CHANGE, END = b"event: change\ndata: {}\n\n", b"event: end\ndata: {}\n\n"


@define
class Show:
    """What there is to be seen, and who follows it."""

    fanout: Fanout
    store: MemoryStore
    mark: str = "1"
    active: bool = True
    ended: bool = False
    trouble: Exception | None = None
    looks: int = 0

    def look(self) -> Sight:
        self.looks += 1
        if self.trouble:
            raise self.trouble
        return Sight(mark=self.mark, active=self.active, ended=self.ended)

    async def follow(self, mark: str = "1") -> AsyncIterator[bytes]:
        """Follow it; heartbeats are left out."""
        stream = await live.follow(
            self.fanout, nullcontext(), Wanted(), self.look, mark
        )
        assert stream.headers["Cache-Control"] == "no-store"
        return self._told(cast("AsyncIterator[bytes]", stream.iterator))

    async def _told(self, iterator: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        assert await anext(iterator) == b"retry: 2000\n\n"
        async for event in iterator:
            if event != b":\n\n":
                yield event

    def change_a_state(self) -> None:
        before = an_invocation()
        after = evolve(
            before,
            invocation_id=InvocationId("inv9"),
            state=InvocationState.IN_PROGRESS,
        )
        with self.store.lock:
            self.store.put(before, after)


def run(
    monkeypatch: pytest.MonkeyPatch,
    test: Callable[[Show], Awaitable[None]],
    every: float = 0.01,
) -> None:
    monkeypatch.setattr(live, "LOOK_EVERY", every)
    monkeypatch.setattr(live, "AT_MOST_EVERY", 0)

    async def main() -> None:
        store = MemoryStore()
        fanout = Fanout(MemoryTransitionFeed(store), look_every=HOUR)
        try:
            async with asyncio.timeout(30):
                await test(Show(fanout, store))
        finally:
            fanout.stop()
            with store.told:
                store.told.notify_all()

    asyncio.run(main())


def test_what_changed_before_the_stream_began_is_told_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(show: Show) -> None:
        told = await show.follow(mark="0")
        assert await anext(told) == CHANGE
        show.mark = "2"
        assert await anext(told) == CHANGE

    run(monkeypatch, test)


def test_a_bar_that_moves_within_a_state_is_told_as_long_as_something_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(show: Show) -> None:
        told = await show.follow()
        waiting = asyncio.ensure_future(anext(told))
        while show.looks < 3:  # noqa: ASYNC110 - it is looked, and nothing is told
            await asyncio.sleep(0.001)
        assert not waiting.done()
        show.mark = "2"
        assert await waiting == CHANGE
        show.mark, show.ended, show.active = "3", True, False
        assert await anext(told) == END

    run(monkeypatch, test)


def test_where_nothing_is_under_way_a_change_of_state_alone_makes_it_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(show: Show) -> None:
        show.active = False
        told = await show.follow()
        waiting = asyncio.ensure_future(anext(told))
        while not show.looks:  # noqa: ASYNC110 - it looks once, to begin with
            await asyncio.sleep(0.001)
        show.mark = "2"
        await asyncio.sleep(0.1)
        assert show.looks == 1
        assert not waiting.done()
        show.change_a_state()
        assert await waiting == CHANGE

    run(monkeypatch, test)


def test_streams_end_with_the_service_and_where_nothing_can_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(show: Show) -> None:
        told, other = await show.follow(), await show.follow(mark="0")
        assert await anext(other) == CHANGE
        show.trouble = StoreUnavailable("away")
        assert [event async for event in other] == []
        show.trouble = None
        waiting = asyncio.ensure_future(anext(told, None))
        await asyncio.sleep(0)
        show.fanout.stop()
        assert await waiting is None

    run(monkeypatch, test, every=20)

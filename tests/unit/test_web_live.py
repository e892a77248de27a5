"""A page gets an event whenever it is out of date: at once, and no more than that."""

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
from galaxy_jobs.entrypoints.api.events import stream
from galaxy_jobs.entrypoints.broadcast import Broadcast, TransitionFilter
from galaxy_jobs.entrypoints.web import live
from tests.support.build import an_invocation


HOUR = timedelta(hours=1)
CHANGE, END = b"event: change\ndata: {}\n\n", b"event: end\ndata: {}\n\n"


@define
class Show:
    """A page whose content changes, and the streams that follow it."""

    broadcast: Broadcast
    store: MemoryStore
    read_interval: float
    mark: str = "1"
    active: bool = True
    ends: bool = False
    failure: Exception | None = None
    readings: int = 0

    def read(self) -> tuple[str, bool]:
        self.readings += 1
        if self.failure:
            raise self.failure
        return self.mark, self.active

    async def follow(self, mark: str = "1") -> AsyncIterator[bytes]:
        """Open a stream; return its events, without heartbeats."""
        source = live.changes(
            self.read,
            mark,
            ends=self.ends,
            read_interval=self.read_interval,
            event_interval=0,
        )
        response = await stream(
            self.broadcast, nullcontext(), TransitionFilter(), source
        )
        assert response.headers["Cache-Control"] == "no-store"
        return self._events(cast("AsyncIterator[bytes]", response.iterator))

    async def _events(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        first = await anext(chunks)
        assert first.startswith(b"retry: 2000\n")
        if (event := first.removeprefix(b"retry: 2000\n")) != b":\n\n":
            yield event
        async for event in chunks:
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


def run(test: Callable[[Show], Awaitable[None]], read_interval: float = 0.01) -> None:
    async def main() -> None:
        store = MemoryStore()
        broadcast = Broadcast(MemoryTransitionFeed(store), interval=HOUR)
        try:
            async with asyncio.timeout(30):
                await test(Show(broadcast, store, read_interval))
        finally:
            broadcast.stop()
            with store.changed:
                store.changed.notify_all()

    asyncio.run(main())


def test_what_changed_before_the_stream_began_comes_first() -> None:
    async def test(show: Show) -> None:
        events = await show.follow(mark="0")
        assert await anext(events) == CHANGE
        show.mark = "2"
        assert await anext(events) == CHANGE

    run(test)


def test_progress_within_a_state_is_an_event_while_a_job_is_active() -> None:
    async def test(show: Show) -> None:
        show.ends = True
        events = await show.follow()
        waiting = asyncio.ensure_future(anext(events))
        while show.readings < 3:  # noqa: ASYNC110 - it reads, and sends nothing
            await asyncio.sleep(0.001)
        assert not waiting.done()
        show.mark = "2"
        assert await waiting == CHANGE
        show.mark, show.active = "3", False
        assert await anext(events) == END

    run(test)


def test_where_no_job_is_active_only_a_change_of_state_is_a_reason_to_read() -> None:
    async def test(show: Show) -> None:
        show.active = False
        events = await show.follow()
        waiting = asyncio.ensure_future(anext(events))
        show.mark = "2"
        await asyncio.sleep(0.1)
        assert show.readings == 1
        assert not waiting.done()
        show.change_a_state()
        assert await waiting == CHANGE

    run(test)


def test_streams_end_with_the_service_and_when_reading_fails() -> None:
    async def test(show: Show) -> None:
        events, other = await show.follow(), await show.follow(mark="0")
        assert await anext(other) == CHANGE
        show.failure = StoreUnavailable("away")
        assert [event async for event in other] == []
        show.failure = None
        waiting = asyncio.ensure_future(anext(events, None))
        await asyncio.sleep(0)
        show.broadcast.stop()
        assert await waiting is None

    run(test, read_interval=20)


def test_a_stream_that_cannot_be_read_at_first_is_refused() -> None:
    async def test(show: Show) -> None:
        show.failure = StoreUnavailable("away")
        with pytest.raises(StoreUnavailable):
            await show.follow()

    run(test)

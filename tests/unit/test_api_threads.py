"""The threads of routes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from attrs import define, field
from litestar import Litestar

from galaxy_jobs.entrypoints.api import threads
from galaxy_jobs.entrypoints.api.threads import (
    READS_AT_ONCE,
    executors,
    read_in_turn,
)


def reads(count: int, then: Callable[[Slow], Awaitable[object]]) -> None:
    """Begin so many reads that are slow, do something, and let them end."""

    async def run() -> None:
        async with executors(Litestar()):
            slow = Slow()
            reading = [
                asyncio.ensure_future(read_in_turn(slow.read)) for _ in range(count)
            ]
            for _ in range(READS_AT_ONCE):
                assert await asyncio.to_thread(slow.begun.acquire, timeout=30)
            await then(slow)
            gone = reading.pop()
            gone.cancel()
            slow.go.set()
            assert set(await asyncio.gather(*reading)) == {b"slow"}

    asyncio.run(run())


@define
class Slow:
    """Reads that have begun, and end when they may."""

    go: threading.Event = field(factory=threading.Event)
    begun: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))

    def read(self) -> bytes:
        self.begun.release()
        assert self.go.wait(30)
        return b"slow"


def test_a_few_parts_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "READ_TURN", 60)

    async def none_more(slow: Slow) -> None:
        assert not await asyncio.to_thread(slow.begun.acquire, timeout=0.2)

    reads(READS_AT_ONCE + 2, none_more)


def test_none_waits_for_a_slow_galaxy() -> None:
    async def fast(_: Slow) -> None:
        assert await asyncio.wait_for(read_in_turn(lambda: b"fast"), 30) == b"fast"

    reads(READS_AT_ONCE + 2, fast)

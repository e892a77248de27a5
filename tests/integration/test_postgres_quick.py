"""Queries on the event loop: as good as those in threads, whatever happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres import QuickReader, make_engine
from galaxy_jobs.domain.errors import InvalidValue, StoreUnavailable
from tests.support.wait import until


PID = "SELECT pg_backend_pid()"


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    one = make_engine(postgres_url)
    yield one
    one.dispose()


@asynccontextmanager
async def reading(engine: Engine, most: int = 8) -> AsyncIterator[QuickReader]:
    reader = QuickReader(engine, most)
    try:
        yield reader
    finally:
        reader.close()


def test_it_asks_over_one_connection_again_and_again(engine: Engine) -> None:
    async def asked() -> set[int]:
        async with reading(engine) as reader:
            return {(await reader.first(PID, {}))[0] for _ in range(20)}

    assert len(asyncio.run(asked())) == 1


def test_it_has_no_more_connections_than_it_may_have(engine: Engine) -> None:
    async def asked() -> set[int]:
        slow = "SELECT pg_backend_pid(), pg_sleep(%(s)s)"
        async with reading(engine, 3) as reader:
            rows = await asyncio.gather(
                *(reader.first(slow, {"s": 0.02}) for _ in range(30))
            )
            return {row[0] for row in rows}

    assert len(asyncio.run(asked())) == 3


def test_its_connections_are_as_those_of_the_engine(engine: Engine) -> None:
    async def asked() -> list[str]:
        names = ("application_name", "statement_timeout", "timezone")
        async with reading(engine) as reader:
            return [
                (await reader.first("SELECT current_setting(%(n)s)", {"n": name}))[0]
                for name in names
            ]

    assert asyncio.run(asked()) == ["galaxy-jobs", "30s", "UTC"]


def test_connections_that_broke_are_not_noticed(
    engine: Engine, postgres_url: str
) -> None:
    async def asked() -> None:
        async with reading(engine, 4) as reader:
            slow = "SELECT pg_backend_pid(), pg_sleep(0.05)"
            rows = await asyncio.gather(*(reader.first(slow, {}) for _ in range(4)))
            with psycopg.connect(postgres_url, autocommit=True) as other:
                for pid, _ in rows:
                    other.execute("SELECT pg_terminate_backend(%s)", [pid])
            again = await asyncio.gather(*(reader.first(PID, {}) for _ in range(8)))
            assert not {row[0] for row in rows} & {row[0] for row in again}

    asyncio.run(asked())


def test_who_goes_away_half_way_leaves_nothing_behind(
    engine: Engine, postgres_url: str
) -> None:
    def asleep() -> bool:
        with psycopg.connect(postgres_url) as other:
            found = other.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'"
            ).fetchone()
        return found == (1,)

    async def asked() -> None:
        async with reading(engine, 1) as reader:
            await reader.first(PID, {})
            leaving = asyncio.create_task(reader.first("SELECT pg_sleep(60)", {}))
            await asyncio.to_thread(until, asleep)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            # Neither is the only place lost, nor does another's answer come.
            async with asyncio.timeout(20):
                assert await reader.first("SELECT 'mine'", {}) == ("mine",)

    asyncio.run(asked())


def test_what_goes_wrong_is_told_as_ever(engine: Engine) -> None:
    async def asked() -> None:
        async with reading(engine) as reader:
            for text in ("a\0b", "\ud800"):
                with pytest.raises(InvalidValue):
                    await reader.first("SELECT %(a)s::text", {"a": text})
            assert await reader.first("SELECT 1 WHERE false", {}) is None
        nowhere = make_engine("postgresql://nobody@127.0.0.1:9/none")
        async with reading(nowhere) as reader:
            with pytest.raises(StoreUnavailable):
                await reader.first(PID, {})
        nowhere.dispose()

    asyncio.run(asked())

"""Queries on the event loop: they behave as those in threads, whatever breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres import AsyncReader, make_engine
from galaxy_jobs.domain.errors import InvalidValue, StoreUnavailable
from tests.support.wait import until


PID = b"SELECT pg_backend_pid()"
SLOW_PID = b"SELECT pg_backend_pid(), pg_sleep(0.05)"


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = make_engine(postgres_url)
    yield engine
    engine.dispose()


@asynccontextmanager
async def reading(engine: Engine, size: int = 8) -> AsyncIterator[AsyncReader]:
    reader = AsyncReader(lambda: engine, size)
    try:
        yield reader
    finally:
        await reader.close()


async def pid_of(reader: AsyncReader, query: bytes = PID) -> int:
    row = await reader.fetch_row(query, {})
    assert row is not None
    return int(row[0])


async def pids_of(reader: AsyncReader, count: int) -> set[int]:
    """Return the backends of so many queries at the same time."""
    pids = await asyncio.gather(*(pid_of(reader, SLOW_PID) for _ in range(count)))
    return set(pids)


async def all_pids_of(reader: AsyncReader, size: int) -> set[int]:
    """Return the backends of a reader, once it has all of its connections."""
    async with asyncio.timeout(30):
        # A connection that takes its time is there after others have done its work.
        while len(pids := await pids_of(reader, size)) < size:
            pass
    return pids


def terminate(url: str, *pids: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for pid in pids:
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])


def page_faults(pid: int) -> int:
    """Return how often a process was given memory by the system."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def test_a_server_process_keeps_the_memory_for_large_results(engine: Engine) -> None:
    large = b"SELECT pg_backend_pid(), string_agg(repeat('x', 1000), ',') FROM "
    large += b"generate_series(1, 60)"

    async def run() -> list[int]:
        async with reading(engine, size=1) as reader:
            pid = await pid_of(reader, large)
            for _ in range(20):
                await pid_of(reader, large)
            before = page_faults(pid)
            for _ in range(100):
                assert await pid_of(reader, large) == pid
            return [before, page_faults(pid)]

    before, after = asyncio.run(run())
    assert after - before < 200, "two of each query"


def test_queries_one_after_the_other_share_connections(engine: Engine) -> None:
    async def run() -> None:
        async with reading(engine) as reader:
            # The first query may come before the first connection is there.
            assert len({await pid_of(reader) for _ in range(20)}) <= 2

    asyncio.run(run())


def test_there_are_no_more_connections_than_the_size(engine: Engine) -> None:
    async def run() -> None:
        async with reading(engine, 3) as reader:
            assert len(await pids_of(reader, 30)) == 3

    asyncio.run(run())


def test_connections_have_the_options_of_the_engine(engine: Engine) -> None:
    setting = b"SELECT current_setting(%(name)s)"

    async def run() -> list[object]:
        async with reading(engine) as reader:
            return [
                await reader.fetch_row(setting, {"name": name})
                for name in ("application_name", "statement_timeout", "timezone")
            ]

    assert asyncio.run(run()) == [("galaxy-jobs",), ("30s",), ("UTC",)]


def test_a_query_survives_that_all_connections_broke(
    engine: Engine, postgres_url: str
) -> None:
    async def run() -> None:
        async with reading(engine, 8) as reader:
            before = await all_pids_of(reader, 8)
            terminate(postgres_url, *before)
            after = await pids_of(reader, 16)
            assert not before & after

    asyncio.run(run())


def test_a_query_survives_that_its_connection_breaks_meanwhile(
    engine: Engine, postgres_url: str
) -> None:
    async def run() -> None:
        async with reading(engine, 1) as reader:
            pid = await pid_of(reader)
            # Only the first attempt meets that backend.
            sleeping = b"SELECT pg_backend_pid(), CASE pg_backend_pid() WHEN %(pid)s"
            sleeping += b" THEN pg_sleep(60) END"
            query = asyncio.create_task(reader.fetch_row(sleeping, {"pid": pid}))
            await asyncio.to_thread(until, lambda: active(postgres_url, pid))
            terminate(postgres_url, pid)
            async with asyncio.timeout(20):
                row = await query
            assert row is not None
            assert row[0] != pid

    asyncio.run(run())


def active(url: str, pid: int) -> bool:
    """Return whether a backend is executing a query."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT state = 'active' AND wait_event = 'PgSleep'"
            " FROM pg_stat_activity WHERE pid = %s",
            [pid],
        ).fetchone()
    return row == (True,)


def test_a_cancelled_query_leaves_nothing_behind(
    engine: Engine, postgres_url: str
) -> None:
    async def run() -> None:
        async with reading(engine, 1) as reader:
            pid = await pid_of(reader)
            query = asyncio.create_task(reader.fetch_row(b"SELECT pg_sleep(60)", {}))
            await asyncio.to_thread(until, lambda: active(postgres_url, pid))
            query.cancel()
            with pytest.raises(asyncio.CancelledError):
                await query
            # Neither is the only connection lost, nor does another's answer come.
            async with asyncio.timeout(20):
                row = await reader.fetch_row(b"SELECT 'mine'", {})
            assert row == ("mine",)

    asyncio.run(run())


def test_values_that_cannot_be_stored_are_refused(engine: Engine) -> None:
    async def run() -> None:
        async with reading(engine) as reader:
            for text in ("a\0b", "\ud800"):
                with pytest.raises(InvalidValue):
                    await reader.fetch_row(b"SELECT %(a)s::text", {"a": text})
            assert await reader.fetch_row(b"SELECT 1 WHERE false", {}) is None

    asyncio.run(run())


def test_a_query_that_takes_too_long_is_reported_at_once(
    postgres_url: str,
) -> None:
    engine = make_engine(f"{postgres_url}&options=-c statement_timeout=50ms")

    async def run() -> None:
        async with reading(engine, 1) as reader:
            pid = await pid_of(reader)
            with pytest.raises(StoreUnavailable, match="statement timeout"):
                await reader.fetch_row(b"SELECT pg_sleep(60)", {})
            assert await pid_of(reader) == pid, "the connection is as good as before"

    asyncio.run(run())
    engine.dispose()


def test_an_unreachable_server_is_reported_at_once() -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:9/none")

    async def run() -> None:
        async with reading(engine) as reader, asyncio.timeout(5):
            results = await asyncio.gather(
                *(reader.fetch_row(PID, {}) for _ in range(20)), return_exceptions=True
            )
            assert {type(result) for result in results} == {StoreUnavailable}

    asyncio.run(run())
    engine.dispose()


def test_after_an_outage_queries_succeed_again(
    postgres_url: str, empty_database_url: str
) -> None:
    engine = make_engine(empty_database_url)
    name = engine.url.database

    def allow(allowed: str) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            alter = f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {allowed}"
            connection.execute(alter.encode())

    async def run() -> None:
        async with reading(engine, 4) as reader:
            before = await all_pids_of(reader, 4)
            allow("false")
            terminate(postgres_url, *before)
            for _ in range(2):
                async with asyncio.timeout(5):
                    with pytest.raises(StoreUnavailable, match="not currently accept"):
                        await pid_of(reader)
            allow("true")
            async with asyncio.timeout(5):
                await pids_of(reader, 8)

    asyncio.run(run())
    engine.dispose()


def test_it_can_be_used_in_one_event_loop_after_the_other(engine: Engine) -> None:
    reader = AsyncReader(lambda: engine)

    async def run() -> None:
        await pids_of(reader, 8)
        await reader.close()

    asyncio.run(run())
    asyncio.run(run())

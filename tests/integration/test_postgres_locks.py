"""Transactions that wait for a lock: what does not wait with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres import (
    PostgresDatasets,
    PostgresInvocations,
    PostgresSubmissions,
    clock,
    make_engine,
)
from galaxy_jobs.adapters.postgres.engine import write
from galaxy_jobs.adapters.testing.contracts.repositories import (
    DAY,
    HOUR,
    NOON,
    a_dataset,
    a_run,
    a_submission,
)
from galaxy_jobs.domain import HistoryId, Invocation
from galaxy_jobs.domain.model.viewer import SERVICE
from tests.support.wait import until


WAITING = """
SELECT count(*) FROM pg_locks
WHERE NOT granted AND database = (SELECT oid FROM pg_database
    WHERE datname = current_database())
"""
OVERWRITE_LOCK = (
    '["galaxy-jobs", "overwrite", "https://galaxy.test", "user1", "d1", "w"]'
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@contextmanager
def locked(url: str, name: str) -> Iterator[Callable[[], int]]:
    """Hold an advisory lock; yield a function that counts who waits for locks."""
    with psycopg.connect(url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])

        def waiting() -> int:
            row = holder.execute(WAITING).fetchone()
            assert row is not None
            return int(row[0])

        yield waiting
        holder.execute("SELECT pg_advisory_unlock_all()")


def accept(
    submissions: PostgresSubmissions, number: int, dataset_id: str
) -> Invocation:
    """Have a run accepted that overwrites those of a dataset."""
    PostgresDatasets(submissions.engine).add(a_dataset(dataset_id), SERVICE)
    before = a_submission(dataset_id, overwrite=True)
    submissions.open(before, deadline=HOUR, key_lifetime=DAY)
    begun = before.with_history(HistoryId(f"h{number}"), NOON)
    submissions.save(before, begun, look_in=HOUR)
    run = a_run(begun, f"inv{number}")
    return submissions.accept(begun, begun.accepted(run.invocation_id, NOON), run)


def test_queries_do_not_wait_behind_transactions(
    engine: Engine, database_url: str
) -> None:
    lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('lock', 0))")
    with ThreadPoolExecutor(20) as pool, locked(database_url, "lock") as waiting:
        writers = [
            pool.submit(write, engine, lambda c: c.execute(lock) and None)
            for _ in range(20)
        ]
        until(lambda: waiting() == 5)
        clock(engine)
    assert [writer.result() for writer in writers] == [None] * 20


def test_overwrites_do_not_wait_behind_those_of_another_dataset(
    engine: Engine, database_url: str
) -> None:
    with ThreadPoolExecutor(20) as pool:
        submissions = PostgresSubmissions(engine)
        with locked(database_url, OVERWRITE_LOCK) as waiting:
            runs: list[Future[Invocation]] = [
                pool.submit(accept, submissions, n, "d1") for n in range(20)
            ]
            until(lambda: waiting() == 1)
            assert accept(submissions, 20, "d2").superseded_by is None
            assert waiting() == 1
        accepted = [run.result().invocation_id for run in runs]
    stored = PostgresInvocations(engine).get_many(accepted, SERVICE)
    assert [run.superseded_by for run in stored.values()].count(None) == 1

"""A PostgreSQL of the benchmarks' own, filled with as many runs as are wanted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Engine

from bench.galaxy import KEY, recorded
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.postgres import make_engine, migrate
from galaxy_jobs.domain.model.report import JobsSummary
from galaxy_jobs.domain.use_cases import PollPolicy
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.settings import Settings


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server, and give its address; nothing of it is left behind."""
    folder = Path(tempfile.mkdtemp(prefix="galaxy-jobs-bench-"))
    server = EmbeddedPostgres(folder)
    try:
        with server as url:
            yield url
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


@frozen
class Store:
    """A database with our schema."""

    url: str
    engine: Engine

    def fill(
        self, galaxy: str, count: int, *, ended: int = 0, quiet_hours: float = 1.0
    ) -> None:
        """Store runs of that Galaxy that have not ended, all due, and ended ones.

        They are as after many sweeps: seen running, with the bulk answer known,
        and looked at in full just now. What triggers and foreign keys would do for
        each row is left out: nothing here depends on it.

        Args:
            galaxy: Its address.
            count: How many have not ended.
            ended: How many have.
            quiet_hours: For how long nothing has changed.
        """
        slow = recorded("run_slow")
        jobs = [job["state"] for step in slow["steps"] for job in step["jobs"]]
        known = JobsSummary(
            states={one: jobs.count(one) for one in jobs}, populated="ok"
        ).fingerprint
        said = {
            "url": galaxy,
            "user": recorded("user")["id"],
            "known": known,
            "quiet": quiet_hours,
        }
        indexes: list[str] = []
        with self.engine.begin() as connection:
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            if ended:  # made anew at the end: that is several times faster
                connection.execute(sa.text("SET LOCAL maintenance_work_mem = '512MB'"))
                for name, made in connection.execute(sa.text(_INDEXES)).all():
                    connection.execute(sa.text(f"DROP INDEX {name}"))
                    indexes.append(made)
            for state, first, last in (
                ("in_progress", 0, count),
                ("completed", count, count + ended),
            ):
                connection.execute(
                    sa.text(_RUNS), {**said, "state": state, "a": first, "b": last - 1}
                )
            connection.execute(sa.text(_ACTIVE), {**said, "b": count - 1})
            for made in indexes:
                connection.exec_driver_sql(made)
        self.tidy()

    def tidy(self) -> None:
        """Do what autovacuum would come round to do."""
        with self.engine.connect() as one:
            alone = one.execution_options(isolation_level="AUTOCOMMIT")
            alone.execute(sa.text("SET statement_timeout = 0"))
            alone.execute(sa.text("VACUUM (ANALYZE) active_invocations"))
            alone.execute(sa.text("VACUUM (ANALYZE) workflow_invocations"))
            alone.execute(sa.text("VACUUM (ANALYZE) invocation_labels"))

    def all_due(self) -> None:
        """Let every run be due now, and nothing be leased."""
        self.run(
            "UPDATE active_invocations SET lease_until = NULL, "
            "next_poll_at = now() - random() * interval '10 seconds'"
        )
        self.tidy()

    def run(self, statement: str) -> None:
        """Run a statement."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement))

    def number(self, query: str) -> int:
        """Return what a query counts."""
        with self.engine.connect() as connection:
            return int(connection.execute(sa.text(query)).scalar_one())

    def container(self, galaxy: str, policy: PollPolicy | None = None) -> Container:
        """Return the whole service, wired as it is in earnest."""
        return Container(
            settings=Settings(
                galaxy_url=galaxy,
                galaxy_api_key=KEY,
                database_url=self.url,
                home=Path("/nonexistent"),
                poll=policy or PollPolicy(),
            )
        )


@contextmanager
def store(server: str) -> Iterator[Store]:
    """Make a database with our schema; it is dropped at the end."""
    name = f"bench_{uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as one:
        one.execute(f"CREATE DATABASE {name}")
        url = server.replace("/postgres?", f"/{name}?")
        engine = make_engine(url)
        try:
            migrate(engine)
            yield Store(url, engine)
        finally:
            engine.dispose()
            one.execute(f"DROP DATABASE {name} WITH (FORCE)")


_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'workflow_invocations'
AND indexname LIKE 'ix%'
"""

_RUNS = """
INSERT INTO workflow_invocations (
    invocation_id, submission_id, galaxy_url, galaxy_user, history_id, dataset_id,
    workflow_name, parameters, overwrite, state, galaxy_state, progress, steps,
    created_at, updated_at, observed_at, version, owner, private
)
SELECT lpad(to_hex(n), 16, '0'), CAST(lpad(to_hex(n), 32, '0') AS uuid), :url, :user,
    lpad(to_hex(n), 16, 'f'), 'd' || n % 200, 'workflow ' || n % 20, '{}', false,
    :state, 'scheduled',
    '{"total": 2, "ok": 0, "running": 1, "waiting": 1, "failed": 0}',
    '[{"index": 0, "label": "text", "tool": null, "state": "ok", "jobs": {}},
      {"index": 1, "label": "sort", "tool": "sort", "state": "running",
       "jobs": {"running": 1}}]',
    now() - (:quiet + n / 100000.0) * interval '1 hour',
    now() - :quiet * interval '1 hour', now(), 1, 'lab-' || n % 10, true
FROM generate_series(CAST(:a AS bigint), CAST(:b AS bigint)) AS n
"""

_ACTIVE = """
INSERT INTO active_invocations (
    invocation_id, galaxy_url, galaxy_user, draws, accepted_at, next_poll_at,
    cancelling, summary, last_change_at, last_full_look_at, observed_at
)
SELECT lpad(to_hex(n), 16, '0'), :url, :user, '{}',
    now() - :quiet * interval '1 hour', now() - random() * interval '10 seconds',
    false, :known, now() - :quiet * interval '1 hour', now(), now()
FROM generate_series(0, CAST(:b AS bigint)) AS n
"""

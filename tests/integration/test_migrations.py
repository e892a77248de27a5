"""The schema: what migrations make, who may do without them, and how they wait."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from attrs import evolve
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres import (
    PostgresDatasets,
    PostgresInvocations,
    PostgresPollQueue,
    PostgresSubmissions,
    PostgresTokens,
    PostgresTransitionFeed,
    SchemaBehind,
    SchemaConflict,
    SchemaState,
    check_schema,
    make_engine,
    migrate,
    schema_state,
)
from galaxy_jobs.adapters.postgres.migrations import REVISIONS, VERSION_TABLE
from galaxy_jobs.adapters.postgres.tables import metadata
from galaxy_jobs.adapters.testing.contracts.repositories import (
    LATER,
    a_dataset,
    a_run,
    a_submission,
)
from galaxy_jobs.domain import Identity, InvocationId, JobFilter
from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.model.token import Scope, digest_of
from galaxy_jobs.domain.model.viewer import SERVICE, Sees, Viewer
from galaxy_jobs.domain.use_cases import CreateToken


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


CATALOG = {
    "columns": """
        SELECT table_name, column_name, ordinal_position, data_type, udt_name,
            is_nullable, column_default, identity_generation
        FROM information_schema.columns JOIN information_schema.tables
            USING (table_schema, table_name)
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
        ORDER BY 1, 3""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        ORDER BY 1, 2""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND indexname <> 'ix_datasets_search'
        ORDER BY 1, 2""",
    "storage": """
        SELECT relname, reloptions FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        ORDER BY 1""",
}


def catalog(url: str, what: str) -> list[tuple[Any, ...]]:
    """Return what PostgreSQL says of our tables, Alembic's own aside."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(CATALOG[what].encode()).fetchall()
    return [row for row in rows if row[0] != VERSION_TABLE]


@pytest.mark.parametrize("what", CATALOG)
def test_migrations_make_the_tables_that_the_code_declares(
    engine: Engine, empty_database_url: str, what: str
) -> None:
    metadata.create_all(engine)
    declared = catalog(empty_database_url, what)
    metadata.drop_all(engine)
    migrate(engine)
    assert declared
    assert catalog(empty_database_url, what) == declared


def test_other_programs_find_the_tables_they_were_promised(
    engine: Engine, empty_database_url: str
) -> None:
    migrate(engine)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "INSERT INTO datasets (dataset_id, name, source, created_at)"
            ' VALUES (\'d\', \'n\', \'{"src": "hda", "id": "1"}\', now())'
        )
        connection.execute(
            "SELECT invocation_id, dataset_id, workflow_name, state, galaxy_state,"
            " progress, failure, created_at, updated_at, observed_at, owner, labels"
            " FROM invocations"
        )


def test_a_run_that_the_version_before_adopts_has_what_its_submission_has(
    engine: Engine,
) -> None:
    migrate(engine)
    viewer = Viewer(owner="lab-a", sees_all=False)
    dataset = PostgresDatasets(engine).add(a_dataset("d"), viewer)
    labels = {"project": "plate-7"}
    submission = a_submission(dataset.stored_id)
    submission = evolve(
        submission,
        owner="lab-a",
        private=True,
        request=evolve(submission.request, labels=labels),
    )
    PostgresSubmissions(engine).open(
        submission, deadline=timedelta(1), key_lifetime=timedelta(1)
    )
    with engine.begin() as connection:
        # Without the columns that it does not know.
        connection.execute(
            sa.text(ACCEPT.replace("gen_random_uuid()", ":submission")),
            {"id": "inv1", "submission": submission.submission_id},
        )
        connection.execute(sa.text(ACCEPT), {"id": "inv2"})
    invocations = PostgresInvocations(engine)
    [job] = invocations.page(JobFilter(), viewer, 9).items
    assert (job.invocation_id, job.owner, job.private) == ("inv1", "lab-a", True)
    assert job.labels == labels
    [change] = PostgresTransitionFeed(engine).after(0, viewer, limit=9)
    assert change.transition.invocation_id == "inv1"
    other = invocations.get(InvocationId("inv2"), SERVICE)
    assert (other.owner, other.private, other.labels) == (None, False, {})


def test_the_version_before_lets_no_token_in_that_sees_its_own_only(
    engine: Engine,
) -> None:
    migrate(engine)
    create = CreateToken(PostgresTokens(engine), lambda: LATER)
    texts = {sees: create(sees.value, Scope.SUBMIT, sees=sees).text for sees in Sees}
    create("operator", Scope.ADMIN)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT name, scope, digest FROM tokens"))
        stored = {name: (scope, digest) for name, scope, digest in rows}
    assert stored["all"] == ("submit", digest_of(texts[Sees.ALL]))
    assert stored["own"][1] != digest_of(texts[Sees.OWN])
    assert stored["operator"][0] == "submit"


SEARCH_INDEX = "SELECT to_regclass('ix_datasets_search') IS NOT NULL"


def test_a_search_has_an_index_where_postgresql_has_what_it_needs(
    engine: Engine, empty_database_url: str
) -> None:
    migrate(engine)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute(SEARCH_INDEX).fetchone() == (True,)
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT name FROM datasets"
            " WHERE dataset_id ILIKE '%some%' OR name ILIKE '%some%'"
        ).fetchall()
        assert "ix_datasets_search" in str(plan)


def test_a_user_who_may_create_no_extension_migrates_without_that_index(
    empty_database_url: str,
) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "DROP ROLE IF EXISTS limited; CREATE ROLE limited;"
            "GRANT USAGE, CREATE ON SCHEMA public TO limited"
        )
    url = f"{empty_database_url}&options=-crole%3Dlimited"
    engine = make_engine(url)
    try:
        migrate(engine)
        assert schema_state(engine) is SchemaState.CURRENT
    finally:
        engine.dispose()
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute(SEARCH_INDEX).fetchone() == (False,)


def test_again_is_harmless_and_several_at_once_are_one(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(migrate, engine) for _ in range(4)]:
            done.result(60)
    migrate(engine)
    assert schema_state(engine) is SchemaState.CURRENT


def test_what_is_not_there_or_older_is_refused(engine: Engine) -> None:
    assert schema_state(engine) is SchemaState.EMPTY
    with pytest.raises(SchemaBehind, match="galaxy-jobs migrate"):
        check_schema(engine)


def test_what_is_newer_is_tolerated_and_left_alone(
    engine: Engine, empty_database_url: str
) -> None:
    migrate(engine)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'".encode())
    assert schema_state(engine) is SchemaState.AHEAD
    check_schema(engine)
    migrate(engine)
    assert schema_state(engine) is SchemaState.AHEAD


def test_tables_that_are_not_ours_are_not_touched(
    engine: Engine, empty_database_url: str
) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("CREATE TABLE datasets (mine int)")
    with pytest.raises(SchemaConflict, match="a database of its own"):
        migrate(engine)
    with psycopg.connect(empty_database_url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public'"
        ).fetchall()
    assert tables == [("datasets",)], "all or nothing"


def test_whoever_holds_a_lock_is_waited_for_and_then_named(
    engine: Engine, empty_database_url: str
) -> None:
    with psycopg.connect(empty_database_url) as other:
        other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('galaxy-jobs migrate', 0))"
        )
        with pytest.raises(StoreUnavailable, match="could not be changed"):
            migrate(engine, lock_timeout=1, lock_attempts=2)
    migrate(engine)


def test_revisions_stand_in_their_list_one_behind_the_other() -> None:
    assert tuple(f"{n:04}" for n in range(1, len(REVISIONS) + 1)) == REVISIONS
    assert len(sql().split("-- Running upgrade")) == len(REVISIONS) + 1


def upgrade(engine: Engine, revision: str) -> None:
    """Bring the schema to an earlier revision than the newest."""
    config = Config()
    folder = files("galaxy_jobs.adapters.postgres") / "migrations"
    config.set_main_option("script_location", str(folder))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_jobs_of_the_version_before_become_stale_within_minutes(
    engine: Engine,
) -> None:
    upgrade(engine, "0003")

    def accept(invocation_id: str) -> None:
        """Insert what the version before does."""
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO workflow_invocations (invocation_id, submission_id,"
                    " galaxy_url, galaxy_user, dataset_id, workflow_name, parameters,"
                    " overwrite, state, galaxy_state, progress, steps, created_at,"
                    " updated_at, observed_at, version) VALUES (:id, gen_random_uuid(),"
                    " '', '', 'd', 'w', '{}', false, 'queued', 'new', '{}', '[]',"
                    " now(), now(), now(), 0)"
                ),
                {"id": invocation_id},
            )
            connection.execute(
                sa.text(
                    "INSERT INTO active_invocations (invocation_id, galaxy_url,"
                    " galaxy_user, draws, cancelling, observed_at)"
                    " VALUES (:id, '', '', '{}', false, now())"
                ),
                {"id": invocation_id},
            )

    accept("earlier")
    migrate(engine)
    accept("later")
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT invocation_id FROM active_invocations WHERE stale_at"
                " BETWEEN now() + interval '15 minutes'"
                " AND now() + interval '17 minutes' ORDER BY 1"
            )
        )
        assert rows.scalars().all() == ["earlier", "later"]


def test_jobs_left_at_the_end_are_followed_from_now_on(engine: Engine) -> None:
    upgrade(engine, "0004")
    rows = [
        ("settled", "failed", {"running": 0, "waiting": 0}),
        ("running", "failed", {"running": 1, "waiting": 0}),
        ("waiting", "failed", {"running": 0, "waiting": 2}),
        ("unknown", "failed", {}),
        ("cancelled", "cancelled", {"running": 1, "waiting": 0}),
    ]
    with engine.begin() as connection:
        for id_, state, progress in rows:
            connection.execute(
                sa.text(
                    "INSERT INTO workflow_invocations (invocation_id, submission_id,"
                    " galaxy_url, galaxy_user, dataset_id, workflow_name, parameters,"
                    " overwrite, state, galaxy_state, progress, steps, created_at,"
                    " updated_at, observed_at, version) VALUES (:id, gen_random_uuid(),"
                    " 'g', 'u', 'd', 'w', '{}', false, :state, 'failed', :progress,"
                    " '[]', now(), now(), now(), 0)"
                ),
                {"id": id_, "state": state, "progress": json.dumps(progress)},
            )
    migrate(engine)
    with engine.connect() as connection:
        followed = connection.execute(
            sa.text("SELECT invocation_id FROM active_invocations ORDER BY 1")
        )
        assert followed.scalars().all() == ["running", "waiting"]


ACCEPT = """
    WITH new AS (
        INSERT INTO workflow_invocations (invocation_id, submission_id, galaxy_url,
            galaxy_user, dataset_id, workflow_name, parameters, overwrite, state,
            galaxy_state, progress, steps, created_at, updated_at, observed_at, version)
        VALUES (:id, gen_random_uuid(), 'g', 'u', 'd', 'w', '{}', false, 'queued',
            'new', '{}', '[]', now(), now(), now(), 0)
        ON CONFLICT (invocation_id) DO NOTHING
        RETURNING invocation_id
    ), polled AS (
        INSERT INTO active_invocations (invocation_id, galaxy_url, galaxy_user, draws,
            cancelling, observed_at)
        SELECT invocation_id, 'g', 'u', '{}', false, now() FROM new
    )
    INSERT INTO invocation_transitions (invocation_id, from_state, to_state, at,
        galaxy_state, progress)
    SELECT invocation_id, NULL, 'queued', now(), 'new', '{}' FROM new
"""
"""What the version before 0008 does for a run that Galaxy has accepted."""


def test_an_id_given_out_again_means_the_later_run_from_now_on(engine: Engine) -> None:
    upgrade(engine, "0007")

    def execute(statement: str, **parameters: str) -> Any:
        with engine.begin() as connection:
            rows = connection.execute(sa.text(statement), parameters)
            return rows.all() if rows.returns_rows else rows.rowcount

    files = (
        "SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relname IN"
        " ('workflow_invocations', 'active_invocations', 'invocation_transitions')"
    )
    assert execute(ACCEPT, id="inv1") == 1
    before = execute(files)
    migrate(engine)
    assert execute(files) == before, "no table is rewritten"
    assert execute(ACCEPT, id="inv2") == 1, "the program of before goes on"
    assert execute(ACCEPT, id="inv1") == 0
    submissions = PostgresSubmissions(engine)
    invocations = PostgresInvocations(engine)
    identity = Identity("g", "u")
    queue = PostgresPollQueue(engine)
    claims = queue.claim(identity, limit=9, lease=timedelta(0))
    assert {claim.invocation_id: claim.galaxy_id for claim in claims} == {
        "inv1": "inv1",
        "inv2": "inv2",
    }
    PostgresDatasets(engine).add(a_dataset("d"), SERVICE)
    later = a_submission("d", identity=identity)
    submissions.open(later, deadline=timedelta(1), key_lifetime=timedelta(1))
    run = a_run(later, "inv1")
    submissions.accept(later, later.accepted(run.invocation_id, LATER), run)
    jobs = invocations.page(JobFilter(), SERVICE, 9).items
    assert sorted(job.galaxy_id or "gone" for job in jobs) == ["gone", "inv1", "inv2"]
    current = invocations.get(InvocationId("inv1"), SERVICE)
    assert current.submission_id == later.submission_id
    # Of a transition, nothing but the key of its invocation can be changed.
    assert execute("UPDATE invocation_transitions SET invocation_id = invocation_id")
    for statement in (
        "UPDATE invocation_transitions SET to_state = 'failed'",
        "UPDATE invocation_transitions SET invocation_id = invocation_id, at = now()",
        "DELETE FROM invocation_transitions",
    ):
        with pytest.raises(sa.exc.DatabaseError, match="only ever appended to"):
            execute(statement)


def sql() -> str:
    """Return what all migrations would do, as SQL."""
    output = io.StringIO()
    config = Config(output_buffer=output)
    folder = files("galaxy_jobs.adapters.postgres") / "migrations"
    config.set_main_option("script_location", str(folder))
    command.upgrade(config, "head", sql=True)
    return output.getvalue()


def squawk(path: Path, text: str) -> list[Any]:
    """Return what Squawk finds in some SQL that runs in one transaction."""
    path.write_text(text)
    program = shutil.which("squawk", path=sysconfig.get_path("scripts"))
    assert program, "squawk is not installed beside this Python"
    done = subprocess.run(
        [program, "--assume-in-transaction", "--reporter", "json", path],
        check=False,
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr
    findings: list[Any] = json.loads(done.stdout)
    return findings


def test_squawk_finds_nothing(tmp_path: Path) -> None:
    limits = "SET lock_timeout = '5s'; SET statement_timeout = '60s';\n"
    # The table of versions, which comes first, is Alembic's own.
    ours = limits + sql().partition(";\n")[2]
    assert "CREATE TABLE datasets" in ours
    assert squawk(tmp_path / "ours.sql", ours) == []
    worse = f"{limits}ALTER TABLE datasets ADD COLUMN x int NOT NULL;"
    assert squawk(tmp_path / "worse.sql", worse), "it finds nothing anywhere"

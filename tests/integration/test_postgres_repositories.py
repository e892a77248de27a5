"""The adapters that keep everything in PostgreSQL, held to the contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve
from hypothesis import given
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from galaxy_jobs.adapters.postgres import (
    PostgresAuditLog,
    PostgresBatches,
    PostgresDatasets,
    PostgresInvocations,
    PostgresPollQueue,
    PostgresRetention,
    PostgresSessions,
    PostgresSigningKeys,
    PostgresSubmissions,
    PostgresSupersededRuns,
    PostgresTagChanges,
    PostgresTokens,
    PostgresTransitionFeed,
    PostgresUploads,
    PostgresWebhooks,
    make_engine,
)
from galaxy_jobs.adapters.postgres.datasets import LISTED_SOURCE_SIZE
from galaxy_jobs.adapters.postgres.tables import metadata
from galaxy_jobs.adapters.testing.contracts.audit import AuditLogContract, an_entry
from galaxy_jobs.adapters.testing.contracts.batches import (
    BatchRepositoryContract,
    a_batch,
    record,
    run,
)
from galaxy_jobs.adapters.testing.contracts.datasets import DatasetRepositoryContract
from galaxy_jobs.adapters.testing.contracts.feed import TransitionFeedContract
from galaxy_jobs.adapters.testing.contracts.invocations import (
    InvocationRepositoryContract,
)
from galaxy_jobs.adapters.testing.contracts.owners import OwnersContract
from galaxy_jobs.adapters.testing.contracts.queue import PollQueueContract
from galaxy_jobs.adapters.testing.contracts.repositories import (
    HERE,
    LATER,
    NOON,
    THERE,
    Repositories,
    a_submission,
)
from galaxy_jobs.adapters.testing.contracts.retention import RetentionContract
from galaxy_jobs.adapters.testing.contracts.sessions import SessionRepositoryContract
from galaxy_jobs.adapters.testing.contracts.signing_keys import SigningKeysContract
from galaxy_jobs.adapters.testing.contracts.submissions import (
    SubmissionRepositoryContract,
)
from galaxy_jobs.adapters.testing.contracts.superseded import SupersededRunsContract
from galaxy_jobs.adapters.testing.contracts.tag_changes import TagChangesContract
from galaxy_jobs.adapters.testing.contracts.tokens import TokenRepositoryContract
from galaxy_jobs.adapters.testing.contracts.uploads import UploadRepositoryContract
from galaxy_jobs.adapters.testing.contracts.webhooks import WebhookRepositoryContract
from galaxy_jobs.domain import (
    CollectionData,
    Dataset,
    DatasetId,
    InvocationState,
    JobFilter,
    UrlData,
)
from galaxy_jobs.domain.errors import InvalidSource
from galaxy_jobs.domain.model.dataset import UnusableDataset
from galaxy_jobs.domain.model.labels import Label
from galaxy_jobs.domain.model.viewer import SERVICE
from tests.support.job_lists import SearchedJobFilters
from tests.support.sightings import SIGHTINGS, store_between_others
from tests.support.wait import until


# What the store's own clock is compared with.
TIMES = {
    "submissions": ("look_at", "key_expires_at"),
    "batches": ("ended_at",),
    "active_invocations": (
        "accepted_at",
        "next_poll_at",
        "lease_until",
        "last_change_at",
        "last_full_look_at",
        "missing_since",
        "stale_at",
    ),
    "tokens": ("expires_at",),
    "sessions": ("expires_at",),
    "uploads": ("expires_at", "look_at"),
    "audit": ("at",),
    "webhooks": ("rests_until",),
    "webhook_deliveries": ("next_attempt_at", "retried_since", "ended_at"),
    "deletions": ("look_at",),
    "tag_changes": ("look_at",),
}


@pytest.fixture(scope="module")
def migrated(module_database_url: str) -> Iterator[Engine]:
    """A database with the schema, for all tests of this module."""
    engine = make_engine(module_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(migrated: Engine) -> Iterator[Engine]:
    """The engine, on tables that are empty; no connection may leak."""
    with migrated.begin() as connection:
        # With so few rows many times as fast as TRUNCATE, which makes new files. A
        # trigger forbids it, but not to a replica.
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    yield migrated
    assert "Current Checked out connections: 0" in migrated.pool.status()


def in_postgres(engine: Engine) -> Repositories:
    def pass_time(by: timedelta) -> None:
        """Make everything that is stored so much older."""
        with engine.begin() as connection:
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            for table, columns in TIMES.items():
                older = ", ".join(f"{column} = {column} - :by" for column in columns)
                connection.execute(sa.text(f"UPDATE {table} SET {older}"), {"by": by})

    return Repositories(
        datasets=PostgresDatasets(engine),
        submissions=PostgresSubmissions(engine),
        batches=PostgresBatches(engine),
        invocations=PostgresInvocations(engine),
        queue=PostgresPollQueue(engine),
        superseded=PostgresSupersededRuns(engine),
        retention=PostgresRetention(engine),
        tag_changes=PostgresTagChanges(engine),
        tokens=PostgresTokens(engine),
        sessions=PostgresSessions(engine),
        signing_keys=PostgresSigningKeys(engine),
        uploads=PostgresUploads(engine),
        audit=PostgresAuditLog(engine),
        webhooks=PostgresWebhooks(engine),
        feed=PostgresTransitionFeed(engine),
        pass_time=pass_time,
    )


class InPostgres:
    @pytest.fixture
    def repositories(self, engine: Engine) -> Repositories:
        return in_postgres(engine)


class TestDatasets(InPostgres, DatasetRepositoryContract):
    @pytest.mark.parametrize(
        "source",
        [
            *("{}", "7", '{"src": "file", "id": "1"}', '{"src": "url", "url": "x"}'),
            '{"src": "url", "url": "s3://bucket/key", "ext": "txt"}',
            '{"src": "url", "url": "http://x.test/", "ext": "txt", "md5": "0"}',
            '{"src": "collection", "collection_type": "list", "elements": []}',
            '{"src": "collection", "collection_type": "list", "listed": "many"}',
            """{"src": "collection", "collection_type": "list", "elements":
                [{"name": "a", "source": {"src": "hda", "id": 1}}]}""",
            """{"src": "collection", "collection_type": "paired", "elements":
                [{"name": "forward", "dataset_id": "d1"}]}""",
        ],
    )
    def test_one_that_another_program_wrote_wrongly_is_listed_and_not_used(
        self, repositories: Repositories, engine: Engine, source: str
    ) -> None:
        datasets = repositories.datasets
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO datasets (dataset_id, name, source, created_at)"
                    " VALUES ('wrong', 'a', CAST(:source AS jsonb), '2026-01-01Z')"
                ),
                {"source": source},
            )
        for ask in (
            lambda: datasets.get(DatasetId("wrong"), SERVICE),
            lambda: datasets.get_many([DatasetId("wrong")], SERVICE),
        ):
            with pytest.raises(InvalidSource, match="'wrong'"):
                ask()
        (listed,) = datasets.page(SERVICE, 10).items
        assert isinstance(listed, UnusableDataset)
        assert (listed.dataset_id, listed.name) == ("wrong", "a")
        assert "datasets" in listed.problem

    @pytest.mark.parametrize(
        "labels",
        ["[]", '"a"', "null", '{"a": 1}', '{"a": null}', '{"a b": "c"}', "9" * 5000],
    )
    def test_labels_that_another_program_wrote_wrongly_are_said_and_replaced(
        self, repositories: Repositories, engine: Engine, labels: str
    ) -> None:
        datasets, id_ = repositories.datasets, DatasetId("wrong")
        self._insert(engine, "wrong", '{"src": "hda", "id": "1"}')
        with engine.begin() as connection:
            connection.execute(
                sa.text("UPDATE datasets SET labels = CAST(:labels AS jsonb)"),
                {"labels": labels},
            )
        with pytest.raises(
            InvalidSource, match=r"wrongly\. (Its labels|The key of a label|Exceeds)"
        ):
            datasets.get(id_, SERVICE)
        (listed,) = datasets.page(SERVICE, 10).items
        assert isinstance(listed, UnusableDataset)
        with pytest.raises(InvalidSource):
            datasets.change(id_, SERVICE, name="renamed")
        changed = datasets.change(id_, SERVICE, labels={"plate": "7"})
        assert (changed.name, changed.labels) == ("renamed", {"plate": "7"})
        assert datasets.get(id_, SERVICE) == changed

    def test_what_another_program_wrote_is_used(
        self, repositories: Repositories, engine: Engine
    ) -> None:
        self._insert(
            engine,
            "plate",
            """{"src": "collection", "collection_type": "list:paired", "note": "ours",
                "elements": [{"name": "s1", "elements": [
                    {"name": "forward", "dataset_id": "reads-1"},
                    {"name": "reverse", "source": {"src": "url", "ext": "fastq",
                        "url": "http://x.test/2.fq", "name": null, "deferred": null}}
                ]}]}""",
        )
        self._insert(engine, "s3", '{"src": "url", "url": "s3://b/k", "ext": "txt"}')
        source = repositories.datasets.get(DatasetId("plate"), SERVICE).source
        assert isinstance(source, CollectionData)
        assert [place for place, _ in source.leaves()] == ["s1/forward", "s1/reverse"]
        allowing = PostgresDatasets(engine, ["s3"])
        assert allowing.get(DatasetId("s3"), SERVICE).source == UrlData(
            "s3://b/k", "txt"
        )
        # Those that were not allowed before are not any more.
        with pytest.raises(InvalidSource, match="'plate' cannot be used"):
            allowing.get(DatasetId("plate"), SERVICE)

    def test_a_large_one_is_listed_without_a_look_at_its_elements(
        self, repositories: Repositories, engine: Engine
    ) -> None:
        bad = json.dumps({"name": "e", "source": {"src": "hda", "id": 1}})
        elements = ",".join([bad] * (LISTED_SOURCE_SIZE // len(bad)))
        self._insert(
            engine,
            "large",
            '{"src": "collection", "collection_type": "list", '
            f'"elements": [{elements}]}}',
        )
        (listed,) = repositories.datasets.page(SERVICE, 10).items
        assert isinstance(listed, Dataset)
        count = LISTED_SOURCE_SIZE // len(bad)
        assert listed.source == CollectionData("list", None, count=count)
        with pytest.raises(InvalidSource, match="element 'e' is"):
            repositories.datasets.get(DatasetId("large"), SERVICE)

    def _insert(self, engine: Engine, dataset_id: str, source: str) -> None:
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO datasets (dataset_id, name, source)"
                    " VALUES (:id, 'a', CAST(:source AS jsonb))"
                ),
                {"id": dataset_id, "source": source},
            )


class TestSubmissions(InPostgres, SubmissionRepositoryContract):
    pass


class TestBatches(InPostgres, BatchRepositoryContract):
    def test_a_cancel_waits_for_what_is_accepted_and_the_next_item_does_not(
        self, repositories: Repositories, engine: Engine
    ) -> None:
        batch_id, _ = record(repositories, a_batch())
        item = self.begun(repositories)

        def blocked() -> int:
            with engine.connect() as connection:
                waiting = connection.scalar(
                    sa.text(
                        "SELECT count(*) FROM pg_stat_activity WHERE"
                        " wait_event_type = 'Lock' AND datname = current_database()"
                    )
                )
            return waiting or 0

        with ThreadPoolExecutor(2) as pool:
            with engine.begin() as others:
                # Its last statement before the commit.
                others.execute(
                    sa.text("LOCK TABLE invocation_transitions IN SHARE MODE")
                )
                accepted = pool.submit(run, repositories, item)
                until(lambda: blocked() == 1)
                self.begun(repositories)
                cancelled = pool.submit(
                    repositories.batches.cancel, batch_id, SERVICE, LATER
                )
                until(lambda: blocked() == 2)
            job = accepted.result(60)
            cancelled.result(60)
        stored = repositories.invocations.get(job.invocation_id, SERVICE)
        assert stored.state is InvocationState.CANCELLING


class TestInvocations(InPostgres, InvocationRepositoryContract):
    pass


class TestJobFilters(InPostgres, SearchedJobFilters):
    pass


class TestJobFiltersOfFewLooks(InPostgres, SearchedJobFilters):
    """Pages end before they are full, and together they have everything."""

    exact = False

    @pytest.fixture
    def repositories(self, engine: Engine) -> Repositories:
        return evolve(
            in_postgres(engine), invocations=PostgresInvocations(engine, looks=30)
        )


def test_the_rarest_of_several_labels_is_looked_up(engine: Engine) -> None:
    repositories = in_postgres(engine)
    for n in range(12):
        before = repositories.accepted(f"inv{n:02}", at=NOON + timedelta(seconds=n))
        rare = {"z": "rare"} if n == 1 else {}
        after = before.labelled({"a": "often", **rare}, NOON)
        repositories.invocations.save(before, after)
    labels = frozenset(map(Label.parse, ["a:often", "z:rare"]))
    few = PostgresInvocations(engine, looks=6)
    page = few.page(JobFilter(labels=labels), SERVICE, 10)
    assert [job.invocation_id for job in page.items] == ["inv01"]
    assert page.next is None
    counts = few.counts(JobFilter(labels=labels), SERVICE, 10)
    assert counts == {InvocationState.QUEUED: 1}


class TestPollQueue(InPostgres, PollQueueContract):
    pass


@given(fields=SIGHTINGS)
def test_what_galaxy_says_keeps_no_other_from_being_stored(
    migrated: Engine, fields: dict[str, Any]
) -> None:
    store_between_others(in_postgres(migrated), fields)


class TestTagChanges(InPostgres, TagChangesContract):
    pass


class TestRetention(InPostgres, RetentionContract):
    pass


class TestSupersededRuns(InPostgres, SupersededRunsContract):
    pass


class TestSessions(InPostgres, SessionRepositoryContract):
    pass


class TestTokens(InPostgres, TokenRepositoryContract):
    pass


class TestSigningKeys(InPostgres, SigningKeysContract):
    pass


class TestUploads(InPostgres, UploadRepositoryContract):
    pass


class TestWebhooks(InPostgres, WebhookRepositoryContract):
    pass


class TestAuditLog(InPostgres, AuditLogContract):
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit SET owner = 'somebody else'",
            "DELETE FROM audit",
            "TRUNCATE audit",
            "SELECT set_config('galaxy_jobs.pruning', 'on', true); DELETE FROM audit",
        ],
    )
    def test_entries_can_neither_be_changed_nor_removed(
        self, repositories: Repositories, engine: Engine, statement: str
    ) -> None:
        repositories.audit.record(an_entry())
        with engine.connect() as connection:
            *before, last = map(sa.text, statement.split(";"))
            for earlier in before:
                connection.execute(earlier)
            with pytest.raises(DBAPIError, match="only ever appended to"):
                connection.execute(last)
        assert repositories.audit.entries()

    def test_old_entries_are_removed_by_pruning_alone(
        self, repositories: Repositories, engine: Engine
    ) -> None:
        repositories.audit.record(an_entry())
        repositories.pass_time(timedelta(days=400))
        with engine.connect() as connection, pytest.raises(DBAPIError, match="only"):
            connection.execute(sa.text("DELETE FROM audit"))
        assert repositories.audit.prune(timedelta(days=365)) == 1


class TestTransitionFeed(InPostgres, TransitionFeedContract):
    pass


# --- ids that are given out again ------------------------------------------------


def test_an_id_that_galaxy_gives_out_again_is_logged(engine: Engine) -> None:
    repositories = in_postgres(engine)
    with capture_logs() as logged:
        first = repositories.accepted("inv1")
        assert not logged
        second = repositories.accepted("inv1")
    (entry,) = logged
    assert entry["log_level"] == "error"
    assert entry["invocation_id"] == "inv1"
    assert entry["submission_id"] == str(second.submission_id)
    assert (entry["earlier_galaxy"], entry["earlier_is_gone"]) == (str(HERE), True)
    earlier = repositories.submissions.get(first.submission_id, SERVICE)
    assert entry["earlier_is_now"] == earlier.invocation_id


def test_an_id_that_another_galaxy_gives_out_too_is_logged(engine: Engine) -> None:
    repositories = in_postgres(engine)
    repositories.accepted("inv1", a_submission(identity=THERE))
    with capture_logs() as logged:
        repositories.accepted("inv1")
    (entry,) = logged
    assert (entry["earlier_galaxy"], entry["earlier_is_gone"]) == (str(THERE), False)
    (claim,) = repositories.queue.claim(THERE, limit=9, lease=timedelta(1))
    assert (claim.invocation_id, claim.galaxy_id) == (entry["earlier_is_now"], "inv1")


class TestOwners(InPostgres, OwnersContract):
    pass

"""The adapters that keep everything in memory, held to the contracts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from galaxy_jobs.adapters.testing.contracts.audit import AuditLogContract
from galaxy_jobs.adapters.testing.contracts.batches import BatchRepositoryContract
from galaxy_jobs.adapters.testing.contracts.datasets import DatasetRepositoryContract
from galaxy_jobs.adapters.testing.contracts.feed import TransitionFeedContract
from galaxy_jobs.adapters.testing.contracts.invocations import (
    InvocationRepositoryContract,
)
from galaxy_jobs.adapters.testing.contracts.owners import OwnersContract
from galaxy_jobs.adapters.testing.contracts.queue import PollQueueContract
from galaxy_jobs.adapters.testing.contracts.repositories import Repositories
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
from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryAuditLog,
    MemoryBatches,
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemoryRetention,
    MemorySessions,
    MemorySigningKeys,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTagChanges,
    MemoryTokens,
    MemoryTransitionFeed,
    MemoryUploads,
    MemoryWebhooks,
)
from tests.support.job_lists import SearchedJobFilters
from tests.support.sightings import SIGHTINGS, store_between_others


def in_memory() -> Repositories:
    clock = ManualClock()
    store = MemoryStore(clock)
    return Repositories(
        datasets=MemoryDatasets(store),
        submissions=MemorySubmissions(store),
        batches=MemoryBatches(store),
        invocations=MemoryInvocations(store),
        queue=MemoryPollQueue(store),
        superseded=MemorySupersededRuns(store),
        retention=MemoryRetention(store),
        tag_changes=MemoryTagChanges(store),
        tokens=MemoryTokens(store),
        sessions=MemorySessions(store),
        signing_keys=MemorySigningKeys(store),
        uploads=MemoryUploads(store),
        audit=MemoryAuditLog(store),
        webhooks=MemoryWebhooks(store),
        feed=MemoryTransitionFeed(store),
        pass_time=clock.advance,
    )


class InMemory:
    @pytest.fixture
    def repositories(self) -> Repositories:
        return in_memory()


class TestDatasets(InMemory, DatasetRepositoryContract):
    pass


class TestSubmissions(InMemory, SubmissionRepositoryContract):
    pass


class TestBatches(InMemory, BatchRepositoryContract):
    pass


class TestInvocations(InMemory, InvocationRepositoryContract):
    pass


class TestJobFilters(InMemory, SearchedJobFilters):
    pass


class TestPollQueue(InMemory, PollQueueContract):
    pass


@given(fields=SIGHTINGS)
def test_what_galaxy_says_keeps_no_other_from_being_stored(
    fields: dict[str, Any],
) -> None:
    store_between_others(in_memory(), fields)


class TestTagChanges(InMemory, TagChangesContract):
    pass


class TestRetention(InMemory, RetentionContract):
    pass


class TestSupersededRuns(InMemory, SupersededRunsContract):
    pass


class TestSessions(InMemory, SessionRepositoryContract):
    pass


class TestTokens(InMemory, TokenRepositoryContract):
    pass


class TestSigningKeys(InMemory, SigningKeysContract):
    pass


class TestUploads(InMemory, UploadRepositoryContract):
    pass


class TestWebhooks(InMemory, WebhookRepositoryContract):
    pass


class TestAuditLog(InMemory, AuditLogContract):
    pass


class TestTransitionFeed(InMemory, TransitionFeedContract):
    pass


class TestOwners(InMemory, OwnersContract):
    pass

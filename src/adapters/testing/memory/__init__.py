"""Working adapters in memory.

They pass the same contract tests as PostgreSQL and Galaxy, so they can replace
them in tests and demos, here and in services that use this package.
"""

from galaxy_jobs.adapters.testing.memory.galaxy import (
    EMPTY,
    FAILURE,
    SUCCESS,
    TEXT,
    Moment,
    SimulatedGalaxy,
    SimulatedHistory,
    SimulatedRun,
    SimulatedWorkflow,
)
from galaxy_jobs.adapters.testing.memory.objects import MemoryObjectStore
from galaxy_jobs.adapters.testing.memory.repositories import (
    ManualClock,
    MemoryAuditLog,
    MemoryBatches,
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemorySessions,
    MemorySigningKeys,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTokens,
    MemoryTransitionFeed,
    MemoryUploads,
    MemoryWebhooks,
    StoredDeletion,
)
from galaxy_jobs.adapters.testing.memory.retention import MemoryRetention
from galaxy_jobs.adapters.testing.memory.tag_changes import MemoryTagChanges


__all__ = [
    "EMPTY",
    "FAILURE",
    "SUCCESS",
    "TEXT",
    "ManualClock",
    "MemoryAuditLog",
    "MemoryBatches",
    "MemoryDatasets",
    "MemoryInvocations",
    "MemoryObjectStore",
    "MemoryPollQueue",
    "MemoryRetention",
    "MemorySessions",
    "MemorySigningKeys",
    "MemoryStore",
    "MemorySubmissions",
    "MemorySupersededRuns",
    "MemoryTagChanges",
    "MemoryTokens",
    "MemoryTransitionFeed",
    "MemoryUploads",
    "MemoryWebhooks",
    "Moment",
    "SimulatedGalaxy",
    "SimulatedHistory",
    "SimulatedRun",
    "SimulatedWorkflow",
    "StoredDeletion",
]

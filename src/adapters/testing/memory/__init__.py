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
from galaxy_jobs.adapters.testing.memory.repositories import (
    ManualClock,
    MemoryAuditLog,
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
)


__all__ = [
    "EMPTY",
    "FAILURE",
    "SUCCESS",
    "TEXT",
    "ManualClock",
    "MemoryAuditLog",
    "MemoryDatasets",
    "MemoryInvocations",
    "MemoryPollQueue",
    "MemorySessions",
    "MemorySigningKeys",
    "MemoryStore",
    "MemorySubmissions",
    "MemorySupersededRuns",
    "MemoryTokens",
    "MemoryTransitionFeed",
    "MemoryUploads",
    "Moment",
    "SimulatedGalaxy",
    "SimulatedHistory",
    "SimulatedRun",
    "SimulatedWorkflow",
]

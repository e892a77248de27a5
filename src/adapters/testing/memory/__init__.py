"""Working adapters that keep everything in this process.

They are held to the same contract tests as PostgreSQL and Galaxy, so they may
stand in for them in tests and demos, here and in services that use us.
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
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTokens,
    MemoryTransitionFeed,
)


__all__ = [
    "EMPTY",
    "FAILURE",
    "SUCCESS",
    "TEXT",
    "ManualClock",
    "MemoryDatasets",
    "MemoryInvocations",
    "MemoryPollQueue",
    "MemoryStore",
    "MemorySubmissions",
    "MemorySupersededRuns",
    "MemoryTokens",
    "MemoryTransitionFeed",
    "Moment",
    "SimulatedGalaxy",
    "SimulatedHistory",
    "SimulatedRun",
    "SimulatedWorkflow",
]

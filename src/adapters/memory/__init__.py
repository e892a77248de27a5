"""Working adapters that keep everything in this process.

They are held to the same contract tests as PostgreSQL and Galaxy, so they may
stand in for them in tests and demos, here and in services that use us.
"""

from galaxy_jobs.adapters.memory.galaxy import SimulatedGalaxy
from galaxy_jobs.adapters.memory.repositories import (
    ManualClock,
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTokens,
)


__all__ = [
    "ManualClock",
    "MemoryDatasets",
    "MemoryInvocations",
    "MemoryPollQueue",
    "MemoryStore",
    "MemorySubmissions",
    "MemorySupersededRuns",
    "MemoryTokens",
    "SimulatedGalaxy",
]

"""Files in memory, held to the contract of every store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from galaxy_jobs.adapters.testing.contracts.objects import (
    ObjectStoreContract,
    Requests,
)
from galaxy_jobs.adapters.testing.memory import ManualClock, MemoryObjectStore


class TestMemory(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> MemoryObjectStore:
        self.clock = ManualClock()
        return MemoryObjectStore(self.clock)

    @pytest.fixture
    def send(self, store: MemoryObjectStore) -> Requests:
        return store.send

    def wait_until_expired(self) -> None:
        self.clock.advance(timedelta(seconds=2))

"""The port that tells the time."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time that people see.

    Leases, deadlines and expiries do not go by it: they are given to the
    repositories as durations and measured by the store's own clock, so that
    machines whose clocks differ agree on them.
    """

    @abstractmethod
    def __call__(self) -> datetime:
        """Return now, in UTC and time-zone aware."""

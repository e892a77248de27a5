"""The port to the clock."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The clock for times that people see.

    Leases, deadlines and expiries do not depend on it: repositories take them as
    durations and measure them by the store's own clock, so that machines whose
    clocks differ agree on them.
    """

    @abstractmethod
    def __call__(self) -> datetime:
        """Return the current time, in UTC and time-zone aware."""

"""The clock of the operating system."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import frozen

from galaxy_jobs.domain.ports import Clock


@frozen
class SystemClock(Clock):
    """The system clock, in UTC."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)

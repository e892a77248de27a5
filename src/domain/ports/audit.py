"""The port to the record of who did what."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from galaxy_jobs.domain.model.audit import Action, AuditEntry


MIN_AUDIT_AGE = timedelta(days=1)
"""Entries that are younger are never removed."""


class AuditLog(Protocol):
    """The record of who did what. It is only ever appended to; old entries expire."""

    @abstractmethod
    def record(self, entry: AuditEntry) -> None:
        """Append an entry, with the store's own time.

        Raises:
            InvalidValue: A text in it cannot be stored.
        """

    @abstractmethod
    def entries(
        self,
        *,
        owner: str | None = None,
        action: Action | None = None,
        since: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """Return entries, newest first.

        Args:
            owner: Only what this one did; None: what all did.
            action: Only this; None: all.
            since: Only what was recorded at this time or later, time-zone aware; None:
                all.
            limit: The most to return.
        """

    @abstractmethod
    def prune(self, age: timedelta, *, limit: int = 10_000) -> int:
        """Remove entries that are older than *age*, and than :data:`MIN_AUDIT_AGE`.

        Args:
            age: By the store's own clock.
            limit: The most to remove at once, the oldest first.

        Returns:
            How many were removed.
        """

"""The port to the sessions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Protocol

from galaxy_jobs.domain.model.token import TokenId
from galaxy_jobs.domain.model.user import Session


class SessionRepository(Protocol):
    """The sessions of users who have signed in. One that has expired is removed."""

    @abstractmethod
    def add(self, session: Session, lifetime: timedelta) -> Session:
        """Store a session, and return it with the time at which it expires.

        Args:
            session: Not stored yet, with an id that no other has.
            lifetime: For how long from now on it is valid.
        """

    @abstractmethod
    def in_force(self, session_ids: Collection[TokenId]) -> Mapping[TokenId, Session]:
        """Return those of the sessions that exist and are valid, by id."""

    @abstractmethod
    def remove(self, session_id: TokenId) -> None:
        """Remove a session, if there is one."""

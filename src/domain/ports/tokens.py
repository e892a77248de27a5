"""The port to the tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from galaxy_jobs.domain.model.token import Token, TokenId


class TokenRepository(Protocol):
    """Keeps tokens. None is ever removed: a revoked one still counts as made."""

    @abstractmethod
    def add(self, token: Token, lifetime: timedelta | None) -> Token:
        """Store a token, and return it with the time at which it expires.

        Args:
            token: Not stored yet, of an id that no other has.
            lifetime: How long from now on it is in force; None: for ever.

        Raises:
            TokenExists: One that is not revoked has its name.
        """

    @abstractmethod
    def in_force(self, token_id: TokenId) -> Token | None:
        """Fetch one that is neither revoked nor expired; None: there is none."""

    @abstractmethod
    def all(self) -> Sequence[Token]:
        """Fetch all, newest first."""

    @abstractmethod
    def revoke(self, token_id: TokenId, at: datetime) -> Token:
        """Revoke one, and return it; one that is revoked keeps its first time.

        Raises:
            TokenNotFound: There is none.
        """

    @abstractmethod
    def ever_made(self) -> bool:
        """Say whether there is any, revoked and expired ones included."""

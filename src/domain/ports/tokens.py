"""The port to the tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from galaxy_jobs.domain.model.token import Token, TokenId


class TokenRepository(Protocol):
    """The tokens. None is ever removed: a revoked one still counts as created."""

    @abstractmethod
    def add(self, token: Token, lifetime: timedelta | None) -> Token:
        """Store a token, and return it with the time at which it expires.

        Args:
            token: Not stored yet, with an id that no other has.
            lifetime: For how long from now on it is valid; None: without limit.

        Raises:
            TokenExists: A token that is not revoked has its name.
        """

    @abstractmethod
    def in_force(self, token_ids: Collection[TokenId]) -> Mapping[TokenId, Token]:
        """Return those of the tokens that exist and are valid, by id."""

    @abstractmethod
    def all(self) -> Sequence[Token]:
        """Return all tokens, newest first, those not valid included."""

    @abstractmethod
    def revoke(self, token_id: TokenId, at: datetime) -> Token:
        """Revoke a token, and return it; if revoked already, it keeps its time.

        Raises:
            TokenNotFound: There is none.
        """

    @abstractmethod
    def ever_made(self) -> bool:
        """Return whether there is any token, revoked and expired ones included."""

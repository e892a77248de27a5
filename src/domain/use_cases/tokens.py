"""Create and revoke tokens, and authenticate with them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from attrs import field, frozen

from galaxy_jobs.domain.errors import BadToken, InvalidValue, TokenNotFound
from galaxy_jobs.domain.model.token import (
    ENTROPY,
    Scope,
    Token,
    TokenId,
    digest_of,
    id_in,
    text_of,
)
from galaxy_jobs.domain.model.viewer import Sees
from galaxy_jobs.domain.ports import Clock, TokenRepository


MAX_LIFETIME = timedelta(days=36_500)
"""The longest lifetime of a token that expires."""


@frozen
class NewToken:
    """A new token.

    Attributes:
        token: The token as it is stored.
        text: The secret text for the client; it cannot be read again.
    """

    token: Token
    text: str = field(repr=False)


@frozen
class CreateToken:
    """Creates a token. From the first one on, every request needs one."""

    tokens: TokenRepository
    clock: Clock
    entropy: Callable[[int], bytes] = secrets.token_bytes

    def __call__(
        self,
        name: str,
        scope: Scope,
        lifetime: timedelta | None = None,
        *,
        sees: Sees = Sees.ALL,
    ) -> NewToken:
        """Create a token.

        Args:
            name: For people, and the owner of what is made with it.
            scope: Its permissions.
            lifetime: For how long it is valid; None: until it is revoked.
            sees: Whose objects it sees.

        Raises:
            InvalidValue: A name that is empty, too long or cannot be printed, or
                a lifetime that is not above zero and up to a century, or
                the scope `admin` for one that sees its own objects only.
            TokenExists: Another token that is not revoked has that name.
        """
        if lifetime is not None and not timedelta(0) < lifetime <= MAX_LIFETIME:
            raise InvalidValue(
                f"A token cannot expire after {lifetime / timedelta(days=1):g} days; "
                f"expected more than 0, up to {MAX_LIFETIME.days}."
            )
        if scope is Scope.ADMIN and sees is Sees.OWN:
            raise InvalidValue("A token with the scope 'admin' sees all.")
        text = text_of(self.entropy(ENTROPY))
        token_id = id_in(text)
        assert token_id is not None
        token = Token(
            token_id=token_id,
            name=name,
            scope=scope,
            sees=sees,
            digest=digest_of(text),
            created_at=self.clock(),
        )
        return NewToken(self.tokens.add(token, lifetime), text)


@frozen
class ListTokens:
    """Lists tokens."""

    tokens: TokenRepository

    def __call__(self) -> Sequence[Token]:
        """Return all tokens, newest first, those not valid any more included."""
        return self.tokens.all()


@frozen
class RevokeToken:
    """Revokes a token, for good."""

    tokens: TokenRepository
    clock: Clock

    def __call__(self, name_or_id: str) -> Token:
        """Revoke a token; one that is revoked already stays as it is.

        Args:
            name_or_id: The id of any token, or the name of one not revoked.

        Raises:
            TokenNotFound: There is none.
        """
        for token in self.tokens.all():
            if token.token_id == name_or_id or (
                token.name == name_or_id and token.revoked_at is None
            ):
                return self.tokens.revoke(token.token_id, self.clock())
        raise TokenNotFound(name_or_id)


@frozen
class Authenticate:
    """Finds the token of a request."""

    tokens: TokenRepository

    def __call__(self, text: str) -> Token:
        """Return the token of that text.

        Raises:
            BadToken: There is none, or it is revoked or expired; the error does
                not reveal which.
        """
        token_id = id_in(text)
        token = token_id and self.tokens.in_force([token_id]).get(token_id)
        if not token or not token.fits(text):
            raise BadToken
        return token

    def in_force(self, token_ids: Collection[TokenId]) -> Collection[TokenId]:
        """Return the ids of those of the tokens that are still valid."""
        return self.tokens.in_force(token_ids).keys()

    def needed(self) -> bool:
        """Return whether requests need a token: whether any was ever created."""
        return self.tokens.ever_made()

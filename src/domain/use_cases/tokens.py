"""Make tokens, revoke them, and find out whose a request is."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
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
from galaxy_jobs.domain.ports import Clock, TokenRepository


LONGEST = timedelta(days=36_500)
"""The longest life of a token that expires at all."""


@frozen
class NewToken:
    """A token that was just made.

    Attributes:
        token: What is kept of it.
        text: Itself; this is the only time that anybody sees it.
    """

    token: Token
    text: str = field(repr=False)


@frozen
class CreateToken:
    """Makes a token. From the first one on, nobody is answered without."""

    tokens: TokenRepository
    clock: Clock
    entropy: Callable[[int], bytes] = secrets.token_bytes

    def __call__(
        self, name: str, scope: Scope, lifetime: timedelta | None = None
    ) -> NewToken:
        """Make one.

        Args:
            name: For people.
            scope: What it is to be good for.
            lifetime: For how long; None: until it is revoked.

        Raises:
            InvalidValue: A name that is empty, too long or cannot be printed, or
                a lifetime that is not above zero and up to a century.
            TokenExists: Another one that is not revoked has that name.
        """
        if lifetime is not None and not timedelta(0) < lifetime <= LONGEST:
            raise InvalidValue(
                f"A token is to expire after {lifetime / timedelta(days=1):g} days; "
                f"expected more than 0, up to {LONGEST.days}."
            )
        text = text_of(self.entropy(ENTROPY))
        token_id = id_in(text)
        assert token_id is not None
        made = Token(
            token_id=token_id,
            name=name,
            scope=scope,
            digest=digest_of(text),
            created_at=self.clock(),
        )
        return NewToken(self.tokens.add(made, lifetime), text)


@frozen
class ListTokens:
    """Lists tokens."""

    tokens: TokenRepository

    def __call__(self) -> Sequence[Token]:
        """Return all that were ever made, newest first."""
        return self.tokens.all()


@frozen
class RevokeToken:
    """Makes a token no good, for ever."""

    tokens: TokenRepository
    clock: Clock

    def __call__(self, name_or_id: str) -> Token:
        """Revoke one; one that is revoked already stays as it is.

        Args:
            name_or_id: The id of any token, or the name of one not revoked.

        Raises:
            TokenNotFound: There is none.
        """
        for one in self.tokens.all():
            if one.token_id == name_or_id or (
                one.name == name_or_id and one.revoked_at is None
            ):
                return self.tokens.revoke(one.token_id, self.clock())
        raise TokenNotFound(name_or_id)


@frozen
class Authenticate:
    """Finds out whose a request is."""

    tokens: TokenRepository

    def __call__(self, text: str) -> Token:
        """Return the token of that text.

        Raises:
            BadToken: There is none, or it is revoked, or it has expired: which
                of these is not told.
        """
        token_id = id_in(text)
        token = None if token_id is None else self.tokens.in_force(TokenId(token_id))
        if token is None or not token.fits(text):
            raise BadToken
        return token

    def needed(self) -> bool:
        """Say whether anybody needs a token: whether one was ever made."""
        return self.tokens.ever_made()

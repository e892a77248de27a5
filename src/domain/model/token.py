"""Tokens and their scopes.

Rule of the file: a token's text is built and parsed here, and nowhere else. It is
shown once, when it is created. Stored are its public id, by which it is found,
and a digest of the whole text: 256 random bits need no salt and no slow hash,
since they cannot be guessed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime
from enum import Enum
from typing import NewType

from attrs import field, frozen

from galaxy_jobs.domain.errors import InvalidValue, quoted
from galaxy_jobs.domain.model.values import aware
from galaxy_jobs.domain.model.viewer import Sees, Viewer


TokenId = NewType("TokenId", str)
"""The public id of a token: a part of its text; it may appear in logs."""

NAME_LENGTH = 100
"""The longest name of a token, in characters."""

ENTROPY = 8 + 32
"""The number of random bytes of a token: those of its id, and of its secret."""

SESSION = "gjs"
"""The prefix of the text of a session."""

_TEXT = re.compile(rf"(gjt|{SESSION})_([0-9a-f]{{16}})_[A-Za-z0-9_-]{{43}}")

JWT_LENGTH = 16_384
"""The longest token of an identity provider, in characters."""

_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Scope(Enum):
    """The permissions of a token, each with those before. The values are served."""

    READ = "read"  #: read, change nothing
    SUBMIT = "submit"  #: also submit, cancel, rerun and register
    ADMIN = "admin"  #: also administer the service; sees the objects of all owners

    def includes(self, needed: Scope) -> bool:
        """Return whether this scope permits an action that needs *needed*."""
        scopes = list(Scope)
        return scopes.index(self) >= scopes.index(needed)


def _named(_: object, attribute: object, value: str) -> None:
    del attribute
    # It is printed in lists, and typed to revoke the token.
    if not 0 < len(value) <= NAME_LENGTH or not value.isprintable():
        raise InvalidValue(
            f"A token's name is {quoted(value)}; expected 1 to {NAME_LENGTH} "
            "characters that can be printed."
        )


@frozen(kw_only=True)
class Token:
    """A token as it is stored: everything but its text.

    Attributes:
        token_id: Its public id.
        name: For people, and the owner of what is made with it; of those not revoked,
            no two have the same.
        scope: Its permissions.
        sees: Whose objects it sees; with the scope `admin`, those of all owners.
        digest: Of its text, in hexadecimal digits.
        created_at: When it was created.
        expires_at: When it stops being valid; None: it never expires.
        revoked_at: When it was revoked; None: it was not.
    """

    token_id: TokenId
    name: str = field(validator=_named)
    scope: Scope
    sees: Sees = Sees.ALL
    digest: str = field(repr=False)
    created_at: datetime = field(validator=aware)
    expires_at: datetime | None = field(default=None, validator=aware)
    revoked_at: datetime | None = field(default=None, validator=aware)

    @property
    def viewer(self) -> Viewer:
        """The viewer that a request with it speaks for."""
        sees_all = self.sees is Sees.ALL or self.scope is Scope.ADMIN
        return Viewer(owner=self.name, sees_all=sees_all)

    def fits(self, text: str) -> bool:
        """Return, in constant time, whether this is the token's text."""
        return hmac.compare_digest(self.digest, digest_of(text))


def text_of(entropy: bytes, prefix: str = "gjt") -> str:
    """Return the text of a new token.

    Args:
        entropy: :data:`ENTROPY` random bytes, fit for secrets.
        prefix: That of tokens, or :data:`SESSION`.
    """
    assert len(entropy) == ENTROPY
    secret = base64.urlsafe_b64encode(entropy[8:]).decode().rstrip("=")
    # The prefix lets scanners of repositories and logs find a leaked one.
    return f"{prefix}_{entropy[:8].hex()}_{secret}"


def id_in(text: str, prefix: str = "gjt") -> TokenId | None:
    """Return the id in the text of a token; None: it is none of that prefix."""
    match = _TEXT.fullmatch(text)
    return TokenId(match[2]) if match and match[1] == prefix else None


def may_be_valid(text: str) -> bool:
    """Return whether a text has the form of a token, of any kind."""
    return bool(_TEXT.fullmatch(text)) or is_jwt(text)


def is_jwt(text: str) -> bool:
    """Return whether a text has the form of a token of an identity provider."""
    return len(text) <= JWT_LENGTH and bool(_JWT.fullmatch(text))


def digest_of(text: str) -> str:
    """Return the digest of a token's text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()

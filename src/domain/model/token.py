"""Tokens: who may ask for what.

Rule of the file: a token's text is made here and read here, and nowhere else. It
is shown once, when it is made. What is kept is its public id, by which it is
found, and a digest of the whole text: 256 random bits need no salt and no slow
hash, since nobody can try them out.
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

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.values import aware


TokenId = NewType("TokenId", str)
"""Ours; public: it is a part of the token's text, and may stand in logs."""

NAME_LENGTH = 100
"""How many characters a token's name may have."""

ENTROPY = 8 + 32
"""How many random bytes a token is made of: those of its id, and of its secret."""

_TEXT = re.compile(r"gjt_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


class Scope(Enum):
    """What a token is good for. The values are what is stored and served."""

    READ = "read"  #: look, and change nothing
    SUBMIT = "submit"  #: look, and submit, cancel, rerun and register

    def includes(self, needed: Scope) -> bool:
        """Say whether what needs *needed* may be done with this."""
        return self is Scope.SUBMIT or needed is Scope.READ


def _named(_: object, attribute: object, value: str) -> None:
    del attribute
    # As printed by `token list`, and as typed behind `token revoke`.
    if not 0 < len(value) <= NAME_LENGTH or not value.isprintable():
        raise InvalidValue(
            f"A token's name is {value!r}; expected 1 to {NAME_LENGTH} characters "
            "that can be printed."
        )


@frozen(kw_only=True)
class Token:
    """What is kept of a token: everything but its text.

    Attributes:
        token_id: Its public id.
        name: For people; of those not revoked, no two have the same.
        scope: What it is good for.
        digest: Of its text, in hexadecimal digits.
        created_at: When it was made.
        expires_at: From when on it is no good; None: it never expires.
        revoked_at: When it was revoked; None: it was not.
    """

    token_id: TokenId
    name: str = field(validator=_named)
    scope: Scope
    digest: str = field(repr=False)
    created_at: datetime = field(validator=aware)
    expires_at: datetime | None = field(default=None, validator=aware)
    revoked_at: datetime | None = field(default=None, validator=aware)

    def fits(self, text: str) -> bool:
        """Say, in a time that tells nothing, whether this is the token's text."""
        return hmac.compare_digest(self.digest, digest_of(text))


def text_of(entropy: bytes) -> str:
    """Return the text of a new token.

    Args:
        entropy: :data:`ENTROPY` random bytes that nobody can guess.
    """
    assert len(entropy) == ENTROPY
    secret = base64.urlsafe_b64encode(entropy[8:]).decode().rstrip("=")
    # The prefix lets scanners of repositories and logs find a leaked one.
    return f"gjt_{entropy[:8].hex()}_{secret}"


def id_in(text: str) -> TokenId | None:
    """Return the id that a token's text carries; None: this is no token."""
    found = _TEXT.fullmatch(text)
    return None if found is None else TokenId(found[1])


def digest_of(text: str) -> str:
    """Return what is kept of a token's text."""
    return hashlib.sha256(text.encode()).hexdigest()

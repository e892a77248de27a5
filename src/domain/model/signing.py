"""Signatures of addresses that work without a token, for a time.

Rule of the file: a signature covers all that an address permits, the time at which it
expires and the key included, each part with its length, so that no two addresses have
the same text to sign. Whatever is wrong with one is answered alike.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from attrs import field, frozen

from galaxy_jobs.domain.errors import BadLink, InvalidValue


SECRET_LENGTH = 32
"""The shortest secret to sign with, in bytes."""

EXPIRES, KEY, SIGNATURE = "expires", "key", "signature"
"""The names of a signature's parts in the query of an address."""

_MAX_DIGITS = 11


@frozen
class SigningKey:
    """A secret to sign with.

    Attributes:
        secret: :data:`SECRET_LENGTH` bytes or more, fit for secrets.
    """

    secret: bytes = field(repr=False)

    def __attrs_post_init__(self) -> None:
        if len(self.secret) < SECRET_LENGTH:
            raise InvalidValue(
                f"A key to sign with has {len(self.secret)} bytes; expected "
                f"{SECRET_LENGTH} or more, chosen at random."
            )

    @property
    def key_id(self) -> str:
        """What an address names the key by: it does not reveal the secret."""
        return self.mac(b"key id")[:8]

    def mac(self, message: bytes) -> str:
        """Return the HMAC-SHA256 of a message, in hexadecimal digits."""
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()


@frozen
class Signer:
    """Signs addresses and verifies them.

    Attributes:
        keys: The first one signs; all of them verify, so that a key can be replaced
            while addresses signed with it are in use.
    """

    keys: Sequence[SigningKey]

    def sign(
        self, purpose: str, fields: Sequence[str], expires_at: datetime
    ) -> dict[str, str]:
        """Return the parameters that permit one thing until a time.

        Args:
            purpose: The kind of address, such as ``part``: a signature for one kind is
                worth nothing for another.
            fields: What it permits, in an order that is always the same.
            expires_at: Time-zone aware; rounded down to a second.

        Returns:
            ``expires`` in seconds since 1970, ``key`` and ``signature``, to be added
            to the query of the address.
        """
        key, expires = self.keys[0], str(int(expires_at.timestamp()))
        message = _message(purpose, key.key_id, expires, *fields)
        return {EXPIRES: expires, KEY: key.key_id, SIGNATURE: key.mac(message)}

    def verify(
        self,
        purpose: str,
        fields: Sequence[str],
        signed: Mapping[str, str],
        now: datetime,
    ) -> datetime:
        """Return when a signed address expires.

        Args:
            purpose: As it was signed.
            fields: As they were signed.
            signed: The query of the address; other parameters in it are ignored.
            now: The time, time-zone aware.

        Raises:
            BadLink: It was not signed so by one of the keys, or has expired.
        """
        expires = signed.get(EXPIRES, "")
        sent = signed.get(SIGNATURE, "").encode(errors="replace")
        key = {key.key_id: key for key in self.keys}.get(signed.get(KEY, ""))
        if key is None or not _is_number(expires):
            raise BadLink
        message = _message(purpose, key.key_id, expires, *fields)
        if not hmac.compare_digest(key.mac(message).encode(), sent):
            raise BadLink
        if now.timestamp() >= int(expires):
            raise BadLink
        return datetime.fromtimestamp(int(expires), UTC)


def _message(*parts: str) -> bytes:
    encoded = [part.encode(errors="surrogatepass") for part in parts]
    return b"".join(b"%d:%b" % (len(part), part) for part in encoded)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS

"""What an identity provider says of itself: its addresses and its keys.

Rule of the file: a request never waits for another one's question. One thread asks at
a time, seldom enough; meanwhile, and while the provider is away, the known keys count.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from attrs import define, field, frozen

from galaxy_jobs.adapters.oidc.asking import ask
from galaxy_jobs.domain.errors import BadToken, IssuerUnavailable


if TYPE_CHECKING:
    from jwt import PyJWK

log = structlog.get_logger(__name__)

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""The algorithms of signatures that are accepted. All are asymmetric: with another
kind, someone who knows a public key could sign."""

ASK_INTERVAL = 30.0
"""Seconds between two questions to a provider, at least."""

METADATA_TTL = 600.0
"""Seconds after which the keys are asked for again, though all are known."""

DISCOVERY = "/.well-known/openid-configuration"


@frozen
class Metadata:
    """The discovery document of a provider, and its keys by their ids."""

    document: Mapping[str, Any]
    keys: Mapping[str, PyJWK]


@define(eq=False)
class MetadataSource:
    """Knows the metadata of one provider."""

    issuer: str
    clock: Callable[[], float] = time.monotonic
    _known: Metadata | None = field(default=None, init=False)
    _problem: str | None = field(default=None, init=False)
    _asked_at: float = field(default=float("-inf"), init=False)
    _asking: threading.Lock = field(factory=threading.Lock, init=False)

    def key(self, key_id: object) -> PyJWK:
        """Return the key of that id.

        Raises:
            BadToken: The provider has none.
            IssuerUnavailable: It is not known whether it has one.
        """
        if (key := self._key(key_id)) is not None:
            self._renew()
            return key
        self.refresh()
        if (key := self._key(key_id)) is not None:
            return key
        raise self._unavailable() if self._problem else BadToken

    def get(self) -> Metadata:
        """Return what is known, asking if it is nothing.

        Raises:
            IssuerUnavailable: Nothing is known.
        """
        if self._known is None:
            self.refresh()
        if self._known is None:
            raise self._unavailable()
        return self._known

    def refresh(self) -> None:
        """Ask the provider, if that was not done a moment ago.

        A failure is logged, and remembered until the next time.

        Raises:
            IssuerUnavailable: Another thread is asking it.
        """
        if not self._asking.acquire(blocking=False):
            raise self._unavailable()
        try:
            if self._age < ASK_INTERVAL:
                return
            self._asked_at = self.clock()
            try:
                self._known, self._problem = _asked(self.issuer), None
            except IssuerUnavailable as error:
                self._problem = error.reason
                log.warning("identity provider not available", problem=str(error))
        finally:
            self._asking.release()

    def _unavailable(self) -> IssuerUnavailable:
        return IssuerUnavailable(self.issuer, self._problem or "it is being asked")

    @property
    def _age(self) -> float:
        return self.clock() - self._asked_at

    def _key(self, key_id: object) -> PyJWK | None:
        if self._known is None or not isinstance(key_id, str):
            return None
        return self._known.keys.get(key_id)

    def _renew(self) -> None:
        """Have another thread ask if the keys are old; they are used meanwhile."""
        age = METADATA_TTL if self._problem is None else ASK_INTERVAL
        if self._age >= age and not self._asking.locked():
            threading.Thread(target=self._try, name="oidc", daemon=True).start()

    def _try(self) -> None:
        with suppress(IssuerUnavailable):
            self.refresh()


def _asked(issuer: str) -> Metadata:
    from jwt import PyJWKSet, PyJWTError  # noqa: PLC0415 - see .providers

    document = _document(issuer, issuer.rstrip("/") + DISCOVERY)
    if document.get("issuer") != issuer:
        raise IssuerUnavailable(issuer, "it names itself otherwise")
    try:
        keys = PyJWKSet.from_dict(_document(issuer, document.get("jwks_uri"))).keys
    except (PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise IssuerUnavailable(issuer, "it has no keys that can be used") from error
    usable = {
        key.key_id: key
        for key in keys
        if isinstance(key.key_id, str)
        and key.public_key_use in {"sig", None}
        and key.algorithm_name in ALGORITHMS
    }
    if not usable:
        raise IssuerUnavailable(issuer, "it has no keys that can be used")
    return Metadata(document, usable)


def _document(issuer: str, url: object) -> dict[str, Any]:
    status, document = ask(issuer, url)
    if status != 200:  # noqa: PLR2004 - of HTTP
        raise IssuerUnavailable(issuer, f"it answers with status {status}")
    return document

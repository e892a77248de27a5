"""Verifies the tokens of identity providers, and signs their users in.

Rule of the file: only what the provider's own key has signed is believed. Signing in is
the authorization code flow with PKCE; what a browser has to bring back is derived from
a secret that it keeps, so that nothing is stored meanwhile. PyJWT is imported when it
is used: with cryptography, it takes 9 MiB, and most services have no provider.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote_plus, urlencode

from attrs import define, field, frozen

from galaxy_jobs.adapters.oidc.asking import ask
from galaxy_jobs.adapters.oidc.metadata import ALGORITHMS, Metadata, MetadataSource
from galaxy_jobs.domain.errors import BadToken, IssuerUnavailable, SignInRefused
from galaxy_jobs.domain.model.user import Issuer, User, is_secure
from galaxy_jobs.domain.ports import Clock, IdentityProviders


LEEWAY = 60.0
"""Seconds by which the clock of a provider may differ from ours."""

CACHE_SIZE = 10_000
"""Tokens whose users are remembered."""

SIGN_INS = 8
"""Users who may be signing in at one provider at once: each holds a thread."""

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""The types of tokens that are accepted, in lower case; a token may have none."""


@frozen
class _Provider:
    issuer: Issuer
    source: MetadataSource
    places: threading.Semaphore = field(factory=lambda: threading.Semaphore(SIGN_INS))

    def claims(self, text: str, audience: str) -> dict[str, Any]:
        """Return the claims of a token, once all that is said of them is verified."""
        import jwt  # noqa: PLC0415 - see the module

        try:
            header = jwt.get_unverified_header(text)
            if str(header.get("typ", "jwt")).lower() not in TYPES:
                raise BadToken
            # Before anything is asked for the sake of a token that cannot be valid.
            if header.get("alg") not in ALGORITHMS:
                raise BadToken
            return jwt.decode(
                text,
                self.source.key(header.get("kid")),
                algorithms=ALGORITHMS,
                audience=audience,
                issuer=self.issuer.issuer,
                leeway=LEEWAY,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    "enforce_minimum_key_length": True,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise BadToken from error

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places of those who are signing in."""
        if not self.places.acquire(blocking=False):
            raise IssuerUnavailable(self.issuer.issuer, "too many users sign in")
        try:
            yield
        finally:
            self.places.release()


@define(eq=False)
class OidcProviders(IdentityProviders):
    """The identity providers that are configured.

    Args:
        trusted: No two of one address.
        clock: By which tokens expire.
        client_secret: That of the client, if it has one.
    """

    trusted: Collection[Issuer]
    clock: Clock
    client_secret: str | None = field(default=None, repr=False)
    _providers: Mapping[str, _Provider] = field(init=False)
    _users: OrderedDict[bytes, User] = field(factory=OrderedDict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._providers = {
            issuer.issuer: _Provider(issuer, MetadataSource(issuer.issuer))
            for issuer in self.trusted
        }

    @property
    def issuers(self) -> Collection[str]:
        return self._providers.keys()

    @property
    def offering_sign_in(self) -> Collection[str]:
        return [each.issuer for each in self.trusted if each.client_id is not None]

    def key_count(self, issuer: str) -> int:
        return len(self._providers[issuer].source.get().keys)

    def verify(self, text: str) -> User:
        digest = hashlib.sha256(text.encode()).digest()
        with self._lock:
            user = self._users.get(digest)
        if user is None or user.expires_at <= self.clock():
            user = self._verify(text)
            with self._lock:
                self._users[digest] = user
                self._users.move_to_end(digest)
                if len(self._users) > CACHE_SIZE:
                    self._users.popitem(last=False)
        return user

    def _verify(self, text: str) -> User:
        import jwt  # noqa: PLC0415 - see the module

        try:
            claims = jwt.decode(text, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise BadToken from error
        issuer = claims.get("iss")
        provider = self._providers.get(issuer) if isinstance(issuer, str) else None
        if provider is None:
            raise BadToken
        verified = provider.claims(text, provider.issuer.audience)
        return provider.issuer.user(verified)

    def sign_in_url(self, issuer: str, secret: str, redirect_uri: str) -> str:
        provider, client_id = self._offering(issuer)
        endpoint = provider.source.get().document.get("authorization_endpoint")
        if not isinstance(endpoint, str) or not is_secure(endpoint):
            raise IssuerUnavailable(issuer, "it has no page to sign in")
        challenge = hashlib.sha256(_derived(secret, "verifier").encode()).digest()
        parameters = {
            "scope": provider.issuer.requested_scope,
            **provider.issuer.parameters,
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "state": _derived(secret, "state"),
            "nonce": _derived(secret, "nonce"),
            "code_challenge": _base64(challenge),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"

    def signed_in(
        self, issuer: str, secret: str, redirect_uri: str, response: Mapping[str, str]
    ) -> User:
        provider, client_id = self._offering(issuer)
        state, code = response.get("state", ""), response.get("code", "")
        if not code or not _same(state, _derived(secret, "state")):
            raise SignInRefused
        metadata = provider.source.get()
        named = metadata.document.get("authorization_response_iss_parameter_supported")
        if response.get("iss", None if named else issuer) != issuer:
            raise SignInRefused
        with provider.place():
            answer = self._redeemed(
                provider,
                metadata,
                {
                    "grant_type": "authorization_code",
                    "code": code,
                    "redirect_uri": redirect_uri,
                    "client_id": client_id,
                    "code_verifier": _derived(secret, "verifier"),
                },
            )
        try:
            claims = provider.claims(str(answer.get("id_token")), client_id)
        except BadToken:
            raise SignInRefused from None
        nonce, party = claims.get("nonce"), claims.get("azp", client_id)
        if not _same(str(nonce), _derived(secret, "nonce")) or party != client_id:
            raise SignInRefused
        # May do what the token could do that was issued to the browser. It may be
        # readable by the issuer alone; then the ID token counts, if it is for us.
        for name in ("access_token", "id_token"):
            try:
                user = self._verify(str(answer.get(name)))
            except BadToken:
                continue
            if user.owner == provider.issuer.owner(claims["sub"]):
                return user
        raise SignInRefused

    def _offering(self, issuer: str) -> tuple[_Provider, str]:
        provider = self._providers.get(issuer)
        if provider is None or provider.issuer.client_id is None:
            raise SignInRefused
        return provider, provider.issuer.client_id

    def _redeemed(
        self, provider: _Provider, metadata: Metadata, form: dict[str, str]
    ) -> dict[str, Any]:
        """Exchange a code for tokens."""
        auth = None
        if self.client_secret is not None:
            methods = metadata.document.get("token_endpoint_auth_methods_supported")
            if isinstance(methods, list) and "client_secret_basic" not in methods:
                form["client_secret"] = self.client_secret
            else:  # in which both are encoded as in a form
                auth = quote_plus(form["client_id"]), quote_plus(self.client_secret)
        endpoint = metadata.document.get("token_endpoint")
        status, answer = ask(provider.issuer.issuer, endpoint, form, auth)
        if status != 200:  # noqa: PLR2004 - of HTTP
            raise SignInRefused
        return answer


def _derived(secret: str, purpose: str) -> str:
    return _base64(hmac.digest(secret.encode(), purpose.encode(), "sha256"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())

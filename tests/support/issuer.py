"""An identity provider in this process, which can also misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from galaxy_jobs.domain import Issuer, Scope


DISCOVERY = "/.well-known/openid-configuration"
AUDIENCE = "https://jobs.example.org"
CLIENT = "galaxy-jobs"


@cache
def rsa_key(name: str = "first") -> rsa.RSAPrivateKey:
    """Return a key; the same one for the same name."""
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public(key: Any, key_id: str, **more: str) -> dict[str, Any]:
    """Return the public key as a JWK."""
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {
        **kind.to_jwk(key.public_key(), as_dict=True),
        "kid": key_id,
        "use": "sig",
        **more,
    }


@define
class LocalIssuer:
    """The provider.

    Attributes:
        url: Its address.
        keys: The keys that it publishes.
        said: Replaces members of its discovery document.
        answers: Replaces its answer at a path: is called with the handler.
        asked: How often each path was asked for.
        redeemed: The forms that were posted to its token endpoint.
        tokens: What its token endpoint answers, by the code.
    """

    url: str
    keys: list[dict[str, Any]]
    said: dict[str, Any] = field(factory=dict)
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(factory=dict)
    asked: Counter[str] = field(factory=Counter)
    redeemed: list[dict[str, str]] = field(factory=list)
    tokens: dict[str, Mapping[str, Any]] = field(factory=dict)

    def issuer(self, **more: Any) -> Issuer:
        """Return what is configured of it."""
        scopes = {
            "jobs:read": Scope.READ,
            "jobs:submit": Scope.SUBMIT,
            "jobs:admin": Scope.ADMIN,
        }
        values = {"issuer": self.url, "audience": AUDIENCE, "scopes": scopes, **more}
        return Issuer(**values)

    def claims(self, **more: Any) -> dict[str, Any]:
        """Return the claims of a valid token; one that is None is left out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ada",
            "iat": now,
            "exp": now + 300,
            "scope": "openid jobs:submit",
            "preferred_username": "Ada L.",
            **more,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self,
        *,
        key: Any = None,
        key_id: str | None = "first",
        algorithm: str = "RS256",
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token with these claims, valid unless they say otherwise."""
        return jwt.encode(
            self.claims(**claims),
            rsa_key() if key is None else key,
            algorithm,
            {**({} if key_id is None else {"kid": key_id}), **(headers or {})},
        )

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            **self.said,
        }


def answer(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Return an answer to a request."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        length = {"Content-Length": str(len(body))}
        for name, value in {**length, **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a PKCE verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """Run one until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            provider.asked[path] += 1
            documents = {
                DISCOVERY: provider.document(),
                "/jwks": {"keys": provider.keys},
            }
            known = documents.get(path)
            ordinary = answer(json.dumps(known).encode(), 404 if known is None else 200)
            with suppress(OSError):  # the client has had enough
                provider.answers.get(path, ordinary)(self)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            form = dict(parse_qsl(body.decode()))
            authorization = self.headers.get("Authorization")
            form |= {"authorization": authorization} if authorization else {}
            provider.redeemed.append(form)
            tokens = provider.tokens.pop(form.get("code", ""), None)
            problem = {"error": "invalid_grant"}
            ordinary = answer(
                json.dumps(tokens or problem).encode(), 200 if tokens else 400
            )
            with suppress(OSError):
                provider.answers.get("/token", ordinary)(self)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_port}"
    provider = LocalIssuer(url, [public(rsa_key(), "first", alg="RS256")])
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()

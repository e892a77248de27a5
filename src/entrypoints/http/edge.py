"""What every request passes before it is routed, and every answer behind it.

Rule of the file: it looks at the envelope alone (address, `Host`, `Origin`,
request id), never at a body, and what it refuses reaches no route. It stands in
front of the router, so that a 404 too has a request id and a line in the log.

As long as there are no tokens, whoever reaches the address may do everything, so
the service listens on a loopback address. A page of any web site can still make
the browser beside it send requests there; these name another `Host` (after DNS
rebinding) or another `Origin`, and are refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import structlog
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from galaxy_jobs.entrypoints.http import problems
from galaxy_jobs.entrypoints.http.problems import PROBLEM_JSON, Refused


log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""What we take over as a request's id; anything else could forge lines in a log."""

QUIET = "/health/"
"""Asked every few seconds by machines: not worth a line each."""


LOGGED = 300
"""How many characters of a path go into the log: a client may send thousands."""


class Service(Litestar):
    """Litestar, behind the edge.

    Its own middleware comes behind its router, where it would not see what is not
    found.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take one request, or a word about the life of the process."""
        if scope["type"] == ScopeType.HTTP:
            await serve(super().__call__, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def serve(app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Let a request in to the application, or refuse it; log it either way."""
    headers = _headers(scope)
    request_id = _request_id(headers.get("x-request-id"))
    scope.setdefault("state", {})["request_id"] = request_id
    began = time.perf_counter()
    status = 0

    async def sending(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
        await send(message)

    with structlog.contextvars.bound_contextvars(request_id=request_id):
        try:
            _admit(scope, headers)
            await app(scope, receive, sending)
        except Refused as refusal:
            await _refuse(refusal, scope, request_id, sending)
        except asyncio.CancelledError:
            if status:
                raise
            # The server stops and waits no longer; the task ends here anyhow.
            await _refuse(_cut_off(scope["method"]), scope, request_id, sending)
        finally:
            if not scope["path"].startswith(QUIET):
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"][:LOGGED],
                    status=status,
                    ms=round(1000 * (time.perf_counter() - began), 1),
                )


def _admit(scope: HTTPScope, headers: Mapping[str, str]) -> None:
    """Look at the envelope.

    Raises:
        Refused: It is not to be opened.
    """
    scope["path"] = path_of(scope)
    check_host(headers.get("host"))
    check_origin(headers.get("origin"))
    if b"%00" in scope["query_string"]:
        raise Refused("malformed-request", "There is a NUL in the query.")


def decoded(app: ASGIApp) -> ASGIApp:
    """Give routes their path parameters as plain text (a Litestar middleware)."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        # A new mapping: the router remembers the old one for the next request.
        scope["path_params"] = {
            name: unquote(value) for name, value in scope["path_params"].items()
        }
        await app(scope, receive, send)

    return middleware


def path_of(scope: HTTPScope) -> str:
    """Return the path with every segment spelt one way, still percent-encoded.

    A server hands us the path decoded, in which a slash within an id (workflows
    are often called so) looks like one between segments. So the path is routed
    encoded, and :func:`decoded` decodes what the route has cut out of it.

    Raises:
        Refused: It has bytes that no id can have: not UTF-8, or NUL.
    """
    raw = scope["raw_path"].partition(b"?")[0]
    segments = [unquote_to_bytes(one) for one in raw.split(b"/")]
    path = "/".join(quote(one, safe="") for one in segments)
    try:
        fine = all("\0" not in one.decode() for one in segments)
    except UnicodeDecodeError:
        fine = False
    if not fine:
        scope["path"] = path
        raise Refused("not-found", f"There is nothing at {path}.")
    return path


def check_host(host: str | None) -> None:
    """Refuse a request that was meant for another name.

    Raises:
        Refused: `Host` is not a loopback address.
    """
    if host is None or not is_local(f"//{host}"):
        raise Refused(
            "forbidden",
            f"Host is {host!r}; this service answers on localhost, 127.0.0.1 and "
            "[::1] only.",
        )


def check_origin(origin: str | None) -> None:
    """Refuse a request that a page of another site has made.

    Raises:
        Refused: `Origin` is there and is not a loopback address.
    """
    if origin is not None and not is_local(origin):
        raise Refused("forbidden", f"Origin is {origin!r}; only local pages may ask.")


def is_local(address: str) -> bool:
    """Say whether an address names this machine, by a name nobody else can own."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if host is None or parts.username is not None or parts.path:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _headers(scope: HTTPScope) -> Mapping[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope["headers"]
    }


def _request_id(given: str | None) -> str:
    if given is not None and REQUEST_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex


def _cut_off(method: str) -> Refused:
    if method in {"GET", "HEAD", "OPTIONS"}:
        return Refused("shutting-down", "The service is being stopped. Ask again.")
    return Refused(
        "outcome-unknown",
        "The service was stopped while it was at this. What was asked for may have "
        "been done, or not: look, or repeat the request with its Idempotency-Key.",
    )


async def _refuse(refusal: Refused, scope: HTTPScope, id_: str, send: Send) -> None:
    found = problems.members(refusal.code, refusal.detail, refusal.extra)
    said = problems.body(found, path=scope["path"], request_id=id_)
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": found["status"],
        "headers": [
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", str(len(said)).encode()),
            *(
                (name.lower().encode(), value.encode())
                for name, value in problems.headers_of(refusal.code).items()
            ),
        ],
    }
    await send(cast("Message", start))
    await send({"type": "http.response.body", "body": said, "more_body": False})

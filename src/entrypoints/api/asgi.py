"""The ASGI layer around Litestar: request ids, metrics, the access log, paths, HEAD.

Litestar's own middleware runs behind its router and does not see what is not found,
so what concerns every response stands here. Nothing is decided here: requests are
refused inside Litestar.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from http import HTTPStatus
from random import getrandbits
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import structlog
from litestar import Litestar, Request
from litestar.exceptions import LitestarException
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from galaxy_jobs.adapters.prometheus import Metrics
from galaxy_jobs.entrypoints.api.auth import PUBLIC, SAFE_METHODS, Caller
from galaxy_jobs.entrypoints.api.exception_handlers import problem_response
from galaxy_jobs.entrypoints.api.problems import Refused, shutting_down


access_log = structlog.get_logger("galaxy_jobs.access")

LOGGED_PATH_LENGTH = 300
"""Characters of a path that are logged: a client may send thousands."""

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
"""A request id that is taken over from the client; others could forge log lines."""

MAX_SEGMENTS = 20
"""Segments of a path, of which a client may send thousands; no route has as many."""

MAX_PATH_LENGTH = 2000
"""Bytes of an encoded path: Litestar keeps the latest 1024 paths of all clients."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Service(Litestar):
    """A Litestar application with the layer of this module around it."""

    metrics: Metrics | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request, or start or stop the application."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        method, began = scope["method"], time.perf_counter()
        status, ended = 0, False
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        scope["state"]["method"] = method
        scope["path"] = encoded_path(scope["raw_path"])

        async def respond(message: Any) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                scope["method"] = method  # the server goes by it, too
                status = message["status"]
                message["headers"] = _stamped(self, scope, message["headers"])
            elif ended:
                return
            elif method == "HEAD":
                ended = True
                message = {**message, "body": b"", "more_body": False}
            await send(message)

        # Not reset: the server has made a task, and so a context, for this request.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if method == "HEAD":  # GET without the body (RFC 9110, 9.3.2)
            scope["method"] = "GET"
        try:
            await self._route(scope, receive, respond)
        except asyncio.CancelledError:  # the server stops, and waits no longer
            if status:
                raise
            await _refuse(_cut_off(method), scope, receive, respond)
        finally:
            seconds = time.perf_counter() - began
            if self.metrics is not None:
                route = scope.get("path_template", "none")
                known = method if method in _METHODS else "other"
                self.metrics.answered(known, route, status, seconds)
            _log_request(scope, method, status, seconds)

    async def _route(self, scope: Any, receive: Receive, send: Send) -> None:
        if len(scope["path"]) <= MAX_PATH_LENGTH:
            try:
                await super().__call__(scope, receive, send)
            except LitestarException:  # the response has begun
                if not scope["state"].get(BROKEN_OFF):
                    raise
            return
        scope["path"] = scope["path"][:MAX_PATH_LENGTH]
        refusal = Refused("not-found", f"No path has over {MAX_PATH_LENGTH} bytes.")
        await _refuse(refusal, scope, receive, send)


def _log_request(scope: Any, method: str, status: int, seconds: float) -> None:
    handler = scope.get("route_handler")
    ok = status < HTTPStatus.BAD_REQUEST
    if ok and handler is not None and handler.opt.get(PUBLIC):
        return  # asked every few seconds by machines: not worth a line each
    caller: Caller | None = scope.get("user")
    access_log.info(
        "request",
        method=method,
        path=scope["path"][:LOGGED_PATH_LENGTH],
        status=status,
        **({"token": caller.id} if caller is not None and caller.id else {}),
        ms=round(1000 * seconds, 1),
    )


BROKEN_OFF = "broken_off"
"""Key of the state of a request whose response has failed behind its beginning, and is
logged already. The server closes its connection, so that the client sees that."""


def encoded_path(raw: bytes) -> str:
    """Return a path with every segment percent-encoded in one way.

    A server hands over the path decoded, in which a slash within an id (names of
    workflows have some) looks like one between segments. So paths are routed
    encoded, and :func:`decode_path_parameters` decodes what the router cut out.
    """
    if raw.isascii() and b"%" not in raw and b"?" not in raw:
        return raw.decode()
    return "/".join(
        quote(unquote_to_bytes(segment), safe=":@!$&'()*+,;=~")
        for segment in raw.partition(b"?")[0].split(b"/", MAX_SEGMENTS)[:MAX_SEGMENTS]
    )


def decode_path_parameters(app: ASGIApp) -> ASGIApp:
    """Give routes their path parameters as text (a Litestar middleware)."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path_params"]:
            # A new mapping: the router keeps the old one for the next request.
            scope["path_params"] = {
                name: _text(value, scope["path"])
                for name, value in scope["path_params"].items()
            }
        await app(scope, receive, send)

    return middleware


def _request_id(scope: Any) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            sent: bytes = value
            return sent.decode()
    return f"{getrandbits(128):032x}"  # unique, and no secret


async def _refuse(refusal: Refused, scope: Any, receive: Receive, send: Send) -> None:
    """Answer a request that Litestar does not."""
    request = Request[Any, Any, Any](scope)
    response = problem_response(request, refusal)
    await response.to_asgi_response(None, request)(scope, receive, send)


def _cut_off(method: str) -> Refused:
    """Return the refusal of a request that the server cancels when it stops."""
    if method in SAFE_METHODS:
        return shutting_down()
    return Refused(
        "outcome-unknown",
        "The service was stopped during this request, which may have taken effect or "
        "not. Look, or repeat it with its Idempotency-Key.",
    )


def _stamped(
    app: Litestar, scope: Any, headers: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response with those that every response has."""
    stamped = [
        (name, _allow(app, scope, value) if name == b"allow" else value)
        for name, value in headers
    ]
    names = {name for name, _ in stamped}
    if b"cache-control" not in names:
        value = b"private, no-cache" if b"etag" in names else b"no-store"
        stamped.append((b"cache-control", value))
    stamped.append((b"x-request-id", scope["state"]["request_id"].encode()))
    stamped.append((b"x-content-type-options", b"nosniff"))
    return stamped


def _allow(app: Litestar, scope: Any, value: bytes) -> bytes:
    """Return an ``Allow`` header that names every method of a path.

    Litestar 2.25 answers OPTIONS with the methods of the path's first handler, and
    does not know of HEAD.
    """
    methods = {method.strip() for method in value.decode().split(",")}
    template = scope.get("path_template")
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path_format == template:
            methods.update(map(str, route.methods))
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods)).encode()


def _text(value: str, path: str) -> str:
    try:
        text = unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # no id can have it
        raise Refused("not-found", f"There is nothing at {path}.")
    return text

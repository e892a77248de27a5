"""What every request passes before it is routed, and every answer behind it.

Rule of the file: it looks at the envelope alone (address, `Host`, `Origin`, token,
request id), never at a body, and what it refuses reaches no route. It stands in
front of the router, so that a 404 too has a request id and a line in the log.

As long as no token was ever made, whoever reaches the address may do everything, so
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
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias, cast
from urllib.parse import (
    quote,
    unquote,
    unquote_to_bytes,
    urlencode,
    urlsplit,
    urlunsplit,
)

import structlog
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPScope,
    Message,
    Receive,
    ReceiveMessage,
    Scope,
    Send,
)

from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.entrypoints.api import problems
from galaxy_jobs.entrypoints.api.auth import (
    ANYBODY,
    HEALTH,
    SAFE,
    SIGN_IN,
    Caller,
    Guard,
)
from galaxy_jobs.entrypoints.api.limits import network_of
from galaxy_jobs.entrypoints.api.problems import PROBLEM_JSON, Refused
from galaxy_jobs.entrypoints.hints import explain
from galaxy_jobs.entrypoints.metrics import Metrics


log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""What we take over as a request's id; anything else could forge lines in a log."""

NAVIGATED = ("/ui/", "/docs", "/sign-out")
"""Where people go, besides `/`: they are led to the sign-in page."""

BODY_TIMEOUT = 60.0
"""How many seconds a body may take to arrive."""

ONCE = frozenset(
    {
        b"authorization",
        b"content-type",
        b"cookie",
        b"host",
        b"idempotency-key",
        b"last-event-id",
        b"origin",
        b"sec-fetch-site",
    }
)
"""Headers that decide something, and so may not stand twice."""

LOGGED = 300
"""How many characters of a path go into the log: a client may send thousands."""


AsPage: TypeAlias = Callable[[HTTPScope, bytes], tuple[bytes, Mapping[str, str]]]
"""Makes a page of a problem: its HTML, and the headers that go with it."""


class Service(Litestar):
    """Litestar, behind the edge.

    Its own middleware comes behind its router, where it would not see what is not
    found.
    """

    guard: Guard | None = None
    """Who lets in; None: everybody on this machine comes in."""

    as_page: AsPage | None = None
    """Shows a person who came to a page why it is refused."""

    metrics: Metrics | None = None
    """Where requests are counted; None: nowhere."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take one request, or a word about the life of the process."""
        if scope["type"] == ScopeType.HTTP:
            app: ASGIApp = super().__call__
            asked = without_body(app) if scope["method"] == "HEAD" else app
            await serve(self, asked, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


async def serve(
    service: Service, app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send
) -> None:
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
                *_allowing(service, scope, message["headers"]),
                *_caching(message["headers"]),
                (b"x-request-id", request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
        await send(message)

    with structlog.contextvars.bound_contextvars(request_id=request_id):
        try:
            scope["state"]["caller"] = await _admit(service, scope, headers)
            await app(scope, _in_time(receive), sending)
        except Refused as refusal:
            refusal.headers.update(_cors(service, headers.get("origin")))
            if _navigates(service, scope, headers, refusal):
                # The part of a page that a script asks for is no place for a form.
                script = headers.get("hx-request") == "true"
                await _lead(_sign_in(scope, headers), sending, script=script)
            else:
                shown = service.as_page if _is_read(scope, headers) else None
                await _refuse(refusal, scope, request_id, sending, shown)
        except asyncio.CancelledError:
            if status:
                raise
            # The server stops and waits no longer; the task ends here anyhow.
            await _refuse(_cut_off(scope["method"]), scope, request_id, sending)
        finally:
            seconds = time.perf_counter() - began
            if service.metrics is not None:
                service.metrics.answered(_method(scope), _route(scope), status, seconds)
            # Asked every few seconds by machines: not worth a line each.
            if not scope["path"].startswith(HEALTH):
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"][:LOGGED],
                    status=status,
                    **_whose(scope),
                    ms=round(1000 * seconds, 1),
                )


def without_body(app: ASGIApp) -> ASGIApp:
    """Answer HEAD as GET, but for the body (RFC 9110, 9.3.2)."""

    async def answer(scope: Any, receive: Receive, send: Send) -> None:
        over = False

        async def sending(message: Message) -> None:
            nonlocal over
            scope["method"] = "HEAD"  # the server, too, goes by it
            if over:
                return
            if message["type"] == "http.response.body":
                over = True
                message = {**message, "body": b"", "more_body": False}
            await send(message)

        scope["method"] = "GET"
        try:
            await app(scope, receive, sending)
        finally:
            scope["method"] = "HEAD"

    return answer


def _method(scope: HTTPScope) -> str:
    """Return the method, if it is one: whoever asks may make up any."""
    return scope["method"] if scope["method"] in _METHODS else "other"


def _route(scope: HTTPScope) -> str:
    """Return the route that was taken; nothing else of a path is ever counted."""
    route: str = scope.get("path_template", "none")  # Litestar's own addition
    return route


def _allowing(
    service: Service, scope: HTTPScope, headers: Iterable[tuple[bytes, bytes]]
) -> Iterable[tuple[bytes, bytes]]:
    """Let ``Allow`` name every method that there is.

    Litestar 2.25 answers to OPTIONS with those of the first handler of a path alone,
    and knows nothing of our HEAD.
    """
    for name, value in headers:
        if name.lower() != b"allow":
            yield name, value
            continue
        known = {one.strip() for one in value.decode().split(",")}
        known.update(map(str, service.route_handler_method_map.get(_route(scope), ())))
        if "GET" in known:
            known.add("HEAD")
        yield name, ", ".join(sorted(known)).encode()


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


async def _admit(
    service: Service, scope: HTTPScope, headers: Mapping[str, str]
) -> Caller:
    """Look at the envelope, and say who asks.

    Raises:
        Refused: It is not to be opened.
    """
    scope["path"] = path = path_of(scope)
    _check_once(scope)
    guard = service.guard
    origin = headers.get("origin")
    address = network_of((scope.get("client") or ("", 0))[0])
    try:
        closed = guard is not None and await _is_closed(guard, path)
        if not closed:
            check_host(headers.get("host"))
            check_origin(origin, allowed=_origins(service))
        if guard is None:
            caller = ANYBODY
        elif not closed or _is_preflight(service, scope, headers):
            caller = ANYBODY
            if not path.startswith(HEALTH):
                guard.rate.take(address)
        else:
            caller = await guard.caller(scope["method"], path, headers, address)
    except DomainError as error:  # such as a database that cannot be asked
        raise Refused(error.code, explain(error)) from error
    if b"%00" in scope["query_string"]:
        raise Refused("malformed-request", "There is a NUL in the query.")
    return caller


def _is_preflight(
    service: Service, scope: HTTPScope, headers: Mapping[str, str]
) -> bool:
    """Say whether a browser asks whether a page that may ask may ask.

    It does so without a token; Litestar's CORS answers.
    """
    return (
        scope["method"] == "OPTIONS"
        and "access-control-request-method" in headers
        and bool(_cors(service, headers.get("origin")))
    )


def _origins(service: Service) -> frozenset[str]:
    """Return the origins that may ask, each by its name."""
    config = service.cors_config
    return frozenset(() if config is None else config.allow_origins)


def _cors(service: Service, origin: str | None) -> dict[str, str]:
    """Return what lets a page read a refusal: Litestar sees to other answers."""
    config = service.cors_config
    if config is None or origin is None or not config.is_origin_allowed(origin):
        return {}
    exposed = ", ".join(config.expose_headers)
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": exposed,
        "Vary": "Origin",
    }


def _in_time(receive: Receive) -> Receive:
    """Wait for a body as long as one may take, and no longer."""
    deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT
    complete = False

    async def receiving() -> ReceiveMessage:
        nonlocal complete
        if complete:  # what comes now is that the client goes away
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Refused(
                "malformed-request",
                f"The body did not arrive within {BODY_TIMEOUT:g} s.",
            ) from None
        if message["type"] == "http.disconnect":  # nobody will read this
            raise Refused("malformed-request", "The client went away half-way.")
        complete = not message.get("more_body", False)
        return message

    return receiving


def _check_once(scope: HTTPScope) -> None:
    """Refuse what says twice what can be said once.

    A proxy in front of us may go by the one, and we by the other.

    Raises:
        Refused: It does.
    """
    names = [name for name, _ in scope["headers"] if name in ONCE]
    for name in set(names):
        if names.count(name) > 1:
            raise Refused(
                "malformed-request", f"The header {name.decode()} stands twice."
            )
    if {b"content-length", b"transfer-encoding"} <= {
        name for name, _ in scope["headers"]
    }:
        raise Refused("malformed-request", "The body's length is told in two ways.")
    if any(
        name == b"transfer-encoding" and value.strip().lower() != b"chunked"
        for name, value in scope["headers"]
    ):
        raise Refused("malformed-request", "No Transfer-Encoding is known but chunked.")


async def _is_closed(guard: Guard, path: str) -> bool:
    # Whether we are alive is told whether the database is or not.
    return guard.closed if path.startswith(HEALTH) else await guard.needed()


def _caching(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Say that an answer is for its caller alone, where its route does not say."""
    names = {name.lower() for name, _ in headers}
    if b"cache-control" in names:
        return []
    said = b"private, no-cache" if b"etag" in names else b"no-store"
    return [(b"cache-control", said)]


def _whose(scope: HTTPScope) -> dict[str, str]:
    """Return the id of the token that a request came with, if any, for the log."""
    caller: Caller = scope["state"].get("caller", ANYBODY)
    return {"token": caller.id} if caller.id else {}


def _navigates(
    service: Service, scope: HTTPScope, headers: Mapping[str, str], refusal: Refused
) -> bool:
    """Say whether a person came to a page of ours without a token."""
    return (
        refusal.code == "unauthenticated"
        and is_page(scope["path"])
        and ("text/html" in headers.get("accept", "") or "hx-request" in headers)
        and SIGN_IN in service.route_handler_method_map
    )


def is_page(path: str) -> bool:
    """Say whether a path is one that people go to."""
    return path in {"/", SIGN_IN} or path.startswith(NAVIGATED)


def _is_read(scope: HTTPScope, headers: Mapping[str, str]) -> bool:
    """Say whether it is a person who reads the answer."""
    return is_page(scope["path"]) and "text/html" in headers.get("accept", "")


def _sign_in(scope: HTTPScope, headers: Mapping[str, str]) -> str:
    """Return where a person signs in, and comes from there to where they wanted to be.

    Of what a script asked for, that is the page it is part of, by htmx's own account.
    """
    wanted = "/"
    if "hx-request" in headers:
        with suppress(ValueError):
            parts = urlsplit(headers.get("hx-current-url", ""))
            wanted = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    elif scope["method"] in SAFE:
        query = scope["query_string"].decode("latin-1")
        wanted = urlunsplit(("", "", scope["path"], query, ""))
    return f"{SIGN_IN}?{urlencode({'next': wanted})}"


async def _lead(where: str, send: Send, *, script: bool) -> None:
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": 401 if script else 303,
        "headers": [
            (b"hx-redirect" if script else b"location", where.encode()),
            (b"content-length", b"0"),
        ],
    }
    await send(cast("Message", start))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


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


def check_origin(origin: str | None, *, allowed: frozenset[str] = frozenset()) -> None:
    """Refuse a request that a page of another site has made.

    Args:
        origin: As the browser says it.
        allowed: Which other origins may ask, each by its name: as long as
            everybody may do everything here, ``*`` is none.

    Raises:
        Refused: `Origin` is there, is no loopback address, and is not allowed.
    """
    if origin is not None and not is_local(origin) and origin not in allowed - {"*"}:
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


async def _refuse(
    refusal: Refused,
    scope: HTTPScope,
    id_: str,
    send: Send,
    as_page: AsPage | None = None,
) -> None:
    found = problems.members(refusal.code, refusal.detail, refusal.extra)
    said = problems.body(found, path=scope["path"], request_id=id_)
    headers = {
        "Content-Type": PROBLEM_JSON,
        **problems.headers_of(refusal.code),
        **refusal.headers,
    }
    if as_page is not None:
        said, more = as_page(scope, said)
        headers |= more
    headers["Content-Length"] = str(len(said))
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": found["status"],
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in headers.items()
        ],
    }
    await send(cast("Message", start))
    await send({"type": "http.response.body", "body": said, "more_body": False})

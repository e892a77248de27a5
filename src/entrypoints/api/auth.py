"""Authenticates requests by token and enforces scopes.

Programs send a token in ``Authorization: Bearer``; browsers that have signed in send
it in a cookie. A cookie also comes with requests that a page of another site makes
the browser send, so a cookie may read, and may change something only by a form of
our own pages, which check where the form was sent from.

Routes need a token with the scope `read`, or what their guards require, which most
have by their method, unless ``opt`` has :data:`PUBLIC` or :data:`SIGN_IN_FORM`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

from async_lru import alru_cache
from attrs import define, field, frozen
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp, Guard

from galaxy_jobs.domain import SERVICE, Scope, Token, Viewer
from galaxy_jobs.domain.errors import BadLink, BadToken, StoreUnavailable
from galaxy_jobs.domain.model.token import TokenId, may_be_valid
from galaxy_jobs.domain.model.user import User
from galaxy_jobs.domain.use_cases import Authenticate
from galaxy_jobs.entrypoints.api import host_and_origin
from galaxy_jobs.entrypoints.api.limits import Rate, network_of
from galaxy_jobs.entrypoints.api.problems import Refused, refused_by


COOKIE = "galaxy_jobs_token"
"""The cookie that holds the token of a browser that has signed in."""

PUBLIC = "public"
"""Key of ``opt``: the route needs no token and is not counted, for it is asked by
machines every few seconds (health) or the same for everybody (static files)."""

SIGN_IN_FORM = "sign_in_form"
"""Key of ``opt``: the route needs no token, and is where one is entered."""

PAGE = "page"
"""Key of ``opt``: the route is a page, whose forms may be sent with a cookie. Pages
check that a page of this service sent them."""

PAGE_SCRIPTS = "page_scripts"
"""Key of ``opt``: scripts of our pages may send the request with a cookie."""

LINK = "link"
"""Key of ``opt``: the route takes signed links, in the query parameter of this name."""

TOKEN_CACHE_TTL = 3.0
"""Seconds for which a token that was in force is taken to be still in force."""

TOKENS_EXIST_TTL = 1.0
"""Seconds for which it is taken that no token was ever made."""

WATCH_INTERVAL = 2.0
"""Seconds between two checks of the tokens of long requests."""

TOKEN_CACHE_SIZE = 10_000

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


@frozen
class Caller:
    """The sender of a request.

    Attributes:
        token: A token, or a user; None where no token is needed.
        by_link: Whether a signed link is used, which that token or user has made.
    """

    token: Token | User | None = None
    by_link: bool = field(default=False, eq=False)

    @property
    def id(self) -> TokenId:
        """The id of the token; ``""`` without one."""
        return TokenId("") if self.token is None else self.token.token_id

    @property
    def name(self) -> str:
        """The name of the token or user, for people; ``""`` without one."""
        return "" if self.token is None else self.token.name

    @property
    def viewer(self) -> Viewer:
        """The viewer whom the caller's requests speak for."""
        return SERVICE if self.token is None else self.token.viewer

    def may(self, scope: Scope) -> bool:
        """Whether the caller may do what needs that scope."""
        if self.by_link:
            return scope is Scope.READ
        return self.token is None or self.token.scope.includes(scope)


ANONYMOUS = Caller()


@define(eq=False)
class TokenCache:
    """Verifies tokens; the database is asked once for many requests.

    Belongs to one event loop. Every method raises ``StoreUnavailable`` where the
    database could not be asked.
    """

    authenticate: Authenticate
    token_ttl: float = field(default=TOKEN_CACHE_TTL, kw_only=True)
    exist_ttl: float = field(default=TOKENS_EXIST_TTL, kw_only=True)
    size: int = field(default=TOKEN_CACHE_SIZE, kw_only=True)
    _tokens_exist: bool = field(default=False, init=False)
    watch_interval: float = field(default=WATCH_INTERVAL, kw_only=True)
    _verify: Any = field(init=False)
    _exist: Any = field(init=False)
    _watched: set[tuple[Caller, Callable[[], object]]] = field(factory=set, init=False)
    _watching: asyncio.Task[None] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        to_thread: Any = asyncio.to_thread
        verify = partial(to_thread, self.authenticate)
        exist = partial(to_thread, self.authenticate.needed)
        self._verify = alru_cache(self.size, ttl=self.token_ttl)(verify)
        self._exist = alru_cache(1, ttl=self.exist_ttl)(exist)

    async def required(self) -> bool:
        """Return whether a token is needed."""
        # Tokens are never deleted, so the answer stays.
        self._tokens_exist = self._tokens_exist or await self._exist()
        return self._tokens_exist

    async def verify(self, text: str) -> Token | User:
        """Return the token of that text, or the user whom it authenticates.

        Raises:
            BadToken: There is none in force.
            NoPermission, IssuerUnavailable: As :class:`Authenticate` does.
        """
        if not self.knows(text) and not may_be_valid(text):
            raise BadToken
        token: Token | User = await self._verify(text)
        return token

    def forget(self, text: str) -> None:
        """Have the database asked again about a token that was verified."""
        self._verify.cache_invalidate(text)

    def knows(self, text: str | None) -> bool:
        """Whether a token of that text was verified a moment ago."""
        return text is not None and self._verify.cache_contains(text)

    @contextmanager
    def watch(self, caller: Caller, end: Callable[[], object]) -> Iterator[None]:
        """Call *end* if the caller is no longer let in while the block runs.

        One query checks the tokens of all callers. While the database cannot be
        asked, nothing is ended.
        """
        self._watched.add(watched := (caller, end))
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._watched.discard(watched)

    async def _watch(self) -> None:
        while self._watched:
            await asyncio.sleep(self.watch_interval)
            callers = {caller for caller, _ in self._watched}
            tokens = {caller.token for caller in callers if caller.token is not None}
            with suppress(StoreUnavailable):
                valid = await asyncio.to_thread(self.authenticate.in_force, tokens)
                ended = callers - {Caller(token) for token in valid}
                if ANONYMOUS in ended and not await self.required():
                    ended.remove(ANONYMOUS)
                for caller, end in self._watched:
                    if caller in ended:
                        end()


VerifyLink: TypeAlias = Callable[[Connection], str]
"""Returns what the link of a request names its maker by; raises BadLink."""


class Authentication(AbstractAuthenticationMiddleware):
    """Finds out who sends a request (Litestar's authentication middleware).

    ``request.user`` is the :class:`Caller`. Counts the request against the rate of
    its token, or of its network where the token is unknown, so that guessing tokens
    is limited too.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token_cache: TokenCache,
        rate: Rate,
        allowed_origins: frozenset[str],
        verify_link: VerifyLink,
    ) -> None:
        super().__init__(app, exclude_from_auth_key=PUBLIC)
        self.verify_link = verify_link
        self.token_cache = token_cache
        self.rate = rate
        self.allowed_origins = allowed_origins

    async def authenticate_request(
        self, connection: Connection
    ) -> AuthenticationResult:
        """Return the caller.

        Raises:
            Refused: The request is not let in.
            StoreUnavailable: The database could not be asked.
        """
        headers = connection.headers
        host_and_origin.check_framing(connection.scope)
        if connection.route_handler.opt.get(LINK) and LINK in connection.query_params:
            return AuthenticationResult(user=await self._linked(connection), auth=None)
        if await self.token_cache.required():
            caller = await self._authenticated(connection)
        else:
            host_and_origin.check_host(headers.get("host"))
            host_and_origin.check_origin(headers.get("origin"), self.allowed_origins)
            self.rate.take(_network(connection))
            caller = ANONYMOUS
        return AuthenticationResult(user=caller, auth=caller.token)

    async def _linked(self, connection: Connection) -> Caller:
        """Return the caller by a signed link, whose maker must be let in still."""
        self.rate.take(_network(connection))
        maker = await asyncio.to_thread(self.verify_link, connection)
        if not maker:  # made while no token was needed
            host_and_origin.check_host(connection.headers.get("host"))
            if await self.token_cache.required():
                raise BadLink
            return Caller(by_link=True)
        authenticate = self.token_cache.authenticate
        token = await asyncio.to_thread(authenticate.maker, maker)
        return Caller(token, by_link=True)

    async def _authenticated(self, connection: Connection) -> Caller:
        opt = connection.route_handler.opt
        text = _bearer(connection.headers.get("authorization"))
        if by_cookie := text is None:
            text = connection.cookies.get(COOKIE)
        if not self.token_cache.knows(text):
            self.rate.take(_network(connection))
        if opt.get(SIGN_IN_FORM):
            return ANONYMOUS
        if text is None:
            raise unauthenticated(ANONYMOUS)
        try:
            token = await self.token_cache.verify(text)
        except BadToken:
            raise _bad_token() from None
        self.rate.take(token.token_id)
        writes = _method(connection) not in SAFE_METHODS
        by_script = opt.get(PAGE_SCRIPTS) and host_and_origin.is_same_origin(
            connection.headers
        )
        if by_cookie and writes and not (opt.get(PAGE) or by_script):
            raise Refused(
                "forbidden",
                "With a cookie, only this service's own pages can change anything, "
                "jobs only by their forms; programs send `Authorization: Bearer`.",
            )
        return Caller(token)


def unauthenticated(caller: Caller) -> Refused:
    """Return the refusal of a caller who is not let in, or no longer."""
    if caller.token is not None:
        return _bad_token()
    return Refused(
        "unauthenticated",
        "A token is needed: send the header `Authorization: Bearer TOKEN`. "
        "(`galaxy-jobs token create` makes one.)",
        headers=_challenge(),
    )


def requires(needed: Scope) -> Guard:
    """Return a guard that lets in only callers who have a scope."""

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        caller = caller_of(connection)
        if not caller.may(needed):
            assert caller.token is not None
            raise Refused(
                "forbidden",
                f"This token has the scope {caller.token.scope.value!r}; "
                f"{_method(connection)} needs {needed.value!r}.",
                headers=_challenge(
                    'error="insufficient_scope"', f'scope="{needed.value}"'
                ),
            )

    return guard


async def sees_all(connection: Connection, _: BaseRouteHandler) -> None:
    """Let in only callers who see the objects of all owners (a guard)."""
    if not viewer_of(connection).sees_all:
        raise Refused(
            "forbidden",
            f"{connection.url.path} is about the jobs of all owners; this token sees "
            "its own only.",
        )


def caller_of(request: Connection) -> Caller:
    """Return who sent a request (also a dependency of routes)."""
    caller: Caller = request.scope.get("user", ANONYMOUS)
    return caller


def viewer_of(request: Connection) -> Viewer:
    """Return whose objects the sender of a request sees (a dependency of routes)."""
    return caller_of(request).viewer


def rate_key(request: Request[Any, Any, Any]) -> str:
    """Return what tells a caller from others: the token, or else the network."""
    return caller_of(request).id or _network(request)


def _bearer(header: str | None) -> str | None:
    """Return the token in an ``Authorization`` header; None without that header."""
    if header is None:
        return None
    scheme, _, text = header.partition(" ")
    # Another scheme, such as Basic, is no token of ours, whatever a cookie holds.
    return text.strip() if scheme.lower() == "bearer" else ""


def _bad_token() -> Refused:
    return refused_by(BadToken(), _challenge('error="invalid_token"'))


def _challenge(*parameters: str) -> dict[str, str]:
    return {"WWW-Authenticate": ", ".join(('Bearer realm="galaxy-jobs"', *parameters))}


def _method(connection: Connection) -> str:
    return str(connection.scope.get("method", ""))


def _network(connection: Connection) -> str:
    return network_of(connection.client.host if connection.client else "")

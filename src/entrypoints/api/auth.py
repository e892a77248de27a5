"""Who asks, and what they may do: tokens, before any route is looked for.

Rule of the file: it decides by the envelope alone (method, path, headers), and
asks the database in threads of its own, never on the event loop, and once for
however many requests need the same answer. What it has been told it believes for
a moment: a first token is needed everywhere within :data:`NEEDED_FOR` seconds of
its making, and a revoked or expired one is no good after :data:`BELIEVED_FOR`.

A program sends its token in ``Authorization: Bearer``. A browser that has signed
in carries it in a cookie, which it would send along with a request that a page of
any other site has made it make. So a cookie is good for looking; what it is to
change goes through the forms of our pages, and the browser has to say that it does.
(The forms, besides, repeat a secret: see the guard of the pages.)
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeVar
from urllib.parse import urlsplit

from attrs import define, field, frozen
from litestar import Request

from galaxy_jobs.domain.errors import BadToken
from galaxy_jobs.domain.model.token import Scope, Token, digest_of, id_in
from galaxy_jobs.domain.use_cases import Authenticate
from galaxy_jobs.entrypoints.api.limits import Rate, network_of
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.hints import explain
from galaxy_jobs.entrypoints.settings import HttpTable


T = TypeVar("T")

COOKIE = "galaxy_jobs_token"
"""The cookie that carries the token of a browser that has signed in."""

SIGN_IN = "/sign-in"
"""Where a token is entered."""

HEALTH = "/health/"
"""For machines that watch over us: never a token."""

STATIC = "/ui/assets/"
"""What the sign-in page, too, needs to be shown."""

FORMS = ("/ui/", "/sign-out")
"""Where forms are sent, and nothing else is."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""What changes nothing, and needs no more than the scope `read`."""

NEEDED_FOR = 1.0
"""For how many seconds it is believed that there are no tokens."""

BELIEVED_FOR = 3.0
"""For how many seconds a token that was in force is believed to be."""

REMEMBERED = 10_000
"""How many tokens are remembered at most."""

_REALM = 'Bearer realm="galaxy-jobs"'


@frozen
class Caller:
    """Who asks.

    Attributes:
        token: Theirs; None: nobody in particular, since no token is needed.
    """

    token: Token | None = None

    @property
    def id(self) -> str:
        """The id of their token; ``""`` without one."""
        return "" if self.token is None else self.token.token_id

    def may(self, scope: Scope) -> bool:
        """Say whether they may do what takes that scope."""
        return self.token is None or self.token.scope.includes(scope)


ANYBODY = Caller()
"""Who asks where no token is needed."""


@define
class Guard:
    """Lets in who may come in.

    Attributes:
        authenticate: Knows the tokens.
        rate: How often one may ask.
        clock: Counts seconds.
    """

    authenticate: Authenticate
    rate: Rate = field(factory=lambda: Rate(HttpTable().rate, HttpTable().burst))
    clock: Callable[[], float] = time.monotonic
    _needed: bool = field(default=False, init=False)
    _asked: float = field(default=float("-inf"), init=False)
    _known: OrderedDict[str, tuple[float, Token]] = field(
        factory=OrderedDict, init=False
    )
    _asking: dict[str, asyncio.Task[Any]] = field(factory=dict, init=False)
    # Apart from the threads of the routes, which may all wait for Galaxy.
    _pool: ThreadPoolExecutor = field(
        factory=lambda: ThreadPoolExecutor(2, thread_name_prefix="guard"), init=False
    )

    @property
    def closed(self) -> bool:
        """Whether tokens were needed when that was last asked; never waits."""
        return self._needed

    async def needed(self) -> bool:
        """Say whether a token is needed: whether one was ever made.

        Raises:
            StoreUnavailable: Nobody knows.
        """
        # Tokens are never removed, so that they are needed is for ever.
        if not self._needed and self.clock() >= self._asked + NEEDED_FOR:
            self._needed = await self._once("", self.authenticate.needed)
            self._asked = self.clock()
        return self._needed

    async def caller(
        self, method: str, path: str, headers: Mapping[str, str], address: str
    ) -> Caller:
        """Return who asks, where a token is needed, and count the request.

        Whoever shows a token that is known is counted by it, and everybody else by
        the address, so that guessing, too, has a limit.

        Args:
            method: Of the request.
            path: As it is routed.
            headers: By their names in lower case.
            address: Where it comes from.

        Raises:
            Refused: They may not.
            StoreUnavailable: Nobody knows whether they may.
        """
        text = _bearer(headers.get("authorization"))
        by_cookie = text is None
        if text is None:
            text = cookie_in(headers.get("cookie"))
        if not self._knows(text) and not path.startswith(HEALTH):
            self.rate.take(address)
        if path == SIGN_IN and method not in SAFE and not same_origin(headers):
            raise _foreign()
        if is_open(path):
            return ANYBODY
        if text is None:
            raise Refused(
                "unauthenticated",
                "A token is needed: send the header `Authorization: Bearer TOKEN`. "
                "(`galaxy-jobs token create` makes one.)",
                headers={"WWW-Authenticate": _REALM},
            )
        try:
            token = await self.verify(text)
        except BadToken as error:
            raise Refused(
                error.code,
                explain(error),
                headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
            ) from None
        self.rate.take(token.token_id)
        needed = Scope.READ if method in SAFE else Scope.SUBMIT
        leaving = path == "/sign-out"
        if not token.scope.includes(needed) and not leaving:
            raise Refused(
                "forbidden",
                f"This token may {token.scope.value} only; {method} takes one of the "
                f"scope {needed.value!r}.",
                headers={
                    "WWW-Authenticate": f'{_REALM}, error="insufficient_scope", '
                    f'scope="{needed.value}"'
                },
            )
        if by_cookie and method not in SAFE:
            _check_page(path, headers)
        return Caller(token)

    async def verify(self, text: str) -> Token:
        """Return the token of that text.

        Raises:
            BadToken: There is none in force.
            StoreUnavailable: Nobody knows.
        """
        if id_in(text) is None:
            raise BadToken
        digest = digest_of(text)
        until, token = self._known.get(digest, (0.0, None))
        if token is not None and self.clock() < until:
            return token
        try:
            token = await self._once(digest, lambda: self.authenticate(text))
        except BadToken:
            self._known.pop(digest, None)
            raise
        self._known[digest] = (self.clock() + BELIEVED_FOR, token)
        self._known.move_to_end(digest)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return token

    def _knows(self, text: str | None) -> bool:
        """Say whether that was a token not long ago, or still is."""
        return text is not None and digest_of(text) in self._known

    async def _once(self, name: str, question: Callable[[], T]) -> T:
        """Ask in a thread, or wait for who is asking the same already."""
        task: asyncio.Task[T] | None = self._asking.get(name)
        if task is None:
            task = asyncio.ensure_future(self._ask(question))
            self._asking[name] = task
            task.add_done_callback(lambda done: self._answered(name, done))
        # Of several who wait, one may go away.
        return await asyncio.shield(task)

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, question)

    def _answered(self, name: str, task: asyncio.Task[Any]) -> None:
        self._asking.pop(name, None)
        if not task.cancelled():
            task.exception()  # looked at, should all who waited have gone away

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=False)


def is_open(path: str) -> bool:
    """Say whether a path is answered without any token."""
    return path == SIGN_IN or path.startswith((HEALTH, STATIC))


def caller_of(request: Request[Any, Any, Any]) -> Caller:
    """Return who sent a request, for a route."""
    found: Caller = request.scope["state"].get("caller", ANYBODY)
    return found


def name_of(request: Request[Any, Any, Any]) -> str:
    """Return what tells the sender of a request from others: a token, or a network."""
    host = request.client.host if request.client else ""
    return caller_of(request).id or network_of(host)


def same_origin(headers: Mapping[str, str]) -> bool:
    """Say whether a browser says that a page of ours made it send a request."""
    site = headers.get("sec-fetch-site")
    if site is not None:  # by the browser itself: no page can write it
        return site == "same-origin"
    origin, host = headers.get("origin"), headers.get("host")
    if not origin or not host:
        return False
    try:
        # The scheme is not compared: behind a proxy we do not know it.
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def cookie_in(header: str | None) -> str | None:
    """Return the token in a ``Cookie`` header, or None."""
    if header is None or COOKIE not in header:
        return None
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


def _bearer(header: str | None) -> str | None:
    """Return the token in an ``Authorization`` header; None: there is no header."""
    if header is None:
        return None
    kind, _, text = header.partition(" ")
    # Of another kind, such as Basic: no token of ours, whatever a cookie says.
    return text.strip() if kind.lower() == "bearer" else ""


def _check_page(path: str, headers: Mapping[str, str]) -> None:
    if not same_origin(headers) or not path.startswith(FORMS):
        raise _foreign()


def _foreign() -> Refused:
    return Refused(
        "forbidden",
        "With a cookie, only the forms of our own pages change anything. Open the "
        "page anew and repeat it there; programs send `Authorization: Bearer`.",
    )

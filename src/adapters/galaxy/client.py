"""BioBlend's GalaxyInstance, made safe to depend on.

Rule of the file: whatever goes wrong between us and Galaxy leaves here as one of
five things, and nothing of requests, urllib3 or BioBlend does:

* :class:`RunnerRefusedUs`: the key is bad.
* :class:`RunnerUnavailable` itself: nothing reached Galaxy, or it was a 429.
* :class:`NoAnswer`, a kind of that: the request may have reached Galaxy, but no
  answer that could be understood came back.
* :class:`Refused`: Galaxy understood, and said no in its own words.
* an answer: JSON, complete.

What BioBlend lacks: one request has one deadline, all of it included (requests'
own time-out is for each read of the socket, and a server that sends a byte a
second never meets it); connections are kept; and what must be sent at most once
goes out on a connection of its own.
"""

from __future__ import annotations

import io
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from socket import SHUT_RDWR, socket
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import requests
from attrs import define, field, frozen
from bioblend.galaxy import GalaxyInstance
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from galaxy_jobs.adapters.galaxy.translate import Unreadable, objects
from galaxy_jobs.domain.errors import (
    InvalidValue,
    RunnerRefusedUs,
    RunnerUnavailable,
)


LARGEST_ANSWER = 64 * 2**20
"""In bytes. An invocation of ten thousand jobs is answered in about 4 MB."""


WAIT = 5.0
"""Seconds to wait for a Galaxy that asks for fewer requests and not for how long."""

PAGE = 1000
"""Datasets asked for at once."""


Heard = Callable[[str, str, int | None, float], None]
"""Listens to what is asked of Galaxy."""


class NoAnswer(RunnerUnavailable):
    """The request may have reached Galaxy; what it did is not known.

    Attributes:
        status: The HTTP status that did come, or None.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.status = status


class Refused(Exception):
    """Galaxy declined (a 4xx with its own error object).

    It never crosses a port: what it means depends on what was asked.

    Attributes:
        status: The HTTP status.
        message: Galaxy's own sentence.
        code: Galaxy's own number, or None.
        asked: What was asked, and of which Galaxy.
    """

    def __init__(self, status: int, message: str, code: int | None, asked: str) -> None:
        super().__init__(f"{asked}: {message}")
        self.status = status
        self.message = message
        self.code = code
        self.asked = asked

    @property
    def is_missing(self) -> bool:
        """Whether Galaxy says that there is no such thing."""
        return self.status == HTTPStatus.NOT_FOUND

    def unexpected(self) -> NoAnswer:
        """Return it as an error of a question that Galaxy should have answered."""
        return NoAnswer(f"{self.asked} was refused: {self.message}", status=self.status)


class Client(GalaxyInstance):
    """BioBlend's GalaxyInstance, with one way out for every request.

    Args:
        url: Galaxy's address; may hold a path, and credentials for a proxy.
        key: The API key.
        timeout: The deadline of each request in seconds, all of it included
            (but looking up the host's name, which the system bounds).
        at_once: How many requests may be under way; more wait for their turn.
        heard: Told of each request: its method, its route with ``{id}`` for ids,
            the status that came or None, and the seconds it took.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float,
        at_once: int,
        heard: Heard = lambda *_: None,
    ) -> None:
        # BioBlend would ask the network for a missing scheme or key.
        self.shown_url = _shown(url)
        if not (key and key.isascii() and key.isprintable() and " " not in key):
            raise InvalidValue(
                "A Galaxy API key is a word of letters, digits and signs; the one "
                "configured is empty or holds something else. Copy it anew from "
                "Galaxy's user preferences."
            )
        super().__init__(url, key=key)
        self.timeout = timeout
        self._heard = heard
        self._turns = threading.BoundedSemaphore(at_once)
        self._own = threading.local()
        # Read once: a session that trusts the environment reads .netrc and asks
        # for proxies anew for every request.
        with requests.Session() as session:
            found = session.merge_environment_settings(url, {}, None, None, None)
        self._proxies: dict[str, str] = dict(found["proxies"])
        self._verify: bool | str = True if found["verify"] is None else found["verify"]

    def __repr__(self) -> str:
        return f"<Galaxy at {self.shown_url}>"

    def get(self, path: str, **params: Any) -> Any:
        """Return the answer to a question that BioBlend has no words for."""
        return self.make_get_request(f"{self.url}/{path}", params=params).json()

    def post(self, path: str, payload: Mapping[str, Any], **params: Any) -> Any:
        """Return the answer to a request that BioBlend has no words for."""
        url = f"{self.url}/{path}"
        return self.make_post_request(url, dict(payload), params=params)

    def datasets_in(self, history_id: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield what Galaxy shows of the datasets and collections in a history.

        Args:
            history_id: Whose.
            params: Which, and what of them (``q``, ``qv``, ``keys``).
        """
        for offset in range(0, 10**9, PAGE):
            page: list[dict[str, Any]] = objects(
                self.get(
                    "datasets",
                    history_id=history_id,
                    order="hid-asc",
                    limit=PAGE,
                    offset=offset,
                    **params,
                )
            )
            yield from page
            if len(page) < PAGE:
                return

    @contextmanager
    def asking(
        self, refused: Callable[[Refused], Exception] | None = None
    ) -> Iterator[None]:
        """Make the domain's errors of what goes wrong while asking and reading.

        Args:
            refused: What a refusal means; None where that is for the caller.
        """
        try:
            yield
        except Refused as no:
            if refused is None:
                raise
            raise refused(no) from no
        except (Unreadable, KeyError, TypeError, AttributeError, ValueError) as error:
            # The latter four: something in an answer is not what it always is.
            raise NoAnswer(
                f"Galaxy at {self.shown_url} gave an answer that could not be "
                f"understood ({error}). Its version may be one not known here."
            ) from error

    # What every client of BioBlend ends in:

    def make_get_request(self, url: str, **kwargs: Any) -> requests.Response:
        return self._send("GET", url, params=kwargs.get("params"))

    def make_post_request(
        self,
        url: str,
        payload: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        files_attached: bool = False,  # noqa: FBT001, FBT002 - BioBlend's
    ) -> Any:
        assert not files_attached, "nothing here uploads files"
        return self._send("POST", url, params=params, payload=payload).json()

    def make_put_request(
        self,
        url: str,
        payload: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
    ) -> Any:
        return self._send("PUT", url, params=params, payload=payload).json()

    def make_delete_request(
        self,
        url: str,
        payload: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
    ) -> requests.Response:
        return self._send("DELETE", url, params=params, payload=payload)

    def _send(
        self,
        method: str,
        url: str,
        params: Any = None,
        payload: dict[str, Any] | None = None,
    ) -> requests.Response:
        """Send one request and return its answer, which is JSON.

        A POST is sent once, on a connection of its own. Anything else may be
        sent twice: a kept connection can turn out to have been closed.
        """
        asked = f"{method} {urlsplit(url).path} of Galaxy at {self.shown_url}"
        request = requests.Request(
            method,
            url,
            headers={k: v for k, v in self.json_headers.items() if v is not None},
            params=params,
            data=None if payload is None else json.dumps(payload),
        )
        with self._turn(asked) as deadline:
            began, status = time.monotonic(), None
            try:
                if method == "POST":
                    with self._session() as session:
                        answer = self._exchange(session, request, asked, deadline)
                else:
                    answer = self._exchange(self._kept, request, asked, deadline)
                status = answer.status
            finally:
                route = _route(url.removeprefix(self.url))
                self._heard(method, route, status, time.monotonic() - began)
        return _understood(answer, asked)

    @contextmanager
    def _turn(self, asked: str) -> Iterator[float]:
        """Wait for a turn; give the deadline of what is done with it."""
        assert self.timeout is not None
        deadline = time.monotonic() + self.timeout
        if not self._turns.acquire(timeout=self.timeout):
            raise RunnerUnavailable(
                f"{asked} was not sent: too many other requests were under way for "
                f"{self.timeout:g} s."
            )
        try:
            yield deadline
        finally:
            self._turns.release()

    @property
    def _kept(self) -> requests.Session:
        """This thread's session, with its connection kept open."""
        try:
            session: requests.Session = self._own.session
        except AttributeError:
            session = self._own.session = self._session()
        return session

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.proxies.update(self._proxies)
        session.verify = self._verify
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(pool_connections=1, pool_maxsize=1))
        return session

    def _exchange(
        self,
        session: requests.Session,
        request: requests.Request,
        asked: str,
        deadline: float,
    ) -> _Answer:
        prepared = session.prepare_request(request)
        for again in (request.method != "POST", False):
            with _Watch(deadline) as watch:
                try:
                    return self._ask(session, prepared, watch)
                except _TooLarge:
                    raise NoAnswer(
                        f"{asked} brought more than {LARGEST_ANSWER >> 20} MiB."
                    ) from None
                except (requests.RequestException, OSError) as error:
                    if again and watch.reused and not watch.late:
                        continue
                    raise self._failure(asked, watch, error) from error
        raise AssertionError("the second attempt returns or raises")

    def _ask(
        self,
        session: requests.Session,
        request: requests.PreparedRequest,
        watch: _Watch,
    ) -> _Answer:
        settings = session.merge_environment_settings(
            request.url or "",
            {},
            True,
            None,
            None,
        )
        # A redirect is never followed: requests would take the key along.
        with session.send(
            request, timeout=watch.left, allow_redirects=False, **settings
        ) as response:
            body = bytearray()
            for chunk in response.iter_content(2**16):
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise _TooLarge
        if watch.late:
            # What was cut amid the headers looks like an answer without a body.
            raise requests.Timeout
        return _Answer(response.status_code, response.headers, bytes(body))

    def _failure(
        self, asked: str, watch: _Watch, error: Exception
    ) -> RunnerUnavailable:
        late = watch.late or isinstance(error, requests.Timeout)
        if not watch.sent:
            why = f"no connection within {self.timeout:g} s" if late else _why(error)
            return RunnerUnavailable(
                f"Galaxy at {self.shown_url} could not be reached ({why}). Check that "
                "it is up and that its address is right."
            )
        if late:
            return NoAnswer(f"{asked} was not answered within {self.timeout:g} s.")
        return NoAnswer(f"{asked} was broken off before the answer ({_why(error)}).")


class _TooLarge(Exception):
    """An answer is larger than anything that Galaxy has to say."""


@frozen
class _Answer:
    """An HTTP answer that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def response(self) -> requests.Response:
        """Return it as BioBlend wants it."""
        response = requests.Response()
        response.status_code = self.status
        response.encoding = "utf-8"
        response.headers.update(self.headers)
        response.raw = io.BytesIO(self.body)
        return response


def _understood(answer: _Answer, asked: str) -> requests.Response:
    """Return a good answer.

    Raises:
        RunnerRefusedUs, RunnerUnavailable, NoAnswer, Refused: It is none.
    """
    status = answer.status
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = _GARBAGE
    said = content.get("err_msg") if isinstance(content, dict) else None
    said = said if isinstance(said, str) and said else None
    wait = _retry_after(answer.headers.get("Retry-After"))
    match status, status // 100:
        case _, 2 if content is not _GARBAGE:
            return answer.response()
        case 401, _:
            why = (said or "HTTP 401").rstrip(".")
            raise RunnerRefusedUs(
                f"{asked} was refused ({why}). Check the configured API key."
            )
        case 429, _:
            raise RunnerUnavailable(
                f"{asked} was put off: Galaxy asks for fewer requests (429).",
                retry_after=WAIT if wait is None else wait,
            )
        case _, 4 if said is not None:
            code = content.get("err_code")
            code = code if isinstance(code, int) else None
            if code == _NOT_LOGGED_IN:
                raise RunnerRefusedUs(
                    f"{asked} was refused: {said} Does something on the way remove "
                    "the x-api-key header?"
                )
            raise Refused(status, said, code, asked)
        case _, 5:
            raise NoAnswer(
                f"{asked} failed there (HTTP {status}{': ' + said if said else ''}).",
                status=status,
                retry_after=wait,
            )
        case _, 3:
            raise NoAnswer(
                f"{asked} was answered with a redirect, which is not followed, since "
                "it would take the API key along. Configure the address that it leads "
                "to.",
                status=status,
            )
        case _:
            kind = answer.headers.get("Content-Type", "no type").partition(";")[0]
            raise NoAnswer(
                f"{asked} gave an answer that could not be understood (HTTP {status}, "
                f"{kind}, {len(answer.body)} bytes). Is that the address of a Galaxy, "
                "or of something in front of it?",
                status=status,
            )


_GARBAGE = object()
_NOT_LOGGED_IN = 403001


def _route(path: str) -> str:
    """Return a path below ``/api`` with ``{id}`` for ids: every second part is one."""
    parts = path.strip("/").split("/")
    parts[1::2] = [one if one == "current" else "{id}" for one in parts[1::2]]
    return "/".join(parts)


def _shown(url: str) -> str:
    """Return the address without credentials, as it is shown and recorded."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname)
        fine = fine and not (parts.query or parts.fragment) and url == url.strip()
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        fine = False
    if not fine:
        raise InvalidValue(
            "Galaxy's address must be an http or https address such as "
            "'https://usegalaxy.org'."
        )
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _why(error: BaseException) -> str:
    """Return the innermost cause in a few words.

    The outer ones quote whole URLs, and other people's code in brackets.
    """
    seen = {id(error)}
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException) or id(inner) in seen:
            break
        seen.add(id(inner))
        error = inner
    text = error.strerror if isinstance(error, OSError) and error.strerror else None
    return text or str(error) or type(error).__name__


def _retry_after(value: str | None) -> float | None:
    """Read the header, which is a number of seconds or a date."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        seconds = (at - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


# --- one exchange, watched ----------------------------------------------------

_watched = threading.local()
"""The watch over the exchange that this thread is in."""


@define(eq=False)
class _Watch:
    """Sees how far an exchange gets, and cuts its connection at the deadline.

    No time-out of a socket bounds a server that sends a byte now and then: only
    somebody else, who ends the connection under the reader, does.
    """

    deadline: float
    sent: bool = field(default=False, init=False)  #: a first byte, or so we must think
    reused: bool = field(default=False, init=False)  #: its connection is an old one
    late: bool = field(default=False, init=False)  #: it was cut
    _connection: HTTPConnection | None = field(default=None, init=False)
    _over: bool = field(default=False, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _timer: threading.Timer = field(init=False)

    @property
    def left(self) -> float:
        """The seconds that are left; never nothing, which would mean for ever."""
        return max(self.deadline - time.monotonic(), 0.001)

    def __enter__(self) -> Self:
        self._timer = threading.Timer(self.left, self._cut)
        self._timer.daemon = True
        self._timer.start()
        _watched.by = self
        return self

    def __exit__(self, *_: object) -> None:
        _watched.by = None
        # From here on the connection may serve another exchange.
        with self._lock:
            self._over = True
        self._timer.cancel()

    def on(self, connection: HTTPConnection) -> None:
        """Watch that connection; it is about to be used, or just being made."""
        with self._lock:
            self._connection = connection

    def _cut(self) -> None:
        with self._lock:
            if self._over:
                return
            self.late = True
            sock = self._connection.sock if self._connection else None
            if isinstance(sock, socket):
                try:
                    # Not TLS's own shutdown, which waits for the other side.
                    socket.shutdown(sock, SHUT_RDWR)
                except OSError:
                    return  # it had ended by itself


class _Seen(HTTPConnection):
    """A connection that tells the watch what becomes of it."""

    _has_served = False

    def connect(self) -> None:
        watch: _Watch = _watched.by
        watch.on(self)
        self._has_served = False
        try:
            super().connect()
        finally:
            # A tunnel through a proxy sends something; the request it is not.
            watch.sent = False

    def request(self, *args: Any, **kwargs: Any) -> None:
        watch: _Watch = _watched.by
        watch.on(self)
        watch.reused = self._has_served and self.sock is not None
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _watched.by.sent = True
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3
        response = super().getresponse()
        self._has_served = True
        return response


class _SeenTls(_Seen, HTTPSConnection):
    """The same over TLS."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Seen


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _SeenTls


class _Adapter(HTTPAdapter):
    """Requests' own way out, through connections that are watched."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _PlainPool, "https": _TlsPool}

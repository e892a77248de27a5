"""BioBlend's GalaxyInstance with deadlines and a complete set of errors.

Rule of the file: every failure between this process and Galaxy leaves here as one of
four errors, and no error of requests, urllib3 or BioBlend does:

* :class:`RunnerRefusedUs`: the key is bad.
* :class:`RunnerUnavailable` itself: nothing reached Galaxy, or it answered 429.
* :class:`NoAnswer`, a kind of that: the request may have reached Galaxy, but no
  answer that could be understood came back.
* :class:`Refused`: Galaxy understood, and declined with its own error object.

What BioBlend lacks: a request has one deadline (:mod:`.transport`); answers have
limits (:mod:`.limits`); connections are kept; and a POST, which must be sent at most
once, has a connection of its own.
"""

from __future__ import annotations

import itertools
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from bioblend.galaxy import GalaxyInstance

from galaxy_jobs.adapters.galaxy.limits import (
    MAX_ANSWER_BYTES,
    NOT_JSON,
    Call,
    TooMuch,
)
from galaxy_jobs.adapters.galaxy.translate import objects, text, whole
from galaxy_jobs.adapters.galaxy.transport import Attempt, Watchdog, WatchedAdapter
from galaxy_jobs.domain.errors import (
    InvalidValue,
    RunnerError,
    RunnerRefusedUs,
    RunnerUnavailable,
)
from galaxy_jobs.domain.model.dataset import masked


MAX_REQUESTS = 32
"""The default limit of requests under way at once."""

DEFAULT_RETRY_AFTER = 5.0
"""Seconds to wait after a 429 that does not name a time."""

PAGE_SIZE = 1000
"""Datasets in one page."""


ERROR_LIMIT = 200
"""Characters that are kept of the message of an error."""

ERROR_BODY_BYTES = 64 * 1024
"""Bytes that are read of an answer that is no file."""


RequestObserver = Callable[[str, str, int | None, float], None]
"""Called after each request: method, route with ``{id}`` for ids, status or None,
seconds."""


class NoAnswer(RunnerUnavailable):
    """The request may have reached Galaxy; what it did is not known.

    Attributes:
        status: The HTTP status that did come, or None.
        message: Galaxy's own sentence, or None.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        lasting: bool = False,
    ) -> None:
        super().__init__(detail, retry_after=retry_after, lasting=lasting)
        self.status = status
        self.message = message


class Refused(Exception):
    """Galaxy declined a request (a 4xx with its own error object).

    It never crosses a port: its meaning depends on the request.

    Attributes:
        status: The HTTP status.
        message: Galaxy's own sentence.
        code: Galaxy's own error code, or None.
        request: The request and the server, in words.
    """

    def __init__(
        self, status: int, message: str, code: int | None, request: str
    ) -> None:
        super().__init__(f"{request}: {message}")
        self.status = status
        self.message = message
        self.code = code
        self.request = request

    @property
    def is_missing(self) -> bool:
        """Whether Galaxy has no such object."""
        return self.status == HTTPStatus.NOT_FOUND

    def unexpected(self) -> NoAnswer:
        """Return the error for a request that Galaxy should have accepted."""
        return NoAnswer(
            f"{self.request} was refused: {self.message}", status=self.status
        )


class Client(GalaxyInstance):
    """BioBlend's GalaxyInstance, with one way out for every request.

    Args:
        url: Galaxy's address; may hold a path, and credentials for a proxy.
        key: The API key.
        timeout: The deadline of each request in seconds, all of it included
            (but looking up the host's name, which the system bounds).
        max_requests: Requests under way at once; more wait, up to their deadline.
        max_answer_bytes: Limit for the body of one answer.
        observer: Called after each request.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float,
        max_requests: int = MAX_REQUESTS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        observer: RequestObserver = lambda *_: None,
    ) -> None:
        # BioBlend would ask the network for a missing scheme or key.
        self.shown_url = _shown(url)
        if not (key and key.isascii() and key.isprintable() and " " not in key):
            raise InvalidValue(
                "The configured Galaxy API key is empty, or contains a space or a "
                "character outside ASCII. Copy it again from Galaxy's user preferences."
            )
        super().__init__(url, key=key)
        self.timeout = timeout
        self._max_answer_bytes = max_answer_bytes
        self._observer = observer
        self._slots = threading.BoundedSemaphore(max_requests)
        self._large = threading.Lock()
        self._watchdog = Watchdog()
        self._thread = threading.local()
        # Read once: a session that trusts the environment reads .netrc and the
        # proxies for every request.
        with requests.Session() as session:
            settings = session.merge_environment_settings(url, {}, None, None, None)
        self._proxies: dict[str, str] = dict(settings["proxies"])
        verify: bool | str | None = settings["verify"]
        self._verify = True if verify is None else verify

    def __repr__(self) -> str:
        return f"<Galaxy at {self.shown_url}>"

    def stop(self) -> None:
        """Cut off all requests, and send no more: each fails as at its deadline."""
        self._watchdog.stop()

    def get(self, path: str, **params: Any) -> Any:
        """Return the answer to a GET that BioBlend has no method for."""
        return self.make_get_request(f"{self.url}/{path}", params=params).json()

    def post(
        self,
        path: str,
        payload: Mapping[str, Any],
        *,
        time_limit: float | None = None,
        **params: Any,
    ) -> Any:
        """Return the answer to a POST that BioBlend has no method for.

        Args:
            path: Below ``/api``.
            payload: The body.
            time_limit: Seconds for the request, if not those of every request.
            params: The query.
        """
        url, body = f"{self.url}/{path}", dict(payload)
        return self._send("POST", url, params, body, time_limit).json()

    def pages(self, path: str, size: int, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield the objects of a list that Galaxy gives in pages of *size*."""
        for offset in itertools.count(0, size):
            page = objects(self.get(path, limit=size, offset=offset, **params))
            yield from page
            if len(page) < size:
                return

    def datasets_in(self, history_id: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield the datasets and collections in a history.

        Args:
            history_id: The history.
            params: The filter and the fields (``q``, ``qv``, ``keys``).
        """
        return self.pages(
            "datasets", PAGE_SIZE, history_id=history_id, order="hid-asc", **params
        )

    @contextmanager
    def call(self) -> Iterator[Call]:
        """Let everything that this thread asks in the block count as one call."""
        if (outer := getattr(self._thread, "call", None)) is not None:
            yield outer
            return
        assert self.timeout is not None
        self._thread.call = call = Call(self.timeout, self._large)
        try:
            yield call
        finally:
            self._thread.call = None
            call.end()

    @contextmanager
    def domain_errors(
        self, refused: Callable[[Refused], Exception] | None = None
    ) -> Iterator[None]:
        """Translate errors in sending requests, one call, and in reading the answers.

        Args:
            refused: Returns the error for a refusal; None lets :class:`Refused`
                through.

        Raises:
            NoAnswer: The answer is not of the expected shape.
        """
        try:
            with self.call():
                yield
        except RunnerError:
            raise
        except Refused as refusal:
            if refused is None:
                raise
            raise refused(refusal) from refusal
        except Exception as error:
            # A part of the answer is of another type, size or depth than ever.
            cause = f"{type(error).__name__}: {text(str(error), ERROR_LIMIT)}"
            raise NoAnswer(
                f"Galaxy at {self.shown_url} gave an answer that could not be "
                f"understood ({cause}). Its version may not be supported."
            ) from error

    # Every method of BioBlend ends in one of these:

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
        time_limit: float | None = None,
    ) -> requests.Response:
        """Send one request and return its answer, which is JSON.

        A POST is sent once, on a connection of its own. Anything else may be
        sent twice: a kept connection can turn out to have been closed.
        """
        name = f"{method} {urlsplit(url).path} of Galaxy at {self.shown_url}"
        request = requests.Request(
            method,
            url,
            headers=self.json_headers,
            params=params,
            data=None if payload is None else json.dumps(payload),
        )
        with self._slot(name, time_limit or self.timeout) as limit:
            began, status = time.monotonic(), None
            try:
                with self.call() as call:
                    if method == "POST":
                        with self._new_session() as session:
                            answer = self._exchange(session, request, name, limit, call)
                    else:
                        answer = self._exchange(
                            self._session, request, name, limit, call
                        )
                status = answer.status_code
            finally:
                route = _route(url.removeprefix(self.url))
                self._observer(method, route, status, time.monotonic() - began)
        _check(answer, name, url)
        return answer

    def open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: Any = None,
        deadline: float | None = None,
        **params: Any,
    ) -> Download:
        """Send a request for or with a file; return the answer before its body is read.

        It has a connection of its own, and takes no slot of other requests.

        Args:
            method: Such as ``GET``.
            path: Below ``/api``.
            headers: Beside those of every request.
            body: The file that is sent: has a length, and is iterated over.
            deadline: On the monotonic clock, if not that of every request.
            params: The query.

        Raises:
            RunnerRefusedUs, RunnerUnavailable, NoAnswer, Refused: It was not answered
                with a file.
        """
        url = f"{self.url}/{path}"
        name = f"{method} {urlsplit(url).path} of Galaxy at {self.shown_url}"
        # Bytes that a proxy has compressed are others than the size is of.
        asked = {**self.json_headers, "Accept-Encoding": "identity", **headers}
        request = requests.Request(method, url, headers=asked, params=params, data=body)
        assert self.timeout is not None
        session = self._new_session()
        began, status = time.monotonic(), None
        limit = _Limit(self.timeout, began + self.timeout)
        if deadline is not None:
            limit = _Limit(max(deadline - began, 0), deadline)
        attempt = Attempt(limit.deadline, self._watchdog)
        response: requests.Response | None = None
        try:
            try:
                with attempt:
                    response = session.send(
                        session.prepare_request(request),
                        timeout=attempt.time_left,
                        allow_redirects=False,
                    )
                    status = response.status_code
                    if status // 100 != 2:  # noqa: PLR2004 - no success
                        _check(_error(response, method), name, url)
            except (RunnerError, Refused):
                raise
            except Exception as error:
                raise self.failure(name, attempt, error, limit.seconds) from error
        except BaseException:
            if response is not None:
                response.close()
            session.close()
            raise
        finally:
            route = _route(url.removeprefix(self.url))
            self._observer(method, route, status, time.monotonic() - began)
        return Download(self, name, session, response, attempt)

    @contextmanager
    def _slot(self, name: str, seconds: float | None) -> Iterator[_Limit]:
        """Hold one of the slots for requests; yields the request's time limit."""
        assert seconds is not None
        limit = _Limit(seconds, time.monotonic() + seconds)
        if not self._slots.acquire(timeout=seconds):
            raise RunnerUnavailable(
                f"{name} was not sent: too many other requests were under way for "
                f"{seconds:g} s."
            )
        try:
            yield limit
        finally:
            self._slots.release()

    @property
    def _session(self) -> requests.Session:
        """This thread's session, with its connection kept open."""
        try:
            session: requests.Session = self._thread.session
        except AttributeError:
            session = self._thread.session = self._new_session()
        return session

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.stream = True
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.proxies.update(self._proxies)
        session.verify = self._verify
        for scheme in ("http://", "https://"):
            session.mount(scheme, WatchedAdapter(pool_connections=1, pool_maxsize=1))
        return session

    def _exchange(
        self,
        session: requests.Session,
        request: requests.Request,
        name: str,
        limit: _Limit,
        call: Call,
    ) -> _Answer:
        prepared = session.prepare_request(request)
        may_retry = request.method != "POST"
        try:
            call.begin_request()
            while True:
                attempt = Attempt(limit.deadline, self._watchdog)
                try:
                    with attempt:
                        return self._read(session, prepared, attempt, call)
                except TooMuch:
                    raise
                except Exception as error:
                    # Not only those of requests: urllib3 has others for nonsense.
                    session.close()
                    if may_retry and attempt.reused and not attempt.timed_out:
                        may_retry = False
                        continue
                    raise self.failure(name, attempt, error, limit.seconds) from error
        except TooMuch as error:
            raise NoAnswer(f"The answer to {name} {error}.") from None

    def _read(
        self,
        session: requests.Session,
        request: requests.PreparedRequest,
        attempt: Attempt,
        call: Call,
    ) -> _Answer:
        # A redirect is never followed: requests would take the key along.
        with session.send(
            request, timeout=attempt.time_left, allow_redirects=False
        ) as response:
            too_large = f"is more than {self._max_answer_bytes >> 20} MiB"
            length = response.headers.get("Content-Length", "")
            if length.isdecimal() and int(length) > self._max_answer_bytes:
                raise TooMuch(too_large)
            body = bytearray()
            for chunk in response.iter_content(2**16):
                body += chunk
                if len(body) > self._max_answer_bytes:
                    raise TooMuch(too_large)
                call.receive(len(body), attempt.time_left)
        if attempt.timed_out:
            # An answer cut within its headers looks like one without a body.
            raise requests.Timeout
        if response.status_code < HTTPStatus.OK:
            raise requests.ConnectionError(f"HTTP {response.status_code}")
        size = len(body)
        content = call.parse(body, attempt.time_left)
        return _Answer(response.status_code, response.headers, content, size)

    def failure(
        self,
        name: str,
        attempt: Attempt,
        error: Exception,
        seconds: float | None = None,
    ) -> RunnerUnavailable:
        """Return the error for a request that was not answered to its end.

        Args:
            name: The request and the server, in words.
            attempt: The last attempt.
            error: Why it failed.
            seconds: Its time limit, if not that of every request.
        """
        timed_out = attempt.timed_out or isinstance(error, requests.Timeout)
        until = f"within {self.timeout if seconds is None else seconds:.4g} s"
        if self._watchdog.is_stopped:
            until = "before the service was stopped"
        if not attempt.sent:
            cause = f"no connection {until}" if timed_out else _innermost(error)
            return RunnerUnavailable(
                f"Galaxy at {self.shown_url} could not be reached ({cause}). Check "
                "that it is up and that its address is right."
            )
        if timed_out:
            return NoAnswer(f"{name} was not answered {until}.")
        return NoAnswer(
            f"{name} was interrupted before the answer ({_innermost(error)})."
        )


class _Limit(NamedTuple):
    """The time limit of a request: its seconds, and when they are over."""

    seconds: float
    deadline: float


class _Answer(requests.Response):
    """An answer as BioBlend wants it, read to its end and parsed; its text is gone.

    Attributes:
        size: The bytes of its body.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], content: Any, size: int
    ) -> None:
        super().__init__()
        self.status_code = status
        self.headers.update(headers)
        self.size = size
        # BioBlend only looks whether there is any.
        self._content = b"-" if size else b""
        self._parsed = content

    @property
    def is_json(self) -> bool:
        return self._parsed is not NOT_JSON

    def json(self, **_: Any) -> Any:
        return self._parsed


class Download:
    """The answer to a request for a file, read part by part.

    Attributes:
        status: The HTTP status.
        headers: Those of the answer.
        name: The request and the server, in words.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        session: requests.Session,
        response: requests.Response,
        attempt: Attempt,
    ) -> None:
        self.name = name
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._client = client
        self._session = session
        self._response = response
        self._attempt = attempt

    def read(self, size: int) -> bytes:
        """Return up to so many bytes; none at the end.

        Raises:
            RunnerUnavailable: They did not come within the time-out of a request.
        """
        assert self._client.timeout is not None
        attempt = self._attempt
        attempt.deadline = time.monotonic() + self._client.timeout
        try:
            with attempt:
                chunk: bytes = self._response.raw.read(size, decode_content=False)
        except Exception as error:
            raise self._client.failure(self.name, attempt, error) from error
        if attempt.timed_out:  # what is cut may look like an end
            raise self._client.failure(self.name, attempt, TimeoutError())
        return chunk

    def close(self) -> None:
        """Close the connection, from any thread."""
        self._attempt.cut()  # under its reader, for whom the closing would wait
        self._response.close()
        self._session.close()


def _error(response: requests.Response, method: str) -> _Answer:
    """Return an answer that is no file, with its body if that is JSON."""
    body = response.raw.read(ERROR_BODY_BYTES) or b""
    if method == "HEAD":  # it has none, whatever was refused
        body = b'{"err_msg": "no reason given"}'
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = NOT_JSON
    return _Answer(response.status_code, response.headers, content, len(body))


def _check(answer: _Answer, name: str, url: str) -> None:
    """Check that an answer is a success.

    Args:
        answer: The answer.
        name: The request and the server, in words.
        url: The address that was asked.

    Raises:
        RunnerRefusedUs, RunnerUnavailable, NoAnswer, Refused: It is none.
    """
    status = answer.status_code
    error = answer.json() if isinstance(answer.json(), dict) else {}
    if message := text(error.get("err_msg")):
        message = masked(message)
    retry_after = _retry_after(answer.headers.get("Retry-After"))
    match status, status // 100:
        case _, 2 if answer.is_json:
            return
        case 401, _:
            cause = (message or "HTTP 401").rstrip(".")
            raise RunnerRefusedUs(
                f"{name} was refused ({cause}). Check the configured API key."
            )
        case 429, _:
            raise RunnerUnavailable(
                f"{name} was refused for now: too many requests (HTTP 429).",
                retry_after=DEFAULT_RETRY_AFTER if retry_after is None else retry_after,
            )
        case _, 4 if message is not None:
            code = whole(error.get("err_code"))
            if code == _NOT_LOGGED_IN:
                raise RunnerRefusedUs(
                    f"{name} was refused: {message} Does a proxy remove the x-api-key "
                    "header?"
                )
            raise Refused(status, message, code, name)
        case _, 5 if _kind(answer) == "text/html":
            # Galaxy's own failures are JSON or plain text.
            raise NoAnswer(
                f"{name} did not get to Galaxy: a proxy in front of it answered HTTP "
                f"{status} with a page. Galaxy is stopped, starting, or too slow.",
                status=status,
                retry_after=retry_after,
            )
        case _, 5:
            detail = f": {message}" if message else ""
            raise NoAnswer(
                f"{name} failed in Galaxy (HTTP {status}{detail}).",
                status=status,
                message=message,
                retry_after=retry_after,
            )
        case _, 3:
            target, advice = _redirect(url, answer.headers.get("Location", ""))
            raise NoAnswer(
                f"{name} was answered with a redirect (HTTP {status}) to {target}, "
                "which is not followed, since it would take the API key along. "
                f"{advice}",
                status=status,
                lasting=True,
            )
        case _:
            raise NoAnswer(
                f"{name} gave an answer that could not be understood (HTTP {status}, "
                f"{_kind(answer)}, {answer.size} bytes). Is that the address of a "
                "Galaxy, or of something in front of it?",
                status=status,
            )


_NOT_LOGGED_IN = 403001


def _kind(answer: _Answer) -> str:
    kind: str = answer.headers.get("Content-Type", "no type")
    return kind.partition(";")[0].strip()[:80]


def _redirect(url: str, location: str) -> tuple[str, str]:
    """Return where a redirect leads, without secrets, and what to correct.

    Args:
        url: The address that was asked.
        location: The redirect's header.
    """
    parts = urlsplit(urljoin(url, location))
    host = parts.netloc.rpartition("@")[2]
    target = urlunsplit((parts.scheme, host, parts.path, "", ""))
    path = url[url.rindex("/api/") :]
    if target.rstrip("/") == url.rstrip("/"):
        advice = "Have the proxy in front of Galaxy pass paths unchanged."
    elif target.endswith(path):
        base = text(target.removesuffix(path), ERROR_LIMIT)
        advice = f"Configure Galaxy's address as {base}"
    else:
        advice = (
            "That is no part of Galaxy's API. If it is a page to sign in, have the "
            "proxy let requests with a key pass, or configure an address behind it."
        )
    return text(target, ERROR_LIMIT) or "no address", advice


def _route(path: str) -> str:
    """Return a path below ``/api`` with ``{id}`` for ids: every second part is one."""
    parts = path.strip("/").split("/")
    parts[1::2] = [part if part == "current" else "{id}" for part in parts[1::2]]
    return "/".join(parts)


def _shown(url: str) -> str:
    """Return the address without credentials, as it is shown and recorded."""
    try:
        parts = urlsplit(url)
        is_valid = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and not (parts.query or parts.fragment)
            and url == url.strip()
        )
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidValue(
            "Galaxy's address must be an http or https address such as "
            "'https://usegalaxy.org'."
        )
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _innermost(error: BaseException) -> str:
    """Return the innermost cause in a few words.

    The outer ones quote whole URLs and objects of urllib3.
    """
    seen = {id(error)}
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException) or id(inner) in seen:
            break
        seen.add(id(inner))
        error = inner
    words = error.strerror if isinstance(error, OSError) and error.strerror else None
    return text(words or str(error), ERROR_LIMIT) or type(error).__name__


def _retry_after(value: str | None) -> float | None:
    """Read the header, which is a number of seconds or a date."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        at = date(value)
        return None if at is None else (at - datetime.now(UTC)).total_seconds()
    return seconds if math.isfinite(seconds) else None


def date(value: str) -> datetime | None:
    """Read a date in a header; None if it is none, or further than a year can be."""
    try:
        at = parsedate_to_datetime(value)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None

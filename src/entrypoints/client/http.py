"""The HTTP API as the client commands see it.

Rule of the file: every failure leaves it as :class:`Refused` (the service answered
with a problem), :class:`Usage` (an empty name, a key that no header can hold) or
:class:`Unreachable` (anything else). Commands import it when they need it: ``--help``
starts without urllib3.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from http import HTTPStatus
from ssl import SSLCertVerificationError
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urlencode, urlsplit

from attrs import define, field, frozen
from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, exceptions
from urllib3.util import Retry, make_headers

from galaxy_jobs.entrypoints.client.errors import Refused, Unreachable, Usage
from galaxy_jobs.entrypoints.environment import Service


MAX_BODY = 64 * 2**20  # bytes of an answer
JSON = "application/json"
NOT_OURS = "no galaxy-jobs is there"

NEVER_SENT = (
    exceptions.ConnectTimeoutError,
    exceptions.LocationValueError,
    exceptions.ProxyError,
    SSLCertVerificationError,
)
"""Failures from before a request is sent."""


@frozen
class Answer:
    """An answer of the service: the JSON in its body, and its headers."""

    data: Any
    headers: Mapping[str, str]  #: names in any case

    @property
    def is_replayed(self) -> bool:
        """Whether the same request was answered before."""
        return "Idempotent-Replayed" in self.headers


@define
class Api:
    """Sends requests to the service."""

    service: Service
    timeout: float = field(default=60.0, kw_only=True)  #: seconds without an answer

    @cached_property
    def _connections(self) -> PoolManager:
        """The connections to the service."""
        return connections_to(self.service.url)

    def get(self, *parts: str, **query: object) -> Answer:
        """Return the resource whose path has these parts.

        In the query, None and empty lists are left out; a list repeats its name.
        """
        return self.request("GET", _target(parts, query))

    def post(
        self,
        *parts: str,
        body: object = None,
        key: str | None = None,
        **query: object,
    ) -> Answer:
        """Send a JSON body, if any, to a resource, with an idempotency key, if any."""
        return self.request("POST", _target(parts, query), body, key)

    def change(self, *parts: str, body: object) -> Answer:
        """Send changes to a resource, as a JSON merge patch."""
        return self.request("PATCH", _target(parts, {}), body)

    def remove(self, *parts: str) -> Answer:
        """Remove a resource."""
        return self.request("DELETE", _target(parts, {}))

    def request(
        self, method: str, target: str, body: object = None, key: str | None = None
    ) -> Answer:
        """Send one request, and return its answer."""
        headers = {"Accept": JSON}
        if body is not None:
            headers["Content-Type"] = JSON
        if key is not None:
            headers["Idempotency-Key"] = key
        encoded = None if body is None else json.dumps(body).encode()
        with self._opened(method, target, headers, encoded) as response:
            content = response.read(MAX_BODY)
        if response.status == HTTPStatus.NO_CONTENT:
            return Answer(None, response.headers)
        kind = response.headers.get("Content-Type", "no media type")
        if kind.partition(";")[0].strip().lower() != JSON:
            raise self._unreachable(f"it answers with {kind}: {NOT_OURS}")
        try:
            return Answer(json.loads(content), response.headers)
        except ValueError:
            raise self._unreachable("its answer is no JSON") from None

    @contextmanager
    def stream(
        self, method: str, *parts: str, **headers: str
    ) -> Iterator[BaseHTTPResponse]:
        """Send a request for a file, with more headers; yield its answer, unread."""
        with self._opened(method, _target(parts, {}), headers) as response:
            yield response

    @contextmanager
    def _opened(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Iterator[BaseHTTPResponse]:
        headers = {"User-Agent": "galaxy-jobs", **headers}
        if self.service.token is not None:
            headers["Authorization"] = f"Bearer {self.service.token}"
        try:
            with self._connections.request(
                method,
                self.service.url + target,
                body=body,
                headers=headers,
                timeout=self.timeout,
                # Nor are redirects followed: the token would go with them.
                retries=False,
                preload_content=False,
            ) as response:
                if response.status >= 300:  # noqa: PLR2004 - not a success
                    self._refuse(response, response.read(MAX_BODY))
                yield response
        except exceptions.HTTPError as error:
            sent = not any(isinstance(e, NEVER_SENT) for e in (error, *error.args))
            raise self._unreachable(_reason(error), sent=sent) from error
        except UnicodeEncodeError as error:
            raise Usage(f"{error.object!r} cannot be sent as a header.") from None

    def _refuse(self, response: BaseHTTPResponse, body: bytes) -> NoReturn:
        retry_after = None
        with suppress(exceptions.InvalidHeader, ValueError, OverflowError):
            retry_after = Retry().get_retry_after(response)
        with suppress(ValueError):
            problem = json.loads(body)
            if isinstance(problem, dict) and "type" in problem:
                raise Refused(problem, retry_after)
        location = response.headers.get("Location")
        raise self._unreachable(
            f"it answers with {response.status} {response.reason}"
            + (f" and points to {location}" if location else "")
            + f": {NOT_OURS}"
        )

    def _unreachable(self, reason: str, *, sent: bool = True) -> Unreachable:
        return Unreachable(
            f"No answer from galaxy-jobs at {self.service.url}: {reason}.",
            "Start it with `galaxy-jobs serve`, or set GALAXY_JOBS_URL to where it "
            "runs.",
            sent=sent,
        )


def connections_to(url: str, *, at_once: int = 1) -> PoolManager:
    """Return connections to a host, through the proxy configured for it, if any.

    Args:
        url: An address there.
        at_once: The number of connections that are kept open.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return PoolManager(maxsize=at_once)
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow

    host = urlsplit(url)
    proxy = getproxies().get(host.scheme)
    if proxy is None or proxy_bypass(host.netloc):
        return PoolManager(maxsize=at_once)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    credentials = urlsplit(proxy).netloc.rpartition("@")[0]
    headers = make_headers(proxy_basic_auth=unquote(credentials) or None)
    return ProxyManager(proxy, proxy_headers=headers, maxsize=at_once)


def _target(parts: tuple[str, ...], query: Mapping[str, object]) -> str:
    if not all(parts):  # the path would be that of something else
        raise Usage("A name or an id is empty.")
    # Arguments that are not UTF-8 are sent as the bytes that they are.
    path = "".join(f"/{quote(part, '', errors='surrogateescape')}" for part in parts)
    given = {name: value for name, value in query.items() if value not in (None, ())}
    encoded = urlencode(given, doseq=True, errors="surrogateescape")
    return f"{path}?{encoded}" if given else path


def _reason(error: BaseException) -> str:
    """Return why there was no answer, in words."""
    causes = [error.__cause__, *error.args]
    cause = next((arg for arg in causes if isinstance(arg, Exception)), None)
    match error, cause:
        case exceptions.NameResolutionError(), _:
            return "there is no host of that name"
        case exceptions.ProxyError(), Exception():
            return f"no connection to its proxy ({_reason(cause)})"
        case _, OSError(strerror=str(text)):
            return text[:1].lower() + text[1:]
        case exceptions.TimeoutError(), _:
            return "it took too long"
        case exceptions.ProtocolError(), _:
            return "the connection was closed, or its answer is no HTTP"
        case _:
            return str(error)

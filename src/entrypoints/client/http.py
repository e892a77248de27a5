"""The HTTP API as the client commands see it.

Rule of the file: whatever goes wrong leaves it as :class:`Refused` (the service
said no) or :class:`Unreachable` (anything else). It is the standard library's
client, because importing any other takes longer than all else that a command
does before it asks.
"""

from __future__ import annotations

import http.client
import json
import math
import socket
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from attrs import define, field, frozen

from galaxy_jobs.entrypoints.client.errors import Refused, Unreachable
from galaxy_jobs.entrypoints.environment import Service


LIMIT = 60.0
"""Seconds in which an answer must come."""

LARGEST = 64 * 2**20
"""Bytes that an answer may have."""

JSON = frozenset({"application/json", "application/problem+json"})


@frozen
class Answer:
    """What the service said.

    Attributes:
        body: As it came.
        said: The same, read.
        headers: Of the answer; their names in any case.
    """

    body: bytes
    said: Any
    headers: Message


class _NotFollowed(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the token would go wherever it leads."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@define
class Api:
    """Asks the service."""

    service: Service
    _opener: urllib.request.OpenerDirector = field(
        factory=lambda: urllib.request.build_opener(_NotFollowed), init=False
    )

    def get(self, path: str, **query: object) -> Answer:
        """Ask for what is at *path*; what is None in the query is left out.

        Raises:
            Refused, Unreachable: See the module.
        """
        return self.ask("GET", path + as_query(query))

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return the answer, which is JSON.

        Raises:
            Refused, Unreachable: See the module.
        """
        sent = {"Accept": "application/json", **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        with self._open(method, path, data, sent, LIMIT) as response:
            self._check_type(response, JSON)
            said = response.read(LARGEST)
            try:
                return Answer(said, json.loads(said), response.headers)
            except ValueError:
                raise self._no_answer("its answer is no JSON") from None

    @contextmanager
    def stream(
        self, path: str, silence: float, **query: object
    ) -> Iterator[http.client.HTTPResponse]:
        """Give the lines of a stream of events as they come.

        Args:
            path: Where it is.
            silence: How many seconds may pass without one.
            query: As for :meth:`get`.

        Raises:
            Refused, Unreachable: See the module; also while it is read.
        """
        headers = {"Accept": "text/event-stream"}
        with self._open(
            "GET", path + as_query(query), None, headers, silence
        ) as response:
            self._check_type(response, {"text/event-stream"})
            yield response

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str],
        limit: float,
    ) -> Iterator[http.client.HTTPResponse]:
        request = urllib.request.Request(  # noqa: S310 - http and https alone, checked
            self.service.url + path,
            data=data,
            method=method,
            headers={"User-Agent": "galaxy-jobs", **headers},
        )
        if self.service.token is not None:
            # Not sent on to a proxy that is asked to make a tunnel.
            request.add_unredirected_header(
                "Authorization", f"Bearer {self.service.token}"
            )
        try:
            with self._opener.open(request, timeout=limit) as response:
                yield response
        except urllib.error.HTTPError as error:
            with error:
                self._refuse(error, error.read(LARGEST))
        except urllib.error.URLError as error:
            # Connecting failed, or sending did: only the former is certain.
            reason = error.reason
            arrived = isinstance(reason, BrokenPipeError | ConnectionResetError)
            raise self._no_answer(_said(reason), arrived=arrived) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(_said(error)) from error

    def _check_type(
        self,
        response: http.client.HTTPResponse,
        wanted: Collection[str],
    ) -> None:
        kind = response.headers.get_content_type()
        if kind not in wanted:
            raise self._no_answer(f"it answers with {kind}: no galaxy-jobs is there")

    def _refuse(self, error: urllib.error.HTTPError, body: bytes) -> NoReturn:
        headers: Message = error.headers
        try:
            problem = json.loads(body)
            fine = isinstance(problem, dict) and "type" in problem
        except ValueError:
            fine = False
        if not fine:
            where = headers.get("Location")
            raise self._no_answer(
                f"it answers with {error.code} {error.reason}"
                + (f" and points to {where}" if where else "")
                + ": no galaxy-jobs is there"
            ) from None
        raise Refused(problem, body, _seconds(headers.get("Retry-After"))) from None

    def _no_answer(self, why: str, *, arrived: bool = True) -> Unreachable:
        return Unreachable(
            f"No answer from galaxy-jobs at {self.service.url}: {why}.",
            "Start it with `galaxy-jobs serve`, or set GALAXY_JOBS_URL to where it "
            "runs.",
            arrived=arrived,
        )


def path(*parts: str) -> str:
    """Return an address of the API; what a part holds is never taken for a slash."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def as_query(query: Mapping[str, object]) -> str:
    """Return the query of an address, or nothing; a list repeats its name."""
    given = {name: value for name, value in query.items() if value not in (None, ())}
    return f"?{urlencode(given, doseq=True)}" if given else ""


def _seconds(said: str | None) -> float | None:
    try:
        seconds = float(said or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _said(error: object) -> str:
    match error:
        case TimeoutError():
            return "it took too long"
        case socket.gaierror():
            return "there is no host of that name"
        case http.client.RemoteDisconnected():
            return "the connection was closed"
        case http.client.HTTPException():
            return "its answer broke off, or is no HTTP"
        case OSError(strerror=str(reason)):
            return reason[:1].lower() + reason[1:]
        case _:
            return str(error)

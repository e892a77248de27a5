"""Events sent over HTTP, to addresses that were checked.

Rule of the file: a name is resolved once for a connection, all of its addresses are
checked, and the connection is made to one of these: no library resolves it again. The
certificate has to be that of the name. Redirects are not followed, there is no proxy,
and each attempt has one deadline, whatever the receiver does.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from attrs import define, field, frozen

from galaxy_jobs.domain.errors import ReceiverNotAllowed, ReceiverUnavailable
from galaxy_jobs.domain.model.webhook import ANSWER_SIZE, TRY_TIMEOUT, WebhookPolicy
from galaxy_jobs.domain.ports import EventSender
from galaxy_jobs.domain.ports.webhooks import SendEvent


Resolve: TypeAlias = Callable[[str, int], Sequence[Any]]

HTTPS_PORT, HTTP_PORT = 443, 80


def addresses(host: str, port: int) -> Sequence[Any]:
    """Return the addresses of a host, as :func:`socket.getaddrinfo` does."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


@frozen
class HttpEventSender(EventSender):
    """Sends events in POST requests.

    Attributes:
        policy: The addresses that are allowed.
        resolve: Returns the addresses of a host and port.
        context: Verifies certificates.
        timeout: Seconds of an attempt.
    """

    policy: WebhookPolicy = field(factory=WebhookPolicy)
    resolve: Resolve = addresses
    context: ssl.SSLContext = field(factory=ssl.create_default_context, repr=False)
    timeout: float = TRY_TIMEOUT.total_seconds()

    def check(self, url: str) -> None:
        self.policy.check(url)
        with suppress(ReceiverUnavailable):
            self._addresses(urlsplit(url), _Deadline(self.timeout))

    @contextmanager
    def session(self, url: str) -> Iterator[SendEvent]:
        target = urlsplit(url)
        path = target.path or "/"
        if target.query:
            path = f"{path}?{target.query}"
        line: _Line | None = None

        def send(body: bytes, headers: Mapping[str, str]) -> int:
            nonlocal line
            deadline = _Deadline(self.timeout)
            try:
                if line is not None and line.is_open:
                    with suppress(ConnectionError):  # closed by the receiver meanwhile
                        return line.post(path, body, headers, deadline)
                self.policy.check(url)
                line = self._connect(target, deadline)
                return line.post(path, body, headers, deadline)
            except TimeoutError:
                problem = f"There was no answer within {self.timeout:g} s."
            except ssl.SSLError as error:
                problem = f"The TLS connection failed: {error.reason or 'it broke'}."
            except HTTPException:
                problem = "The answer is not HTTP, or its head is too large."
            except OSError as error:
                problem = f"The connection failed: {error.strerror or 'it broke'}."
            if line is not None:
                line.close()
            raise ReceiverUnavailable(problem)

        try:
            yield send
        finally:
            if line is not None:
                line.close()

    def _connect(self, target: SplitResult, deadline: _Deadline) -> _Line:
        host = target.hostname or ""
        problem: OSError = ConnectionError()
        for family, kind, protocol, _, address in self._addresses(target, deadline):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(deadline.left())
                connection.connect(address)
                # Small requests, one after the other.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if target.scheme == "https":
                    connection = self.context.wrap_socket(
                        connection, server_hostname=host
                    )
            except OSError as error:
                problem = error
                connection.close()
            else:
                default = HTTPS_PORT if target.scheme == "https" else HTTP_PORT
                http = HTTPConnection(host, target.port or default)
                http.default_port = default
                return _Line(connection, http, deadline)
        raise problem

    def _addresses(self, target: SplitResult, deadline: _Deadline) -> Sequence[Any]:
        """Return the addresses of a receiver, all of them allowed.

        Raises:
            ReceiverNotAllowed: One is not allowed.
            ReceiverUnavailable: There are none.
            TimeoutError: The look-up takes too long.
        """
        host = target.hostname or ""
        port = target.port or (HTTPS_PORT if target.scheme == "https" else HTTP_PORT)
        found: list[Any] = []
        problem = ReceiverUnavailable(f"The name {host!r} cannot be resolved.")

        def look_up() -> None:
            with suppress(OSError, UnicodeError):
                found.extend(self.resolve(host, port))

        # A look-up cannot be given a time limit.
        thread = threading.Thread(target=look_up, daemon=True, name="resolver")
        thread.start()
        thread.join(deadline.left())
        if not found:
            raise problem
        for *_, address in found:
            if not self.policy.allows(address[0]):
                raise ReceiverNotAllowed(
                    f"{host!r} resolves to an address that is not public."
                )
        return found


@define
class _Deadline:
    """The end of an attempt, on the monotonic clock."""

    seconds: float
    _at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._at = time.monotonic() + self.seconds

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: There are none.
        """
        if (left := self._at - time.monotonic()) <= 0:
            raise TimeoutError
        return left


@define(eq=False)
class _Line:
    """A connection to a receiver: what `http.client` takes for a socket.

    Attributes:
        deadline: The end of the attempt that it is used for.
        unread: The bytes that may still be read of the answer.
    """

    connection: socket.socket
    http: HTTPConnection
    deadline: _Deadline
    unread: int = ANSWER_SIZE
    is_open: bool = True

    def post(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadline: _Deadline,
    ) -> int:
        """Send a request and return the status of the answer."""
        self.deadline, self.unread = deadline, ANSWER_SIZE
        # It must not connect by itself, to an address that is not checked.
        self.http.auto_open = 0
        self.http.sock = self
        try:
            self.http.request("POST", path, body, dict(headers))
            response = self.http.getresponse()
        except BaseException:
            self.close()
            raise
        try:
            response.read()
        except (OSError, HTTPException):
            self.close()  # the status is all that matters
        if response.will_close:
            self.close()
        return response.status

    def sendall(self, data: bytes) -> None:
        """Send all of it before the deadline."""
        self.connection.settimeout(self.deadline.left())
        self.connection.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a stream of what is received."""
        return io.BufferedReader(_Received(self))

    def close(self) -> None:
        """Close the connection."""
        self.is_open = False
        self.connection.close()


class _Received(io.RawIOBase):
    """What is received on a line, bounded in time and size."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        line = self._line
        if not line.unread:
            raise HTTPException
        line.connection.settimeout(line.deadline.left())
        count = line.connection.recv_into(buffer, min(len(buffer), line.unread))
        line.unread -= count
        return count

"""A proxy in front of Galaxy that can hold, drop or delay what passes through it.

It stands between the service and the real server, so that a test can stop time
at the moments that matter: before Galaxy has a request, and after Galaxy has
done it but before anybody knows.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

from attrs import define, field, frozen


HTML, JSON = {"Content-Type": "text/html"}, {"Content-Type": "application/json"}

Stage = Literal["before", "after"]
"""Before Galaxy has the request; after Galaxy has answered it."""


HOP_HEADERS = {"host", "connection"}
"""Headers that each server is sent its own ones of."""


class Fate(Enum):
    """What becomes of what passes."""

    PASS = "pass"
    DROP = "drop"  #: the connection is closed without an answer
    ERROR = "error"  #: a 502, as from a proxy whose server went away
    BUSY = "busy"  #: a 429, as from a server that is asked too much
    ABSENT = "absent"  #: a 404, as from a Galaxy that has no such thing


@frozen
class Passing:
    """One request at one stage.

    Attributes:
        method: Such as ``POST``.
        path: With its query.
        stage: Where it is.
        status: Galaxy's answer; None before there is one.
        body: Galaxy's answer, as bytes.
    """

    method: str
    path: str
    stage: Stage
    status: int | None = None
    body: bytes = b""


@define(eq=False)
class Gate:
    """Holds the first request that comes to it until it is told its fate.

    Attributes:
        skip: How many it lets pass before.
    """

    method: str
    pattern: re.Pattern[str]
    stage: Stage
    skip: int = 0
    reached: threading.Event = field(factory=threading.Event, init=False)
    passing: Passing | None = field(default=None, init=False)
    _fate: Fate = field(default=Fate.PASS, init=False)
    _open: threading.Event = field(factory=threading.Event, init=False)

    def wait(self, timeout: float = 60) -> Passing:
        """Wait until a request is held here, and return it."""
        assert self.reached.wait(timeout), f"nothing came to {self.pattern.pattern}"
        assert self.passing is not None
        return self.passing

    def release(self, fate: Fate = Fate.PASS) -> None:
        """Let it go on, or not."""
        self._fate = fate
        self._open.set()

    def hold(self, passing: Passing, stop: threading.Event) -> Fate:
        self.passing = passing
        self.reached.set()
        while not self._open.wait(0.05):
            if stop.is_set():
                return Fate.DROP
        return self._fate

    def fits(self, passing: Passing) -> bool:
        fits = (
            not self.reached.is_set()
            and passing.stage == self.stage
            and passing.method == self.method
            and self.pattern.search(passing.path) is not None
        )
        if fits and self.skip:
            self.skip -= 1
            return False
        return fits


class _Server(ThreadingHTTPServer):
    """Takes what comes, also from those who are killed at it."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Be silent."""


@define(eq=False, repr=False)
class Proxy:
    """Passes requests on to Galaxy, or to another server.

    Attributes:
        upstream: Its address.
        keeps_host: Whether the server is told at which address it was asked.
        whim: Asked for the fate of whatever no gate holds; may sleep to delay it.
        seen: Everything that passed, in order.
    """

    upstream: str
    whim: Callable[[Passing], Fate] = field(default=lambda _: Fate.PASS)
    keeps_host: bool = False
    seen: list[Passing] = field(factory=list, init=False)
    _gates: list[Gate] = field(factory=list, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _stop: threading.Event = field(factory=threading.Event, init=False)
    url: str = field(default="", init=False)

    def gate(self, method: str, pattern: str, stage: Stage, skip: int = 0) -> Gate:
        """Hold the next request like this, or one after it."""
        gate = Gate(method, re.compile(pattern), stage, skip)
        with self._lock:
            self._gates.append(gate)
        return gate

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Listen on a free port until the block ends."""
        server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            server.shutdown()
            server.server_close()
            thread.join(10)

    def fate(self, passing: Passing) -> Fate:
        with self._lock:
            self.seen.append(passing)
            gate = next((one for one in self._gates if one.fits(passing)), None)
            if gate is not None:
                self._gates.remove(gate)
        if gate is not None:
            return gate.hold(passing, self._stop)
        return self.whim(passing)

    def _handler(self) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one class
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 120

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Be silent: a test says what it sees."""

            def _pass(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                before = Passing(self.command, self.path, "before")
                if self._ended(proxy.fate(before)):
                    return
                try:
                    status, headers, answer = self._ask(body)
                except OSError:  # Galaxy is not there
                    self._ended(Fate.ERROR)
                    return
                after = Passing(self.command, self.path, "after", status, answer)
                if self._ended(proxy.fate(after)):
                    return
                self._answer(status, answer, headers)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _pass  # noqa: N815

            def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
                target = urlsplit(proxy.upstream)
                connection = http.client.HTTPConnection(
                    str(target.hostname), target.port, timeout=120
                )
                try:
                    dropped = {"connection"} if proxy.keeps_host else HOP_HEADERS
                    kept = {
                        name: text
                        for name, text in self.headers.items()
                        if name.lower() not in dropped
                    }
                    connection.request(self.command, self.path, body or None, kept)
                    response = connection.getresponse()
                    headers = {
                        name: text
                        for name in ("Content-Type", "Location")
                        if (text := response.getheader(name)) is not None
                    }
                    return response.status, headers, response.read()
                finally:
                    connection.close()

            def _ended(self, fate: Fate) -> bool:
                if fate is Fate.DROP:
                    self.close_connection = True
                    return True
                if fate is Fate.ERROR:
                    self._answer(502, b"<html>Bad Gateway</html>")
                    return True
                if fate is Fate.BUSY:
                    self._answer(429, b"<html>Slow down</html>")
                    return True
                if fate is Fate.ABSENT:
                    self._answer(404, b'{"err_msg": "not here"}', JSON)
                    return True
                return False

            def _answer(
                self, status: int, body: bytes, headers: Mapping[str, str] = HTML
            ) -> None:
                try:
                    self.send_response(status)
                    for name, text in headers.items():
                        self.send_header(name, text)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # whoever asked was killed
                    self.close_connection = True

        return Handler


def delayed(seconds: float) -> Callable[[Passing], Fate]:
    """Return a whim that lets everything pass, late."""

    def whim(_: Passing) -> Fate:
        time.sleep(seconds)
        return Fate.PASS

    return whim

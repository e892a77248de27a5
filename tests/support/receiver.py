"""A receiver of events over HTTP, which can behave in any way."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field, frozen
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook as Verifier


@frozen
class Received:
    """A request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, *secrets: str) -> dict[str, Any]:
        """Return its body, once each of the secrets has verified it.

        The package `standardwebhooks` verifies the signature, and `cloudevents` reads
        the event.
        """
        for secret in secrets:
            Verifier(secret).verify(self.body, self.headers)
        event = from_http_event(HTTPMessage(dict(self.headers), self.body))
        attributes = event.get_attributes()
        assert attributes["id"] == self.headers["webhook-id"]
        assert attributes["specversion"] == "1.0"
        read: dict[str, Any] = json.loads(self.body)
        assert event.get_data() == read["data"]
        assert attributes["type"] == read["type"]
        return read


@define
class Receiver:
    """A server that notes what it gets.

    Attributes:
        answer: Is called with the server's handler to answer; None: 204.
    """

    answer: Callable[[Any], object] | None = None
    received: list[Received] = field(factory=list)
    connections: int = 0
    url: str = ""


@contextmanager
def receiver(answer: Callable[[Any], object] | None = None) -> Iterator[Receiver]:
    """Run a receiver on a free port of this machine."""
    noted = Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            noted.connections += 1
            super().setup()

        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            body = self.rfile.read(size)
            if len(body) < size:  # its sender was killed: it has received nothing
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            noted.received.append(Received(self.path, headers, body))
            if noted.answer is not None:
                noted.answer(self)
                return
            self.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")

        def log_message(self, *_: object) -> None: ...

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        noted.url = f"http://127.0.0.1:{server.server_port}/events?a=b"
        try:
            yield noted
        finally:
            server.shutdown()


def raw(text: str, *, close: bool = False) -> Callable[[Any], None]:
    """Return an answer that consists of these characters."""

    def answer(handler: Any) -> None:
        handler.wfile.write(text.encode())
        handler.wfile.flush()
        if close:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)

    return answer

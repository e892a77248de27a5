"""The server: one process that listens until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


GRACE = 30
"""For how many seconds a client is still answered once the server is told to stop.
Who waits longer is cut off. The work itself is finished all the same, so that what
was begun on Galaxy is recorded: each request to Galaxy has a limit of its own."""

HEAD_LIMIT = 64 * 1024
"""How many bytes a request's line and headers may have."""

HEAD_TIMEOUT = 30.0
"""How many seconds they may take to arrive, byte for byte; a connection that takes
longer holds its place for nothing, and is closed."""


STALL_TIMEOUT = 20.0
"""For how many seconds a client may take in nothing of what it is sent; it would be
remembered for it, and be waited for at the end."""


class CannotListen(Exception):
    """The address cannot be had; the message is one line for people."""


class _Protocol(HttpToolsProtocol):
    """Uvicorn's, that takes heads only so large, and waits for clients only so long."""

    _late: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _head: int | None = None
    """How many bytes of a head have come; None: there is none under way."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await()

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > HEAD_LIMIT:
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        self._await()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes behind a body in pieces is passed over (RFC 9110, 6.5.1).
        if self._head is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head = None
        self._let_be()  # the head is there; the edge sees to the body
        size = len(self.url) + sum(len(name) + len(said) for name, said in self.headers)
        if size > HEAD_LIMIT:
            raise ValueError  # the parser passes it on, and 400 is the answer
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        more = bool(self.pipeline)  # the next one's head is there already
        super().on_response_complete()
        if not more and not self.transport.is_closing():
            self._await()

    def pause_writing(self) -> None:
        super().pause_writing()
        abort = self.transport.abort
        self._stalled = self.loop.call_later(STALL_TIMEOUT, abort)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._let_be()
        if self._stalled is not None:
            self._stalled.cancel()
        super().connection_lost(exc)

    def _await(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_TIMEOUT, self.transport.close)

    def _let_be(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Server(uvicorn.Server):
    """Uvicorn, that tells when it listens and when it is about to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], object],
        stop: Callable[[], object],
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stop()
        await super().shutdown(sockets)


def run_server(
    app: Litestar,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str], object] = lambda _: None,
    on_stop: Callable[[], object] = lambda: None,
    grace: int = GRACE,
) -> int:
    """Serve until SIGTERM or SIGINT.

    What runs then is finished, and nothing new is taken.

    Args:
        app: The service.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        on_ready: Called with the real address once requests are answered.
        on_stop: Called in the event loop when it is told to stop, before it waits for
            what runs: to end what would run on for ever.
        grace: For how many seconds clients are still answered then.

    Returns:
        0 once stopped; 1 where the address could not be had, or the service did
        not start, after a line that says so.
    """
    try:
        listening = listen(host, port)
    except CannotListen as error:
        print(f"galaxy-jobs: {error}", file=sys.stderr)
        return 1
    url = _url(host, listening.getsockname()[1])
    config = uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # A proxy's word about the client is not needed, and could be forged.
        proxy_headers=False,
        ws="none",
        http=_Protocol,
        timeout_graceful_shutdown=grace,
        timeout_keep_alive=30,
    )
    server = _Server(config, lambda: on_ready(url), on_stop)
    with listening, _signals_survived(), suppress(SystemExit):
        server.run([listening])
    return 0 if server.started else 1


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        CannotListen: It cannot be had.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listening = socket.socket(family, kind, proto)
    except OSError as error:
        raise CannotListen(f"{host!r} is no address: {error.strerror}.") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise CannotListen(
            f"cannot listen on {_url(host, port)}: {error.strerror}. Is another one "
            "running there? Choose another --port, or 0 for a free one."
        ) from None
    listening.setblocking(False)
    return listening


@contextmanager
def _signals_survived() -> Iterator[None]:
    """Outlive the signal that ends the server, so that its owner can tidy up.

    Uvicorn raises it again once it has stopped.
    """

    def ignored(_signal: int, _frame: FrameType | None) -> None:
        return

    before: dict[signal.Signals, Any] = {}
    with suppress(ValueError):  # not in the main thread: uvicorn does nothing then
        for one in (signal.SIGTERM, signal.SIGINT):
            before[one] = signal.signal(one, ignored)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

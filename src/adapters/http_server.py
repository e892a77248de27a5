"""The HTTP server: uvicorn with limits on what a connection may cost.

Slow, silent and endless requests are cut off, queues of requests are bounded, and a
client that reads nothing is given up; see :class:`Connection`. Where connections run
short, those that wait for their clients are closed, the longest waiting first.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState


CLIENT_TIMEOUT = 30
"""Seconds a client may take to send a request, or each step of a long body, to begin
the next one, and to accept any part of an answer."""

BODY_STEP = 256 * 1024
"""Bytes of a body after which the client has as much time again."""

HEAD_LIMIT = 64 * 1024
"""Bytes of a request's target, headers and trailers; each header counts 32 more."""

HEADER_OVERHEAD = 32

QUEUE_LIMIT = 8
"""Requests of one connection that may wait for the answer to an earlier one."""

PARTS_LIMIT = 10_000
"""Chunks and packets that a body may arrive in, without one for every
:data:`PART_SIZE` bytes. Those of a byte each would keep all other clients waiting: a
mebibyte of them for seconds."""

PART_SIZE = 512
"""Bytes of a chunk or packet of a long body on average, at least."""

RECEIVE_BUFFER = 64 * 1024
"""Bytes of a connection that the kernel keeps, and that are parsed without a pause."""


MAX_DESCRIPTORS = 65_536
"""The soft limit of descriptors that is set, if the hard one allows."""

OTHER_DESCRIPTORS = 128
"""Descriptors for all but clients: the database, Galaxy, files, and connections that
are being closed."""


class CannotListen(Exception):
    """An address is in use, or is not one of this machine."""


def allow_connections() -> int:
    """Raise the soft limit of descriptors; return how many connections it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= MAX_DESCRIPTORS:
        return MAX_DESCRIPTORS - OTHER_DESCRIPTORS
    unlimited = hard == resource.RLIM_INFINITY
    limit = MAX_DESCRIPTORS if unlimited else min(hard, MAX_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(limit - OTHER_DESCRIPTORS, 1)


class State(ServerState):
    """What the connections of a server have in common.

    Attributes:
        max_connections: Beyond these, the one that waits longest for its client is
            closed.
        waiting: The connections that wait for their clients, the longest waiting first.
    """

    def __init__(self, max_connections: int) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.waiting: dict[Connection, None] = {}


class Connection(HttpToolsProtocol):
    """A connection with limits on what its client may send, and on the time it takes.

    Adds to the callbacks of asyncio's protocols and of httptools' parser. An error
    raised in a callback of the parser is answered with 400 and closes the connection.
    """

    server_state: State
    _deadline: asyncio.TimerHandle | None = None
    _head_size = 0
    _in_head = False
    _parts = 0
    _body_size = 0
    _unparsed = 0
    """Bytes since the parser last finished a head, a part of a body, or a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._unanswered: deque[RequestResponseCycle] = deque()
        self._start_deadline()
        if len(self.connections) > self.server_state.max_connections:
            waiting = self.server_state.waiting
            next(each for each in waiting if not each.running).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        self._disconnect()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        self._disconnect()

    def abort(self) -> None:
        """Close it at once."""
        self._stop_deadline()
        self.transport.abort()

    def shutdown(self) -> None:
        if self.running:
            self.running[-1].keep_alive = False
        else:  # nothing depends on a request that has not arrived completely
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > HEAD_LIMIT and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        if len(self._unanswered) > QUEUE_LIMIT:
            raise ValueError("too many requests wait on this connection")
        self._head_size, self._in_head = 0, True
        self._parts = self._body_size = 0
        self._start_deadline()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + HEADER_OVERHEAD)
        if self._in_head:  # trailers are ignored (RFC 9110, 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._unparsed = False, 0
        super().on_headers_complete()
        self._unanswered.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self._parts += 1
        steps = self._body_size // BODY_STEP
        self._body_size += len(body)
        if self._parts > PARTS_LIMIT + self._body_size // PART_SIZE:
            raise ValueError("the body comes in too many parts")
        if self._body_size // BODY_STEP > steps:
            self._start_deadline()
        if self.parser.get_method() != b"GET":  # means nothing there (RFC 9110, 9.3.1)
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self._stop_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unanswered.popleft()
        super().on_response_complete()
        if not self._unanswered and self._deadline is None:
            self._start_deadline()  # it is idle

    @property
    def running(self) -> list[RequestResponseCycle]:
        """The requests that have arrived completely, and are not answered yet."""
        return [cycle for cycle in self._unanswered if not cycle.more_body]

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEAD_LIMIT:
            raise ValueError("the head of the request is too large")

    def _disconnect(self) -> None:
        # Uvicorn tells only the newest of several requests that the client is gone.
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()

    def _start_deadline(self) -> None:
        self._stop_deadline()
        delay = self.config.timeout_keep_alive
        self._deadline = self.loop.call_later(delay, self.transport.close)
        self.server_state.waiting[self] = None

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self.server_state.waiting.pop(self, None)


class Server(uvicorn.Server):
    """Uvicorn with hooks, as for :func:`run_server`; it outlives the signal to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], object],
        on_stop: Callable[[], object],
        *,
        max_connections: int = MAX_DESCRIPTORS,
    ) -> None:
        super().__init__(config)
        self.server_state = State(max_connections)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # Uvicorn's own raises the signal again at the end, which ends the process.
        self.should_exit = True


def run_server(
    app: Any,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str], object] = lambda _: None,
    on_stop: Callable[[], object] = lambda: None,
    shutdown_timeout: float,
    client_timeout: int = CLIENT_TIMEOUT,
    max_connections: int = MAX_DESCRIPTORS,
) -> bool:
    """Serve an application until SIGTERM or SIGINT.

    Args:
        app: The application.
        host: The address to listen on.
        port: 0 takes a free one.
        on_ready: Called with the URL of the service once requests are answered.
        on_stop: Called in the event loop before running requests are waited for: to
            end those that would not end by themselves.
        shutdown_timeout: Seconds until the tasks of running requests are cancelled.
        client_timeout: Seconds to wait for a client; see :data:`CLIENT_TIMEOUT`.
        max_connections: As for :class:`State`; see :func:`allow_connections`.

    Returns:
        Whether the application was started.

    Raises:
        CannotListen: The address is not available.
    """
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=2048,
        )
    except OSError as error:
        reason = (error.strerror or "").partition(" (")[0]
        raise CannotListen(f"cannot listen on {_url(host, port)}: {reason}") from None
    with listener, suppress(SystemExit):  # uvicorn's way to say: it did not start
        # Connections inherit these.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            listener.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, client_timeout * 1000
            )
        url = _url(host, listener.getsockname()[1])
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the address of the client is not used
            timeout_keep_alive=client_timeout,
            timeout_graceful_shutdown=shutdown_timeout,  # type: ignore[arg-type]
        )
        server = Server(
            config, lambda: on_ready(url), on_stop, max_connections=max_connections
        )
        server.run([listener])
        return True
    return False


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

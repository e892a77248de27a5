"""The HTTP server: uvicorn with limits on what a connection may cost.

Slow, silent and endless requests are cut off, queues of requests are bounded, and a
client that reads nothing is given up; see :class:`Connection`. Where connections run
short, those that wait for their clients are closed, the longest waiting first.
"""

from __future__ import annotations

import asyncio
import os
import resource
import select
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, TypeAlias

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

DIRECT_SIZE = 1024 * 1024
"""Bytes of a body that are read from its socket and passed on at once."""

DIRECT_TURN = 0.25
"""Seconds for which a thread reads one body; then others that wait have theirs."""

DIRECT_PAUSE = 5
"""Milliseconds for which a thread waits for a client that sends or reads fast."""

DIRECT_BODY = "galaxy_jobs.direct_body"
"""The ASGI extension that has the :class:`DirectBody` of a PUT."""

SEND_TURN = 0.02
"""Seconds for which a thread sends one answer."""

DIRECT_ANSWER = "galaxy_jobs.direct_answer"
"""The ASGI extension that has the :class:`DirectAnswer` to a GET."""

MAX_DESCRIPTORS = 65_536
"""The soft limit of descriptors that is set, if the hard one allows."""

OTHER_DESCRIPTORS = 128
"""Descriptors for all but clients: the database, Galaxy, files, and connections that
are being closed."""


Read: TypeAlias = Callable[[], bytes]
"""Returns the next bytes of something; none at its end."""


class CannotListen(Exception):
    """An address is in use, or is not one of this machine."""


class ClientDisconnected(Exception):
    """The client left before all of its request had arrived."""

    def __init__(self) -> None:
        super().__init__("The client disconnected.")


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
    _direct: DirectBody | None = None
    _unparsed = 0
    """Bytes since the parser last finished a head, a part of a body, or a request."""

    body_size = 0
    """Bytes of the body that have arrived."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        set_receive_buffer(transport, RECEIVE_BUFFER)
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
        self._parts = self.body_size = 0
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
        self._direct = None
        if self.scope["method"] == "PUT":
            self._direct = DirectBody(self, self.cycle)
            self.scope["extensions"] = {DIRECT_BODY: {"body": self._direct}}
        elif self.scope["method"] == "GET":
            answer = DirectAnswer(self, self.cycle)
            self.scope["extensions"] = {DIRECT_ANSWER: {"answer": answer}}

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self._parts += 1
        steps = self.body_size // BODY_STEP
        self.body_size += len(body)
        if self._parts > PARTS_LIMIT + self.body_size // PART_SIZE:
            raise ValueError("the body comes in too many parts")
        if self.body_size // BODY_STEP > steps:
            self._start_deadline()
        if self._direct is not None and self._direct.is_read:
            return
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
        if self._direct is not None:
            self._direct.stop()

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


class DirectBody:
    """The body of a request, read by threads from the socket itself.

    Uvicorn copies each byte four times in the event loop, which keeps everybody else
    waiting while a large file is sent. Here the parser is only told how many bytes have
    come: its limits and deadlines hold as for other bodies, and the connection can be
    used further.
    """

    def __init__(self, connection: Connection, cycle: RequestResponseCycle) -> None:
        self._connection, self._cycle = connection, cycle
        self._waiter: asyncio.Future[None] | None = None
        self._unparsed = 0
        self.is_read = False

    async def read(
        self,
        length: int,
        sink: Callable[[memoryview], object],
        run: Callable[..., Awaitable[Any]],
    ) -> None:
        """Pass on all of it, in pieces of at most :data:`DIRECT_SIZE` bytes.

        Args:
            length: Of the body, in bytes, as it was declared.
            sink: Is called with each piece, which is reused afterwards.
            run: Runs calls in threads.

        Raises:
            ClientDisconnected: The client has left, or was cut off.
        """
        connection, cycle = self._connection, self._cycle
        connection.flow.pause_reading()
        if cycle.waiting_for_100_continue:
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        begun, cycle.body = cycle.body, bytearray()
        if begun:
            await run(sink, memoryview(begun))
        buffer = memoryview(bytearray(DIRECT_SIZE))
        self.is_read = True
        set_receive_buffer(connection.transport, DIRECT_SIZE)
        with _socket_of(connection) as raw:
            while cycle.more_body:
                if cycle.disconnected or connection.transport.is_closing():
                    raise ClientDisconnected
                wanted = length - connection.body_size
                try:
                    if not await run(self._pass_on, raw, buffer, wanted, sink):
                        await self._readable(raw)
                finally:
                    self._parse()
        self.is_read = False

    def stop(self) -> None:
        """Wake up who waits for the client: it is gone."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _pass_on(
        self,
        raw: socket.socket,
        buffer: memoryview,
        wanted: int,
        sink: Callable[[memoryview], object],
    ) -> int:
        """Pass on what has arrived, and what follows at once; return its size."""
        end = time.monotonic() + DIRECT_TURN
        while self._unparsed < wanted and time.monotonic() < end:
            try:
                size = raw.recv_into(buffer[: wanted - self._unparsed])
            except BlockingIOError:
                if self._unparsed >= RECEIVE_BUFFER and _is_ready(raw, select.POLLIN):
                    continue
                break
            except OSError:
                raise ClientDisconnected from None
            if not size:
                raise ClientDisconnected
            self._unparsed += size
            sink(buffer[:size])
        return self._unparsed

    def _parse(self) -> None:
        """Tell the parser how many bytes have come."""
        while self._unparsed and not self._cycle.disconnected:
            size = min(self._unparsed, len(_PLACEHOLDER))
            self._unparsed -= size
            self._connection.data_received(_PLACEHOLDER[:size])

    async def _readable(self, raw: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        loop.add_reader(raw.fileno(), self.stop)
        try:
            await waiter
        finally:
            loop.remove_reader(raw.fileno())


_PLACEHOLDER = bytes(RECEIVE_BUFFER)
"""What the parser gets instead of bytes that were read past it."""


class DirectAnswer:
    """The body of an answer, sent by threads to the socket itself.

    In the event loop, each part would keep everybody else waiting, and be copied once
    more where the client does not take it at once.

    Attributes:
        sent: Bytes that were sent here.
    """

    def __init__(self, connection: Connection, cycle: RequestResponseCycle) -> None:
        self._connection, self._cycle = connection, cycle
        self.sent = 0

    async def send(self, read: Read, run: Callable[[Read], Awaitable[bytes]]) -> bytes:
        """Send what is read, for a while, once its beginning was sent by the server.

        Args:
            read: Returns the next bytes of the body; none at the end.
            run: Runs calls in threads.

        Returns:
            Bytes that were read and not sent, since the client is slow, or others have
            their turn: the server has to send them next. None at the end.
        """
        transport, cycle = self._connection.transport, self._cycle
        if not transport.is_closing():
            # The server pauses until all it was given is on its way.
            transport.set_write_buffer_limits(high=0)
            await cycle.flow.drain()
        if transport.is_closing() or transport.get_write_buffer_size():
            return await run(read)
        before = self.sent
        # Closed by the one that takes it: the number of a socket that is closed while
        # another thread uses it might be that of another client by then.
        unused = [_socket_of(self._connection)]
        try:
            return await run(partial(self._send, unused, read))
        finally:
            cycle.expected_content_length -= self.sent - before
            with suppress(IndexError):  # no thread has begun
                unused.pop().close()

    def _send(self, unused: list[socket.socket], read: Read) -> bytes:
        end = time.monotonic() + SEND_TURN
        with unused.pop() as raw:
            while chunk := read():
                if time.monotonic() > end:
                    return chunk
                if left := self._unsent(raw, memoryview(chunk)):
                    return bytes(left)
        return b""

    def _unsent(self, raw: socket.socket, left: memoryview) -> memoryview:
        """Send what the client takes at once; return the rest."""
        while left:
            try:
                size = raw.send(left)
            except BlockingIOError:
                if not _is_ready(raw, select.POLLOUT):
                    break
            except OSError:  # the event loop notices it, too
                break
            else:
                self.sent += size
                left = left[size:]
        return left


def _socket_of(connection: Connection) -> socket.socket:
    """Return the socket of a connection, to be closed by itself."""
    descriptor = connection.transport.get_extra_info("socket").fileno()
    return socket.socket(fileno=os.dup(descriptor))


def _is_ready(raw: socket.socket, event: int) -> bool:
    poll = select.poll()
    poll.register(raw, event)
    return bool(poll.poll(DIRECT_PAUSE))


def set_receive_buffer(transport: asyncio.BaseTransport, size: int) -> None:
    """Set the bytes that the kernel keeps of what has arrived.

    Of a connection and not of the listener: from the size that this has, the kernel
    computes the largest that a connection can ever announce.
    """
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def direct_body(scope: Mapping[str, Any]) -> DirectBody | None:
    """Return how the body of a request can be read past the event loop, if it can."""
    body: DirectBody | None = _offered(scope, DIRECT_BODY, "body")
    return body


async def send_directly(
    scope: Mapping[str, Any], read: Read, run: Callable[[Read], Awaitable[bytes]]
) -> bytes:
    """Send a part of an answer past the event loop, if the server can.

    As :meth:`DirectAnswer.send`; otherwise nothing is sent and the next bytes returned.
    """
    answer: DirectAnswer | None = _offered(scope, DIRECT_ANSWER, "answer")
    return await (run(read) if answer is None else answer.send(read, run))


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
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            # Connections inherit it.
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


def _offered(scope: Mapping[str, Any], extension: str, name: str) -> Any:
    """Return what the server offers by an extension of ASGI; None: it does not."""
    return scope.get("extensions", {}).get(extension, {}).get(name)

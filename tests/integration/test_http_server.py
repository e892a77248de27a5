"""The HTTP server as a process: how it starts, and how it stops."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from threading import Event
from typing import Any, cast
from unittest import mock
from urllib.parse import urlsplit

import pytest
import requests

from galaxy_jobs.adapters import http_server as http_server_module
from tests.support import http_server
from tests.support.wait import until


class Server:
    """One of them, running."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        shutdown_timeout: int = 20,
        client_timeout: int = 30,
        max_connections: int = 1000,
    ) -> None:
        limits = (port, shutdown_timeout, client_timeout, max_connections)
        arguments = [host, *map(str, limits)]
        self.process = subprocess.Popen(
            [sys.executable, http_server.__file__, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def answer_held(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ended(self) -> tuple[int, str, str]:
        """Return its exit code and the rest of what it said."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    try:
        yield one
    finally:
        one.process.kill()
        one.process.communicate()


def received(line: socket.socket, text: bytes) -> bool:
    """Read up to a text; return whether it came."""
    got = b""
    while text not in got and (more := line.recv(1000)):
        got += more
    return text in got


def refuses(url: str) -> bool:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    try:
        socket.create_connection((parts.hostname, parts.port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_port_0_takes_a_free_one_and_tells_which(server: Server) -> None:
    url = server.says()
    assert urlsplit(url).port
    answer = requests.get(url, timeout=10)
    assert answer.text == "here"
    assert "server" not in answer.headers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_its_owner_may_tidy_up(
    server: Server, number: signal.Signals
) -> None:
    server.says()
    server.process.send_signal(number)
    code, said, _ = server.ended()
    assert (code, said) == (0, "returned 0\n")


def test_told_to_stop_it_finishes_what_runs_and_takes_nothing_new(
    server: Server,
) -> None:
    url = server.says()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(requests.get, f"{url}/held", timeout=30)
        assert server.says() == "held"
        server.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(url))
        assert not running.done()
        server.answer_held("finished")
        assert running.result().text == "finished"
    assert server.ended()[0] == 0


def test_a_request_that_has_not_arrived_is_not_waited_for(server: Server) -> None:
    parts = urlsplit(server.says())
    half = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\na"
    held = b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        alone, behind = (
            stack.enter_context(
                socket.create_connection((parts.hostname, parts.port), 10)
            )
            for _ in range(2)
        )
        alone.sendall(half)
        behind.sendall(held + half)
        assert server.says() == "held"
        server.process.send_signal(signal.SIGTERM)
        with suppress(ConnectionError):
            assert alone.recv(1000) == b""
        server.answer_held("finished")
        assert received(behind, b"finished")
        assert server.ended()[:2] == (0, "returned 0\n")


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [("GET", 503, "shutting-down"), ("POST", 504, "outcome-unknown")],
)
def test_who_waits_too_long_is_told_so_and_the_work_is_finished(
    method: str, status: int, code: str
) -> None:
    server = Server(shutdown_timeout=1)
    url = server.says()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(requests.request, method, f"{url}/held", timeout=30)
        assert server.says() == "held"
        server.process.send_signal(signal.SIGTERM)
        answer = running.result()
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith(f":{code}")
    assert server.process.poll() is None
    server.answer_held("recorded")
    assert server.ended()[:2] == (0, "returned 0\n")


def test_a_new_connection_takes_the_place_of_the_one_that_waits_longest() -> None:
    server = Server(max_connections=4)
    parts = urlsplit(server.says())
    assert parts.hostname
    assert parts.port
    address = (parts.hostname, parts.port)
    get = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    post = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\na"

    def closed(line: socket.socket) -> bool:
        try:
            return line.recv(1000) == b""
        except ConnectionError:
            return True

    with ExitStack() as stack:

        def connect(begun: bytes) -> socket.socket:
            line = stack.enter_context(socket.create_connection(address, 20))
            line.sendall(begun)
            return line

        # Works, and so is left alone, though it has waited longest.
        running = connect(get.replace(b"/ ", b"/held ") + get[:20])
        assert server.says() == "held"
        half, silent = connect(post), connect(b"")
        idle = connect(get)
        assert received(idle, b"here")
        for longest in (half, silent, idle):
            assert received(connect(get), b"here")
            assert closed(longest)
        server.answer_held("done")
        assert received(running, b"done")
    server.process.send_signal(signal.SIGTERM)
    assert server.ended()[0] == 0


@pytest.mark.parametrize(
    ("limits", "connections"),
    [((256, 300), 172), ((300, 300), 172), ((100, 100), 1)],
)
def test_the_limit_of_descriptors_is_raised_and_decides_on_connections(
    limits: tuple[int, int], connections: int
) -> None:
    program = f"""
import resource
from galaxy_jobs.adapters.http_server import allow_connections
resource.setrlimit(resource.RLIMIT_NOFILE, {limits})
print(allow_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(connections), str(limits[1])]


def test_a_port_that_is_taken_is_told_in_one_line(server: Server) -> None:
    taken = urlsplit(server.says()).port
    assert taken
    code, _, err = Server(port=taken).ended()
    assert code == 1
    assert len(err.splitlines()) == 1
    assert f"cannot listen on http://127.0.0.1:{taken}: Address already in use" in err


def test_what_is_no_address_is_told_in_one_line() -> None:
    code, _, err = Server(host="no such host").ended()
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "cannot listen on http://no such host:0: Name or service not known" in err


def test_who_takes_in_nothing_is_not_waited_for() -> None:
    server = Server(client_timeout=1)
    try:
        parts = urlsplit(server.says())
        with socket.create_connection((parts.hostname, parts.port), 20) as line:
            line.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert server.says() == "left"
        # Whoever takes it in, however slowly, is served on.
        with requests.get(f"{parts.geturl()}/endless", stream=True, timeout=20) as slow:
            pieces = slow.iter_content(65536)
            began = time.monotonic()
            while time.monotonic() < began + 2:
                assert next(pieces)
                time.sleep(0.01)
    finally:
        server.process.kill()
        server.process.communicate()


def test_a_request_that_never_ends_is_not_waited_for() -> None:
    server = Server(client_timeout=1)
    try:
        parts = urlsplit(server.says())
        assert parts.hostname
        assert parts.port
        body = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab"
        for begun in (
            b"",
            b"\r\n",
            b"GET / HTTP/1.1\r\nHost: loc",
            b"GET / HTTP/1.1\r\n" * 3,
            body,
        ):
            with socket.create_connection((parts.hostname, parts.port), 20) as line:
                line.sendall(begun)
                with suppress(ConnectionError):
                    while line.recv(1000):  # until it is closed
                        pass
        # What comes in time is answered, more than once on one connection.
        with requests.Session() as session:
            for _ in range(3):
                assert session.get(parts.geturl(), timeout=20).text == "here"
        # Nor is the head of a second request on a connection.
        with socket.create_connection((parts.hostname, parts.port), 20) as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert line.recv(1000).startswith(b"HTTP/1.1 200")
            line.sendall(b"GET / HT")
            with suppress(ConnectionError):
                while line.recv(1000):
                    pass
        # But a route may take as long as it likes.
        with ThreadPoolExecutor() as pool:
            held = pool.submit(requests.get, f"{parts.geturl()}/held", timeout=20)
            assert server.says() == "held"
            with pytest.raises(TimeoutError):
                held.result(1)
            server.answer_held("done")
            assert held.result().text == "done"
    finally:
        server.process.kill()
        server.process.communicate()


@pytest.mark.parametrize("target", ["POST /echo", "PUT /direct"])
def test_a_long_body_may_take_longer_if_it_goes_on(target: str) -> None:
    server = Server(client_timeout=2)
    step = http_server_module.BODY_STEP

    def echoed(pause: float, size: int) -> bool:
        """Send a body of four pieces, and return whether it is answered."""
        with socket.create_connection((parts.hostname, parts.port), 20) as line:
            head = f"Host: localhost\r\nContent-Length: {4 * size}\r\n\r\n"
            line.sendall(f"{target} HTTP/1.1\r\n{head}".encode())
            with suppress(ConnectionError):
                for _ in range(4):
                    time.sleep(pause)
                    line.sendall(b"x" * size)
                return received(line, b"200 OK")
        return False

    try:
        parts = urlsplit(server.says())
        assert echoed(0.7, step)
        assert not echoed(0.7, 10)
    finally:
        server.process.kill()
        server.process.communicate()


def test_a_long_body_may_come_in_many_packets_but_not_in_tiny_ones(
    server: Server,
) -> None:
    parts = urlsplit(server.says())

    def answer(chunk: int, number: int) -> bytes:
        with socket.create_connection((parts.hostname, parts.port), 60) as line:
            line.sendall(
                b"POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            with suppress(ConnectionError):
                piece = f"{chunk:x}\r\n".encode() + b"x" * chunk + b"\r\n"
                for _ in range(number // 100):
                    line.sendall(piece * 100)
                line.sendall(b"0\r\n\r\n")
            with suppress(ConnectionError):
                return line.recv(100)
        return b""

    assert answer(600, 10_500).startswith(b"HTTP/1.1 200")
    assert not answer(1, 10_500).startswith(b"HTTP/1.1 200")


def test_clients_that_are_gone_or_refused_leave_no_error_behind(server: Server) -> None:
    parts = urlsplit(server.says())
    one = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection((parts.hostname, parts.port), 20) as line:
        line.sendall(one.replace(b"/ ", b"/waiting ") + one)
        assert server.says() == "waiting"
    assert server.says() == "gone"  # though another request came behind
    with socket.create_connection((parts.hostname, parts.port), 20) as line:
        line.sendall(one.replace(b"/ ", b"/held ") + b"NONSENSE\r\n\r\n")
        assert server.says() == "held"
        assert line.recv(1000).startswith(b"HTTP/1.1 400")
        server.answer_held("too late")
        assert line.recv(1000) == b""
    server.process.send_signal(signal.SIGTERM)
    code, _, err = server.ended()
    assert (code, "Traceback" in err) == (0, False)


# --- bodies that are read past the event loop ---------------------------------------


def put(body: bytes, *more: str) -> bytes:
    head = ["PUT /direct HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, *more, "", ""]).encode() + body


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    parts = urlsplit(server.says())
    with socket.create_connection((parts.hostname, parts.port), 20) as line:
        yield line


@pytest.mark.parametrize("size", [0, 1, 5, 65_536, 5 * 2**20 + 3])
def test_a_body_is_read_past_the_event_loop_and_the_connection_used_further(
    server: Server, size: int
) -> None:
    body = os.urandom(size)
    digest = hashlib.sha256(body).hexdigest().encode()
    with connected(server) as line:
        for _ in range(2):
            line.sendall(put(body) + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            got = b""
            while b"here" not in got:
                got += line.recv(1000)
            assert digest in got


def test_a_body_that_comes_bit_by_bit_is_read_past_the_event_loop(
    server: Server,
) -> None:
    body = os.urandom(300_000)
    request = put(body, "Expect: 100-continue")
    with connected(server) as line:
        head = len(request) - len(body)
        line.sendall(request[:head])
        assert received(line, b"100 Continue")
        for at in range(head, len(request), 30_000):
            line.sendall(request[at : at + 30_000])
            time.sleep(0.02)
        assert received(line, hashlib.sha256(body).hexdigest().encode())


def test_what_fails_amid_a_body_is_answered_and_the_connection_used_further(
    server: Server,
) -> None:
    body = b"fail" + bytes(5 * 2**20)
    with connected(server) as line:
        for _ in range(2):
            line.sendall(put(body))
            assert received(line, b"500 Internal")
            line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert received(line, b"here")


@pytest.mark.parametrize("sent", [0, 5, 3 * 2**20])
def test_a_client_that_leaves_amid_a_body_is_noticed(server: Server, sent: int) -> None:
    request = put(bytes(5 * 2**20))
    with connected(server) as line:
        line.sendall(request[: len(request) - 5 * 2**20 + sent])
        time.sleep(0.1)
    assert server.says() == "disconnected"


def test_a_client_that_always_sends_more_keeps_a_thread_for_a_moment_only() -> None:
    size, nothing = 2**30, cast("Any", None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall(b"x")
        body = http_server_module.DirectBody(nothing, nothing)
        read = body._pass_on(
            ours, memoryview(bytearray(1)), size, lambda _: theirs.sendall(b"x")
        )
    assert 1 < read < size


def test_a_body_may_announce_its_whole_buffer(server: Server) -> None:
    with connected(server) as line:
        scale = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[6] & 15
    assert 65_535 << scale >= http_server_module.DIRECT_SIZE


# --- what is sent past the event loop ---


def get(line: socket.socket, size: int, pause: float = 0) -> bytes:
    """Fetch a file, with a pause before each part, and return its body."""
    line.sendall(f"GET /file?size={size} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += line.recv(1)
    body = bytearray()
    while (left := size - len(body)) and (part := line.recv(min(left, 2**20))):
        body += part
        time.sleep(pause)
    return bytes(body)


def test_an_answer_is_sent_past_the_event_loop_and_the_connection_used_further(
    server: Server,
) -> None:
    size = 20 * 2**20 + 3
    with connected(server) as line:
        for _ in range(2):
            assert get(line, size) == http_server.content(size)
            assert 0 < int(server.says()) < size
        line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert received(line, b"here")


def test_a_client_that_reads_slowly_gets_all_of_it(server: Server) -> None:
    size = 20 * 2**20 + 3
    with connected(server) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        assert get(line, size, 0.003) == http_server.content(size)


def test_a_client_that_leaves_ends_what_is_sent(server: Server) -> None:
    size = 2**26
    with connected(server) as line:
        line.sendall(f"GET /file?size={size} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert received(line, b"200 OK")
    assert server.says() == "left"


@contextmanager
def answering() -> Iterator[tuple[http_server_module.DirectAnswer, socket.socket]]:
    """Give what sends an answer, and where it arrives; the server's end is closed."""
    ours, theirs = socket.socketpair()
    transport = mock.Mock(get_extra_info=lambda _: ours, is_closing=lambda: False)
    transport.get_write_buffer_size.return_value = 0
    cycle = mock.Mock(disconnected=False, expected_content_length=9)
    cycle.flow.drain = mock.AsyncMock()
    theirs.settimeout(20)
    with ours, theirs:
        yield (
            http_server_module.DirectAnswer(mock.Mock(transport=transport), cycle),
            theirs,
        )


async def cancelled(coroutine: Coroutine[Any, Any, bytes], begun: Event) -> None:
    task = asyncio.create_task(coroutine)
    while not begun.is_set():  # noqa: ASYNC110 - it is set by a thread
        await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_an_answer_that_is_cancelled_before_its_turn_leaves_no_socket() -> None:
    waiting, queued = [], Event()

    async def run(call: Callable[[], bytes]) -> bytes:
        waiting.append(call)
        queued.set()
        return await asyncio.Future()

    with answering() as (answer, theirs):
        asyncio.run(cancelled(answer.send(lambda: b"never", run), queued))
        answer._connection.transport.get_extra_info("socket").close()
        assert waiting
        assert theirs.recv(9) == b"", "no other copy of the socket is open"


def test_an_answer_that_is_cancelled_keeps_its_socket_while_a_thread_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server_module, "SEND_TURN", 60)
    reading, go_on = Event(), Event()
    pieces = [b"late", b""]

    def read() -> bytes:
        reading.set()
        assert go_on.wait(20)
        return pieces.pop(0)

    async def run() -> None:
        await cancelled(answer.send(read, asyncio.to_thread), reading)
        answer._connection.transport.get_extra_info("socket").close()
        go_on.set()

    with answering() as (answer, theirs):
        asyncio.run(run())
        assert theirs.recv(9) == b"late"
        assert theirs.recv(9) == b""


def test_nothing_is_sent_past_the_event_loop_once_the_connection_is_closed() -> None:
    with answering() as (answer, theirs):
        transport = cast("Any", answer._connection.transport)
        transport.is_closing = lambda: True
        for method in ("set_write_buffer_limits", "get_write_buffer_size"):
            getattr(transport, method).side_effect = RuntimeError("closed, says uvloop")
        assert asyncio.run(answer.send(lambda: b"next", asyncio.to_thread)) == b"next"
        transport.get_extra_info("socket").close()
        assert theirs.recv(9) == b""

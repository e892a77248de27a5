"""The HTTP server as a process: how it starts, and how it stops."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
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


def test_a_long_body_may_take_longer_if_it_goes_on() -> None:
    server = Server(client_timeout=2)
    step = http_server_module.BODY_STEP

    def echoed(pause: float, size: int) -> bool:
        """Send a body of four pieces, and return whether it is answered."""
        with socket.create_connection((parts.hostname, parts.port), 20) as line:
            head = f"Host: localhost\r\nContent-Length: {4 * size}\r\n\r\n"
            line.sendall(f"POST /echo HTTP/1.1\r\n{head}".encode())
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

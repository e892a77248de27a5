"""Requests to a server that misbehaves.

The server is a few lines long and answers by a script, so that each test shows the
bytes that it is about.
"""

from __future__ import annotations

import gc
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Self

import pytest
from attrs import define, field

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import (
    HistoryId,
    InvocationId,
    InvokeOptions,
    Json,
    Source,
    UrlData,
    WorkflowId,
)
from galaxy_jobs.domain.errors import (
    DomainError,
    InvalidValue,
    OutcomeUnknown,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunNotFound,
    RunRejected,
)
from tests.support.wait import until


KEY = "0123456789abcdef-the-key"
USER = b'{"id": "u1", "email": "a@example.org"}'
INVOKED = b'{"id": "i1", "state": "new"}'


def http(
    body: bytes | str,
    status: int = 200,
    kind: str = "application/json",
    **headers: str,
) -> bytes:
    """Return the bytes of an answer."""
    content = body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status} Reason",
        f"Content-Type: {kind}",
        f"Content-Length: {len(content)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


Action = Callable[[socket.socket, bytes], None]
"""Reacts to one request on its connection."""


def say(answer: bytes) -> Action:
    """Answer, and keep the connection."""
    return lambda sock, _: sock.sendall(answer)


def drip(answer: bytes, every: float = 0.05, *, after: bytes = b"") -> Action:
    """Send *after* at once, and then the answer byte by byte."""

    def action(sock: socket.socket, _: bytes) -> None:
        sock.sendall(after)
        for index in range(len(answer)):
            sock.sendall(answer[index : index + 1])
            time.sleep(every)

    return action


def hang(sock: socket.socket, _: bytes) -> None:
    """Send nothing until the client closes the connection."""
    sock.recv(1)


def slam(sock: socket.socket, _: bytes) -> None:
    """Close the connection without an answer."""
    sock.shutdown(socket.SHUT_RDWR)


def part_of(answer: bytes) -> Action:
    """Close the connection within the answer."""

    def action(sock: socket.socket, _: bytes) -> None:
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_RDWR)

    return action


@define
class Server:
    """Takes an action of its script for each request; the last one repeats.

    Attributes:
        script: The actions.
        requests: The number of the connection and the bytes of each request.
    """

    script: list[Action]
    requests: list[tuple[int, bytes]] = field(factory=list)
    _listener: socket.socket = field(init=False)
    _open: list[socket.socket] = field(factory=list, init=False)
    _threads: list[threading.Thread] = field(factory=list, init=False)

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    @property
    def lines(self) -> list[str]:
        """The request lines."""
        return [request.partition(b"\r\n")[0].decode() for _, request in self.requests]

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(20)
        for sock in self._open:
            sock.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(sock)
            self._start(self._serve, sock, len(self._open))

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            while request := _request(sock):
                self.requests.append((number, request))
                action = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                action(sock, request)
        except OSError:
            return


def _request(sock: socket.socket) -> bytes:
    """Read one request; empty if the client closed the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (chunk := sock.recv(65536)):
            return b""
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(*script: Action, timeout: float = 10.0) -> Iterator[tuple[Server, Galaxy]]:
    with Server(list(script)) as server:
        yield server, Galaxy(server.url, KEY, timeout=timeout)


def ask(galaxy: Galaxy) -> object:
    return galaxy.identity()


def invoke(galaxy: Galaxy) -> InvocationId:
    return galaxy.invoke(WorkflowId("w1"), {}, HistoryId("h1"))


def report(galaxy: Galaxy) -> object:
    return galaxy.report(InvocationId("i1"))


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


# --- nothing reached it -------------------------------------------------------


@pytest.mark.parametrize("call", [ask, invoke, report])
def test_a_closed_port_is_certain_to_have_started_nothing(
    call: Callable[[Galaxy], object], closed_port: int
) -> None:
    galaxy = Galaxy(f"http://127.0.0.1:{closed_port}", KEY, timeout=5)
    with pytest.raises(RunnerUnavailable, match="could not be reached"):
        call(galaxy)


def test_an_unknown_host_is_certain_to_have_started_nothing() -> None:
    galaxy = Galaxy("http://galaxy.invalid", KEY, timeout=5)
    with pytest.raises(RunnerUnavailable, match="could not be reached"):
        invoke(galaxy)


def test_no_tls_is_certain_to_have_started_nothing() -> None:
    with serving(say(http("{}"))) as (server, _):
        galaxy = Galaxy(server.url.replace("http:", "https:"), KEY, timeout=0.5)
        with pytest.raises(RunnerUnavailable, match="could not be reached"):
            invoke(galaxy)


def test_a_tls_handshake_that_never_ends_is_bounded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        galaxy = Galaxy(f"https://127.0.0.1:{port}", KEY, timeout=0.5)
        with took_at_most(3), pytest.raises(RunnerUnavailable, match=r"within 0\.5 s"):
            invoke(galaxy)


def test_a_proxy_that_is_down_is_certain_to_have_started_nothing(
    monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("no_proxy", "")
    galaxy = Galaxy("http://galaxy.invalid", KEY, timeout=5)
    with pytest.raises(RunnerUnavailable, match="could not be reached"):
        invoke(galaxy)


def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([say(http(USER))]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        galaxy = Galaxy("http://galaxy.invalid", KEY, timeout=5)
        assert galaxy.identity().user_id == "u1"
        assert proxy.lines == ["GET http://galaxy.invalid/api/users/current HTTP/1.1"]


def test_a_429_means_that_nothing_was_started() -> None:
    with serving(say(http('{"err_msg": "slow"}', 429, Retry_After="7"))) as (_, galaxy):
        with pytest.raises(RunnerUnavailable) as refusal:
            invoke(galaxy)
        assert refusal.value.retry_after == 7


def test_retry_after_may_be_a_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    with serving(say(http("", 429, Retry_After=at))) as (_, galaxy):
        with pytest.raises(RunnerUnavailable) as refusal:
            ask(galaxy)
        assert refusal.value.retry_after == pytest.approx(90, abs=5)


@pytest.mark.parametrize("nonsense", ["soon", "nan", "inf", ""])
def test_a_malformed_retry_after_is_ignored(nonsense: str) -> None:
    with serving(say(http("", 503, Retry_After=nonsense))) as (_, galaxy):
        with pytest.raises(RunnerUnavailable) as refusal:
            ask(galaxy)
        assert refusal.value.retry_after is None


def test_no_more_requests_at_once_than_allowed() -> None:
    done = threading.Event()
    under_way: list[int] = []

    def held(sock: socket.socket, _: bytes) -> None:
        under_way.append(1)
        counts.append(len(under_way))
        done.wait(20)
        under_way.pop()
        sock.sendall(http("{}", 500))

    counts: list[int] = []
    with Server([held]) as server:
        galaxy = Galaxy(server.url, KEY, timeout=20, max_requests=2)
        with ThreadPoolExecutor(5) as threads:
            answers = [threads.submit(ask, galaxy) for _ in range(5)]
            until(lambda: len(counts) == 2)
            done.set()
            for answer in answers:
                assert isinstance(answer.exception(20), RunnerUnavailable)
        assert len(server.requests) == 5
        assert max(counts) == 2


def test_a_request_that_gets_no_slot_in_time_is_not_sent() -> None:
    observed, release = threading.Event(), threading.Event()

    def keep_slot(*_: object) -> None:
        observed.set()
        release.wait(20)

    with serving(say(http(USER))) as (server, _), ThreadPoolExecutor(1) as threads:
        galaxy = Galaxy(server.url, KEY, timeout=2, max_requests=1, observer=keep_slot)
        first = threads.submit(ask, galaxy)
        assert observed.wait(20)
        with pytest.raises(RunnerUnavailable, match="was not sent"):
            ask(galaxy)
        release.set()
        first.result(20)
        assert len(server.requests) == 1


# --- data by address ----------------------------------------------------------

VERSIONS = {
    "older": b'{"version_major": "24.1", "version_minor": "4"}',
    "newer": b'{"version_major": "24.2", "version_minor": "0"}',
}
BY_ADDRESS: Mapping[str, Source | Json] = {
    "text": UrlData("https://example.org/a.txt", "txt"),
    "n": 1,
}


def invoke_by_address(galaxy: Galaxy) -> InvocationId:
    return galaxy.invoke(WorkflowId("w1"), BY_ADDRESS, HistoryId("h1"))


def bodies(server: Server) -> list[object]:
    return [
        json.loads(body) for _, request in server.requests if (body := _body(request))
    ]


def _body(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def test_an_older_galaxy_fetches_data_by_address_into_the_history_first() -> None:
    script = (VERSIONS["older"], b'{"outputs": [{"id": "d1"}]}', INVOKED)
    with serving(*(say(http(answer)) for answer in script)) as (server, galaxy):
        assert invoke_by_address(galaxy) == "i1"
        fetch, run = bodies(server)
    item = {"src": "url", "url": "https://example.org/a.txt", "ext": "txt"}
    target = {"destination": {"type": "hdas"}, "items": [item]}
    assert fetch == {"history_id": "h1", "targets": [target]}
    assert isinstance(run, dict)
    assert run["inputs"] == {"text": {"src": "hda", "id": "d1"}, "n": 1}


def test_a_newer_galaxy_gets_the_address() -> None:
    script = (VERSIONS["newer"], INVOKED)
    with serving(*(say(http(answer)) for answer in script)) as (server, galaxy):
        invoke_by_address(galaxy)
        (run,) = bodies(server)
    assert isinstance(run, dict)
    assert run["inputs"]["text"]["url"] == "https://example.org/a.txt"


@pytest.mark.parametrize(
    "options",
    [
        {"preferred_object_store_id": "fast"},
        {
            "preferred_outputs_object_store_id": "kept",
            "preferred_intermediate_object_store_id": "scratch",
        },
        {"resource_params": {"cores": 4}, "use_cached_job": True},
    ],
)
def test_the_options_of_a_run_are_sent(options: dict[str, Any]) -> None:
    with serving(say(http(INVOKED))) as (server, galaxy):
        galaxy.invoke(WorkflowId("w1"), {}, HistoryId("h1"), InvokeOptions(**options))
        (run,) = bodies(server)
    assert isinstance(run, dict)
    assert {name: run[name] for name in options} == options
    assert run["require_exact_tool_versions"] is True
    absent = {"preferred_object_store_id", "resource_params"} - set(options)
    assert not absent & set(run)


def test_other_versions_of_tools_may_be_taken() -> None:
    options = InvokeOptions(exact_tool_versions=False)
    with serving(say(http(INVOKED))) as (server, galaxy):
        galaxy.invoke(WorkflowId("w1"), {}, HistoryId("h1"), options)
        (run,) = bodies(server)
    assert isinstance(run, dict)
    assert run["require_exact_tool_versions"] is False


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (say(http("", 502)), RunnerUnavailable),
        (say(http('{"outputs": []}')), RunnerUnavailable),
        (say(http('{"err_msg": "no", "err_code": 400008}', 400)), RunRejected),
        (lambda sock, _: sock.shutdown(socket.SHUT_RDWR), RunnerUnavailable),
    ],
    ids=["a proxy's error", "no dataset", "refused", "no answer"],
)
def test_without_its_data_nothing_is_invoked(
    answer: Action, error: type[DomainError]
) -> None:
    with serving(say(http(VERSIONS["older"])), answer) as (server, galaxy):
        with pytest.raises(error):
            invoke_by_address(galaxy)
        assert server.lines[-1] == "POST /api/tools/fetch HTTP/1.1"


# --- it may have reached it ---------------------------------------------------

LOST = {
    "no answer": slam,
    "half a status line": part_of(b"HTTP/1.1 2"),
    "half the headers": part_of(b"HTTP/1.1 200 OK\r\nContent-Type: appl"),
    "half the body": part_of(http(INVOKED)[:-5]),
    "garbage": part_of(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a 500": say(http("Internal Server Error", 500, "text/plain")),
    "a 502": say(http("<html>Bad Gateway</html>", 502, "text/html")),
    "a 503": say(http('{"err_msg": "maintenance"}', 503)),
    "a 504": say(http("", 504, "text/html")),
    "a page": say(http("<html>Welcome</html>", 200, "text/html")),
    "half of its JSON": say(http(INVOKED[:-5])),
    "nothing": say(http("")),
    "another JSON": say(http("[]")),
    "no id": say(http("{}")),
    "an id that is none": say(http('{"id": 7}')),
    "a page that forbids": say(http("<html>Forbidden</html>", 403, "text/html")),
    "a page that misses": say(http("<html>Not Found</html>", 404, "text/html")),
    "a redirect": say(http("", 302, Location="http://127.0.0.1:9/")),
    "a redirect for POST": say(http("", 307, Location="http://127.0.0.1:9/")),
    "bytes": say(http(b"\xff\xfe\x00")),
    "JSON nested too deeply": say(http("[" * 100_000)),
}


@pytest.mark.parametrize("action", LOST.values(), ids=LOST)
def test_an_invoke_without_a_usable_answer_is_sent_once_and_of_unknown_outcome(
    action: Action,
) -> None:
    with serving(action) as (server, galaxy):
        with pytest.raises(OutcomeUnknown) as lost:
            invoke(galaxy)
        assert server.url in str(lost.value)
        assert len(server.requests) == 1


@pytest.mark.parametrize("action", LOST.values(), ids=LOST)
@pytest.mark.parametrize("call", [ask, report])
def test_a_read_without_a_usable_answer_fails(
    call: Callable[[Galaxy], object], action: Action
) -> None:
    with serving(action) as (server, galaxy):
        with pytest.raises((RunnerUnavailable, RunnerRefusedUs)) as error:
            call(galaxy)
        assert server.url in str(error.value)


def test_a_404_page_is_not_gone() -> None:
    action = say(http("<html>Not Found</html>", 404, "text/html"))
    with (
        serving(action) as (_, galaxy),
        pytest.raises(RunnerUnavailable, match="could not be understood"),
    ):
        report(galaxy)


def test_galaxys_own_404_is_gone() -> None:
    action = say(http('{"err_msg": "not a valid id", "err_code": 404001}', 404))
    with serving(action) as (_, galaxy), pytest.raises(RunNotFound, match="valid id"):
        report(galaxy)


@pytest.mark.parametrize("status", [400, 403, 409])
def test_a_refusal_that_is_not_about_absence_is_not_gone(status: int) -> None:
    action = say(http('{"err_msg": "no", "err_code": 400008}', status))
    with serving(action) as (_, galaxy), pytest.raises(RunnerUnavailable):
        report(galaxy)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_galaxy_may_refuse_an_invoke(status: int) -> None:
    action = say(http('{"err_msg": "no such tool", "err_code": 7}', status))
    with serving(action) as (server, galaxy):
        with pytest.raises(RunRejected) as refusal:
            invoke(galaxy)
        assert refusal.value.galaxy_message == "no such tool"
        assert refusal.value.galaxy_code == 7
        assert len(server.requests) == 1


BAD_KEY = {
    "Galaxy's word": say(http('{"err_msg": "Provided API key is not valid."}', 401)),
    "a page": say(http("<html>Sign in</html>", 401, "text/html")),
    "not logged in": say(
        http('{"err_msg": "You need to be logged in", "err_code": 403001}', 403)
    ),
}


@pytest.mark.parametrize("action", BAD_KEY.values(), ids=BAD_KEY)
@pytest.mark.parametrize("call", [ask, invoke, report])
def test_a_bad_key_is_reported_as_such(
    call: Callable[[Galaxy], object], action: Action
) -> None:
    with serving(action) as (_, galaxy), pytest.raises(RunnerRefusedUs) as refusal:
        call(galaxy)
    assert ".)." not in str(refusal.value)


def test_an_anonymous_user_means_a_bad_key() -> None:
    with (
        serving(say(http('{"total_disk_usage": 0}'))) as (_, galaxy),
        pytest.raises(RunnerRefusedUs, match="anonymous user"),
    ):
        ask(galaxy)


# --- time ---------------------------------------------------------------------


@contextmanager
def took_at_most(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


SLOW = {
    "silence": hang,
    "a byte of the headers now and then": drip(http(INVOKED)),
    "a byte of the body now and then": drip(
        b" " * 1000, after=http(b" " * 1000)[:-1000]
    ),
    "a chunk now and then": drip(
        b"1\r\n \r\n" * 1000,
        after=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    "one header after the other": drip(
        b"X: y\r\n" * 1000, after=b"HTTP/1.1 200 OK\r\n"
    ),
}


@pytest.mark.parametrize("action", SLOW.values(), ids=SLOW)
def test_the_deadline_covers_the_whole_request(action: Action) -> None:
    with serving(action, timeout=0.4) as (server, galaxy):
        with took_at_most(2), pytest.raises(OutcomeUnknown, match=r"within 0\.4 s"):
            invoke(galaxy)
        with took_at_most(2), pytest.raises(RunnerUnavailable, match=r"within 0\.4 s"):
            ask(galaxy)
        # Nor is what ran out of time asked a second time.
        assert len(server.requests) == 2


def test_a_slow_answer_in_time_is_an_answer() -> None:
    with serving(drip(http(USER), 0.002), timeout=10) as (_, galaxy):
        assert galaxy.identity().user_id == "u1"


def test_the_deadline_of_a_request_does_not_cut_the_next() -> None:
    with serving(say(http(USER)), timeout=2) as (server, galaxy):
        began = time.monotonic()
        while time.monotonic() < began + 3:
            ask(galaxy)
        assert {number for number, _ in server.requests} == {1}


def test_one_thread_watches_all_requests_and_ends_after_them() -> None:
    before = set(threading.enumerate())

    def watchdogs() -> list[threading.Thread]:
        return [
            thread
            for thread in threading.enumerate()
            if thread.name == "galaxy-watchdog" and thread not in before
        ]

    with serving(say(http(USER)), timeout=2) as (_, galaxy):
        for _ in range(2):  # it starts again when it is needed again
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda _: ask(galaxy), range(20)))
            assert len(watchdogs()) == 1
            until(lambda: not watchdogs())


def test_an_endless_answer_is_not_read() -> None:
    def flood(sock: socket.socket, _: bytes) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"[" * 2**16)

    with Server([flood]) as server:
        galaxy = Galaxy(server.url, KEY, max_answer_bytes=2**20)
        with pytest.raises(RunnerUnavailable, match="more than 1 MiB"):
            ask(galaxy)
        with pytest.raises(OutcomeUnknown, match="more than 1 MiB"):
            invoke(galaxy)


def test_an_answer_that_is_too_large_is_gone_with_its_error() -> None:
    script = [say(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 2**22)]
    with Server(script) as server:
        galaxy = Galaxy(server.url, KEY, max_answer_bytes=2**21)
        gc.disable()  # what waits for it is in memory meanwhile
        tracemalloc.start()
        try:
            with suppress(RunnerUnavailable):
                ask(galaxy)
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert kept < 2**20 < peak


# --- connections --------------------------------------------------------------


def test_reads_share_a_connection_and_an_invoke_has_its_own() -> None:
    script = [say(http(USER)), say(http(USER)), say(http(INVOKED)), say(http(USER))]
    with serving(*script) as (server, galaxy):
        ask(galaxy)
        ask(galaxy)
        assert invoke(galaxy) == "i1"
        ask(galaxy)
        assert [number for number, _ in server.requests] == [1, 1, 2, 1]


def test_each_thread_keeps_a_connection() -> None:
    with serving(say(http(USER))) as (server, galaxy):
        barrier = threading.Barrier(3)

        def both(_: int) -> None:
            barrier.wait(10)
            ask(galaxy)
            ask(galaxy)

        with ThreadPoolExecutor(3) as threads:
            list(threads.map(both, range(3)))
        assert len(server.requests) == 6
        assert {number for number, _ in server.requests} == {1, 2, 3}


def test_a_read_survives_a_kept_connection_that_was_closed() -> None:
    # Closed at the very moment: no look at the socket beforehand can tell.
    script = [say(http(USER)), slam, say(http(USER))]
    with serving(*script) as (server, galaxy):
        ask(galaxy)
        ask(galaxy)
        assert [number for number, _ in server.requests] == [1, 1, 2]


def test_a_read_is_not_repeated_on_a_new_connection() -> None:
    with serving(slam) as (server, galaxy):
        with pytest.raises(RunnerUnavailable):
            ask(galaxy)
        assert len(server.requests) == 1


def test_making_a_history_is_sent_once() -> None:
    with serving(say(http(USER)), slam, say(http('{"id": "h1"}'))) as (server, galaxy):
        ask(galaxy)
        with pytest.raises(RunnerUnavailable):
            galaxy.create("name")
        assert len(server.requests) == 2
        assert galaxy.create("name") == "h1"


# --- the key ------------------------------------------------------------------


def test_the_key_is_in_its_header_and_nowhere_else() -> None:
    with serving(say(http(USER))) as (server, galaxy):
        ask(galaxy)
        ((_, request),) = server.requests
        assert request.count(KEY.encode()) == 1
        assert f"x-api-key: {KEY}".encode() in request
        assert KEY not in repr(galaxy)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", [ask, invoke])
def test_the_key_does_not_follow_redirects(
    call: Callable[[Galaxy], object], status: int
) -> None:
    with Server([say(http(USER))]) as elsewhere:
        away = say(http("", status, Location=f"{elsewhere.url}/api/users/current"))
        with serving(away) as (_, galaxy):
            with pytest.raises(DomainError, match="redirect"):
                call(galaxy)
            assert not elsewhere.requests


@pytest.mark.parametrize(
    ("location", "target", "advice"),
    [
        (
            "https://galaxy.example.org/api/users/current",
            "https://galaxy.example.org/api/users/current",
            "Configure Galaxy's address as https://galaxy.example.org",
        ),
        (
            "https://me:secret@example.org/galaxy/api/users/current?key=secret#a",
            "https://example.org/galaxy/api/users/current",
            "Configure Galaxy's address as https://example.org/galaxy",
        ),
        ("/api/users/current/", "/api/users/current/", "pass paths unchanged"),
        (
            "https://sso.example.org/login?next=secret",
            "https://sso.example.org/login,",
            "If it is a page to sign in",
        ),
        ("", "/api/users/current,", "pass paths unchanged"),
        ("https://example.org/" + "x" * 9999, "https://example.org/xxx", "sign in"),
    ],
    ids=["https", "a path", "a slash", "a page to sign in", "empty", "long"],
)
def test_a_redirect_is_named_with_what_to_correct(
    location: str, target: str, advice: str
) -> None:
    with serving(say(http("", 302, Location=location))) as (server, galaxy):
        with pytest.raises(RunnerUnavailable) as error:
            ask(galaxy)
        message = str(error.value).replace(server.url + "/api", "/api")
        assert f"redirect (HTTP 302) to {target}" in message
        assert advice in message
        assert "secret" not in message
        assert len(message) < 1000
        assert error.value.lasting


def test_an_address_with_api_is_corrected() -> None:
    away = say(http("", 301, Location="/api/users/current"))
    with Server([away]) as server:
        with pytest.raises(RunnerUnavailable) as error:
            ask(Galaxy(f"{server.url}/api", KEY))
        assert str(error.value).endswith(f"Configure Galaxy's address as {server.url}")


def test_a_proxys_page_is_told_apart_from_galaxys_failure() -> None:
    page = http("<html>Bad Gateway</html>", 502, "text/html; charset=utf-8")
    with serving(say(page)) as (_, galaxy):
        with pytest.raises(RunnerUnavailable, match="did not get to Galaxy") as error:
            ask(galaxy)
        assert not error.value.lasting
    own = http('{"err_msg": "no database", "err_code": 500001}', 500)
    for answer in (own, http("Internal Server Error", 500, "text/plain")):
        with (
            serving(say(answer)) as (_, galaxy),
            pytest.raises(RunnerUnavailable, match="failed in Galaxy"),
        ):
            ask(galaxy)


def test_no_error_contains_the_key() -> None:
    for action in (*LOST.values(), say(http('{"err_msg": "no"}', 400))):
        with serving(action) as (_, galaxy), pytest.raises(DomainError) as error:
            invoke(galaxy)
        seen: BaseException | None = error.value
        while seen is not None:
            assert KEY not in str(seen)
            assert KEY not in repr(seen)
            seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize("key", ["", " ", "two words", "line\nbreak", "schlüssel"])
def test_a_malformed_key_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        Galaxy("http://127.0.0.1:9", key)
    assert not key.strip() or key not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "galaxy.example.org",
        "ftp://galaxy.example.org",
        "http://",
        "http://[::1",
        "http://galaxy.example.org/?key=1",
        " http://galaxy.example.org",
    ],
)
def test_a_malformed_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match="http or https"):
        Galaxy(url, KEY)


def test_credentials_in_the_address_are_used_and_not_shown() -> None:
    with serving(say(http(USER))) as (server, _):
        url = server.url.replace("//", "//me:secret@") + "/prefix/"
        galaxy = Galaxy(url, KEY)
        identity = galaxy.identity()
        assert identity.url == f"{server.url}/prefix"
        assert "secret" not in repr(galaxy)
        assert server.lines == ["GET /prefix/api/users/current HTTP/1.1"]
        assert b"Authorization: Basic" in server.requests[0][1]


# --- requests ------------------------------------------------------------


def test_the_body_of_an_invoke() -> None:
    with serving(say(http(INVOKED))) as (server, galaxy):
        galaxy.invoke(WorkflowId("w1"), {"number": 3}, HistoryId("h1"))
        assert server.lines == ["POST /api/workflows/w1/invocations HTTP/1.1"]
        body = json.loads(server.requests[0][1].partition(b"\r\n\r\n")[2])
        assert body["inputs"] == {"number": 3}
        assert body["inputs_by"] == "name|step_uuid"
        assert body["history"] == "hist_id=h1"
        assert body["require_exact_tool_versions"] is True


PLAIN_500 = http("Internal Server Error", 500, "text/plain")
MALFORMED_ID = http('{"err_msg": "malformed id", "err_code": 400009}', 400)


def bulk(known: set[InvocationId], unknown: bytes = PLAIN_500) -> Action:
    """Answer a bulk request as Galaxy does: one *unknown* id fails it."""

    def action(sock: socket.socket, request: bytes) -> None:
        line = request.partition(b"\r\n")[0].decode()
        ids = line.partition("ids=")[2].partition("&")[0].split(",")
        if {*map(InvocationId, ids)} <= known:
            jobs = {"states": {"ok": 1}, "populated_state": "ok"}
            sock.sendall(http(json.dumps([{"id": id_, **jobs} for id_ in ids])))
        else:
            sock.sendall(unknown)

    return action


def ids(count: int) -> list[InvocationId]:
    return [InvocationId(f"{number:016x}") for number in range(count)]


def test_bulk_requests_stay_within_the_limits_of_web_servers() -> None:
    with serving(bulk(set(ids(450)))) as (server, galaxy):
        assert list(galaxy.summaries(ids(450))) == ids(450)
        assert len(server.lines) == 3
        assert max(len(line) for line in server.lines) < 8000
        assert galaxy.bulk.batch_size == 200


@pytest.mark.parametrize(
    "answer", [PLAIN_500, MALFORMED_ID], ids=["absent", "malformed, on older releases"]
)
def test_ids_that_fail_a_bulk_request_are_left_out(answer: bytes) -> None:
    spoiling = {ids(200)[17], ids(200)[180]}
    with serving(bulk(set(ids(200)) - spoiling, answer)) as (server, galaxy):
        assert set(galaxy.summaries(ids(200))) == set(ids(200)) - spoiling
        assert len(server.lines) < 40
        assert galaxy.bulk.batch_size == 200


def test_a_galaxy_that_always_fails_is_not_asked_for_ever() -> None:
    with serving(bulk(set())) as (server, galaxy):
        assert galaxy.summaries(ids(5000)) == {}
        assert len(server.lines) < 60


def test_longer_ids_make_smaller_batches() -> None:
    long = [InvocationId(f"{number:032x}") for number in range(400)]
    with serving(bulk(set(long))) as (server, galaxy):
        assert set(galaxy.summaries(long)) == set(long)
        assert max(len(line) for line in server.lines) < 8000


TOO_LONG = {
    "414": say(http("", 414, "text/html")),
    "431": say(http("", 431, "text/html")),
    "as nginx or gunicorn say it": say(
        http("<html>Bad Request</html>", 400, "text/html")
    ),
}


@pytest.mark.parametrize("refusal", TOO_LONG.values(), ids=TOO_LONG)
def test_a_server_with_a_lower_limit_for_addresses_gets_shorter_ones(
    refusal: Action,
) -> None:
    def action(sock: socket.socket, request: bytes) -> None:
        line = request.partition(b"\r\n")[0]
        (refusal if len(line) > 4000 else bulk(set(ids(400))))(sock, request)

    with serving(action) as (server, galaxy):
        assert set(galaxy.summaries(ids(400))) == set(ids(400))
        assert len(server.lines) == 1 + 4
        assert len(galaxy.summaries(ids(400))) == 400
        assert len(server.lines) == 1 + 4 + 4  # it is remembered


def test_a_galaxy_that_is_slow_about_many_is_asked_about_fewer_and_then_singly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0

    def slowly(sock: socket.socket, request: bytes) -> None:
        nonlocal now
        now += 0.3 * request.count(b"WorkflowInvocation")
        bulk(set(ids(200)))(sock, request)

    with Server([slowly]) as server:
        galaxy = Galaxy(server.url, KEY, timeout=500, monotonic=lambda: now)
        assert len(galaxy.summaries(ids(200))) == 200
        for _ in range(5):
            galaxy.summaries(ids(200))
        asked = [line.count("WorkflowInvocation") for line in server.lines]
        assert asked[:4] == [200, 100, 50, 25]
        assert galaxy.bulk.batch_size == 0
        assert "about 100 jobs at once at most: about 200, the answer took" in (
            caplog.text
        )
        assert "each job singly for 300 s: the answer took" in caplog.text
        assert galaxy.summaries(ids(200)) == {}
        now += 1000
        assert len(galaxy.summaries(ids(200))) == 200


def test_a_galaxy_that_does_not_answer_in_bulk_in_time_is_asked_singly() -> None:
    now = 0.0

    def hang_long(sock: socket.socket, request: bytes) -> None:
        nonlocal now
        now += 6
        hang(sock, request)

    with Server([hang_long]) as server:
        galaxy = Galaxy(server.url, KEY, timeout=0.2, monotonic=lambda: now)
        for _ in range(4):
            galaxy.summaries(ids(200))
        assert galaxy.bulk.batch_size == 0
        assert len(server.lines) <= 4


NO_BULK = {
    "a page": say(http("<html>Not Found</html>", 404, "text/html")),
    "no such route": say(http('{"err_msg": "no", "err_code": 404001}', 404)),
    "no such question": say(http('{"err_msg": "bad", "err_code": 400008}', 400)),
}


@pytest.mark.parametrize("refusal", NO_BULK.values(), ids=NO_BULK)
def test_a_galaxy_without_bulk_answers_is_asked_singly_for_a_while(
    refusal: Action,
) -> None:
    now = 0.0
    with Server([refusal]) as server:
        galaxy = Galaxy(server.url, KEY, monotonic=lambda: now)
        assert galaxy.summaries(ids(300)) == {}
        assert galaxy.bulk.batch_size == 0
        assert galaxy.summaries(ids(300)) == {}
        assert len(server.lines) == 1
        now = 1000.0
        server.script[:] = [bulk(set(ids(300)))]
        assert len(galaxy.summaries(ids(300))) == 300
        assert galaxy.bulk.batch_size == 200


def test_an_outage_does_not_count_as_a_lack_of_bulk_answers() -> None:
    with serving(say(http("", 503))) as (_, galaxy):
        with pytest.raises(RunnerUnavailable):
            galaxy.summaries(ids(2))
        assert galaxy.bulk.batch_size == 200

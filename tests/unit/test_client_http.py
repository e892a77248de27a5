"""The client's HTTP against servers that misbehave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import define, field

from galaxy_jobs.entrypoints.client.errors import Refused, Unreachable, Usage
from galaxy_jobs.entrypoints.client.http import Api
from galaxy_jobs.entrypoints.environment import Service


TLS_HANDSHAKE = b"\x16"


@define
class Server:
    """Answers every request with the same bytes, then closes.

    Attributes:
        answer: The bytes.
        url: Where it listens.
        requests: The head of each request, as it came.
    """

    answer: bytes
    url: str = ""
    requests: list[str] = field(factory=list)


@contextmanager
def serving(answer: bytes) -> Iterator[Server]:
    server = Server(answer)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=serve, args=(listener, server))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def serve(listener: socket.socket, server: Server) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            head = b""
            while b"\r\n\r\n" not in head and (part := connection.recv(65536)):
                head += part
                if head.startswith(TLS_HANDSHAKE):
                    break
            server.requests.append(head.decode("latin-1"))
            connection.sendall(server.answer)


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


JSON = "Content-Type: application/json; charset=utf-8"
PROBLEM = {"type": "urn:galaxy-jobs:problem:too-many-requests", "status": 429}


def test_an_answer_has_its_json_and_its_headers() -> None:
    with serving(http("200 OK", b'{"a": 1}', JSON, "X-Any: b")) as server:
        answer = Api(Service(url=server.url, token="secret")).post("jobs", body={})
    assert (answer.data, answer.headers["x-any"]) == ({"a": 1}, "b")
    (head,) = server.requests
    assert head.startswith("POST /jobs HTTP/1.1\r\n")
    assert "Authorization: Bearer secret\r\n" in head
    assert "Content-Type: application/json\r\n" in head


def test_a_problem_is_a_refusal() -> None:
    body = json.dumps(PROBLEM).encode()
    kind = "Content-Type: application/problem+json"
    with (
        serving(http("429 Too Many", body, kind, "Retry-After: 7")) as server,
        pytest.raises(Refused) as caught,
    ):
        Api(Service(url=server.url)).get("jobs")
    assert (caught.value.code, caught.value.retry_after) == ("too-many-requests", 7)
    assert caught.value.problem == PROBLEM


@pytest.mark.parametrize("header", ["soon", "9" * 5000, "-1", "1e999"])
def test_a_retry_after_that_is_none_is_left_out(header: str) -> None:
    body = json.dumps(PROBLEM).encode()
    with (
        serving(http("429 Too Many", body, f"Retry-After: {header}")) as server,
        pytest.raises(Refused) as caught,
    ):
        Api(Service(url=server.url)).get("jobs")
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" + JSON.encode(), "no HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" + JSON.encode() + b"\r\n\r\n{",
            "closed",
        ),
        (http("200 OK", b"{", JSON), "its answer is no JSON"),
        (http("200 OK", b"<p>", "Content-Type: text/html"), "text/html"),
        (http("200 OK", b"<p>"), "no media type"),
        (http("502 Bad Gateway", b"<p>"), "502 Bad Gateway"),
        (http("500 Error", b"[1]", JSON), "500 Error"),
    ],
)
def test_anything_else_is_unreachable(answer: bytes, reason: str) -> None:
    with serving(answer) as server, pytest.raises(Unreachable, match=reason) as caught:
        Api(Service(url=server.url)).get("jobs")
    assert server.url in str(caught.value)
    assert caught.value.sent


def test_a_redirect_is_not_followed() -> None:
    with (
        serving(http("302 Found", b"", "Location: http://other.example/")) as server,
        pytest.raises(Unreachable, match=r"302 Found and points to http://other\.ex"),
    ):
        Api(Service(url=server.url, token="secret")).get("jobs")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9", "connection refused"),
        ("http://host.invalid", "no host of that name"),
        ("http://a..b", r"a\.\.b"),
    ],
)
def test_a_request_that_was_never_sent_is_known_to_be(url: str, reason: str) -> None:
    with pytest.raises(Unreachable, match=reason) as caught:
        Api(Service(url=url)).get("jobs")
    assert not caught.value.sent


def test_a_server_without_tls_is_not_asked_in_the_clear() -> None:
    with (
        serving(http("200 OK", b"{}", JSON)) as server,
        pytest.raises(Unreachable),
    ):
        Api(Service(url=server.url.replace("http:", "https:"))).get("jobs")


def test_a_silent_server_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = Service(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(Unreachable, match="took too long") as caught:
            Api(service, timeout=0.05).get("jobs")
    assert caught.value.sent


def test_a_proxy_is_asked_unless_the_host_is_excepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(http("200 OK", b"{}", JSON)) as proxy:
        address = proxy.url.removeprefix("http://")
        monkeypatch.setenv("http_proxy", f"http://me:p%40ss@{address}")
        Api(Service(url="http://jobs.invalid")).get("jobs")
        monkeypatch.setenv("no_proxy", "jobs.invalid")
        with pytest.raises(Unreachable):
            Api(Service(url="http://jobs.invalid")).get("jobs")
    (head,) = proxy.requests
    assert head.startswith("GET http://jobs.invalid/jobs HTTP/1.1\r\n")
    assert "Basic bWU6cEBzcw==" in head  # me:p@ss


def test_a_key_that_no_header_holds_is_a_usage_error() -> None:
    with (
        serving(http("200 OK", b"{}", JSON)) as server,
        pytest.raises(Usage, match="€"),
    ):
        Api(Service(url=server.url)).post("jobs", body={}, key="€")
    assert server.requests == []

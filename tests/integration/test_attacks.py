"""What nobody sends by accident, on a real process: it answers, and lives on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.service import Service, service
from tests.support.wait import until


@pytest.fixture(scope="module")
def ours(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str
) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("attacked")
    # Nobody listens where Galaxy should be: none of this gets that far.
    with service(
        folder, database=module_database_url, galaxy="http://127.0.0.1:9", key="none"
    ) as one:
        made = one.run("token", "create", "portal", "--scope", "submit")
        one.token = made.stdout.strip()
        one.serve()
        yield one


@pytest.fixture(autouse=True)
def survived(ours: Service) -> Iterator[None]:
    """It goes on answering, and nothing went wrong that nobody foresaw."""
    yield
    assert ours.request("GET", "/health/live").status_code == 200
    for line in ours.commands[-1].logged():
        assert line["event"] != "request failed", line["exception"][-900:]


def connected(ours: Service) -> socket.socket:
    parts = urlsplit(ours.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def answer(ours: Service, sent: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back."""
    with connected(ours) as line:
        got = b""
        with suppress(OSError):  # closed already: that is its answer
            line.sendall(sent)
        with suppress(OSError):
            while more := line.recv(65536):
                got += more
        return got


def status(got: bytes) -> int:
    return int(got.split(b" ", 2)[1]) if got.startswith(b"HTTP/") else 0


def request(ours: Service, first: str, *headers: str, body: str = "") -> bytes:
    said = [first, "Host: jobs.example", f"Authorization: Bearer {ours.token}"]
    lines = [*said, "Connection: close", *headers, "", body]
    return answer(ours, "\r\n".join(lines).encode("latin-1"))


@pytest.mark.parametrize(
    "path",
    [
        "/health/../jobs",
        "/health/%2e%2e/jobs",
        "/health/..%2fjobs",
        "/health//../jobs",
        "/health/live/../../jobs",
        "/health/;/jobs",
        "//jobs",
        "/./jobs",
        "/JOBS",
        "/jobs/",
        "/jobs?/health/live",
        "/jobs#/health/live",
        "/ui/assets/../../jobs",
        "/ui/assets/x/%2e%2e%2f%2e%2e%2fjobs",
        "/sign-in/../jobs",
        "/sign-in;/../jobs",
        "/sign-in%2f..%2fjobs",
        "http://127.0.0.1/health/live/../../jobs",
        "http://jobs.example/jobs",
        "*",
        "jobs",
        "\\jobs",
    ],
)
def test_no_spelling_of_a_path_gets_by_without_a_token(
    ours: Service, path: str
) -> None:
    got = answer(
        ours, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    assert status(got) in {400, 401, 404}
    assert b"next_cursor" not in got


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Authorization: Bearer x", 400),
        ("Host: other", 400),
        ("Origin: https://a\r\nOrigin: https://b", 400),
        ("Idempotency-Key: a\r\nIdempotency-Key: b", 400),
        ("X-Request-ID: a\r\nX-Request-ID: b", 200),
        ("Content-Length: 0\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: gzip, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        ("Bad Header: x", 400),
        ("X-NUL: a\0b", 400),
    ],
)
def test_what_is_said_twice_or_badly_is_refused(
    ours: Service, header: str, expected: int
) -> None:
    got = status(request(ours, "GET /jobs HTTP/1.1", header))
    assert got == expected


def test_a_head_without_end_is_not_read_to_its_end(ours: Service) -> None:
    for filler in ("a" * 200_000, *("\r\n".join(["X:"] * n) for n in (3000, 90_000))):
        assert status(request(ours, "GET /jobs HTTP/1.1", f"X-Filler: {filler}")) == 400
    line = f"GET /jobs?cursor={'a' * 200_000} HTTP/1.1"
    assert status(request(ours, line)) == 400


def resident(ours: Service) -> float:
    """Return the memory of the process, in MiB."""
    process = Path(f"/proc/{ours.commands[-1].process.pid}/status").read_text()
    return int(process.partition("VmRSS:")[2].split()[0]) / 1024


def test_requests_of_one_connection_are_queued_up_to_a_limit(ours: Service) -> None:
    one = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    last = one.replace(b"Host", b"Connection: close\r\nHost")
    got = answer(ours, one * 8 + last)
    assert got.count(b"HTTP/1.1 200") == 9
    got = answer(ours, one * 9 + last)
    assert b"HTTP/1.1 400" in got


CHUNKED = b"POST /jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"", b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n" * 1000),
        (b"GET /jobs HTTP/1.1\r\nHost: a\r\nX-Long: ", b"x" * 65536),
        (CHUNKED + b"\r\n0\r\n", b"X-Trailer: x\r\n" * 5000),
        (CHUNKED + b"\r\n0\r\nX-Trailer: ", b"x" * 65536),
        (CHUNKED + b"\r\n1;", b"x" * 65536),
        (CHUNKED + b"\r\n", b"1\r\nx\r\n" * 10000),
    ],
    ids=["requests", "header", "trailers", "trailer", "chunk-extension", "chunks"],
)
def test_what_has_no_end_is_cut_off_at_a_limit(
    ours: Service, begun: bytes, more: bytes
) -> None:
    # The token lets the body be read.
    token = f"Host: a\r\nAuthorization: Bearer {ours.token}".encode()
    before = resident(ours)
    with connected(ours) as line:
        line.sendall(begun.replace(b"Host: a", token))
        with pytest.raises(ConnectionError):
            line.sendall(more * 1000)
    assert resident(ours) - before < 4


# Ten thousand, and one more for every 512 bytes: 19 of them in 10,020 bytes.
@pytest.mark.parametrize("chunks", [10_019, 10_020])
def test_a_body_may_come_in_ten_thousand_chunks(ours: Service, chunks: int) -> None:
    body = "1\r\nx\r\n" * chunks + "0\r\n\r\n"
    first = "POST /jobs HTTP/1.1"
    got = request(ours, first, "Transfer-Encoding: chunked", body=body)
    assert status(got) == 400  # it is no JSON
    assert (b"problem+json" in got) is (chunks < 10_020)


@pytest.mark.parametrize("method", ["PUT", "TRACE", "PATCH"])
def test_other_methods_are_told_which_there_are(ours: Service, method: str) -> None:
    got = request(ours, f"{method} /jobs HTTP/1.1")
    assert status(got) in {405, 501, 403}
    assert b"Traceback" not in got


@pytest.mark.parametrize("path", ["/jobs", "/jobs/events", "/nothing", "/"])
def test_head_is_get_without_a_body(ours: Service, path: str) -> None:
    got = request(ours, f"HEAD {path} HTTP/1.1")
    assert status(got) == {"/nothing": 404}.get(path, 200)
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"content-type: " in head
    assert body == b""


@pytest.mark.parametrize("method", ["BREW", "get", "G\tT", "GET" * 30_000])
def test_what_is_no_method_is_refused(ours: Service, method: str) -> None:
    assert status(request(ours, f"{method} /jobs HTTP/1.1")) == 400


def test_what_comes_behind_a_body_decides_nothing(ours: Service) -> None:
    body = "0\r\nAuthorization: Bearer x\r\nIdempotency-Key: behind\r\n\r\n"
    chunked = "Transfer-Encoding: chunked"
    assert status(request(ours, "GET /jobs HTTP/1.1", chunked, body=body)) == 200


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=1e2",
        "limit=9" + "9" * 5000,
        "limit=%00",
        "limit=1&limit=2",
        "state=running",
        "state=",
        "cursor=",
        "cursor=%ff%fe",
        "cursor=" + "A" * 5000,
        "cursor=WzEsIngiLCIyMDI2LTAxLTAxIiwiJzsgRFJPUCBUQUJMRSBkYXRhc2V0czsgLS0iXQ",
        "dataset_id=%00",
        "nothing=1",
        "&".join("state=queued" for _ in range(3000)) + "&x=1",
    ],
)
def test_a_query_that_cannot_be_is_malformed(ours: Service, query: str) -> None:
    got = request(ours, f"GET /jobs?{query} HTTP/1.1")
    assert status(got) == 400
    assert b"application/problem+json" in got
    for word in (b"Traceback", b"psycopg", b"SELECT", b"sqlalchemy"):
        assert word not in got


@pytest.mark.parametrize("query", ["dataset_id=%ff", "dataset_id='%20OR%20'1'='1"])
def test_any_text_may_be_looked_for(ours: Service, query: str) -> None:
    got = request(ours, f"GET /jobs?{query} HTTP/1.1")
    assert status(got) in {200, 400}
    assert b'"items":[{' not in got.replace(b" ", b"")


@pytest.mark.parametrize(
    ("media", "body", "expected"),
    [
        ("text/plain", "{}", 415),
        ("application/x-www-form-urlencoded", "dataset_id=a", 415),
        ("multipart/form-data; boundary=x", "--x--", 415),
        ("application/json; charset=utf-16", "{}", 400),
        ("application/json", "", 400),
        ("application/json", "[" * 100_000, 400),
        ("application/json", '{"a":' * 50_000, 400),
        ("application/json", "1" * 10_000, 400),
        ("application/json", '{"dataset_id": "\\ud800", "workflow_name": "w"}', 400),
        ("application/json", '{"dataset_id": "\\u0000", "workflow_name": "w"}', 400),
        ("application/json", '{"dataset_id": "a", "dataset_id": "b"}', 400),
        ("application/json", "\xff\xfe", 400),
        ("application/json", '{"__proto__": {}, "dataset_id": "a"}', 400),
    ],
)
def test_a_body_that_is_none_is_refused(
    ours: Service, media: str, body: str, expected: int
) -> None:
    length = f"Content-Length: {len(body)}"
    got = request(
        ours, "POST /jobs HTTP/1.1", f"Content-Type: {media}", length, body=body
    )
    assert status(got) == expected
    assert b"application/problem+json" in got


def test_a_body_over_the_limit_is_refused_in_whatever_way_it_comes(
    ours: Service,
) -> None:
    json_ = "Content-Type: application/json"
    huge = f"Content-Length: {2**40}"
    assert status(request(ours, "POST /jobs HTTP/1.1", json_, huge, body="{")) == 413
    chunk = f"{64 * 1024:x}\r\n{' ' * 64 * 1024}\r\n"
    got = request(
        ours,
        "POST /jobs HTTP/1.1",
        json_,
        "Transfer-Encoding: chunked",
        body=chunk * 20 + "0\r\n\r\n",
    )
    assert status(got) == 413


def test_a_body_of_a_stream_is_not_kept(ours: Service) -> None:
    begun = (
        f"GET /jobs/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ours.token}"
    )
    before = resident(ours)
    with connected(ours) as line:
        line.sendall(begun.encode() + b"\r\nContent-Length: 1000000000\r\n\r\n")
        assert line.recv(1000).startswith(b"HTTP/1.1 200")
        for _ in range(500):
            line.sendall(b"x" * 65536)
            assert resident(ours) - before < 4


def test_who_goes_away_in_the_middle_leaves_nothing_behind(ours: Service) -> None:
    for sent in (
        b"",
        b"GET",
        b"GET /jobs HTTP/1.1\r\nHost: a\r\n",
        b"\x16\x03\x01\x02",
    ):
        with connected(ours) as line:
            line.sendall(sent)
    half = f"POST /jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ours.token}\r\n"
    half += 'Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"dataset'
    for _ in range(5):
        with connected(ours) as line:
            line.sendall(half.encode())
    until(lambda: ours.request("GET", "/health/live").ok)


def test_many_who_say_nothing_keep_nobody_out(ours: Service) -> None:
    idle = [connected(ours) for _ in range(300)]
    try:
        for line in idle:
            line.sendall(b"GET /jobs HTTP/1.1\r\nHost: ")
        assert ours.request("GET", "/health/ready").status_code == 200
    finally:
        for line in idle:
            line.close()


def test_what_a_client_calls_its_request_cannot_forge_a_line_in_the_log(
    ours: Service,
) -> None:
    got = request(ours, "GET /jobs HTTP/1.1", 'X-Request-ID: a","event":"forged')
    assert status(got) == 200
    assert b"forged" not in got
    assert all(one["event"] != "forged" for one in ours.commands[-1].logged())

"""One connection without a token."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.attacks.measure import Attack, another_client, cpu_time, peak_memory
from tests.support.rows import fill
from tests.support.service import Service


CHUNKED = b"POST /jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begun", "repeated"),
    [
        (b"", b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n" * 1000),
        (b"GET /jobs HTTP/1.1\r\nHost: a\r\nX-Long: ", b"x" * 65536),
        (CHUNKED + b"0\r\n", b"X-Trailer: x\r\n" * 5000),
        (CHUNKED, b"1\r\nx\r\n" * 10000),
        (CHUNKED + b"1;", b"x" * 65536),
        (b"GET /jobs HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"x" * 65536),
    ],
    ids=["requests", "head", "trailers", "chunks", "extension", "body of GET"],
)
def test_bytes_without_end(
    api: Service, attack: Attack, begun: bytes, repeated: bytes
) -> None:
    with (
        another_client(f"{api.url}/health/live") as client,
        peak_memory(api.commands[-1].process.pid) as peak,
    ):
        send(api, begun, repeated, limit=17 * 2**20, seconds=12)
    attack.at_most(4, "memory of the API", peak.growth, "MiB")
    # What other processes of this machine do must not decide.
    attack.at_most(30, "another client's median", client.quantile(0.5), "ms")


def send(api: Service, begun: bytes, repeated: bytes, limit: int, seconds: int) -> None:
    """Send bytes without reading an answer, until refused or so many are sent."""
    parts = urlsplit(api.url)
    deadline = time.monotonic() + seconds
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=1) as line,
        suppress(ConnectionError),
    ):
        line.sendall(begun)
        sent = 0
        while sent < limit and time.monotonic() < deadline:
            with suppress(TimeoutError):
                sent += line.send(repeated)


CONNECTIONS = 50
LOCAL = b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW = {
    "heads": (b"POST /jobs HTTP/1.1\r\nHost: a\r\n", b"X: "),
    "bodies": (
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"
        + b"x" * 1_048_000,
        b"x",
    ),
    "chunks": (
        CHUNKED.replace(b" a", b" localhost") + b"1\r\nx\r\n" * 100_000,
        b"1\r\nx\r\n",
    ),
    "lists that are not read": ((b"GET /jobs?limit=200" + LOCAL) * 9, b""),
    "documents that are not read": ((b"GET /schema/openapi.json" + LOCAL) * 9, b""),
}
"""What each connection sends at first, and then again and again."""


def test_slow_connections(api: Service, attack: Attack, database_url: str) -> None:
    fill(database_url, 200)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE workflow_invocations"
            " SET parameters = json_build_object('x', repeat('x', 4000))"
        )
    for name, (begun, repeated) in SLOW.items():
        hold(api, attack, name, begun, repeated)


def hold(
    api: Service, attack: Attack, name: str, begun: bytes, repeated: bytes
) -> None:
    """Hold connections open for two seconds, and measure what each costs."""
    parts = urlsplit(api.url)
    pid = api.commands[-1].process.pid
    before = cpu_time(pid)
    with peak_memory(pid) as peak, ExitStack() as lines:
        sockets = []
        for _ in range(CONNECTIONS):
            line = socket.create_connection((parts.hostname, parts.port), timeout=5)
            sockets.append(lines.enter_context(line))
            with suppress(OSError):
                line.sendall(begun)
        with another_client(f"{api.url}/health/live") as client:
            for _ in range(20):
                for line in sockets:
                    with suppress(OSError):
                        line.sendall(repeated)
                time.sleep(0.1)
    seconds = cpu_time(pid) - before
    attack.at_most(4, f"{name}: memory of each", peak.growth / CONNECTIONS, "MiB")
    attack.at_most(30, f"{name}: CPU time of each", 1000 * seconds / CONNECTIONS, "ms")
    median = client.quantile(0.5)
    attack.at_most(30, f"{name}: another client's median", median, "ms")

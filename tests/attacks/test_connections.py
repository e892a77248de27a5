"""One connection without a token."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tests.attacks.measure import Attack, another_client, peak_memory
from tests.support.service import Service


CHUNKED = b"POST /jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begun", "repeated"),
    [
        (b"", b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n" * 1000),
        (b"GET /jobs HTTP/1.1\r\nHost: a\r\nX-Long: ", b"x" * 65536),
        (CHUNKED + b"0\r\n", b"X-Trailer: x\r\n" * 5000),
        (CHUNKED, b"1\r\nx\r\n" * 10000),
    ],
    ids=["requests", "head", "trailers", "chunks"],
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
    # What other processes of this machine do must not decide: the worst but one.
    attack.at_most(30, "another client's p99", client.quantile(0.99), "ms")


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

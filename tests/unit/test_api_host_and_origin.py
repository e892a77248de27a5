"""Which hosts and origins are local, and which headers have one meaning only."""

from __future__ import annotations

from typing import Any, cast

import pytest
from litestar.types import Scope

from galaxy_jobs.entrypoints.api.host_and_origin import (
    check_framing,
    check_host,
    check_origin,
)
from galaxy_jobs.entrypoints.api.problems import Refused


HERE = [
    "localhost",
    "LOCALHOST",
    "localhost:8000",
    "127.0.0.1",
    "127.0.0.1:80",
    "127.9.9.9",
    "[::1]",
    "[::1]:8000",
]
ELSEWHERE = [
    "",
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example:8000",
    "user@localhost",
    "localhost@evil.example",
    "localhost:x",
    "localhost/a",
    "10.0.0.1",
    "0.0.0.0",
    "[::2]",
    "::1",
    "localhost evil.example",
    "[::1",
    "localhost:99999",
]


@pytest.mark.parametrize("host", HERE)
def test_loopback_addresses_are_ours_at_any_port(host: str) -> None:
    check_host(host)
    check_origin(f"http://{host}")
    check_origin(f"https://{host}")


@pytest.mark.parametrize("host", [*ELSEWHERE, None])
def test_any_other_host_is_refused(host: str | None) -> None:
    with pytest.raises(Refused, match="Host is"):
        check_host(host)


@pytest.mark.parametrize(
    "origin", ["null", "", *(f"http://{one}" for one in ELSEWHERE)]
)
def test_any_other_origin_is_refused(origin: str) -> None:
    with pytest.raises(Refused, match="Origin is"):
        check_origin(origin)


def test_no_origin_is_no_page() -> None:
    check_origin(None)


def framed(*headers: tuple[bytes, bytes]) -> Scope:
    return cast("Scope", {"headers": list(headers)})


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"accept", b"a"), (b"accept", b"b")],
        [(b"content-length", b"1")],
        [(b"transfer-encoding", b"Chunked")],
    ],
)
def test_headers_with_one_meaning_are_let_in(headers: list[Any]) -> None:
    check_framing(framed(*headers))


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([(b"host", b"a"), (b"host", b"a")], "The Host header was sent more than once"),
        ([(b"cookie", b"a"), (b"cookie", b"b")], "more than once"),
        ([(b"transfer-encoding", b"gzip, chunked")], "must be chunked"),
        (
            [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
            "cannot be sent together",
        ),
    ],
)
def test_headers_with_two_meanings_are_refused(headers: list[Any], says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        check_framing(framed(*headers))
    assert caught.value.code == "malformed-request"

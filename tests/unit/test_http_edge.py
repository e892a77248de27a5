"""The edge: which addresses are ours, and how paths are spelt."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.types import HTTPScope

from galaxy_jobs.entrypoints.api import asgi
from galaxy_jobs.entrypoints.api.asgi import (
    REQUEST_ID,
    check_host,
    check_origin,
    path_of,
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


def a_scope(raw: bytes) -> HTTPScope:
    return cast("HTTPScope", cast("Any", {"raw_path": raw}))


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


@given(ids=st.lists(st.text(min_size=1).filter(lambda one: "\0" not in one)))
def test_any_text_is_one_segment_of_a_path(ids: list[str]) -> None:
    usable = [one for one in ids if one.isascii() or one.encode("utf-8", "ignore")]
    try:
        raw = "/".join(["", *(quote(one, safe="") for one in usable)])
    except UnicodeEncodeError:  # half a character has no spelling in a path
        return
    path = path_of(a_scope(raw.encode()))
    assert [unquote(one) for one in path.split("/")[1:]] == usable


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/jobs", "/jobs"),
        (b"/j%6fbs", "/jobs"),
        (b"/workflows/a%2fb", "/workflows/a%2Fb"),
        (b"/jobs?limit=1", "/jobs"),
        (b"/datasets/a+b%20c", "/datasets/a%2Bb%20c"),
        (b"/datasets/%252F", "/datasets/%252F"),
    ],
)
def test_a_path_has_one_spelling(raw: bytes, path: str) -> None:
    assert path_of(a_scope(raw)) == path


@pytest.mark.parametrize("raw", [b"/jobs/%00", b"/jobs/a%00b", b"/jobs/%ff", b"/\xff"])
def test_what_no_id_can_be_is_not_found(raw: bytes) -> None:
    with pytest.raises(Refused) as caught:
        path_of(a_scope(raw))
    assert caught.value.code == "not-found"


@given(raw=st.binary())
def test_any_path_is_spelt_or_not_found(raw: bytes) -> None:
    try:
        path = path_of(a_scope(raw))
    except Refused:
        return
    assert path.isascii()
    assert path.count("/") == raw.partition(b"?")[0].count(b"/")


@pytest.mark.parametrize("id_", ["a", "0af7651916cd43dd8448eb211c80319c", "A-b_c.d:e"])
def test_sane_request_ids_are_taken_over(id_: str) -> None:
    assert REQUEST_ID.fullmatch(id_)


@pytest.mark.parametrize("id_", ["", "a b", "a\nb", 'a"', "é", "x" * 129])
def test_others_are_not(id_: str) -> None:
    assert not REQUEST_ID.fullmatch(id_)


async def _slowly() -> Any:
    await asyncio.sleep(60)


@pytest.mark.parametrize("first", [None, {"type": "http.request", "more_body": True}])
def test_a_body_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, first: dict[str, Any] | None
) -> None:
    monkeypatch.setattr(asgi, "BODY_TIMEOUT", 0.05)
    said = [first] if first else []

    async def receive() -> Any:
        return said.pop() if said else await _slowly()

    async def story() -> None:
        receiving = asgi._in_time(receive)
        if first:
            await receiving()
        with pytest.raises(Refused, match="did not arrive within"):
            await receiving()

    asyncio.run(story())


def test_who_has_sent_a_whole_body_may_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asgi, "BODY_TIMEOUT", 0.01)
    coming: list[Any] = [{"type": "http.disconnect"}, {"type": "http.request"}]

    async def receive() -> Any:
        if len(coming) == 1:
            await asyncio.sleep(0.05)
        return coming.pop()

    async def story() -> None:
        receiving = asgi._in_time(receive)
        assert (await receiving())["type"] == "http.request"
        assert (await receiving())["type"] == "http.disconnect"

    asyncio.run(story())


def test_who_goes_away_half_way_is_nobodys_fault() -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def story() -> None:
        with pytest.raises(Refused) as caught:
            await asgi._in_time(receive)()
        assert caught.value.code == "malformed-request"

    asyncio.run(story())

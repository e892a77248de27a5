"""The layer around Litestar: paths, request ids, and bodies that do not come."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote, unquote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.entrypoints.api.asgi import (
    MAX_PATH_LENGTH,
    MAX_SEGMENTS,
    REQUEST_ID,
    encoded_path,
)
from tests.support.api import an_api, code_of


@given(ids=st.lists(st.text(min_size=1), max_size=MAX_SEGMENTS - 1))
def test_any_text_is_one_segment_of_a_path(ids: list[str]) -> None:
    try:
        raw = "/".join(["", *(quote(id_, safe="") for id_ in ids)])
    except UnicodeEncodeError:  # half a character has no spelling in a path
        return
    path = encoded_path(raw.encode())
    assert [unquote(segment) for segment in path.split("/")[1:]] == ids


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/jobs", "/jobs"),
        (b"/j%6fbs", "/jobs"),
        (b"/workflows/a%2fb", "/workflows/a%2Fb"),
        (b"/jobs?limit=1", "/jobs"),
        (b"/datasets/a+b%20c", "/datasets/a+b%20c"),
        (b"/datasets/%252F", "/datasets/%252F"),
        (b"/\xff", "/%FF"),
    ],
)
def test_a_path_has_one_spelling(raw: bytes, path: str) -> None:
    assert encoded_path(raw) == path


@given(raw=st.binary())
def test_any_path_is_spelt_in_ascii_and_keeps_its_segments(raw: bytes) -> None:
    path = encoded_path(raw)
    assert path.isascii()
    assert path.count("/") == raw.partition(b"?")[0].count(b"/")


@pytest.mark.parametrize("path", ["/jobs/%00", "/jobs/a%00b", "/jobs/%ff", "/%ff"])
def test_what_no_id_can_be_is_not_found(path: str) -> None:
    with an_api() as api:
        answer = api.get(path)
    assert answer.status_code == 404
    assert code_of(answer) == "not-found"


@pytest.mark.parametrize("id_", ["a", "0af7651916cd43dd8448eb211c80319c", "A-b_c.d:e"])
def test_sane_request_ids_are_taken_over(id_: str) -> None:
    assert REQUEST_ID.fullmatch(id_.encode())


@pytest.mark.parametrize("id_", ["", "a b", "a\nb", 'a"', "é", "x" * 129])
def test_others_are_not(id_: str) -> None:
    assert not REQUEST_ID.fullmatch(id_.encode())


def test_a_client_that_disconnects_half_way_is_nobodys_fault() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/jobs",
        "raw_path": b"/jobs",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-length", b"5")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    with (
        structlog.testing.capture_logs() as logged,
        an_api() as api,
        api.portal() as portal,
    ):
        portal.call(api.app, cast("Any", scope), receive, send)
    assert sent[0]["status"] == 400
    assert [line["event"] for line in logged] == ["request"]


def test_paths_are_limited_for_they_are_kept() -> None:
    longest = "/datasets/" + "x" * (MAX_PATH_LENGTH - len("/datasets/"))
    with an_api() as api:
        assert code_of(api.get(longest)) != "not-found"
        # What counts is their encoded form, in which they are kept.
        for path in (f"{longest}y", f"/jobs/{chr(233) * 400}"):
            answer = api.get(path)
            assert (answer.status_code, code_of(answer)) == (404, "not-found")
            assert len(answer.content) < 2 * MAX_PATH_LENGTH

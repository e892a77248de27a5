"""Cursors: taken as they were given out, and no other way."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from galaxy_jobs.domain import Cursor
from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.entrypoints.api.cursors import read, write
from tests.support.build import NOON


JOBS = ["jobs", None, None, ["queued"]]
TIMES = st.datetimes(timezones=st.just(UTC))
IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(at=TIMES, id_=IDS)
def test_a_cursor_comes_back_as_it_went(at: datetime, id_: str) -> None:
    text = write(Cursor(at, id_), JOBS)
    assert text is not None
    assert text.isascii()
    assert read(text, JOBS) == Cursor(at, id_)


def test_it_does_not_depend_on_the_zone_of_the_database_session() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    assert write(Cursor(elsewhere, "1"), JOBS) == write(Cursor(NOON, "1"), JOBS)


def test_no_cursor_is_the_beginning_and_the_end() -> None:
    assert read(None, JOBS) is None
    assert write(None, JOBS) is None


def test_one_of_another_list_or_filter_is_refused() -> None:
    text = write(Cursor(NOON, "1"), JOBS)
    others: list[list[object]] = [
        ["datasets"],
        ["jobs", None, None, []],
        ["jobs", "d", None, ["queued"]],
    ]
    for other in others:
        with pytest.raises(InvalidValue, match="Bad cursor"):
            read(text, other)


@given(text=st.text() | st.binary().map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_what_was_made_up_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="Bad cursor"):
        read(text, JOBS)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),
        (0, "1"),
        (1, "0" * 16),
        (2, "2026-01-02"),
        (2, "2026-01-02T12:00:00"),
        (2, "2026-01-02T12:00:00Z"),
        (2, "2026-01-02T13:00:00+01:00"),
        (2, "0001-01-01T00:00:00+23:59"),
        (2, None),
        (3, 1),
        (3, None),
        (3, "\0"),
        (3, "\ud800"),
    ],
)
def test_one_that_was_tampered_with_is_refused(place: int, value: object) -> None:
    text = write(Cursor(NOON, "1"), JOBS)
    assert text is not None
    said = json.loads(base64.urlsafe_b64decode(text + "=="))
    said[place] = value
    forged = base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode())
    with pytest.raises(InvalidValue, match="Bad cursor"):
        read(forged.decode().rstrip("="), JOBS)


@given(data=st.data())
def test_one_with_a_character_changed_is_not_the_same_place(
    data: st.DataObject,
) -> None:
    text = write(Cursor(NOON, "1"), JOBS)
    assert text is not None
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii"))
    assume(other != text[place])
    forged = text[:place] + other + text[place + 1 :]
    with contextlib.suppress(InvalidValue):
        assert read(forged, JOBS) != Cursor(NOON, "1")

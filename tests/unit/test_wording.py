"""Spans of time and sizes in words, and texts that spell values."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.entrypoints import typed_text, wording


@pytest.mark.parametrize(
    ("span", "two_units", "one_unit"),
    [
        (timedelta(seconds=-3), "0 s", "0 s"),
        (timedelta(seconds=59.9), "59 s", "59 s"),
        (timedelta(minutes=65), "1 h 5 min", "1 h"),
        (timedelta(hours=1, seconds=1), "1 h", "1 h"),
        (timedelta(days=400, hours=3, minutes=9), "400 d 3 h", "400 d"),
    ],
)
def test_a_duration_has_at_most_so_many_units(
    span: timedelta, two_units: str, one_unit: str
) -> None:
    assert wording.duration(span) == two_units
    assert wording.duration(span, units=1) == one_unit


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (2 * 10**15, "2000.0 TB"),
    ],
)
def test_a_size_has_a_unit(count: int | None, words: str) -> None:
    assert wording.size(count) == words


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    )
)
def test_a_value_of_any_type_is_read_back_from_its_text(value: object) -> None:
    text = typed_text.text_of(value)
    if value in (None, float("inf"), float("-inf")):
        assert typed_text.value_of(text, ()) == text
    elif "Infinity" not in text:
        assert typed_text.value_of(text, ()) == value

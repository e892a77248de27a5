"""README says what the code says."""

from __future__ import annotations

from tests.support.tables import README, written_anew


def test_the_tables_are_what_the_code_says() -> None:
    text = README.read_text()
    assert text == written_anew(text), "run: python -m tests.support.tables"

"""README says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.tables import README, written_anew


TESTS = Path(__file__).parents[1]


def test_the_tables_are_what_the_code_says() -> None:
    text = README.read_text()
    assert text == written_anew(text), "run: python -m tests.support.tables"


def test_every_row_of_what_happens_when_is_shown_by_a_test() -> None:
    _, _, text = README.read_text().partition("## What happens when")
    text = text.partition("\n## ")[0]
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.endswith("| shown by |")
    ]
    assert rows
    for row in rows:
        shown_by = re.search(r"`(test_\w+\.py): ([^`]+)` \|$", row)
        assert shown_by, row
        (file,) = TESTS.glob(f"*/{shown_by[1]}")
        quoted = f'"{shown_by[2]}"'
        assert quoted in (code := file.read_text()) or f"def {shown_by[2]}(" in code

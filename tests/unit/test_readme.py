"""The tables of README and docs/ match the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.tables import PAGES, ROOT, updated


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_tables_match_the_code(page: Path) -> None:
    assert page.read_text() == updated(page), "run: python -m tests.support.tables"


def test_every_guarantee_names_a_test_that_exists() -> None:
    text = (ROOT / "docs/guarantees.md").read_text()
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.endswith("| test |")
    ]
    assert rows
    for row in rows:
        reference = re.search(r"`(test_\w+\.py): ([^`]+)` \|$", row)
        assert reference, row
        files, name = ROOT.glob(f"tests/*/{reference[1]}"), reference[2]
        code = "".join(file.read_text() for file in files)
        assert f'"{name}"' in code or f"def {name}(" in code, row

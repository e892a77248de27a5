"""The pages in docs/ show what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.examples import PAGES, shown_anew


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_are_the_files_that_are_tested(page: Path) -> None:
    text = page.read_text()
    assert text == shown_anew(text), "run: python -m tests.support.examples"

"""The pages for people show what there is, and their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.examples import PAGES, shown_anew


ROOT = Path(__file__).parents[2]
WRITTEN = [
    *ROOT.glob("*.md"),
    *(
        path
        for part in ("bench", "deploy", "docs")
        for path in ROOT.glob(f"{part}/**/*.md")
    ),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_are_the_files_that_are_tested(page: Path) -> None:
    text = page.read_text()
    assert text == shown_anew(text), "run: python -m tests.support.examples"


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return what its headings can be reached by, as GitHub makes it of them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ +(.+?) *#*$", prose(page), re.MULTILINE):
        said = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", said.lower()).replace(" ", "-")
        twice = found.count(slug)
        found.append(f"{slug}-{twice}" if twice else slug)
    return frozenset(found)


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r"^\[[^]]+\]: +(\S+)", text, re.MULTILINE)
    yield from re.findall(r"(?:src|href)=\"([^\"]+)\"", text)


@pytest.mark.parametrize(
    "page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_links_lead_to_what_is_there(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), f"{link}: {sorted(anchors(target))}"


def test_the_pages_that_people_look_for_are_there() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in WRITTEN}
    assert names >= {
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "deploy/README.md",
        "docs/library.md",
    }

"""The documentation: its links, the names that it mentions, and its language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.examples import PAGES, updated


ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(
        path
        for folder in ("bench", "deploy", "docs")
        for path in ROOT.glob(f"{folder}/**/*.md")
    ),
]

WORDS_TO_AVOID = re.compile(
    r"\b(anew|aloud|in vain|no good|mend(s|ed|ing)?|born|who(so)?ever|whosever|besides|"
    r"(tells?|told|telling) of|(say|says|said) (how|what|whether|who))\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_the_tested_files(page: Path) -> None:
    text = page.read_text()
    assert text == updated(text), "run: python -m tests.support.examples"


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub generates them."""
    slugs: list[str] = []
    for heading in re.findall(r"^#+ +(.+?) *#*$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        repeated = slugs.count(slug)
        slugs.append(f"{slug}-{repeated}" if repeated else slug)
    return frozenset(slugs)


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r"^\[[^]]+\]: +(\S+)", text, re.MULTILINE)
    yield from re.findall(r"(?:src|href)=\"([^\"]+)\"", text)


@pytest.mark.parametrize(
    "page", DOCUMENTS, ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_links_have_targets(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), f"{link}: {sorted(anchors(target))}"


def test_readme_leads_to_every_document() -> None:
    targets = {link.partition("#")[0] for link in links(ROOT / "README.md")}
    documents = {page.relative_to(ROOT).as_posix() for page in DOCUMENTS}
    assert documents - targets == {"README.md"}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_commands_and_files_that_are_mentioned_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    mentioned = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert mentioned
    assert mentioned <= targets
    files = {path.name for path in ROOT.glob("[dst]*/**/*.py")}
    assert set(re.findall(r"`(\w+\.py)`", text)) <= files
    for path in re.findall(
        r"^((?:src|tests|docs|bench|deploy)/\S*)", text, re.MULTILINE
    ):
        assert (ROOT / path).exists(), path


def test_every_command_of_make_is_in_readme() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.* ## ", makefile, re.MULTILINE))
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    missing = {target for target in targets if f"make {target}" not in text}
    assert missing == {"help"}


def test_words_to_avoid_are_avoided() -> None:
    texts = {page: re.sub(r"`[^`\n]*`", "", prose(page)) for page in DOCUMENTS}
    del texts[ROOT / "bench/README.md"]
    texts |= {
        path: path.read_text()
        for folder in ("deploy", "docs", "src")
        for path in ROOT.glob(f"{folder}/**/*")
        if path.is_file()
        and path.suffix not in {".md", ".lock", ".png", ".pyc"}
        and ".min." not in path.name
    }
    assert len(texts) > 100
    occurrences = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path, text in texts.items()
        for match in WORDS_TO_AVOID.finditer(text)
    ]
    assert not occurrences

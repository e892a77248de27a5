"""A row for each thing that was measured, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import attrs
from attrs import frozen


@frozen
class Row:
    """One thing that was measured, against a rival or a limit.

    Attributes:
        name: What was measured; with its unit, where a number has one.
        ours: What came out here.
        theirs: What came out for the rival; None where there is none.
        ratio: How many times better ours is, or whatever *bar* speaks of.
        bar: What was to be reached, in words: ``ratio >= 30``.
        ok: Whether it was.
    """

    name: str
    ours: float | str
    theirs: float | str | None
    ratio: float | None
    bar: str
    ok: bool


HEAD = [one.name for one in attrs.fields(Row)]


def table(rows: Sequence[Row], *, head: bool = True) -> str:
    """Return the rows as aligned text, as Markdown reads it, too.

    Args:
        rows: What to show.
        head: Whether the names of the columns stand above it.
    """
    cells = [[_shown(one) for one in attrs.astuple(row)] for row in rows]
    lines = [HEAD, *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    if head:
        lines.insert(1, ["-" * width for width in widths])
    else:
        lines = cells
    return "\n".join(
        "| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines
    )


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "ok" if value else "MISSED"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(str(value).split()).replace("|", "/")


def save(rows: Sequence[Row], path: Path) -> None:
    """Write the rows to a file, as ``{"rows": [{"name": …}, …]}``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"rows": [attrs.asdict(row) for row in rows]}
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")

"""What a client command shows: tables for people, or the API's own JSON.

Rule of the file: whatever came from the service is shown with its control
characters made visible: a name must not move the cursor of who lists it. Ids are
never cut, since they are what is typed next.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from galaxy_jobs.entrypoints import wording


COLOURS: Mapping[str, str] = {
    "queued": "yellow",
    "in_progress": "blue",
    "cancelling": "magenta",
    "completed": "green",
    "failed": "red",
    "cancelled": "magenta",
    # of steps
    "ok": "green",
    "running": "blue",
    "waiting": "yellow",
    "blocked": "red",
    "error": "red",
}

UNCUT = 10_000
"""The width of lines where no terminal has one."""

ADDRESS = 30
"""How much of an address a table shows on a terminal; of an id, it shows all."""

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
_BREAKS = re.compile(r"[\t\n]")


def console() -> Console:
    """Return where people read: as wide as their terminal, if it is one."""
    cut = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(
        highlight=False, markup=False, emoji=False, width=None if cut else UNCUT
    )


def show(*things: RenderableType) -> None:
    """Show things to people, each on lines of its own."""
    out = console()
    with out.capture() as shown:
        for one in things:
            out.print(one)
    # The last column is padded, too: of no use to who reads or pipes it.
    lines = (line.rstrip(" ") for line in shown.get().split("\n"))
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()


def raw(body: bytes) -> None:
    """Print the API's JSON as it came, on one line."""
    sys.stdout.write(body.decode(errors="replace").rstrip("\n") + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """Say something that is no result, beside it."""
    print(clean(line), file=sys.stderr, flush=True)


def clean(text: object, *, lines: bool = False) -> str:
    """Return a text with its control characters made visible.

    Args:
        text: Or anything else, which is shown as JSON.
        lines: Whether it may have several lines.
    """
    said = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    said = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], said)
    return said if lines else _BREAKS.sub(" ", said)


def state(name: str) -> Text:
    """Return a state in its colour."""
    return Text(clean(name), style=COLOURS.get(name, ""))


def table(*columns: str, rows: Iterable[Sequence[str | Text]], cut: str = "") -> Table:
    """Return an aligned table that fits the terminal.

    Args:
        columns: Their headings; with ``>`` in front, for numbers.
        rows: Their cells.
        cut: The headings of those that are cut where the terminal is too narrow.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for one in columns:
        heading = one.removeprefix(">")
        # What may not be cut does not give way to what may.
        made.add_column(
            heading,
            no_wrap=heading not in cut.split(),
            justify="right" if one.startswith(">") else "left",
        )
    for row in rows:
        made.add_row(*(_cell(one) for one in row))
    return made


def fields(*rows: tuple[str, str | Text | None]) -> Table:
    """Return names with their values; those that are None are left out."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value is not None:
            made.add_row(name, Text(clean(value)) if isinstance(value, str) else value)
    return made


def _cell(one: str | Text) -> Text:
    made = Text(clean(one)) if isinstance(one, str) else one
    made.no_wrap, made.overflow = True, "ellipsis"
    return made


def progress(one: Mapping[str, Any], state: str, noun: str = "jobs ") -> str:
    """Say how far a job in some state is.

    Args:
        one: Its counts.
        state: Whose jobs did not go wrong by themselves, if it was stopped.
        noun: What is counted, where that is to be said.
    """
    stopped = state in {"cancelling", "cancelled"}
    parts = [f"{one['ok']} of {one['total']} {noun}ok"]
    parts += [f"{one[k]} {k}" for k in ("running", "waiting") if one[k]]
    if one["failed"]:
        parts += [f"{one['failed']} {'stopped or failed' if stopped else 'failed'}"]
    return ", ".join(parts)


def values(given: Mapping[str, Any]) -> str | None:
    """Return parameters as they would be typed."""
    return " ".join(f"{name}={clean(value)}" for name, value in given.items()) or None


def moment(at: str) -> str:
    """Return a moment in the local time."""
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}"


def when(at: str) -> str:
    """Return a moment in the local time, and how long ago it was."""
    return f"{moment(at)} ({ago(at)})"


def short(address: str) -> str:
    """Return an address, its end cut off where a table has no place for it."""
    if console().width == UNCUT or len(address) <= ADDRESS:
        return address
    return f"{address[: ADDRESS - 1]}…"


def ago(at: str, now: datetime | None = None) -> str:
    """Return how long ago a moment was."""
    return wording.age(datetime.fromisoformat(at), now or datetime.now(UTC))

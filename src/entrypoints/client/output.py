"""Output of all commands: tables and lines for people, or the API's own JSON.

Rules of the file:

* Nothing else writes to a terminal, and no text can control one: its control
  characters are shown as escapes. Only styles and rich's own movements of the cursor
  pass, since they are no text.
* Ids are never cut: they are typed next.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias
from unicodedata import category

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from galaxy_jobs.entrypoints import wording
from galaxy_jobs.entrypoints.typed_text import text_of


if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

Cell: TypeAlias = str | Text | int | None

Columns: TypeAlias = Mapping[str, str | Callable[[Any], Cell]]
"""By its heading, each column's name in an item, or what returns the cell of one."""

STATE_COLORS: Mapping[str, Collection[str]] = {
    "yellow": {"queued", "waiting"},
    "blue": {"in_progress", "running"},
    "magenta": {"cancelling", "cancelled"},
    "green": {"completed", "ok"},
    "red": {"failed", "blocked", "error"},
}
"""The states of jobs and of steps, by color."""

UNLIMITED_WIDTH = 10_000
"""Columns, where there is no terminal."""

ADDRESS_WIDTH = 20
"""Columns of an address in a table on a terminal."""

_UNUSUAL = re.compile(r"[^\n\t -~]")
_BREAKS = re.compile(r"[\t\n]")

_CONTROLS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of controls, of format characters (which have no width or set
a direction), of surrogates, and of separators of lines and paragraphs."""


def visible(text: str) -> str:
    """Return a text whose control characters are JSON escapes; it keeps newlines."""
    return _UNUSUAL.sub(lambda match: _escaped(match[0]), text)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if category(char) in _CONTROLS else char


class _VisibleStream:
    """A terminal, which no text written to it controls."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal

    def write(self, text: str) -> int:
        return self.terminal.write(visible(text))

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


def guard_terminal() -> None:
    """Show control characters from now on, whatever writes them to a terminal."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream.isatty():
            setattr(sys, name, _VisibleStream(stream))


class Screen(Console):
    """A console of rich whose styles and movements control a terminal, and no text."""

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        stream = sys.stderr if stderr else sys.stdout
        super().__init__(file=getattr(stream, "terminal", stream), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


def console(*, stderr: bool = False) -> Console:
    """Return the console of an output, as wide as the terminal if it is one."""
    screen = Screen(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not screen.file.isatty() and "COLUMNS" not in os.environ:
        screen.width = UNLIMITED_WIDTH
    return screen


def progress_bar(*columns: str | ProgressColumn) -> Progress:
    """Return a bar on standard error: on a terminal alone, until its end."""
    from rich.progress import Progress  # noqa: PLC0415 - slow to import

    screen = console(stderr=True)
    return Progress(
        *columns, console=screen, disable=not screen.is_terminal, transient=True
    )


def show(*things: RenderableType) -> None:
    """Print things for people, each on lines of its own."""
    out = console()
    with out.capture() as capture:
        out.print(*things, sep="\n", crop=False)
    # rich pads the last column, too.
    lines = (line.rstrip(" ") for line in capture.get().split("\n"))
    out.file.write("\n".join(lines))
    out.file.flush()


def line(text: str) -> None:
    """Print a text for people, however long its lines are."""
    print(clean(text, lines=True), flush=True)


def document(value: object) -> None:
    """Print a value as JSON, on one line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair cannot be printed: its escape means the same.
    print(text.encode(errors="backslashreplace").decode(), flush=True)


def note(line: str) -> None:
    """Print a remark, on standard error."""
    print(clean(line), file=sys.stderr, flush=True)


def error(message: str, hint: str | None = None) -> None:
    """Print why a command failed, and what to do about it, on standard error."""
    text = f"galaxy-jobs: {clean(message)}"
    if sys.stderr.isatty():  # a terminal would break it within words
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(
            text, width, break_long_words=False, break_on_hyphens=False
        )
    print(text, file=sys.stderr, flush=True)
    if hint:
        note(hint)


def clean(text: object, *, lines: bool = False) -> str:
    """Return a text, or the JSON of a value, with its control characters made visible.

    It is one line, unless it may have several `lines`.
    """
    plain = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return visible(plain if lines else _BREAKS.sub(" ", plain))


def state(name: str) -> Text:
    """Return a state in its color."""
    colors = (color for color, names in STATE_COLORS.items() if name in names)
    return Text(clean(name), style=next(colors, ""))


def listing(columns: Columns, *, cut: str = "") -> Callable[[Iterable[Any]], Table]:
    """Return what makes a table of items: aligned, and as wide as the terminal.

    Args:
        columns: By their headings, which have ``>`` in front where these are numbers.
        cut: The headings, separated by spaces, of columns that give way.
    """

    def table(items: Iterable[Any]) -> Table:
        grid = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold"
        )
        for column in columns:
            heading = column.removeprefix(">")
            justify: Literal["right", "left"] = "right" if column != heading else "left"
            # Columns that may not be cut do not give way to those that may.
            no_wrap = heading not in cut.split()
            grid.add_column(heading, no_wrap=no_wrap, justify=justify)
        for item in items:
            cells = (
                item[cell] if isinstance(cell, str) else cell(item)
                for cell in columns.values()
            )
            grid.add_row(*map(_cell, cells))
        return grid

    return table


def fields(*rows: tuple[str, str | Text | None]) -> Table:
    """Return names with their values; those that are None are left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        if value is not None:
            grid.add_row(name, Text(clean(value)) if isinstance(value, str) else value)
    return grid


def _cell(value: Cell) -> Text:
    text = value if isinstance(value, Text) else Text(clean(text_of(value)))
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def values(parameters: Mapping[str, Any]) -> str | None:
    """Return parameters as they would be typed."""
    pairs = (f"{name}={clean(value)}" for name, value in parameters.items())
    return " ".join(pairs) or None


def moment(at: str) -> str:
    """Return a moment in the local time."""
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}"


def when(at: str) -> str:
    """Return a moment in the local time, and how long ago it was."""
    return f"{moment(at)} ({ago(at)})"


def short(address: str) -> str:
    """Return an address, its end cut off on a terminal."""
    if console().width == UNLIMITED_WIDTH or len(address) <= ADDRESS_WIDTH:
        return address
    return f"{address[: ADDRESS_WIDTH - 1]}…"


def ago(at: str, now: datetime | None = None) -> str:
    """Return how long ago a moment was."""
    return wording.age(datetime.fromisoformat(at), now or datetime.now(UTC))

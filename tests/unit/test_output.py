"""Terminals: no text controls one, and one module writes to them."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from galaxy_jobs.entrypoints import demo, logs
from galaxy_jobs.entrypoints.client import output
from tests.support.hostile import CONTROLS, HOSTILE, raw_controls


ROOT = Path(__file__).parents[2]


class Tty(io.StringIO):
    """A terminal that keeps what it is sent."""

    def isatty(self) -> bool:
        return True


@contextmanager
def on_terminal() -> Iterator[Tty]:
    """Send both outputs to a terminal, guarded, while the block runs."""
    tty = Tty()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", tty)
        patch.setattr(sys, "stderr", tty)
        patch.setenv("TERM", "xterm-256color")
        patch.setenv("COLUMNS", "30000")
        patch.delenv("NO_COLOR", raising=False)
        output.guard_terminal()
        yield tty


@given(st.text())
def test_no_visible_text_has_a_control(text: str) -> None:
    categories = {unicodedata.category(char) for char in output.visible(text)}
    if set(text) & {"\n", "\t"}:
        categories.discard("Cc")
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text())
def test_json_that_is_made_visible_means_the_same(text: str) -> None:
    document = json.dumps(text, ensure_ascii=False)
    assert json.loads(output.visible(document)) == text


def test_what_is_no_control_stays_as_it_is() -> None:
    text = "é 中文 e\u0301 \xa0 🧬 \ue000"
    assert output.visible(f"{text}\t\n") == f"{text}\t\n"
    assert all(output.visible(control) != control for control in CONTROLS)


@pytest.mark.parametrize(
    "write",
    [
        lambda: sys.stdout.write(HOSTILE),
        lambda: sys.stderr.writelines([HOSTILE]),
        lambda: output.show(HOSTILE, Text(HOSTILE)),
        lambda: output.show(output.listing({"a": "a"})([{"a": HOSTILE}])),
        lambda: output.show(output.fields(("a", HOSTILE), ("b", Text(HOSTILE)))),
        lambda: output.line(HOSTILE),
        lambda: output.document({HOSTILE: [HOSTILE]}),
        lambda: output.note(HOSTILE),
        lambda: output.error(HOSTILE, HOSTILE),
        lambda: output.Screen(stderr=True).print(HOSTILE),
        lambda: demo.report(HOSTILE, HOSTILE),
    ],
    ids=count(),
)
def test_no_text_controls_a_terminal(write: Callable[[], object]) -> None:
    with on_terminal() as tty:
        write()
    assert raw_controls(tty.getvalue()) == []
    assert r"\u001b;" in tty.getvalue()
    assert r"\u202e;" in tty.getvalue()


def test_styles_do() -> None:
    with on_terminal() as tty:
        output.show(output.state("failed"))
    assert tty.getvalue() == "\x1b[31mfailed\x1b[0m\n"


def fail(message: str) -> None:
    raise ValueError(message)


@contextmanager
def own_logging() -> Iterator[None]:
    """The logs of our processes, until the end of the block."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        logs.configure()
        yield
    finally:
        structlog.reset_defaults()
        root.handlers = handlers
        root.setLevel(level)


def test_a_log_gives_the_places_of_an_unexpected_error_and_not_its_message(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with own_logging():
        for log in (structlog.get_logger(), logging.getLogger("sqlalchemy")):
            try:
                fail("SELECT token FROM secrets")
            except ValueError:
                log.exception("failed")
    first, second = map(json.loads, capfd.readouterr().err.splitlines())
    for entry in (first, second):
        assert entry["event"] == "failed"
        assert re.fullmatch(
            r"Unexpected: ValueError, at test_output\.py:\d+ > test_output\.py:\d+\.",
            entry["exception"],
        )
        assert "SELECT" not in str(entry)


def test_no_log_controls_a_terminal() -> None:
    with on_terminal() as tty, own_logging():
        try:
            fail(HOSTILE)
        except ValueError as error:
            log = structlog.get_logger()
            log.exception(HOSTILE, problem=HOSTILE, error=error)
        written = tty.getvalue()
    assert raw_controls(written) == []
    assert written.count(r"\u202e;") == 3  # the event and two fields
    assert "\x1b[" in written


def test_elsewhere_json_means_what_was_sent(capfd: pytest.CaptureFixture[str]) -> None:
    output.guard_terminal()
    value = {"text": HOSTILE, "half": "\ud83e", "numbers": [1, 1.5, None]}
    output.document(value)
    output.line(HOSTILE)
    first, second, _ = capfd.readouterr().out.split("\n")
    assert json.loads(first) == value
    assert '"numbers":[1,1.5,null]' in first
    assert raw_controls(second) == []


def test_one_module_writes_to_the_terminal() -> None:
    """ruff's T20 forbids `print` in the others."""
    ways = re.compile(
        r"std(out|err)\.(write|buffer)|\bConsole\(|console import Console"
    )
    folder = ROOT / "src/entrypoints"
    writers = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if ways.search(path.read_text())
    }
    assert writers == {"client/output.py"}

"""Texts of a Galaxy, or of a service, that would rule the reader's terminal."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.measure import Attack
from tests.support.hostile import HOSTILE, hostile_server, raw_controls
from tests.support.service import service
from tests.support.terminal import Terminal


COMMANDS = [
    ("submit", "d", "w", "--wait"),
    ("watch", "j", "--json"),
    ("cancel", "j"),
    ("list", "--json"),
    ("show", "refused"),
    ("list", "--state", HOSTILE.replace("\0;", "")),
    ("poll", "--once"),
    ("doctor",),
]


def test_hostile_texts_on_a_terminal(
    attack: Attack, tmp_path: Path, database_url: str
) -> None:
    with (
        hostile_server() as url,
        service(tmp_path, database=database_url, galaxy=url, key="k") as ours,
    ):
        env = {**ours.env, "NO_COLOR": "", "GALAXY_JOBS_URL": url}
        terminals = [
            Terminal(command, env, tmp_path, columns=20000) for command in COMMANDS
        ]
        for terminal in terminals:
            terminal.end()
        written = [terminal.written for terminal in terminals]
        written.append(served(env, tmp_path))
    raw = sum(len(raw_controls(text)) for text in written)
    attack.at_most(0, "raw control characters on the terminal", raw, "kinds")


def served(env: dict[str, str], folder: Path) -> str:
    """Return the log of the API, which asks Galaxy for its user."""
    terminal = Terminal(("serve", "--port", "0"), env, folder, columns=20000)
    terminal.read_until("no Galaxy yet")
    terminal.interrupt()
    terminal.end()
    return terminal.written

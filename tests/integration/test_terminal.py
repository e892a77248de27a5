"""Every command on a terminal, where all that it is given to show is hostile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from galaxy_jobs.entrypoints.cli import app
from tests.support.client import Client
from tests.support.hostile import HOSTILE, hostile_server, raw_controls
from tests.support.service import service
from tests.support.terminal import Terminal


TYPED = HOSTILE.replace("\0;", "")
"""As an argument, which holds no NUL."""

COMMANDS: list[tuple[str, ...]] = [
    ("list",),
    ("show", "j"),
    ("watch", "j"),
    ("cancel", "j"),
    ("refresh", "j"),
    ("review", "j", "0", "--approve"),
    ("outputs", "j"),
    ("clean", "--older-than", "1d", "--yes"),
    ("clean", "--older-than", "1d", "--dry-run"),
    ("download", "j"),
    ("download", "short"),
    ("download", "refused"),
    ("download", "refused", "--ro-crate"),
    ("upload", "reads.txt", "--ext", "txt"),
    ("history", "j"),
    ("rerun", "j"),
    ("submit", "d", "w", "--wait"),
    ("submit-many", "w", "--dataset", "d"),
    ("submit-many", "w", "--dataset-label", "plate=7"),
    ("batches", "list"),
    ("batches", "show", "b"),
    ("batches", "cancel", "b"),
    ("batches", "rerun", "b"),
    ("webhook", "add", "https://example.org/"),
    ("webhook", "list"),
    ("webhook", "test", "w"),
    ("webhook", "rotate", "w"),
    ("webhook", "deliveries", "w"),
    ("webhook", "replay", "w"),
    ("adopt", "j", "d"),
    ("datasets", "list"),
    ("datasets", "show", "d"),
    ("datasets", "add", "d", "--hda", "1"),
    ("datasets", "rename", "d", "name"),
    ("workflows", "list"),
    ("workflows", "show", "w"),
    ("show", "refused"),
    ("cancel", "refused"),
]
USAGE = [
    ("list", "--state", TYPED),
    (TYPED,),
    ("show", TYPED),
    ("datasets", "add", "d", "--collection", "list", TYPED),
    ("datasets", "remove", TYPED),
    ("datasets", "list", "--label", TYPED),
    ("submit-many", "w", "--dataset-label", TYPED),
    ("webhook", "add", TYPED, "--label", TYPED),
    ("webhook", "remove", TYPED),
    ("datasets", "add", "d", "--collection", "list", f"a={TYPED}"),
    ("submit", "d", "w", "-p", TYPED),
    ("download", "j", "--label", TYPED),
    ("upload", TYPED, "--ext", "txt"),
    ("audit", "--action", TYPED),
    ("serve", "--port", TYPED),
    ("demo", "--port", TYPED),
    *((name, TYPED) for name in ("database", "galaxy", "store", "completion")),
    ("migrate", TYPED),
    ("token", "create", TYPED, "--scope", "read"),
    ("token", "revoke", TYPED),
]
LOCAL = [("poll", "--once"), ("doctor",), ("doctor", "--json")]


@pytest.fixture(scope="module")
def hostile(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "reads.txt").write_text("reads")
    with (
        hostile_server() as url,
        service(folder, database=module_database_url, galaxy=url, key="k") as ours,
    ):
        yield Client({**ours.env, "GALAXY_JOBS_URL": url}, folder)


def written(client: Client, *arguments: str) -> str:
    # Wide, so that no line ends between a character and its mark.
    terminal = Terminal(arguments, client.env, client.folder, columns=30_000)
    terminal.end()
    assert "Traceback" not in terminal.written
    return terminal.written


def all_written(client: Client, commands: list[tuple[str, ...]]) -> dict[str, str]:
    """Return what each of the commands wrote on a terminal."""
    with ThreadPoolExecutor(3) as pool:
        texts = pool.map(lambda command: written(client, *command), commands)
        return {
            " ".join(command): text
            for command, text in zip(commands, texts, strict=True)
        }


def _commands(words: tuple[str, ...]) -> list[str]:
    return list(app[words[0]] if words else app)


def test_every_command_is_among_them() -> None:
    tried = [*COMMANDS, *USAGE, *LOCAL]
    for words in ((), ("datasets",), ("workflows",), ("webhook",), ("batches",)):
        names = {name for name in _commands(words) if not name.startswith("-")}
        depth = len(words)
        assert names <= {
            command[depth]
            for command in tried
            if command[:depth] == words and len(command) > depth
        }


def test_no_command_lets_a_text_control_the_terminal(hostile: Client) -> None:
    for command, text in all_written(hostile, COMMANDS + USAGE + LOCAL).items():
        assert raw_controls(text) == [], command
        if command.startswith("doctor"):
            continue  # what Galaxy says of its version is no release
        # It is shown, not left out: as JSON escapes it, or Python.
        assert re.search(r"\\(x|u00)1b;", text), command
        assert r"\u202e;" in text, command


def test_json_stays_json_on_a_terminal(hostile: Client) -> None:
    names = ("list", "watch", "submit", "workflows")
    commands = [(*command, "--json") for command in COMMANDS if command[0] in names]
    for command, text in all_written(hostile, commands).items():
        assert raw_controls(text) == [], command
        known = set().union(*map(_texts, map(json.loads, text.splitlines())))
        assert any(HOSTILE in text for text in known), command


def _texts(value: object) -> set[str]:
    """Return all texts in a JSON value."""
    match value:
        case str():
            return {value}
        case dict():
            return _texts([*value, *value.values()])
        case list():
            return set().union(*map(_texts, value))
        case _:
            return set()


def test_json_is_the_apis_own_off_a_terminal(hostile: Client) -> None:
    printed = hostile("list", "--json").stdout
    assert "\x9b;" in printed
    assert "\u202e;" in printed


def test_no_log_lets_a_text_control_the_terminal(hostile: Client) -> None:
    for command, event in (
        (("serve", "--port", "0"), "no Galaxy yet"),
        (("poll", "--every", "1"), "sweep cut short"),
    ):
        terminal = Terminal(command, hostile.env, hostile.folder, columns=30_000)
        terminal.read_until(event)
        if "serve" in command:
            terminal.read_until("serving")
        terminal.interrupt()
        assert terminal.end() == 0
        assert raw_controls(terminal.written) == []
        assert "\\u001b;" in terminal.written
        assert "\x1b[" in terminal.written


def test_the_folder_of_galaxy_is_shown_without_its_controls(tmp_path: Path) -> None:
    galaxy = tmp_path / "\x1b;\x9b;\u202e;" / "galaxy"
    galaxy.mkdir(parents=True)
    (galaxy / "galaxy.json").write_text("damaged")
    env = {"GALAXY_JOBS_HOME": str(galaxy.parent)}
    terminal = Terminal(("galaxy", "status"), env, tmp_path, columns=30_000)
    assert terminal.end() == 1
    assert raw_controls(terminal.written) == []
    assert r"\u202e;" in terminal.written


def test_an_error_is_wrapped_and_not_cut(tmp_path: Path) -> None:
    env = {"GALAXY_JOBS_URL": "http://127.0.0.1:9", "COLUMNS": "40"}
    printed = Client(env, tmp_path)("list", code=3).stderr
    terminal = Terminal(("list",), env, tmp_path, columns=40)
    assert terminal.end() == 3
    assert terminal.text.split() == printed.split()
    assert len(printed.splitlines()[0]) > 40 > len(terminal.text.splitlines()[0])

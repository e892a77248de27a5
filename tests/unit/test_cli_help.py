"""What the command line says of itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import get_args

import cyclopts
import pytest
from rich.console import Console

from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.entrypoints.cli import app
from galaxy_jobs.entrypoints.client import job_views, options


def chains(command: cyclopts.App, *chain: str) -> Iterator[tuple[str, ...]]:
    """Yield every command, as it is typed."""
    yield chain
    for name in command:
        if not name.startswith("-"):
            yield from chains(command[name], *chain, name)


COMMANDS = list(chains(app))


def helped(chain: tuple[str, ...]) -> list[str]:
    written = io.StringIO()
    app.help_print(chain, console=Console(file=written, width=80))
    return [line.rstrip() for line in written.getvalue().splitlines()]


CLIENTS = {
    *(
        "submit",
        "list",
        "show",
        "watch",
        "cancel",
        "rerun",
        "outputs",
        "download",
        "history",
    ),
    *("refresh", "review"),
    *("datasets add", "datasets list", "datasets show"),
    *("datasets rename", "datasets remove"),
    *("workflows list", "workflows show"),
}

LOCAL = {
    *("serve", "poll", "migrate", "doctor", "galaxy", "demo", "completion", "audit"),
    *("token create", "token list", "token revoke"),
}


def test_these_are_the_commands() -> None:
    assert {" ".join(chain) for chain in COMMANDS} >= CLIENTS | LOCAL


@pytest.mark.parametrize("chain", COMMANDS, ids=" ".join)
def test_help_reads_well_in_80_columns(chain: tuple[str, ...]) -> None:
    lines = helped(chain)
    assert max(map(len, lines)) <= 80
    usage, empty, summary = lines[:3]
    assert usage.startswith(" ".join(("Usage: galaxy-jobs", *chain)))
    assert empty == ""
    assert summary.endswith((".", ":")), summary
    text = "\n".join(lines)
    # Defaults that say nothing are not said.
    assert not any(
        default in text for default in ("[default: False]", "[default: ()]", "None")
    )


@pytest.mark.parametrize("chain", COMMANDS, ids=" ".join)
def test_every_argument_and_option_is_explained(chain: tuple[str, ...]) -> None:
    command = app
    for name in chain:
        command = command[name]
    if command.default_command is None:
        return
    for argument in command.assemble_argument_collection(parse_docstring=True):
        if argument.children:  # several options in one
            continue
        assert argument.parameter.help, f"{' '.join(chain)}: {argument.name}"


@pytest.mark.parametrize("chain", ["datasets", "workflows", "token"])
def test_commands_stand_under_the_heading_of_what_they_belong_to(chain: str) -> None:
    text = "\n".join(helped((chain,)))
    heading = "The service itself" if chain == "token" else "through a running service"
    assert heading in text
    assert text.count("─ ") == 1


def test_the_states_are_those_of_the_domain() -> None:
    # Said again there, so that a client need not import the domain.
    assert set(get_args(options.State)) == {state.value for state in InvocationState}
    assert {
        state.value for state in InvocationState if state.is_terminal
    } == job_views.ENDED


def test_every_client_command_takes_json() -> None:
    for command in CLIENTS:
        assert any("--json" in line for line in helped(tuple(command.split()))), command

"""The outputs of a run, from what Galaxy lists and what its workflow marks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import InvocationId
from galaxy_jobs.domain.errors import RunnerUnavailable
from tests.support.hostile_galaxy import HostileGalaxy, hostile_galaxy, http


RELEASES = [
    folder
    for folder in sorted((Path(__file__).parent / "recorded").iterdir())
    if (folder / "run_odd_outputs.json").exists()
]


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as server:
        yield server


@pytest.fixture
def galaxy(server: HostileGalaxy) -> Galaxy:
    return Galaxy(server.url, "key", timeout=5)


def show(server: HostileGalaxy, release: Path = RELEASES[-1]) -> InvocationId:
    """Show the run that a real Galaxy was recorded with, and return its id."""
    answers: dict[str, Any] = {
        name: json.loads((release / f"{name}_odd_outputs.json").read_text())["answer"]
        for name in ("run", "workflow", "export")
    }
    server.garbage |= {
        f"report {answers['run']['id']}": http(json.dumps(answers["run"])),
        "workflow": http(json.dumps(answers["workflow"])),
        "version 0": http(json.dumps(answers["export"])),
    }
    return InvocationId(answers["run"]["id"])


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_outputs_of_one_label_are_all_listed(
    server: HostileGalaxy, galaxy: Galaxy, release: Path
) -> None:
    run = show(server, release)
    outputs = galaxy.outputs(run)
    labels = [output.label for output in outputs]
    assert labels == ["aside", "gone", "output1 (Step 2)", "output1 (Step 4)", "result"]
    assert len({output.id for output in outputs}) == len(outputs)
    for output in outputs:
        assert galaxy.named(run, output.label) == [output]
    assert list(galaxy.named(run, "output1 (Step 7)")) == []
    # The version does not change, and is not asked for again.
    assert server.requests["workflow"] == server.requests["version 0"] == 1


@pytest.mark.parametrize("kind", ["workflow", "version 0"])
def test_what_galaxy_lists_is_shown_if_it_does_not_show_the_workflow(
    server: HostileGalaxy, galaxy: Galaxy, kind: str
) -> None:
    run = show(server)
    shown = server.garbage[kind]
    for answer in (
        http(json.dumps({"err_msg": "It is deleted.", "err_code": 403002}), 403),
        http("Internal Server Error", 500),
    ):
        server.garbage[kind] = answer
        labels = [output.label for output in galaxy.outputs(run)]
        assert labels == ["aside", "gone", "output1 (Step 4)", "result"]
    server.garbage[kind] = http("", 503)
    with pytest.raises(RunnerUnavailable):
        galaxy.outputs(run)
    server.garbage[kind] = shown
    assert len(galaxy.outputs(run)) == 5

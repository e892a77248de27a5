"""What the command line says of a workflow runs as it is printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from galaxy_jobs.domain import InputKind, WorkflowInput
from tests.support.client import Client
from tests.support.http_world import World, over_sockets


DATA, PAIRS = InputKind.DATA, InputKind.COLLECTION


@pytest.fixture(scope="module")
def world(module_database_url: str) -> Iterator[World]:
    with over_sockets(module_database_url) as made:
        for dataset_id in ("reads", "other"):
            made.site.dataset(dataset_id)
        yield made


@pytest.fixture(scope="module")
def gj(world: World, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client.of(world.site.url, tmp_path_factory.mktemp("client"))


def an_input(name: str, kind: InputKind, **more: object) -> WorkflowInput:
    return WorkflowInput(name=name, kind=kind, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "inputs", "command"),
    [
        ("one", [an_input("a", DATA)], "submit DATASET one"),
        (
            "three inputs",
            [an_input("a", DATA), an_input("b c", DATA), an_input("d", DATA)],
            "submit DATASET 'three inputs' --input a -p 'b c=DATASET' -p d=DATASET",
        ),
        (
            "spare",
            [an_input("s", DATA, optional=True), an_input("t", DATA, optional=True)],
            "submit DATASET spare --input s",
        ),
        (
            "required",
            [
                an_input("a", DATA),
                an_input("n", InputKind.INTEGER, minimum=3, maximum=9),
                an_input("x", InputKind.FLOAT, maximum=0.5),
                an_input("mode", InputKind.TEXT, options=("it", "b")),
                an_input("color", InputKind.COLOR),
                an_input("spare", InputKind.TEXT, optional=True),
            ],
            "submit DATASET required -p n=3 -p x=0.5 -p mode=it -p 'color=#1f6feb'",
        ),
        (
            "accessions",
            [an_input("keep", InputKind.BOOLEAN), an_input("name", InputKind.TEXT)],
            "submit DATASET accessions -p keep=true -p name=VALUE",
        ),
        ("--dashes", [an_input("a", DATA)], "submit -- DATASET --dashes"),
    ],
)
def test_the_line_to_run_a_workflow_runs(
    world: World, gj: Client, name: str, inputs: list[WorkflowInput], command: str
) -> None:
    world.galaxy.add_workflow(name, *inputs)
    shown = gj("workflows", "show", "--", name, COLUMNS="40").stdout
    [line] = [line for line in shown.splitlines() if line.startswith("Run it: ")]
    assert line == f"Run it: galaxy-jobs {command}", "in one line, however narrow"
    words = shlex.split(line.replace("DATASET", "reads"))
    runs = len(world.galaxy.runs)
    gj(*words[3:])
    run = world.galaxy.runs[-1]
    assert len(world.galaxy.runs) == runs + 1
    assert run.workflow.workflow.name == name
    assert {each.name for each in inputs if each.required} <= set(run.inputs)


def test_the_input_for_the_dataset_is_named(world: World, gj: Client) -> None:
    world.galaxy.add_workflow("pair", an_input("l", DATA), an_input("r", DATA))
    done = gj("submit", "reads", "pair", code=1)
    assert "Fill all but one of them in `parameters`" in done.stderr
    assert "onfigur" not in done.stderr
    options = ("--input", "r", "-p", "l=other")
    job = gj.json("submit", "reads", "pair", *options)["invocation_id"]
    sources = {name: source.id for name, source in world.galaxy.runs[-1].inputs.items()}  # type: ignore[union-attr]
    assert sources == {"r": "hda-reads", "l": "hda-other"}
    assert "on input    r" in gj("show", job).stdout
    gj("rerun", job)
    assert world.galaxy.runs[-1].inputs == world.galaxy.runs[-2].inputs
    gj("rerun", job, "--input", "l", "-p", "r=other")
    assert world.galaxy.runs[-1].inputs == {
        "l": world.galaxy.runs[-2].inputs["r"],
        "r": world.galaxy.runs[-2].inputs["l"],
    }


def test_a_rerun_of_another_version_says_so(world: World, gj: Client) -> None:
    workflow_id = world.galaxy.add_workflow("changing", an_input("a", DATA))
    job = gj.json("submit", "reads", "changing")["invocation_id"]
    assert "changing, version 0\n" in gj("show", job).stdout
    world.galaxy.add_version(workflow_id)
    note = f"Job {job} ran version 0 of this workflow; this job runs version 1."
    assert gj("rerun", job).stderr == f"{note}\n"
    again = world.galaxy.runs[-1].invocation_id
    assert f"changing, version 1 ({note})" in gj("show", again).stdout
    assert gj("rerun", job, "--workflow-version", "same").stderr == ""
    assert world.galaxy.runs[-1].options.version == 0
    gj("submit", "reads", "changing", "--workflow-version", "0")
    assert world.galaxy.runs[-1].options.version == 0
    done = gj("submit", "reads", "changing", "--workflow-version", "7", code=1)
    assert "The newest is version 1" in done.stderr
    shown = gj("workflows", "show", "changing").stdout
    assert re.search(r"^version +1$", shown, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [
        ("workflows", "show", ""),
        ("datasets", "show", ""),
        ("show", ""),
        ("outputs", ""),
        ("cancel", ""),
        ("rerun", ""),
        ("rerun", "", "-p", "a=1"),
        ("watch", ""),
        ("submit", "reads", "", "-p", "a=1"),
    ],
)
def test_an_empty_name_is_refused(gj: Client, arguments: tuple[str, ...]) -> None:
    done = gj(*arguments, code=2)
    assert done.stderr == "galaxy-jobs: A name or an id is empty.\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(("reads", ""), "workflow_name"), (("", "pair"), "dataset_id")],
)
def test_an_empty_name_is_refused_by_the_service(
    gj: Client, arguments: tuple[str, str], name: str
) -> None:
    assert f"{name} is empty" in gj("submit", *arguments, code=1).stderr

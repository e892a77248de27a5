"""Formats of data and types of collections, where others are declared."""

from __future__ import annotations

import pytest

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.testing.memory import MemoryDatasets
from galaxy_jobs.domain import (
    Dataset,
    DatasetId,
    GalaxyData,
    InputKind,
    Request,
    Source,
    Src,
    UrlData,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import InvalidParameters, RunnerUnavailable
from galaxy_jobs.domain.model.dataset import DataDescription
from galaxy_jobs.domain.model.datatypes import collection_fits
from galaxy_jobs.domain.model.viewer import SERVICE
from tests.support.hostile_galaxy import recorded
from tests.support.world import World
from tests.unit.test_galaxy_garbage import galaxy


KNOWN = translate.datatypes(
    recorded("datatypes"), [{"source": "txt", "target": "expression.json"}]
)


@pytest.mark.parametrize(
    ("extension", "wanted", "admitted"),
    [
        ("tabular", ["tabular"], True),
        ("tabular", ["txt"], True),  # a subtype
        ("json", ["data"], True),
        ("txt", ["tabular"], False),
        ("json", ["tabular"], False),
        ("txt", ["tabular", "txt"], True),
        ("txt", ["json"], True),  # converted to a kind of that
        ("tabular", ["expression.json"], True),  # a kind of what can be converted
        ("data", ["txt"], False),
        ("unknown", ["txt"], True),
        ("txt", ["unknown"], True),
        ("txt", [], True),
    ],
)
def test_formats(extension: str, wanted: list[str], *, admitted: bool) -> None:
    assert KNOWN.admit(extension, wanted) is admitted


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ("list", "list", True),
        ("list:list", "list", True),  # mapped over
        ("list:paired", "paired", True),
        ("list:paired", "list:paired", True),
        ("list", "list:paired", False),
        ("paired", "list", False),
        ("list:paired", "list", False),
        ("list", "paired", False),
        ("paired", "list,paired", True),
        ("paired", "paired_or_unpaired", True),
        ("list", "paired_or_unpaired", True),
        ("list", "list:paired_or_unpaired", True),
        ("list:paired", "list:paired_or_unpaired", True),
        ("list:paired_or_unpaired", "list:paired_or_unpaired", True),
        ("paired", "list:paired_or_unpaired", False),
        ("list:paired_or_unpaired", "list:paired", False),
        ("sample_sheet", "list", True),
        ("sample_sheet:paired", "list:paired", True),
        ("list", "sample_sheet", True),
        ("paired", "sample_sheet", False),
        ("record", "record", True),
        ("list:record", "record", True),
        ("list", "record", False),
        ("a new kind", "list", True),
        ("list", "a new kind", True),
    ],
)
def test_collections(given: str, wanted: str, *, fits: bool) -> None:
    assert collection_fits(given, wanted) is fits


# --- in a request -------------------------------------------------------------

HDA, HDCA = GalaxyData(Src.HDA, "a1"), GalaxyData(Src.HDCA, "c1")


@pytest.fixture
def world() -> World:
    return World.made()


def add(world: World, source: Source) -> DatasetId:
    id_ = DatasetId("d")
    dataset = Dataset(dataset_id=id_, name="d", source=source, created_at=world.clock())
    MemoryDatasets(world.store).add(dataset, SERVICE)
    return id_


def refusal(world: World, input_: WorkflowInput, source: Source) -> str:
    """Return why that data cannot be the dataset of a job; empty if it can."""
    world.galaxy.add_workflow("typed", input_)
    request = Request(dataset_id=add(world, source), workflow_name="typed")
    try:
        world.submit.check(request, SERVICE)
    except InvalidParameters as error:
        return error.problems[input_.name]
    return ""


TABLE = WorkflowInput(name="table", kind=InputKind.DATA, formats=("tabular",))
PAIRS = WorkflowInput(
    name="pairs", kind=InputKind.COLLECTION, collection_type="list:paired"
)


def test_a_format_that_does_not_fit(world: World) -> None:
    world.galaxy.formats = KNOWN
    world.galaxy.data[HDA] = DataDescription(state="ok", extensions=("json",))
    assert refusal(world, TABLE, HDA) == (
        "Input 'table' was given dataset 'd' (hda 'a1'), which is in format json; the "
        "input takes tabular."
    )


@pytest.mark.parametrize(
    "described",
    [
        DataDescription(state="ok", extensions=("tabular",)),
        DataDescription(state="ok", extensions=("json", "tabular")),
        DataDescription(state="queued", extensions=("json",)),
        DataDescription(state="ok"),
    ],
    ids=repr,
)
def test_a_format_that_may_fit(world: World, described: DataDescription) -> None:
    world.galaxy.formats = KNOWN
    world.galaxy.data[HDA] = described
    assert refusal(world, TABLE, HDA) == ""


def test_formats_that_galaxy_does_not_tell_fit(world: World) -> None:
    world.galaxy.data[HDA] = DataDescription(state="ok", extensions=("json",))
    world.galaxy.fail_next("datatypes", RunnerUnavailable("no"))
    assert refusal(world, TABLE, HDA) == ""


def test_a_collection_of_another_type(world: World) -> None:
    world.galaxy.data[HDCA] = DataDescription(state="ok", collection_type="list")
    assert refusal(world, PAIRS, HDCA) == (
        "Input 'pairs' was given dataset 'd' (hdca 'c1'), which is a collection of "
        "type list; the input takes list:paired."
    )


@pytest.mark.parametrize("source", [HDA, UrlData("https://x.test/a", "txt")], ids=repr)
def test_a_single_dataset_for_a_collection(world: World, source: Source) -> None:
    assert "takes a collection" in refusal(world, PAIRS, source)


def test_a_dataset_that_a_parameter_names_is_checked_as_any_other(
    world: World,
) -> None:
    text = WorkflowInput(name="text", kind=InputKind.DATA)
    world.galaxy.add_workflow("two", text, PAIRS)
    request = Request(
        dataset_id=add(world, HDA),
        workflow_name="two",
        dataset_input="text",
        parameters={"pairs": {"dataset_id": "d"}},
    )
    with pytest.raises(InvalidParameters, match="takes a collection"):
        world.submit.check(request, SERVICE)


def test_galaxy_is_asked_for_its_formats_once() -> None:
    made = galaxy({})
    known = made.datatypes()
    assert made.datatypes() is known
    assert not known.admit("json", ["tabular"])
    assert known.admit("tabular", ["json"])

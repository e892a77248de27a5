"""The schema of a workflow's parameters says what the domain checks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.domain import (
    AllowedWorkflow,
    Allowlist,
    GalaxyData,
    InputKind,
    Json,
    Src,
    Workflow,
    WorkflowId,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import InvalidParameters
from galaxy_jobs.domain.model.workflow import bind
from galaxy_jobs.entrypoints.api.workflow_schema import parameters


READS = WorkflowInput(name="reads", kind=InputKind.DATA)
ALLOWED = AllowedWorkflow(name="w", input="reads")
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "b", 1.5, 2.0])
)
DATA = st.dictionaries(
    st.sampled_from(["dataset_id", "src", "id"]),
    st.sampled_from(["hda", "ldda", "hdca", "url", "d", " "]) | PLAIN,
)
VALUES = PLAIN | st.lists(PLAIN, max_size=2) | DATA
INPUTS = st.builds(
    WorkflowInput,
    name=st.just("n"),
    kind=st.sampled_from(InputKind),
    optional=st.booleans(),
    default=st.none() | PLAIN,
    multiple=st.booleans(),
    options=st.lists(PLAIN, max_size=2).map(tuple),
    minimum=st.none() | st.integers(-3, 3),
    maximum=st.none() | st.integers(-3, 3),
)


def a_workflow(*inputs: WorkflowInput) -> Workflow:
    return Workflow(workflow_id=WorkflowId("wf1"), name="w", inputs=inputs)


def fits(value: Json, schema: dict[str, Any]) -> bool:
    """Say whether a value fits: as much of JSON Schema as we write."""
    checks: dict[str, Callable[[Any], bool]] = {
        "anyOf": lambda kinds: any(fits(value, one) for one in kinds),
        "oneOf": lambda kinds: sum(fits(value, one) for one in kinds) == 1,
        "not": lambda kind: not fits(value, kind),
        "enum": lambda values: value in values,
        "type": lambda kind: _is(value, kind),
        "minimum": lambda least: not _number(value) or value >= least,
        "maximum": lambda most: not _number(value) or value <= most,
        "pattern": lambda p: not isinstance(value, str) or bool(re.search(p, value)),
        "items": lambda item: (
            not isinstance(value, list) or all(fits(one, item) for one in value)
        ),
        "required": lambda names: not isinstance(value, dict) or set(names) <= {*value},
        "properties": lambda kinds: (
            not isinstance(value, dict)
            or all(fits(value[name], kinds[name]) for name in kinds if name in value)
        ),
        "additionalProperties": lambda _: (
            not isinstance(value, dict) or set(value) <= set(schema["properties"])
        ),
    }
    notes = {"$schema", "title", "description", "default", "format"}
    assert set(schema) <= {*checks, *notes}
    return all(checks[word](said) for word, said in schema.items() if word in checks)


def _number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is(value: Json, kind: str) -> bool:
    match kind:
        case "integer":
            return _number(value) and float(value).is_integer()  # type: ignore[arg-type]
        case "number":
            return _number(value)
        case _:
            python = {
                "string": str,
                "boolean": bool,
                "object": dict,
                "array": list,
                "null": type(None),
            }
            return isinstance(value, python[kind])


def binds(
    workflow: Workflow, said: dict[str, Json], allowed: AllowedWorkflow = ALLOWED
) -> bool:
    try:
        bind(
            workflow,
            source=GalaxyData(Src.HDA, "1"),
            allowed=allowed,
            parameters=said,
        )
    except InvalidParameters:
        return False
    return True


@given(one=INPUTS, value=VALUES)
def test_what_fits_the_schema_is_what_can_be_submitted(
    one: WorkflowInput, value: Json
) -> None:
    workflow = a_workflow(READS, one)
    schema = parameters(workflow, ALLOWED)
    cases: list[dict[str, Json]] = [
        {"n": value},
        {},
        {"n": value, "m": 1},
        {"reads": "x"},
    ]
    for said in cases:
        assert fits(said, schema) is binds(workflow, said), (said, schema)


DATA_INPUTS = st.lists(
    st.sampled_from(["data", "spare", "number", "count"]), max_size=5
)
ROWS = st.sampled_from([{}, {"input": "0"}, {"input": "1"}, {"takes_dataset": False}])


@given(kinds=DATA_INPUTS, row=ROWS, filled=st.sets(st.integers(0, 4)))
def test_which_inputs_may_be_left_out_is_what_the_domain_checks(
    kinds: list[str], row: dict[str, Any], filled: set[int]
) -> None:
    makes = {
        "data": READS,
        "spare": evolve(READS, optional=True),
        "number": WorkflowInput(name="", kind=InputKind.INTEGER),
        "count": WorkflowInput(name="", kind=InputKind.INTEGER, optional=True),
    }
    inputs = [evolve(makes[kind], name=str(i)) for i, kind in enumerate(kinds)]
    workflow, allowed = a_workflow(*inputs), AllowedWorkflow(name="w", **row)
    if allowed.input not in {None, *(each.name for each in workflow.data_inputs)}:
        return  # every request is refused: the configuration is wrong
    schema = parameters(workflow, allowed)
    sent: dict[str, Json] = {
        each.name: {"dataset_id": "d"} if each.kind.is_data else 1
        for place, each in enumerate(inputs)
        if place in filled
    }
    assert fits(sent, schema) is binds(workflow, sent, allowed), (sent, schema)


def test_of_hundreds_of_data_inputs_the_schema_stays_small() -> None:
    many = [evolve(READS, name=str(number)) for number in range(2000)]
    schema = parameters(a_workflow(*many), AllowedWorkflow(name="w"))
    assert len(str(schema)) < 2000 * 500


def test_what_an_input_says_of_itself_is_passed_on() -> None:
    pairs = WorkflowInput(
        name="pairs",
        kind=InputKind.COLLECTION,
        formats=("fastqsanger",),
        collection_type="list:paired",
        annotation="Both ends.",
    )
    said = parameters(a_workflow(READS, pairs), ALLOWED)["properties"]["pairs"]
    assert said["title"] == "pairs"
    assert said["description"] == "Both ends."
    assert said["x-galaxy-formats"] == ["fastqsanger"]
    assert said["x-galaxy-collection-type"] == "list:paired"


@pytest.mark.parametrize(
    ("kinds", "configured", "name"),
    [
        ("d", None, "0"),
        ("dp", None, "0"),
        ("do", None, "0"),
        ("dd", None, None),
        ("dd", "1", "1"),
        ("dd", "2", None),
        ("p", None, None),
    ],
)
def test_which_input_takes_the_dataset_is_said_where_it_is_certain(
    kinds: str, configured: str | None, name: str | None
) -> None:
    makes = {
        "d": READS,
        "o": evolve(READS, optional=True),
        "p": WorkflowInput(name="", kind=InputKind.TEXT),
    }
    inputs = [evolve(makes[kind], name=str(i)) for i, kind in enumerate(kinds)]
    allowed = AllowedWorkflow(name="w", input=configured)
    found = Allowlist((allowed,)).dataset_input("w", a_workflow(*inputs))
    assert (found and found.name) == name

"""The schema of a workflow's parameters says what the domain checks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

from galaxy_jobs.adapters.galaxy import declarations
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
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.model.workflow import bind
from galaxy_jobs.domain.model.workflow_input import Pattern
from galaxy_jobs.entrypoints.api.workflow_schema import parameters
from tests.support.hostile_galaxy import recorded


READS = WorkflowInput(name="reads", kind=InputKind.DATA)
ALLOWED = AllowedWorkflow(name="w", input="reads")
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "b", "ab", "bab", 1.5, 2.0, 1e30, 2**63, "#00ff00"])
)
DATA = st.dictionaries(
    st.sampled_from(["dataset_id", "src", "id"]),
    st.sampled_from(["hda", "ldda", "hdca", "url", "d", " "]) | PLAIN,
)
VALUES = PLAIN | st.lists(PLAIN, max_size=2) | DATA
PATTERNS = st.builds(
    Pattern,
    expression=st.sampled_from(["a", "^a+$", "a|b", "(?i)A", "(a+)+$", "(", r"\S"]),
    negated=st.booleans(),
)
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
    exclusive_minimum=st.booleans(),
    exclusive_maximum=st.booleans(),
    min_length=st.integers(0, 2),
    max_length=st.none() | st.integers(0, 3),
    patterns=st.lists(PATTERNS, max_size=2).map(tuple),
)


def a_workflow(*inputs: WorkflowInput) -> Workflow:
    return Workflow(workflow_id=WorkflowId("wf1"), name="w", inputs=inputs)


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
    fits = jsonschema.Draft202012Validator(schema).is_valid
    cases: list[dict[str, Json]] = [
        {"n": value},
        {},
        {"n": value, "m": 1},
        {"reads": "x"},
    ]
    for said in cases:
        assert fits(said) is binds(workflow, said), (said, schema)


@cache
def declared() -> dict[str, WorkflowInput]:
    """The inputs of every kind, as a real Galaxy declares them."""
    inputs: dict[str, WorkflowInput] = {}
    for name in ("every_kind", "all_data"):
        export, form = recorded(f"export_{name}"), recorded(f"run_form_{name}")
        read = declarations.workflow(name, WorkflowId("w"), export)
        read = declarations.with_form(read, export, form)
        inputs |= {input_.name: input_ for input_ in read.inputs}
    return inputs


@cache
def parts(name: str) -> tuple[Workflow, jsonschema.Draft202012Validator, Any]:
    """Return a workflow with that input, a validator, and a strategy of its values."""
    workflow = a_workflow(READS, declared()[name])
    schema = parameters(workflow, ALLOWED)
    validator = jsonschema.Draft202012Validator(schema)
    # Objects cannot be generated with the Hypothesis of today.
    is_data = declared()[name].kind.is_data
    values = DATA if is_data else from_schema(schema["properties"][name])
    return workflow, validator, values


def mutations(value: Json) -> Iterator[Json]:
    """Yield values that are near another, and mostly do not fit where it does."""
    yield from (value, [value], [value, value], {"value": value}, str(value), None)
    match value:
        case bool():
            yield from (int(value), "true", "yes")
        case int() | float():
            yield from (value + 1, -value, value / 2, float(value), True)
            if abs(value) < 1e300:
                yield value * 2**40
        case str():
            yield from (value + "x", value[:-1], value.upper(), value + "\n", "")
        case list():
            yield from (value[1:], [*value, 0], [value])
        case dict():
            yield {**value, "more": 1}
            for key in value:
                yield {other: value[other] for other in value if other != key}
                yield {**value, key: 1}
        case _:
            pass


@given(data=st.data())
def test_an_independent_validator_judges_as_the_domain_does(
    data: st.DataObject,
) -> None:
    name = data.draw(st.sampled_from(sorted(declared())))
    workflow, validator, values = parts(name)
    value = data.draw(values)
    assert binds(workflow, {name: value}) or declared()[name].kind.is_data, value
    for said in mutations(value):
        fits = validator.is_valid({name: said})
        assert fits is binds(workflow, {name: said}), (said, validator.schema)


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
    fits = jsonschema.Draft202012Validator(schema).is_valid
    assert fits(sent) is binds(workflow, sent, allowed), (sent, schema)


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
    found = Allowlist((allowed,)).dataset_input("w", SERVICE, a_workflow(*inputs))
    assert (found and found.name) == name

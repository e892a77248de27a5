"""What an input of a workflow takes, and what is made of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from galaxy_jobs.domain import GalaxyData, InputKind, Json, Src, Workflow, WorkflowId
from galaxy_jobs.domain.errors import InvalidParameters
from galaxy_jobs.domain.model.workflow import bind
from galaxy_jobs.domain.model.workflow_input import Pattern, WorkflowInput


HDA = GalaxyData(Src.HDA, "a1")
READS = WorkflowInput(name="reads", kind=InputKind.DATA)
SAMPLE = Pattern(expression="^s[0-9]+$", message="A sample is called s1, s2 and so on.")
NO_TMP = Pattern(expression="tmp", negated=True)


def an_input(kind: str, **more: Any) -> WorkflowInput:
    return WorkflowInput(name="p", kind=InputKind(kind), **more)


def given(input_: WorkflowInput, **parameters: Json) -> Json:
    """Return what is passed to Galaxy for the input, or ``left out``."""
    workflow = Workflow(workflow_id=WorkflowId("w"), name="w", inputs=(READS, input_))
    bound = bind(workflow, source=HDA, dataset_input="reads", parameters=parameters)
    value = bound.inputs.get("p", "left out")
    assert not isinstance(value, GalaxyData)
    return value  # type: ignore[return-value]


def refusal(input_: WorkflowInput, value: Json) -> str:
    with pytest.raises(InvalidParameters) as error:
        given(input_, p=value)
    return error.value.problems["p"]


@pytest.mark.parametrize("value", [2.0, 2, -0.0, 1e15])
def test_an_integer_is_passed_as_one(value: float) -> None:
    passed = given(an_input("integer"), p=value)
    assert passed == value
    assert type(passed) is int


def test_so_are_those_of_a_list() -> None:
    passed = given(an_input("integer", multiple=True), p=[1.0, 2])
    assert repr(passed) == "[1, 2]"


@pytest.mark.parametrize(
    "value", [1e30, -1e30, 2**63, 10**400, 1.5, "2", True, {"a": 1}, [2]]
)
def test_what_is_no_integer(value: Json) -> None:
    assert "Input 'p' takes an integer, got " in refusal(an_input("integer"), value)


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan"), "1.5", True])
def test_what_is_no_number(value: Json) -> None:
    assert "Input 'p' takes a number, got " in refusal(an_input("float"), value)


def test_null_is_no_value_where_there_may_be_none() -> None:
    assert given(an_input("integer", optional=True), p=None) is None
    assert given(an_input("integer", optional=True, default=5), p=None) is None


def test_null_leaves_the_default_where_there_has_to_be_a_value() -> None:
    assert given(an_input("integer", default=5), p=None) == "left out"


def test_null_is_refused_where_a_value_is_required() -> None:
    assert "takes an integer, got null." in refusal(an_input("integer"), None)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        ({"a": None}, '{"a": null}'),
        ("x" * 999, '"' + "x" * 254 + "…"),
        (["ä"], '["ä"]'),
    ],
)
def test_what_was_given_is_quoted_as_json(value: Json, shown: str) -> None:
    assert refusal(an_input("integer"), value).endswith(f"got {shown}.")


def test_what_is_nested_too_deeply_is_quoted_in_short() -> None:
    deep: Json = 1
    for _ in range(100_000):
        deep = [deep]
    assert len(refusal(an_input("integer"), deep)) < 500


@pytest.mark.parametrize(
    ("declared", "value", "expected"),
    [
        (an_input("boolean"), "true", 'true or false, got "true".'),
        (an_input("boolean"), {}, "true or false, got {}."),
        (an_input("text"), {"a": 1}, 'a text, got {"a": 1}.'),
        (an_input("text", options=("a",)), "", "one of 'a', got \"\"."),
        (an_input("text", options=("a",), optional=True), "", "one of 'a', got \"\"."),
        (an_input("integer", options=(1,)), True, "one of 1, got true."),
        (an_input("color"), "red", "a color such as '#ff0000', got \"red\"."),
        (an_input("color"), "#123", "a color such as '#ff0000', got \"#123\"."),
        (an_input("color"), "#00ff00\n", r'got "#00ff00\n".'),
        (an_input("directory_uri"), 1, "the address of a directory such as"),
        (an_input("directory_uri"), "results", "'gxfiles://a/b', got \"results\"."),
        (an_input("text", multiple=True), [], "a text, got []."),
        (
            an_input("text", patterns=(SAMPLE,)),
            "x1",
            "a text that matches '^s[0-9]+$', got \"x1\". A sample is called s1",
        ),
        (an_input("text", patterns=(SAMPLE,)), "s1x", "got "),
        (an_input("text", patterns=(NO_TMP,)), "tmp", "does not match 'tmp', got"),
        (
            an_input("text", min_length=2, max_length=4, rule="Two to four letters."),
            "a",
            'a text of 2 to 4 characters, got "a". Two to four letters.',
        ),
        (an_input("text", min_length=1), "", "a text of at least 1 characters, got"),
        (an_input("text", max_length=1), "ab", "a text of at most 1 characters, got"),
        (
            an_input(
                "float", minimum=0, maximum=1, exclusive_maximum=True, rule="A share."
            ),
            1,
            "a number of at least 0 and less than 1, got 1. A share.",
        ),
        (
            an_input("float", minimum=0, exclusive_minimum=True),
            0,
            "of more than 0, got 0.",
        ),
        (an_input("integer", minimum=1234567), 0, "at least 1234567, got 0."),
    ],
    ids=str,
)
def test_what_does_not_fit(declared: WorkflowInput, value: Json, expected: str) -> None:
    assert expected in refusal(declared, value)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (an_input("text", patterns=(SAMPLE, NO_TMP)), "s1"),
        (an_input("text", patterns=(SAMPLE,), optional=True), ""),
        (an_input("text", patterns=(NO_TMP,)), "a tmp"),  # not at its beginning
        (an_input("text", min_length=2, max_length=4), "abcd"),
        (an_input("color"), "#AbCdEf"),
        (an_input("directory_uri"), "gxfiles://mine/here"),
        (an_input("float", minimum=0, maximum=1, exclusive_maximum=True), 0),
        (an_input("text", multiple=True, options=("a", "b")), ["a", "b"]),
    ],
    ids=str,
)
def test_what_fits(declared: WorkflowInput, value: Json) -> None:
    assert given(declared, p=value) == value


# --- regular expressions ------------------------------------------------------


def admits(expression: str, text: str) -> bool:
    return Pattern(expression=expression).admits(text)


def test_an_expression_has_to_match_from_the_beginning_alone() -> None:
    assert admits("b", "ba")
    assert not admits("b", "ab")
    assert admits("a|b", "b")
    assert not admits("a|b", "xb")


def test_flags_at_the_beginning_hold() -> None:
    assert admits("(?i)abc", "ABC")
    assert not admits("(?i)abc", "xABC")


def test_a_malformed_expression_admits_everything() -> None:
    assert admits("(", "x")


@pytest.mark.parametrize(
    "expression",
    ["(a+)+$", "(a|a)*$", "(a?){50}$", "(.*)*x", "a*a*a*a*a*a*a*$", ".*.*x"],
)
def test_no_expression_takes_long(expression: str) -> None:
    pattern = Pattern(expression=expression)
    began = time.process_time()
    for length in (10, pattern.max_length, 60_000):
        pattern.admits("a" * length + "b")
    assert time.process_time() - began < 5


def test_an_ordinary_expression_is_searched_in_long_texts() -> None:
    assert not admits("[A-Z]+$", "A" * 60_000 + "b")
    assert not admits(r"\w+\.\w+$", "a" * 1000 + ".b!")


# --- parameters of tools ------------------------------------------------------


def test_a_parameter_that_only_the_run_form_sets_is_refused_with_the_reason() -> None:
    workflow = Workflow(
        workflow_id=WorkflowId("w"),
        name="w",
        inputs=(READS,),
        run_time_parameters=("sort|operation",),
    )
    with pytest.raises(InvalidParameters, match="only Galaxy's own run form sets"):
        bind(
            workflow,
            source=HDA,
            dataset_input="reads",
            parameters={"sort|operation": "count"},
        )


def test_an_optional_parameter_left_out_is_handed_on_as_no_value() -> None:
    inputs = (
        READS,
        an_input("text", optional=True),
        WorkflowInput(name="more", kind=InputKind.DATA, optional=True),
        WorkflowInput(name="d", kind=InputKind.TEXT, optional=True, default=""),
        WorkflowInput(name="r", kind=InputKind.TEXT),
    )
    workflow = Workflow(workflow_id=WorkflowId("w"), name="w", inputs=inputs)
    assert workflow.empty_inputs == {"p": None}

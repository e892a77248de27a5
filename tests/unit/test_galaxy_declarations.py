"""What workflows declare, as recorded by ``tests/integration/record.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy, declarations
from galaxy_jobs.adapters.galaxy.declarations import (
    DECLARATION_TTL,
    MAX_KEPT,
    MAX_OPTIONS,
    PARTIAL_DECLARATION_TTL,
)
from galaxy_jobs.adapters.galaxy.releases import LIMITS
from galaxy_jobs.adapters.galaxy.translate import Unreadable
from galaxy_jobs.domain import (
    AllowedWorkflow,
    InputKind,
    Json,
    Workflow,
    WorkflowId,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import (
    RunnerUnavailable,
    WorkflowNotFound,
    WorkflowUnreadable,
)
from galaxy_jobs.domain.model.workflow_input import Pattern
from tests.support import hostile_galaxy
from tests.support.hostile_galaxy import HostileGalaxy, http
from tests.unit.test_galaxy_garbage import galaxy


VERSIONS = sorted(Path(__file__).with_name("recorded").iterdir())
FOLDER = VERSIONS[-1]


@pytest.fixture(params=VERSIONS, ids=lambda folder: folder.name)
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version of Galaxy whose answers are read."""
    folder: Path = request.param
    monkeypatch.setitem(globals(), "FOLDER", folder)
    return folder.name


def recorded(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["answer"]


def read(name: str) -> Workflow:
    export = recorded(f"export_{name}")
    return declarations.workflow("ours", WorkflowId("w1"), export)


def by_name(workflow: Workflow) -> dict[str, WorkflowInput]:
    return {input_.name: input_ for input_ in workflow.inputs}


# --- reading ------------------------------------------------------------------


@pytest.mark.usefixtures("version")
def test_a_workflow_goes_by_our_name() -> None:
    workflow = read("two_steps")
    assert (workflow.workflow_id, workflow.name) == ("w1", "ours")
    assert workflow.annotation == "two steps, for tests"
    assert workflow.inputs == (
        WorkflowInput(name="text", kind=InputKind.DATA),
        WorkflowInput(
            name="sleep_s",
            kind=InputKind.INTEGER,
            optional=True,
            default=0,
            minimum=0,
            maximum=60,
        ),
        WorkflowInput(
            name="exit_code", kind=InputKind.INTEGER, optional=True, default=0
        ),
    )


def test_every_kind(version: str) -> None:
    inputs = by_name(read("every_kind"))
    as_imported = version == "26.1"  # older releases change rules at the import
    kinds = {name: input_.kind for name, input_ in inputs.items()}
    assert kinds["color"] is InputKind.COLOR
    assert kinds["directory"] is InputKind.DIRECTORY
    assert kinds["boolean, optional"] is InputKind.BOOLEAN
    assert inputs["several"].default == ["head"]
    assert inputs["several"].multiple
    assert inputs["text, empty default"].default == ""
    assert not inputs["text, empty default"].required
    assert inputs["text, null default"].default is None
    assert not inputs["text, null default"].required
    assert inputs["integer"].required
    assert inputs["boolean, required"].required
    assert inputs["restricted"].options == ("fast", "exact")
    assert inputs["restricted"].labels == ("Fast but rough", "Exact")
    assert inputs["restricted, optional"].labels == ()
    assert inputs["suggested"].suggestions == ("x", "y")
    assert inputs["suggested"].options == ()
    assert inputs["text, regex"].patterns == (
        Pattern(expression="^s[0-9]+$", message="A sample is called s1, s2 and so on."),
    )
    (negated,) = inputs["text, negated"].patterns
    assert negated.negated is as_imported
    share = inputs["float, range"]
    assert (share.minimum, share.maximum) == (0, 1)
    assert share.exclusive_maximum is as_imported
    assert not share.exclusive_minimum
    assert share.rule == ("A share of one." if as_imported else "")
    length = inputs["text, length"]
    assert (length.min_length, length.max_length) == (
        (2, 4) if as_imported else (0, None)
    )


def test_the_run_form_adds_the_options_of_connected_tools(version: str) -> None:
    assert not LIMITS.affects(version)
    export, form = recorded("export_every_kind"), recorded("run_form_every_kind")
    workflow = declarations.with_form(read("every_kind"), export, form)
    inputs = by_name(workflow)
    assert inputs["connected"].options == ("fast", "exact")
    assert inputs["connected"].labels == ("Fast but rough", "Exact")
    assert inputs["connected"].required  # though the form selects the first
    assert inputs["several"].options == ("head", "body", "tail")
    assert inputs["restricted"].options == ("fast", "exact")
    assert inputs["text"].options == ()


def test_data(version: str) -> None:
    inputs = by_name(read("all_data"))
    assert inputs["any"] == WorkflowInput(name="any", kind=InputKind.DATA)
    assert inputs["reads"].formats == ("fastqsanger", "fastqsanger.gz")
    assert inputs["maybe"].optional
    assert inputs["pairs"].kind is InputKind.COLLECTION
    assert inputs["pairs"].collection_type == "list:paired"
    assert inputs["pairs"].formats == ("txt",)
    if version == "24.2":
        return
    assert inputs["mixed"].collection_type == "list:paired_or_unpaired"
    assert inputs["record"].collection_type == "record"
    names = [column["name"] for column in inputs["sheet"].columns]  # type: ignore[index, call-overload]
    assert names == ["treatment", "dose"]


@pytest.mark.usefixtures("version")
def test_a_default_file() -> None:
    reference = by_name(read("default_file"))["reference"]
    assert not reference.optional
    assert not reference.required
    assert reference.default == {
        "class": "File",
        "filetype": "txt",
        "location": "base64://YQpiCg==",
    }


def test_the_address_of_a_default_file_keeps_its_secrets() -> None:
    export = recorded("export_default_file")
    file = export["steps"]["1"]["in"]["input"]["default"]
    file["location"] = "https://me:pw@x.test/a?token=abc"
    workflow = declarations.workflow("w", WorkflowId("w1"), export)
    assert "pw" not in str(workflow)
    assert "abc" not in str(workflow)


@pytest.mark.usefixtures("version")
def test_missing_tools_are_named_once_those_inside_too() -> None:
    assert read("missing_tools").missing_tools == ("absent", "absent_too")
    assert read("two_steps").missing_tools == ()


@pytest.mark.usefixtures("version")
def test_parameters_of_tools_that_are_set_at_run_time() -> None:
    names = read("runtime_values").run_time_parameters
    assert names == ("sort|operation", "sort|sleep_s")
    assert read("two_steps").run_time_parameters == ()


def test_a_step_that_picks_a_value() -> None:
    assert [input_.name for input_ in read("picks_a_value").inputs] == ["text"]


@pytest.mark.usefixtures("version")
def test_inputs_without_a_label_go_by_their_steps_uuid() -> None:
    steps = recorded("export_every_input")["steps"]
    inputs = by_name(read("every_input"))
    assert inputs[steps["1"]["uuid"]].kind is InputKind.DATA
    assert inputs[steps["10"]["uuid"]].default == 7
    assert list(inputs)[9] == "words"


def test_inputs_of_one_name_go_by_their_steps_uuids() -> None:
    export = recorded("export_two_steps")
    export["steps"]["1"]["label"] = "exit_code"
    uuids = [export["steps"][place]["uuid"] for place in ("1", "2")]
    names = [i.name for i in declarations.workflow("w", WorkflowId("w"), export).inputs]
    assert names == ["text", *uuids]


def stated(**state: Any) -> WorkflowInput:
    """Return an input whose step has that state."""
    export = recorded("export_two_steps")
    state = {"parameter_type": "text", **state}
    export["steps"]["1"]["tool_state"] = json.dumps(state)
    return declarations.workflow("w", WorkflowId("w"), export).inputs[1]


def rules(**validator: Any) -> dict[str, Any]:
    return {"validators": [validator]}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"optional": "true"}, {"optional": True}),
        ({"optional": "false"}, {"optional": False}),
        ({"parameter_type": "a new one"}, {"kind": InputKind.OTHER}),
        ({"min": 1, "max": "9"}, {"minimum": 1.0, "maximum": 9.0}),
        ({"min": "", "max": None}, {"minimum": None, "maximum": None}),
        ({"min": 1, **rules(type="in_range", min=3)}, {"minimum": 3.0}),
        (
            {"min": 3, **rules(type="in_range", min=3, exclude_min=True)},
            {"minimum": 3.0, "exclusive_minimum": True},
        ),
        (
            {"max": 3, **rules(type="in_range", max=3, exclude_max="true")},
            {"maximum": 3.0, "exclusive_maximum": True},
        ),
        (rules(type="in_range", min=3, negate=True), {"minimum": None}),
        (rules(type="length", min=2, max=3), {"min_length": 2, "max_length": 3}),
        (rules(type="length", max=3, negate=True), {"max_length": None}),
        (rules(type="empty_field"), {"min_length": 1}),
        (rules(type="expression", expression="1"), {"patterns": ()}),
        (
            rules(type="regex", expression="a+"),
            {"patterns": (Pattern(expression="a+"),)},
        ),
        (
            rules(type="length", max=3, message="%s is too long."),
            {"rule": "The value is too long."},
        ),
        (
            {"restrictions": [{"value": "a", "label": "A"}, "b"]},
            {"options": ("a", "b"), "labels": ("A", "b")},
        ),
        ({"restrictions": ["x"] * (MAX_OPTIONS + 1)}, {"options": ()}),
        ({"default": None}, {"default": None}),
        ({"format": "txt, csv"}, {"formats": ("txt", "csv")}),
        ({"format": None}, {"formats": ()}),
    ],
    ids=str,
)
def test_states_of_steps(state: dict[str, Json], expected: dict[str, object]) -> None:
    declared = stated(**state)
    assert {key: getattr(declared, key) for key in expected} == expected


def test_a_tool_in_an_old_workflow() -> None:
    export = recorded("export_runtime_values")
    state = {
        "input1": '{"__class__": "RuntimeValue"}',  # it is connected
        "cond": json.dumps({"a": {"b": {"__class__": "RuntimeValue"}}}),
        "repeat": [{"c": {"__class__": "RuntimeValue"}}],
        "other": '{"not JSON',
    }
    export["steps"]["1"] |= {"tool_state": json.dumps(state), "label": None}
    workflow = declarations.workflow("w", WorkflowId("w"), export)
    assert workflow.run_time_parameters == ("step 2|cond|a|b", "step 2|repeat_0|c")


@pytest.mark.parametrize("content", [None, [], "x", 1, {}, {"steps": 1}], ids=str)
def test_an_export_of_another_shape_is_unreadable(content: object) -> None:
    with pytest.raises(Unreadable):
        declarations.workflow("w", WorkflowId("w"), content)


# --- asking -------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> tuple[Galaxy, list[str], dict[str, Any]]:
    """A Galaxy, the kinds of requests that came, and answers to them."""
    asked: list[str] = []
    answers: dict[str, Any] = {
        "workflows": [{"id": "w1", "name": "w", "update_time": "1"}],
        "workflow": {"id": "w1", "name": "w", "update_time": "1", "deleted": False},
    }
    ordinary = HostileGalaxy.answer

    def answer(self: Any, method: str, target: str, body: bytes) -> tuple[str, Any]:
        kind, content = ordinary(self, method, target, body)
        asked.append(kind)
        return kind, answers.get(kind, content)

    monkeypatch.setattr(HostileGalaxy, "answer", answer)
    return galaxy({}), asked, answers


BY_NAME = AllowedWorkflow(name="w")
BY_ID = AllowedWorkflow(name="ours", workflow_id=WorkflowId("w1"))

Small = tuple[Galaxy, list[str], dict[str, Any]]


@pytest.mark.parametrize(
    ("wanted", "warm"), [(BY_NAME, "workflows"), (BY_ID, "workflow")]
)
def test_a_workflow_is_read_once_until_it_changes(
    small: Small, wanted: AllowedWorkflow, warm: str
) -> None:
    made, asked, answers = small
    answers["export"] = recorded("export_every_kind")
    answers["run_form"] = recorded("run_form_every_kind")
    first = made.find(wanted)
    assert asked == [warm, "export", "newest", "run_form"]
    asked.clear()
    assert made.find(wanted) == first
    assert asked == [warm]
    answers["workflows"][0]["update_time"] = answers["workflow"]["update_time"] = "2"
    asked.clear()
    made.find(wanted)
    assert asked == [warm, "export", "newest", "run_form"]


def test_no_run_form_is_asked_for_where_it_adds_nothing(small: Small) -> None:
    made, asked, _ = small
    made.find(BY_NAME)
    assert asked == ["workflows", "export"]


def test_a_deleted_one_is_not_found_though_it_was_read(small: Small) -> None:
    made, _, answers = small
    made.find(BY_NAME)
    made.find(BY_ID)
    answers["workflows"] = []
    answers["workflow"] = {**answers["workflow"], "deleted": True}
    for wanted in (BY_NAME, BY_ID):
        with pytest.raises(WorkflowNotFound):
            made.find(wanted)


def test_a_missing_tool_is_looked_for_each_time(small: Small) -> None:
    made, _, answers = small
    answers["export"] = recorded("export_missing_tools")
    assert made.find(BY_NAME).missing_tools
    answers["export"] = recorded("export_two_steps")
    assert not made.find(BY_NAME).missing_tools


def test_a_user_without_a_history_gets_one_for_the_run_form(small: Small) -> None:
    made, asked, answers = small
    answers["export"] = recorded("export_every_kind")
    answers["run_form"] = recorded("run_form_every_kind")
    answers["newest"] = []
    assert by_name(made.find(BY_NAME))["connected"].options
    assert asked == ["workflows", "export", "newest", "create", "run_form"]


def test_a_workflow_without_a_run_form_is_shown_and_asked_for_again(
    small: Small,
) -> None:
    made, asked, answers = small
    now = [0.0]
    made._declarations._monotonic = lambda: now[0]
    answers["export"] = recorded("export_every_kind")
    answers["run_form"] = {"steps": []}
    assert by_name(made.find(BY_NAME))["connected"].options == ()
    answers["run_form"] = recorded("run_form_every_kind")
    assert by_name(made.find(BY_NAME))["connected"].options == ()
    now[0] = PARTIAL_DECLARATION_TTL
    assert by_name(made.find(BY_NAME))["connected"].options
    assert asked.count("run_form") == 2
    now[0] += DECLARATION_TTL
    made.find(BY_NAME)
    assert asked.count("run_form") == 3


def test_only_some_are_kept(small: Small) -> None:
    made, _, answers = small
    for number in range(MAX_KEPT + 5):
        id_ = WorkflowId(f"w{number}")
        answers["workflow"] = {**answers["workflow"], "id": id_}
        made.find(AllowedWorkflow(name="a", workflow_id=id_))
    assert len(made._declarations._kept) == MAX_KEPT


def test_one_that_galaxy_cannot_export_is_named_and_others_go_on() -> None:
    with hostile_galaxy.hostile_galaxy() as server:
        made = Galaxy(server.url, "key", timeout=5)
        server.garbage["export"] = http("Internal Server Error", 500)
        with pytest.raises(WorkflowUnreadable, match=r"'two steps'.*500"):
            made.find(AllowedWorkflow(name=hostile_galaxy.WORKFLOW))
        server.garbage["export"] = http("Bad Gateway", 502)
        with pytest.raises(RunnerUnavailable):
            made.find(AllowedWorkflow(name=hostile_galaxy.WORKFLOW))
        server.garbage.clear()
        assert made.find(AllowedWorkflow(name=hostile_galaxy.WORKFLOW)).inputs


def test_one_that_galaxy_cannot_show_is_found_by_its_id() -> None:
    with hostile_galaxy.hostile_galaxy() as server:
        made = Galaxy(server.url, "key", timeout=5)
        server.garbage["workflow"] = http("Internal Server Error", 500)
        assert made.find(BY_ID).inputs
        assert made.find(BY_ID).inputs
        assert server.requests["workflow"] == 1
        with pytest.raises(WorkflowNotFound):
            made.find(AllowedWorkflow(name="a", workflow_id=WorkflowId("w2")))

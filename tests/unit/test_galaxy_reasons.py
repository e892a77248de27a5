"""The reasons of failures, as the adapter collects them from a Galaxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import (
    Element,
    Failure,
    GalaxyState,
    InvocationId,
    InvocationReport,
    JobId,
    Output,
    judge,
)
from galaxy_jobs.domain.errors import RunnerUnavailable, RunNotFound, RunRejected
from galaxy_jobs.domain.model.report import ELEMENTS_LIMIT, JobState
from galaxy_jobs.domain.model.verdict import ALL_EMPTY, Row, reviews, row_of
from tests.support.hostile_galaxy import HostileGalaxy, hostile_galaxy, http, recorded


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as server:
        yield server


def adapter(server: HostileGalaxy) -> Galaxy:
    return Galaxy(server.url, "key", timeout=5)


def show(server: HostileGalaxy, kind: str, content: dict[str, Any]) -> None:
    """Have the server answer about one thing."""
    server.garbage[f"{kind} {content['id']}"] = http(json.dumps(content))


JOB = JobId("b0b1")
OWN, SIBLING = "d0d1", "d0d2"


def show_mapped_job(server: HostileGalaxy, **outputs: dict[str, Any]) -> None:
    """Show a job of a mapped step that never ran, with its own output and another."""
    collection = {
        "id": "c0c1",
        "elements": [
            {"element_identifier": "good", "object": {"id": SIBLING, "state": "ok"}},
            {"element_identifier": "bad", "object": {"id": OWN, "state": "error"}},
        ],
    }
    job = {
        **recorded("job_never_run"),
        "id": JOB,
        "outputs": {"output1": {"src": "hda", "id": OWN}},
        "output_collections": {"output1": {"src": "hdca", "id": "c0c1"}},
    }
    datasets = {
        OWN: {"state": "error", "misc_info": "no such value", "creating_job": JOB},
        SIBLING: {"state": "ok", "misc_info": "sorted 7 lines", "creating_job": "b0b2"},
    }
    show(server, "collection", collection)
    show(server, "details", job)
    for id_, content in datasets.items():
        show(server, "dataset", {"id": id_, **content, **outputs.get(id_, {})})


def test_the_reason_of_a_mapped_job_is_that_on_its_own_output(
    server: HostileGalaxy,
) -> None:
    show_mapped_job(server)
    assert adapter(server).details(JOB).message == "no such value"


def test_the_text_of_a_sibling_is_no_reason(server: HostileGalaxy) -> None:
    show_mapped_job(
        server,
        d0d1={"misc_info": ""},
        d0d2={"state": "error", "misc_info": "another reason"},
    )
    assert adapter(server).details(JOB).message is None


@pytest.mark.parametrize(
    "sibling",
    [
        {"state": "ok", "creating_job": None},
        {"state": "error", "creating_job": "b0b2"},
    ],
    ids=str,
)
def test_outputs_in_collections_that_are_ok_or_of_other_jobs_give_no_reason(
    server: HostileGalaxy, sibling: dict[str, Any]
) -> None:
    show_mapped_job(server, d0d2=sibling)
    job = {
        **recorded("job_never_run"),
        "id": JOB,
        "outputs": {},
        "output_collections": {"discovered": {"src": "hdca", "id": "c0c1"}},
    }
    show(server, "details", job)
    assert adapter(server).details(JOB).message == "no such value"


@pytest.mark.parametrize(
    ("dataset", "problem"),
    [
        ({"state": "error"}, "in error"),
        ({"state": "ok", "deleted": True}, "deleted"),
        ({"state": "failed_metadata"}, "in error: its metadata could not be set"),
    ],
    ids=str,
)
def test_a_blocked_job_without_outputs_is_explained_by_its_input(
    server: HostileGalaxy, dataset: dict[str, Any], problem: str
) -> None:
    job = {
        **recorded("job_never_run"),
        "id": JOB,
        "state": "paused",
        "inputs": {"input1": {"src": "hda", "id": OWN}},
        "outputs": {},
    }
    show(server, "details", job)
    show(server, "dataset", {"id": OWN, "name": "sample", **dataset})
    message = adapter(server).details(JOB).message
    assert message == f"The input dataset 'sample' is {problem}."
    show(server, "details", {**job, "state": "error"})
    assert adapter(server).details(JOB).message is None


# --- the element of a mapped step -------------------------------------------------


def test_the_element_of_a_mapped_job_is_named(server: HostileGalaxy) -> None:
    show_mapped_job(server)
    assert adapter(server).details(JOB).element == "bad"


def test_an_element_of_a_nested_collection_is_named_with_its_path(
    server: HostileGalaxy,
) -> None:
    show_mapped_job(server)
    sample = {"element_identifier": "sample-07", "object": {"id": OWN}}
    empty = {"element_identifier": "sample-08", "object": None}
    plate = {"id": "c0c2", "elements": [empty, sample]}
    elements = [{"element_identifier": "plate-1", "object": plate}]
    show(server, "collection", {"id": "c0c1", "elements": elements})
    assert adapter(server).details(JOB).element == "plate-1/sample-07"


@pytest.mark.parametrize("elements", [[], None], ids=str)
def test_an_element_that_is_not_there_is_not_named(
    server: HostileGalaxy, elements: object
) -> None:
    show_mapped_job(server)
    show(server, "collection", {"id": "c0c1", "elements": elements})
    assert adapter(server).details(JOB).element is None


def test_a_collection_that_is_gone_hides_no_reason(server: HostileGalaxy) -> None:
    show_mapped_job(server)
    server.garbage["collection c0c1"] = http('{"err_msg": "gone", "err_code": 1}', 404)
    details = adapter(server).details(JOB)
    assert (details.element, details.message) == (None, "no such value")


# --- the step and the dataset that Galaxy names -----------------------------------


def show_run(server: HostileGalaxy, name: str, **fields: Any) -> InvocationId:
    """Show a run as it was recorded, with other fields."""
    show(server, "report", {**recorded(name), **fields, "id": "f0f1"})
    return InvocationId("f0f1")


def failure_in(server: HostileGalaxy, id_: InvocationId) -> Failure:
    failure = judge(adapter(server).report(id_)).failure
    assert failure is not None
    return failure


def test_the_step_that_galaxy_names_is_named(server: HostileGalaxy) -> None:
    failure = failure_in(server, show_run(server, "run_wrong_when"))
    assert failure.reason == "when_not_boolean"
    assert (failure.step, failure.step_index, failure.path) == ("odd", 1, ("odd",))


def test_a_step_in_a_sub_workflow_is_named_with_its_path(server: HostileGalaxy) -> None:
    message = {
        "reason": "expression_evaluation_failed",
        "workflow_step_index_path": [1],
        "workflow_step_id": 2,
    }
    server.shown["f0f2"] = recorded("run_sub_fails_inside")
    shown = recorded("run_sub_fails")
    shown["steps"][1]["subworkflow_invocation_id"] = "f0f2"
    id_ = show_run(
        server,
        "run_sub_fails",
        steps=shown["steps"],
        state="failed",
        messages=[message],
    )
    failure = failure_in(server, id_)
    assert failure.path == ("nested", "inner bad")
    assert (failure.step, failure.step_index) == ("inner bad", 2)
    assert (failure.tool, failure.exit_code) == (None, None)


@pytest.mark.parametrize(
    ("state", "reasons", "path"),
    [
        ("failed", [], ("nested", "inner bad")),
        ("failed", ["when_not_boolean"], ("step 3",)),
        ("scheduled", [], ("step 3",)),
    ],
    ids=str,
)
def test_a_step_that_older_releases_name_without_its_path(
    server: HostileGalaxy, state: str, reasons: list[str], path: tuple[str, ...]
) -> None:
    """The index may be that of a step in a sub-workflow."""
    message = {"reason": "when_not_boolean", "workflow_step_id": 2}
    inside = recorded("run_sub_fails_inside")
    messages = [{"reason": reason} for reason in reasons]
    server.shown["f0f2"] = {**inside, "state": state, "messages": messages}
    shown = recorded("run_sub_fails")
    shown["steps"][1]["subworkflow_invocation_id"] = "f0f2"
    id_ = show_run(
        server,
        "run_sub_fails",
        steps=shown["steps"],
        state="failed",
        messages=[message],
    )
    report = adapter(server).report(id_)
    assert report.named is not None
    assert report.named.path == path
    if len(path) > 1:
        assert report.messages == (
            "The condition of a step is neither true nor false, at step 2 > step 3.",
        )


def test_a_job_that_failed_first_is_the_reason_of_a_step_that_needed_it(
    server: HostileGalaxy,
) -> None:
    message = {
        "reason": "job_failed",
        "workflow_step_id": 4,
        "dependent_workflow_step_id": 1,
        "job_id": "b0b1",
    }
    id_ = show_run(server, "run_first_fails", state="failed", messages=[message])
    failure = failure_in(server, id_)
    assert failure.reason == "job_failed"
    assert failure.step_index == 1
    assert failure.tool == "gxj_text"


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"workflow_step_id": -1},
        {"workflow_step_id": "1"},
        {"workflow_step_id": 10**9},
        {"workflow_step_id": None, "workflow_step_index_path": [0]},
    ],
    ids=str,
)
def test_a_message_without_a_step_names_none(
    server: HostileGalaxy, message: dict[str, Any]
) -> None:
    message = {"reason": "unexpected_failure", **message}
    id_ = show_run(server, "run_wrong_when", messages=[message])
    assert failure_in(server, id_).step is None


ADDRESS = "http://me:secret@127.0.0.1:9/x.txt?X-Amz-Signature=abc"


def test_data_that_could_not_be_fetched_is_named_with_its_own_text(
    server: HostileGalaxy,
) -> None:
    id_ = show_run(server, "run_unreachable")
    (message,) = recorded("run_unreachable")["messages"]
    dataset = {
        "id": message["hda_id"],
        "name": "x",
        "state": "error",
        "misc_info": f"Failed to fetch url {ADDRESS}. Connection refused.\n",
        "sources": [{"source_uri": ADDRESS}],
    }
    show(server, "dataset", dataset)
    failure = failure_in(server, id_)
    assert (failure.reason, failure.step) == ("dataset_failed", "text")
    assert (failure.step_index, failure.path) == (0, ("text",))
    shown = "http://***@127.0.0.1:9/x.txt?X-Amz-Signature=***"
    assert failure.message == (
        "A dataset that the run needs has failed or could not be fetched, at step 1.; "
        f"'{shown}': Failed to fetch url {shown} Connection refused."
    )
    assert server.requests["dataset"] == 1


def test_a_dataset_that_is_not_shown_hides_no_failure(server: HostileGalaxy) -> None:
    server.garbage["dataset"] = http('{"err_msg": "no", "err_code": 1}', 403)
    failure = failure_in(server, show_run(server, "run_unreachable"))
    assert (failure.reason, failure.step) == ("dataset_failed", "text")


# --- outputs that are collections -------------------------------------------------


def collection_of(*states: str, populated: str = "ok") -> dict[str, Any]:
    elements = [
        {"element_identifier": f"s{n}", "object": {"id": f"d{n:03}", "state": state}}
        for n, state in enumerate(states)
    ]
    return {"id": "c0c1", "populated_state": populated, "elements": elements}


def output_of(server: HostileGalaxy, content: dict[str, Any]) -> Output:
    output = {"each_out": {"id": content["id"], "src": "hdca"}}
    id_ = show_run(server, "run_mapped", output_collections=output)
    show(server, "collection", content)
    (made,) = adapter(server).outputs(id_)
    return made


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (collection_of("ok", "ok"), "ok"),
        (collection_of("ok", "error"), "error"),
        (collection_of("paused", "error", "ok"), "error"),
        (collection_of("ok", "paused"), "paused"),
        (collection_of("running", "ok"), "running"),
        (collection_of(populated="new"), "new"),
        (collection_of("ok", populated="failed"), "failed"),
        (collection_of(), "ok"),
    ],
    ids=str,
)
def test_a_collection_is_ok_only_if_all_of_it_is(
    server: HostileGalaxy, content: dict[str, Any], state: str
) -> None:
    assert output_of(server, content).state == state


def test_the_datasets_of_a_collection_are_listed(server: HostileGalaxy) -> None:
    assert output_of(server, collection_of("ok", "error")).elements == (
        Element(name="s0", id="d000", state="ok"),
        Element(name="s1", id="d001", state="error"),
    )


def test_of_a_large_collection_the_datasets_in_error_are_listed(
    server: HostileGalaxy,
) -> None:
    output = output_of(server, collection_of(*["ok"] * 1500, "error"))
    assert len(output.elements) == ELEMENTS_LIMIT
    assert output.elements[0].state == "error"
    assert output.state == "error"


# --- paused jobs ------------------------------------------------------------------


def test_data_that_galaxy_does_not_show_blocks_no_job(server: HostileGalaxy) -> None:
    run = InvocationId("a0a1")
    server.shown[run] = recorded("run_first_fails")
    server.garbage["datasets"] = http(json.dumps(recorded("refused_absent")), 404)
    report = adapter(server).report(run)
    assert server.requests["datasets"]
    states = {job.state for job in report.jobs()}
    assert JobState.PAUSED in states


# --- reviews, and steps that are left ---------------------------------------------


def show_left(server: HostileGalaxy, name: str, **fields: Any) -> InvocationReport:
    """Show a recorded run with the steps of its workflow, and return its report."""
    shown = {**recorded(f"run_{name}"), **fields}
    show(server, "report", shown)
    show(
        server, "workflow", {**recorded(f"workflow_{name}"), "id": shown["workflow_id"]}
    )
    return adapter(server).report(InvocationId(shown["id"]))


AT = "Thu, 26 Nov 2026 19:07:05 GMT"
"""When the runs were recorded."""


def test_a_review_that_is_open_is_told_from_a_parameter(server: HostileGalaxy) -> None:
    report = show_left(server, "review")
    assert report.state is GalaxyState.READY
    assert list(reviews(report)) == [("4", ("check",))]
    assert [step.review for step in report.steps] == [*[False] * 4, True, False]
    assert [step.needs for step in report.steps] == [
        (),
        (),
        (0,),
        (0,),
        (2,),
        (4,),
    ]
    sighting = judge(report)
    assert sighting.state.value == "in_progress"
    assert sighting.attention == (
        "Waits for a review at step 'check' in Galaxy (index 4)."
    )


def test_the_steps_of_a_workflow_are_asked_for_once(server: HostileGalaxy) -> None:
    show_left(server, "review")
    galaxy, id_ = adapter(server), InvocationId(recorded("run_review")["id"])
    server.requests.clear()
    for _ in range(3):
        galaxy.report(id_)
    assert (server.requests["workflow"], server.requests["report"]) == (1, 3)


def test_a_review_that_was_answered_waits_no_more(server: HostileGalaxy) -> None:
    steps = recorded("run_review")["steps"]
    steps[4]["action"] = True
    assert not list(reviews(show_left(server, "review", steps=steps)))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, "Internal Server Error"),
        (404, '{"err_msg": "No such workflow", "err_code": 404001}'),
        (403, '{"err_msg": "Not accessible", "err_code": 403002}'),
        (200, '{"name": "w", "steps": {"a": {}}}'),
        (200, '{"name": "w", "steps": {"0": {"type": "tool"}}}'),
    ],
)
def test_a_workflow_that_galaxy_cannot_show_hides_no_state(
    server: HostileGalaxy, status: int, body: str
) -> None:
    shown = recorded("run_review")
    show(server, "report", shown)
    server.garbage[f"workflow {shown['workflow_id']}"] = http(body, status)
    report = adapter(server).report(InvocationId(shown["id"]))
    assert [step.needs for step in report.steps] == [None] * 6
    assert (judge(report).state.value, judge(report).attention) == ("in_progress", None)


def test_a_galaxy_that_is_down_meanwhile_gives_no_report(server: HostileGalaxy) -> None:
    shown = recorded("run_review")
    show(server, "report", shown)
    server.garbage[f"workflow {shown['workflow_id']}"] = http("no", 503)
    with pytest.raises(RunnerUnavailable):
        adapter(server).report(InvocationId(shown["id"]))


def test_a_rejected_review_names_its_step(server: HostileGalaxy) -> None:
    shown = recorded("run_review_rejected")
    show(server, "report", shown)
    show(
        server, "workflow", {**recorded("workflow_review"), "id": shown["workflow_id"]}
    )
    sighting = judge(adapter(server).report(InvocationId(shown["id"])))
    assert (sighting.state.value, sighting.failure) == ("cancelled", None)
    assert sighting.attention == (
        "Stopped, since the review at step 'check' was rejected."
    )


def test_a_collection_without_elements_says_that_nothing_was_done(
    server: HostileGalaxy,
) -> None:
    shown = recorded("run_empty")
    show(server, "report", shown)
    sighting = judge(adapter(server).report(InvocationId(shown["id"])))
    assert sighting.state.value == "completed"
    assert sighting.attention == ALL_EMPTY


def show_never_scheduled(server: HostileGalaxy, **fields: Any) -> InvocationReport:
    show_left(server, "never_scheduled")
    shown = {**recorded("run_never_scheduled"), **fields}
    server.garbage[f"report {shown['id']}"] = http(json.dumps(shown), Date=AT)
    paused = {"id": "d1", "misc_info": "its input datasets are in an error state"}
    paused |= {"creating_job": shown["steps"][2]["jobs"][0]["id"]}
    server.garbage["datasets"] = http(json.dumps([paused]))
    return adapter(server).report(InvocationId(shown["id"]))


def test_a_step_that_is_never_scheduled_fails_the_run(server: HostileGalaxy) -> None:
    report = show_never_scheduled(server)
    assert row_of(report) is Row.BLOCKED
    steps = [step.state for step in judge(report).steps]
    assert steps == ["ok", "failed", "blocked", "blocked"]


def test_a_step_whose_scheduler_has_not_come_by_again_fails_nothing(
    server: HostileGalaxy,
) -> None:
    report = show_never_scheduled(server, update_time="2026-11-26T19:06:40.000320")
    assert row_of(report) is Row.UNSCHEDULED


def test_a_step_that_galaxy_has_not_recorded_is_shown_as_left(
    server: HostileGalaxy,
) -> None:
    steps = recorded("run_never_scheduled")["steps"][:3]
    report = show_never_scheduled(server, steps=steps)
    assert [(step.name, step.scheduled) for step in report.steps][3] == (
        "step 4",
        False,
    )
    assert row_of(report) is Row.BLOCKED


@pytest.mark.parametrize("connections", [0, 2])
def test_several_connections_of_one_input_are_all_needed(
    server: HostileGalaxy, connections: int
) -> None:
    workflow = recorded("workflow_review")
    several = [{"source_step": n, "step_output": "o"} for n in range(connections)]
    workflow["steps"]["5"]["input_steps"] = {"input1": several}
    shown = recorded("run_review")
    show(server, "report", shown)
    show(server, "workflow", {**workflow, "id": shown["workflow_id"]})
    report = adapter(server).report(InvocationId(shown["id"]))
    assert report.steps[5].needs == tuple(range(connections))


def test_a_review_is_answered_in_the_sub_workflow_of_its_step(
    server: HostileGalaxy,
) -> None:
    inner, outer = recorded("run_review"), recorded("run_sub_review")
    outer["steps"][1]["subworkflow_invocation_id"] = inner["id"]
    for shown in (inner, outer):
        show(server, "report", shown)
    run = InvocationId(outer["id"])
    adapter(server).review(run, "1.4", approve=False)
    step = inner["steps"][4]["id"]
    assert server.actions == {f"{inner['id']} {step}": False}
    for absent in ("9", "1.9", "0.4", "", "1.", "x"):
        with pytest.raises(RunNotFound):
            adapter(server).review(run, absent, approve=False)


def test_galaxys_refusal_of_an_answer_is_told(server: HostileGalaxy) -> None:
    shown = recorded("run_review")
    show(server, "report", shown)
    message = "Attempting to modify the state of a completed workflow invocation."
    server.garbage["review"] = http(
        json.dumps({"err_msg": message, "err_code": 400008}), 400
    )
    run = InvocationId(shown["id"])
    with pytest.raises(RunRejected, match="completed workflow invocation"):
        adapter(server).review(run, "4", approve=True)
    shown["steps"][4]["action"] = True
    show(server, "report", shown)
    with pytest.raises(RunRejected, match="answered already"):
        adapter(server).review(run, "4", approve=False)

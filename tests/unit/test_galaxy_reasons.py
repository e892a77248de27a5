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
    InvocationId,
    JobId,
    Output,
    judge,
)
from galaxy_jobs.domain.model.report import ELEMENTS_LIMIT, JobState
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
    ("outer", "inner", "path"),
    [
        ("new", "new", ("nested", "inner bad")),
        ("new", "scheduled", ("step 3",)),
        ("new", None, ("step 3",)),
        ("scheduled", "new", ("step 3",)),
    ],
    ids=str,
)
def test_a_step_that_older_releases_name_without_its_path(
    server: HostileGalaxy, outer: str, inner: str | None, path: tuple[str, ...]
) -> None:
    """The index may be that of a step in a sub-workflow, which Galaxy gave up there."""
    inside = recorded("run_sub_fails_inside")
    inside["steps"][2]["state"] = inner
    if inner is None:  # not begun
        inside["steps"] = []
    server.shown["f0f2"] = inside
    steps = recorded("run_sub_fails")["steps"]
    steps[1] |= {"subworkflow_invocation_id": "f0f2", "state": outer}
    message = {"reason": "when_not_boolean", "workflow_step_id": 2}
    id_ = show_run(
        server, "run_sub_fails", steps=steps, state="failed", messages=[message]
    )
    report = adapter(server).report(id_)
    assert report.named is not None
    assert report.named.path == path
    place = "step 2 > step 3" if len(path) > 1 else "step 3"
    assert report.messages == (
        f"The condition of a step is neither true nor false, at {place}.",
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
    assert len(output.elements) == ELEMENTS_LIMIT + 501
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

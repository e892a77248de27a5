"""Outlines: what the adapter asks about runs of too many jobs to list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import (
    InvocationId,
    InvocationReport,
    InvocationState,
    JobState,
    culprit,
    judge,
)
from galaxy_jobs.domain.errors import ReportUnavailable, RunnerUnavailable
from tests.support.hostile_galaxy import HostileGalaxy, hostile_galaxy, http, recorded


RUN = InvocationId("a0a1")
MANY = 60_000


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as server:
        yield server


def outline(server: HostileGalaxy) -> InvocationReport:
    return Galaxy(server.url, "key", timeout=5).outline(RUN)


def test_many_jobs_take_few_requests(server: HostileGalaxy) -> None:
    server.mapped[RUN] = {"ok": MANY}
    report = outline(server)
    assert report.states == {JobState.OK: MANY}
    assert not list(report.jobs())
    assert judge(report).state is InvocationState.COMPLETED
    assert server.requests == {"report": 1, "counts": 1}


def test_the_first_job_that_failed_is_listed_and_no_other(
    server: HostileGalaxy,
) -> None:
    server.mapped[RUN] = {"ok": 2, "error": MANY, "deleted": 1}
    report = outline(server)
    blamed = culprit(report)
    assert blamed is not None
    assert (blamed.state, blamed.tool) == (JobState.ERROR, "many")
    assert list(report.jobs()) == [blamed]
    assert judge(report).state is InvocationState.FAILED
    assert judge(report).progress.failed == MANY + 1
    assert server.requests == {"report": 1, "counts": 1, "jobs": 1}


def test_while_jobs_run_paused_ones_are_not_looked_up(server: HostileGalaxy) -> None:
    server.mapped[RUN] = {"running": 1, "paused": 3000}
    assert judge(outline(server)).state is InvocationState.IN_PROGRESS
    assert server.requests == {"report": 1, "counts": 1}


@pytest.mark.parametrize("blocked", [True, False])
def test_at_the_end_paused_jobs_are_blocked_or_held(
    server: HostileGalaxy,
    blocked: bool,  # noqa: FBT001
) -> None:
    server.mapped[RUN] = {"error": 1, "paused": 900}
    info = "its input datasets are in an error state" if blocked else "over quota"
    datasets = [
        {"id": "d1", "misc_info": info, "creating_job": job["id"]}
        for job in server._jobs(RUN, ["paused"])
    ]
    server.garbage["datasets"] = http(json.dumps(datasets[:500]))
    report = outline(server)
    assert judge(report).state is InvocationState.IN_PROGRESS, "not all are known"
    server.garbage["datasets"] = http(json.dumps(datasets))
    report = outline(server)
    state = InvocationState.FAILED if blocked else InvocationState.IN_PROGRESS
    assert judge(report).state is state
    assert judge(report).progress.total == 901


SUB = "b0b1"


def show_sub_workflow(server: HostileGalaxy, inside: list[dict[str, Any]]) -> None:
    shown = recorded("run_success")
    step = {**shown["steps"][-1], "job_id": None}
    server.shown[RUN] = {
        **shown,
        "steps": [{**step, "subworkflow_invocation_id": SUB, "order_index": 0}],
    }
    server.shown[SUB] = {
        **shown,
        "steps": [
            {**step, "order_index": index, "workflow_step_label": f"step {index}"}
            | each
            for index, each in enumerate(inside)
        ],
    }


def test_jobs_of_sub_workflows_are_counted_step_by_step(server: HostileGalaxy) -> None:
    """Not by the bulk answer, which leaves them out before 26.0."""
    server.mapped = {"c0": {"ok": 5}, "c1": {"error": 2, "ok": 1}}
    mapped: list[dict[str, Any]] = [
        {"implicit_collection_jobs_id": "c0"},
        {"implicit_collection_jobs_id": "c1"},
        {},
    ]
    show_sub_workflow(server, mapped)
    sighting = judge(outline(server))
    assert sighting.state is InvocationState.FAILED
    assert (sighting.progress.ok, sighting.progress.failed) == (6, 2)
    assert sighting.failure is not None
    assert sighting.failure.path[-1] == "step 1"
    assert sighting.steps[0].jobs == {"error": 2, "ok": 6}
    assert server.requests == {"report": 2, "counts": 1, "jobs": 1}


def test_an_ordinary_step_is_its_job(server: HostileGalaxy) -> None:
    shown = recorded("run_first_fails")
    server.shown[RUN] = shown
    states = {
        job["id"]: job["state"] for step in shown["steps"] for job in step["jobs"]
    }
    report = outline(server)
    blamed = culprit(report)
    assert blamed is not None
    assert states[blamed.job_id] == "error"
    assert report.states.total() == len(states)


def test_jobs_that_galaxy_still_makes_leave_the_run_open(
    server: HostileGalaxy,
) -> None:
    server.mapped[RUN] = {"ok": 3}
    answer = {"id": RUN, "model": "ImplicitCollectionJobs", "states": {}}
    for populated in ("new", "failed"):
        counts = [{**answer, "populated_state": populated}]
        server.garbage["counts"] = http(json.dumps(counts))
        assert not judge(outline(server)).state.is_terminal
    for content in ([], [{**answer, "id": "b1", "populated_state": "ok"}], [None]):
        server.garbage["counts"] = http(json.dumps(content))
        with pytest.raises(RunnerUnavailable):
            outline(server)


def test_jobs_that_failed_and_are_gone_spoil_the_look(server: HostileGalaxy) -> None:
    server.mapped[RUN] = {"error": 3}
    server.garbage["jobs"] = http("[]")
    with pytest.raises(RunnerUnavailable):
        outline(server)


@pytest.mark.parametrize(
    "answer",
    [
        http(b"[" + b" " * (25 * 2**20) + b"]"),
        http("{}", 500),
        http("<html>", 504, Content_Type="text/html"),
    ],
    ids=["too large", "500", "504"],
)
def test_an_answer_that_cannot_be_had_leads_to_the_outline(
    server: HostileGalaxy, answer: bytes
) -> None:
    server.garbage[f"full {RUN}"] = answer
    galaxy = Galaxy(server.url, "key", timeout=5)
    with pytest.raises(ReportUnavailable):
        galaxy.report(RUN)
    assert galaxy.outline(RUN).invocation_id == RUN


def test_a_galaxy_that_asks_for_a_pause_gets_it(server: HostileGalaxy) -> None:
    galaxy = Galaxy(server.url, "key", timeout=5)
    for answer in (http("{}", 429), http("{}", 503, Retry_After="7")):
        server.garbage[f"full {RUN}"] = answer
        with pytest.raises(RunnerUnavailable) as error:
            galaxy.report(RUN)
        assert not isinstance(error.value, ReportUnavailable)


# --- whether a run has sub-workflows --------------------------------------------


@pytest.mark.parametrize(("kind", "expected"), [("tool", False), ("subworkflow", True)])
def test_a_workflow_is_asked_once_whether_it_has_sub_workflows(
    server: HostileGalaxy,
    kind: str,
    expected: bool,  # noqa: FBT001
) -> None:
    server.shown[RUN] = {**recorded("run_new"), "workflow_id": "f1"}
    step = {"type": kind, "input_steps": {}}
    workflow = {"id": "f1", "name": "w", "steps": {"0": step}}
    server.garbage["workflow f1"] = http(json.dumps(workflow))
    galaxy = Galaxy(server.url, "key", timeout=5)
    for _ in range(3):
        assert galaxy.report(RUN).has_sub_workflows is expected
    assert server.requests["workflow"] == 1


def test_a_workflow_that_is_not_shown_may_have_sub_workflows(
    server: HostileGalaxy,
) -> None:
    galaxy = Galaxy(server.url, "key", timeout=5)
    refusal = json.dumps({"err_msg": "No.", "err_code": 403002})
    server.garbage["workflow"] = http(refusal, 403)
    server.shown[RUN] = {**recorded("run_new"), "workflow_id": "f1"}
    assert galaxy.report(RUN).has_sub_workflows
    server.shown[RUN].pop("workflow_id")
    assert galaxy.report(RUN).has_sub_workflows
    assert not server.requests.keys() & {"counts", "jobs"}
    server.shown[RUN] = recorded("run_success")
    assert not galaxy.report(RUN).has_sub_workflows, "nothing is left to begin"


def test_an_outline_tells_when_jobs_changed_if_steps_may_never_come(
    server: HostileGalaxy,
) -> None:
    """That is how a run is told apart whose last steps are never scheduled."""
    server.shown[RUN] = {**recorded("run_success"), "state": "ready"}
    server.mapped[RUN] = {"ok": 3}
    assert outline(server).quiet_for is None, "this server tells no time"
    newest = {**server._jobs(RUN)[0], "update_time": "2026-01-02T12:00:00"}
    server.garbage["jobs"] = http(json.dumps([newest]))
    body = json.dumps(server._shown(RUN, full=False))
    server.garbage["report"] = http(body, Date="Fri, 02 Jan 2026 12:00:30 GMT")
    assert outline(server).quiet_for == timedelta(seconds=30)

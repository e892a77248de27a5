"""Runs whose steps wait for a review, or for ever, as the adapter reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import GalaxyState, InvocationId, InvocationReport, judge
from galaxy_jobs.domain.errors import RunnerUnavailable, RunNotFound, RunRejected
from galaxy_jobs.domain.model.verdict import ALL_EMPTY, Row, reviews, row_of
from tests.support import hostile_galaxy as small
from tests.support.hostile_galaxy import HostileGalaxy, hostile_galaxy, http, recorded


MINUTE = timedelta(minutes=1)


@pytest.fixture(
    params=sorted(small.RECORDED.parent.iterdir()),
    ids=lambda folder: folder.name,
    autouse=True,
)
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test read the answers of each release of Galaxy."""
    monkeypatch.setattr(small, "RECORDED", request.param)


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as server:
        yield server


def adapter(server: HostileGalaxy) -> Galaxy:
    return Galaxy(server.url, "key", timeout=5)


def show(server: HostileGalaxy, kind: str, content: dict[str, Any]) -> None:
    """Have the server answer about one thing."""
    server.garbage[f"{kind} {content['id']}"] = http(json.dumps(content))


def show_left(server: HostileGalaxy, name: str, **fields: Any) -> InvocationReport:
    """Show a recorded run with the steps of its workflow, and return its report."""
    shown = {**recorded(f"run_{name}"), **fields}
    show(server, "report", shown)
    show(
        server, "workflow", {**recorded(f"workflow_{name}"), "id": shown["workflow_id"]}
    )
    return adapter(server).report(InvocationId(shown["id"]))


def test_a_review_that_is_open_is_read_from_the_workflow(server: HostileGalaxy) -> None:
    report = show_left(server, "review")
    assert report.state is GalaxyState.READY
    assert list(reviews(report)) == [("2", ("check",))]
    assert [step.review for step in report.steps] == [False, False, True, False]
    assert [step.needs for step in report.steps] == [(), (0,), (1,), (2,)]
    sighting = judge(report)
    assert sighting.state.value == "in_progress"
    assert sighting.attention == (
        "Waits for a review at step 'check' in Galaxy (index 2)."
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
    steps[2]["action"] = True
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
    assert [step.needs for step in report.steps] == [None] * 4
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
    report = adapter(server).report(InvocationId(shown["id"]))
    assert [step.empty for step in report.steps] == [False, True, True]
    sighting = judge(report)
    assert sighting.state.value == "completed"
    assert sighting.attention == ALL_EMPTY


def show_never_scheduled(server: HostileGalaxy, **fields: Any) -> InvocationReport:
    show_left(server, "never_scheduled")
    shown = {**recorded("run_never_scheduled"), **fields}
    visited = datetime.fromisoformat(recorded("run_never_scheduled")["update_time"])
    now = format_datetime(visited.replace(tzinfo=UTC) + MINUTE, usegmt=True)
    server.garbage[f"report {shown['id']}"] = http(json.dumps(shown), Date=now)
    info = "its input datasets are in an error state"
    paused = [
        {"id": "d1", "misc_info": info, "creating_job": job["id"]}
        for step in shown["steps"]
        for job in step["jobs"]
        if job["state"] == "paused"
    ]
    server.garbage["datasets"] = http(json.dumps(paused))
    return adapter(server).report(InvocationId(shown["id"]))


def test_a_step_that_is_never_scheduled_fails_the_run(server: HostileGalaxy) -> None:
    report = show_never_scheduled(server)
    assert row_of(report) is Row.BLOCKED
    sighting = judge(report)
    assert [step.state for step in sighting.steps] == [
        "ok",
        "failed",
        *["blocked"] * 4,
    ]
    # One of them runs after another without its data. Galaxy has not recorded it.
    assert [step.label for step in sighting.steps][4:] == ["each", "step 6"]


def test_a_step_whose_scheduler_has_not_come_by_again_fails_nothing(
    server: HostileGalaxy,
) -> None:
    jobs = [job for s in recorded("run_never_scheduled")["steps"] for job in s["jobs"]]
    last = max(job["update_time"] for job in jobs)
    report = show_never_scheduled(server, update_time=last)
    assert row_of(report) is Row.UNSCHEDULED


@pytest.mark.parametrize("connections", [0, 2])
def test_several_connections_of_one_input_are_all_needed(
    server: HostileGalaxy, connections: int
) -> None:
    workflow = recorded("workflow_review")
    several = [{"source_step": n, "step_output": "o"} for n in range(connections)]
    workflow["steps"]["3"]["input_steps"] = {"input1": several}
    shown = recorded("run_review")
    show(server, "report", shown)
    show(server, "workflow", {**workflow, "id": shown["workflow_id"]})
    report = adapter(server).report(InvocationId(shown["id"]))
    assert report.steps[3].needs == tuple(range(connections))


def test_a_review_waits_and_is_answered_in_a_sub_workflow(
    server: HostileGalaxy,
) -> None:
    outer, inner = recorded("run_sub_review"), recorded("run_sub_review_inside")
    show_left(server, "sub_review_inside")
    report = show_left(server, "sub_review")
    assert list(reviews(report)) == [("1.1", ("nested", "check"))]
    run = InvocationId(outer["id"])
    adapter(server).review(run, "1.1", approve=False)
    step = inner["steps"][1]["id"]
    assert server.actions == {f"{inner['id']} {step}": False}
    for absent in ("9", "1.9", "0.1", "", "1.", "x"):
        with pytest.raises(RunNotFound):
            adapter(server).review(run, absent, approve=False)
    show(server, "report", recorded("run_sub_review_inside_rejected"))
    sighting = judge(adapter(server).report(run))
    assert sighting.state.value == "cancelling"
    assert sighting.attention == (
        "Stopped, since the review at step 'nested > check' was rejected."
    )


def test_galaxys_refusal_of_an_answer_is_told(server: HostileGalaxy) -> None:
    shown = recorded("run_review")
    show(server, "report", shown)
    message = "Attempting to modify the state of a completed workflow invocation."
    server.garbage["review"] = http(
        json.dumps({"err_msg": message, "err_code": 400008}), 400
    )
    run = InvocationId(shown["id"])
    with pytest.raises(RunRejected, match="completed workflow invocation"):
        adapter(server).review(run, "2", approve=True)
    shown["steps"][2]["action"] = True
    show(server, "report", shown)
    with pytest.raises(RunRejected, match="answered already"):
        adapter(server).review(run, "2", approve=False)

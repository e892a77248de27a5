"""The API reads like its contract: every route, field and header."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient

from galaxy_jobs.domain import (
    AllowedWorkflow,
    Cursor,
    Dataset,
    DatasetId,
    Failure,
    GalaxyData,
    IdempotencyKey,
    InputKind,
    Invocation,
    InvocationId,
    InvocationState,
    JobFilter,
    Output,
    Page,
    Problem,
    Progress,
    Request,
    Src,
    StepSummary,
    SubmissionState,
    Transition,
    UrlData,
    Workflow,
    WorkflowId,
    WorkflowInput,
)
from galaxy_jobs.domain.model.workflow import Allowlist
from galaxy_jobs.domain.use_cases import GalaxyNews, Plan, Submitted
from galaxy_jobs.entrypoints.readiness import Ready
from tests.support.api import StandIn, an_api, code_of
from tests.support.build import HERE, NOON, a_submission, an_invocation


JOB = {"dataset_id": "d", "workflow_name": "w"}
RUN = Submitted(invocation_id=InvocationId("f2db41e1fa331b3e"))

FAILED = evolve(
    an_invocation(InvocationState.FAILED),
    galaxy_state="completed",
    parameters={"n": 3, "second": {"dataset_id": "d2"}},
    overwrite=True,
    rerun_of=InvocationId("inv0"),
    superseded_by=InvocationId("inv2"),
    updated_at=NOON + timedelta(seconds=1.5),
    observed_at=NOON + timedelta(minutes=1),
    attention="Kept: another job draws data from it.",
    progress=Progress(total=4, ok=1, running=0, waiting=0, failed=3),
    failure=Failure(
        reason="job-failed",
        step="sort",
        step_index=1,
        path=("outer", "sort"),
        tool="sort1",
        exit_code=2,
        stderr="sort: no such key",
        message=None,
    ),
    steps=(
        StepSummary(index=0, label="input", tool=None, state="ok", jobs={}),
        StepSummary(
            index=1, label="sort", tool="sort1", state="failed", jobs={"error": 1}
        ),
    ),
)

AS_LISTED = {
    "invocation_id": "inv1",
    "dataset_id": "d1",
    "workflow_name": "w",
    "state": "failed",
    "galaxy_state": "completed",
    "parameters": {"n": 3, "second": {"dataset_id": "d2"}},
    "overwrite": True,
    "rerun_of": "inv0",
    "superseded_by": "inv2",
    "created_at": "2026-01-02T12:00:00Z",
    "updated_at": "2026-01-02T12:00:01.500000Z",
    "observed_at": "2026-01-02T12:01:00Z",
    "stale": False,
    "attention": "Kept: another job draws data from it.",
    "progress": {"total": 4, "ok": 1, "running": 0, "waiting": 0, "failed": 3},
    "failure": {
        "reason": "job-failed",
        "step": "sort",
        "step_index": 1,
        "path": ["outer", "sort"],
        "tool": "sort1",
        "exit_code": 2,
        "stderr": "sort: no such key",
        "message": None,
    },
}

IN_DETAIL = {
    **AS_LISTED,
    "steps": [
        {"index": 0, "label": "input", "tool": None, "state": "ok", "jobs": {}},
        {
            "index": 1,
            "label": "sort",
            "tool": "sort1",
            "state": "failed",
            "jobs": {"error": 1},
        },
    ],
    "history_id": "his1",
}


def in_order(said: Any) -> Any:
    """Return JSON in which the order of fields counts."""
    if isinstance(said, dict):
        return [(name, in_order(inner)) for name, inner in said.items()]
    return [in_order(one) for one in said] if isinstance(said, list) else said


# --- POST /jobs -----------------------------------------------------------------


def test_a_job_is_submitted() -> None:
    submit = StandIn(RUN)
    body = {**JOB, "overwrite": True, "parameters": {"n": 1}}
    with an_api(submit=submit) as api:
        answer = api.post("/jobs", json=body)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/jobs/f2db41e1fa331b3e"
    assert answer.json() == {"invocation_id": "f2db41e1fa331b3e", "state": "queued"}
    assert "idempotent-replayed" not in answer.headers
    wanted = Request(
        dataset_id=DatasetId("d"),
        workflow_name="w",
        parameters={"n": 1},
        overwrite=True,
    )
    assert submit.calls == [((wanted, None), {})]


def test_an_idempotency_key_goes_with_it_and_a_replay_says_so() -> None:
    submit = StandIn(evolve(RUN, replayed=True))
    with an_api(submit=submit) as api:
        answer = api.post("/jobs", json=JOB, headers={"Idempotency-Key": "k" * 255})
    assert answer.status_code == 201
    assert answer.headers["idempotent-replayed"] == "true"
    assert answer.headers["location"] == "/jobs/f2db41e1fa331b3e"
    assert answer.json() == {"invocation_id": "f2db41e1fa331b3e", "state": "queued"}
    [((_, key), _)] = submit.calls
    assert key == IdempotencyKey(caller="", key="k" * 255)


def test_it_can_be_asked_what_would_run() -> None:
    submit = StandIn(RUN)
    plan = Plan(
        workflow=Workflow(workflow_id=WorkflowId("wf1"), name="w"),
        inputs={
            "reads": GalaxyData(Src.HDA, "1"),
            "ref": UrlData("http://h/f", "fa"),
            "n": 1,
        },
    )
    with an_api(submit=submit, check=StandIn(plan)) as api:
        answer = api.post("/jobs?validate_only=true", json=JOB)
    assert answer.status_code == 200
    assert answer.json() == {
        "dataset_id": "d",
        "workflow_name": "w",
        "workflow_id": "wf1",
        "inputs": {
            "reads": {"src": "hda", "id": "1"},
            "ref": {"src": "url", "url": "http://h/f", "ext": "fa"},
            "n": 1,
        },
    }
    assert "location" not in answer.headers
    assert not submit.calls


# --- looking at jobs ------------------------------------------------------------


def test_a_job_is_shown_whole_and_in_the_order_of_the_contract() -> None:
    show_job = StandIn(FAILED)
    with an_api(show_job=show_job) as api:
        answer = api.get("/jobs/inv1")
    assert answer.status_code == 200
    assert in_order(answer.json()) == in_order(IN_DETAIL)
    assert show_job.calls == [(("inv1",), {})]


def test_a_job_that_runs_has_no_failure() -> None:
    with an_api(show_job=StandIn(an_invocation())) as api:
        said = api.get("/jobs/inv1").json()
    assert said["failure"] is None
    assert said["rerun_of"] is None
    assert said["superseded_by"] is None
    assert said["attention"] is None
    assert set(said) == set(IN_DETAIL)


def test_a_job_that_was_not_observed_for_long_is_stale() -> None:
    long_ago = an_invocation(at=NOON - timedelta(hours=1))
    ended = evolve(long_ago, state=InvocationState.COMPLETED)
    for job, stale in ((long_ago, True), (an_invocation(), False), (ended, False)):
        with an_api(show_job=StandIn(job)) as api:
            assert api.get("/jobs/inv1").json()["stale"] is stale


@pytest.mark.parametrize(
    "id_", ["a/b", "a b", "%", "..", "é", "a?b#c", "%2F", "x" * 9999]
)
def test_an_id_may_be_any_text(id_: str) -> None:
    show_job = StandIn(an_invocation())
    with an_api(show_job=show_job) as api:
        # Not by a path template: clients may spell what they like.
        spelt = "".join(f"%{one:02X}" for one in id_.encode())
        assert api.get(f"/jobs/{spelt}").status_code == 200
    assert show_job.calls == [((id_,), {})]


def test_a_location_leads_back_whatever_the_id_is() -> None:
    submit = StandIn(evolve(RUN, invocation_id=InvocationId("a/b é")))
    show_job = StandIn(an_invocation())
    with an_api(submit=submit, show_job=show_job) as api:
        api.get(api.post("/jobs", json=JOB).headers["location"])
    assert show_job.calls == [(("a/b é",), {})]


def test_jobs_are_listed() -> None:
    list_jobs = StandIn(Page((FAILED,), None))
    with an_api(list_jobs=list_jobs) as api:
        answer = api.get("/jobs")
    assert answer.status_code == 200
    assert in_order(answer.json()) == in_order(
        {"items": [AS_LISTED], "next_cursor": None}
    )
    assert list_jobs.calls == [((JobFilter(), 50, None), {})]


def test_filters_are_combined() -> None:
    list_jobs = StandIn(Page[Invocation]((), None))
    with an_api(list_jobs=list_jobs) as api:
        api.get(
            "/jobs?dataset_id=d%2F1&workflow_name=a+b&state=queued&state=failed&limit=200"
        )
    wanted = JobFilter(
        dataset_id=DatasetId("d/1"),
        workflow_name="a b",
        states=frozenset({InvocationState.QUEUED, InvocationState.FAILED}),
    )
    assert list_jobs.calls == [((wanted, 200, None), {})]


def test_a_cursor_leads_to_the_next_page_of_the_same_list() -> None:
    place = Cursor(NOON, "inv1")
    list_jobs = StandIn(Page((FAILED,), place))
    with an_api(list_jobs=list_jobs) as api:
        first = api.get("/jobs?state=queued&state=failed&limit=1").json()
        cursor = first["next_cursor"]
        # The order of the states and the limit may change on the way.
        again = api.get(f"/jobs?state=failed&state=queued&limit=7&cursor={cursor}")
        other = api.get(f"/jobs?state=failed&cursor={cursor}")
    assert again.status_code == 200
    assert list_jobs.calls[1][0][1:] == (7, place)
    assert code_of(other) == "malformed-request"
    assert "Bad cursor" in other.json()["detail"]
    assert len(list_jobs.calls) == 2


def test_the_history_of_a_job_is_told_oldest_first() -> None:
    born = Transition(
        id=7,
        invocation_id=InvocationId("inv1"),
        from_state=None,
        to_state=InvocationState.QUEUED,
        at=NOON,
        galaxy_state="new",
        progress=Progress(),
    )
    failed = evolve(
        born,
        id=9,
        from_state=InvocationState.QUEUED,
        to_state=InvocationState.FAILED,
        galaxy_state="completed",
        progress=FAILED.progress,
        failure=FAILED.failure,
    )
    with an_api(job_history=StandIn([born, failed])) as api:
        said = api.get("/jobs/inv1/history").json()
    nothing = {"total": 0, "ok": 0, "running": 0, "waiting": 0, "failed": 0}
    assert said == {
        "items": [
            {
                "id": 7,
                "from_state": None,
                "to_state": "queued",
                "at": "2026-01-02T12:00:00Z",
                "galaxy_state": "new",
                "progress": nothing,
                "failure": None,
            },
            {
                "id": 9,
                "from_state": "queued",
                "to_state": "failed",
                "at": "2026-01-02T12:00:00Z",
                "galaxy_state": "completed",
                "progress": AS_LISTED["progress"],
                "failure": AS_LISTED["failure"],
            },
        ],
        "next_cursor": None,
    }


def test_the_outputs_of_a_job_are_shown() -> None:
    outputs = [
        Output(
            label="lines",
            src="hda",
            id="1",
            name="Count",
            extension="txt",
            size=2,
            state="ok",
        ),
        Output(label="parts", src="hdca", id="2"),
    ]
    with an_api(job_outputs=StandIn(outputs)) as api:
        said = api.get("/jobs/inv1/outputs").json()
    assert said == {
        "items": [
            {
                "label": "lines",
                "src": "hda",
                "id": "1",
                "name": "Count",
                "extension": "txt",
                "size": 2,
                "state": "ok",
            },
            {
                "label": "parts",
                "src": "hdca",
                "id": "2",
                "name": None,
                "extension": None,
                "size": None,
                "state": None,
            },
        ],
        "next_cursor": None,
    }


# --- cancel and rerun -----------------------------------------------------------


def test_a_cancel_is_accepted_and_shows_the_job() -> None:
    cancelling = an_invocation(InvocationState.CANCELLING)
    with an_api(cancel_job=StandIn(cancelling)) as api:
        answer = api.post("/jobs/inv1/cancel")
    assert answer.status_code == 202
    assert answer.json()["state"] == "cancelling"
    assert set(answer.json()) == set(IN_DETAIL)


@pytest.mark.parametrize(
    ("body", "parameters", "overwrite"),
    [
        (None, None, None),
        (b"{}", None, None),
        (b'{"parameters": {"n": 2}}', {"n": 2}, None),
        (b'{"overwrite": false}', None, False),
    ],
)
def test_a_job_is_run_again(
    body: bytes | None, parameters: object, overwrite: object
) -> None:
    rerun = StandIn(RUN)
    with an_api(rerun=rerun) as api:
        answer = api.post(
            "/jobs/inv1/rerun", content=body, headers={"Idempotency-Key": "k"}
        )
    assert answer.status_code == 201
    assert answer.headers["location"] == "/jobs/f2db41e1fa331b3e"
    assert answer.json() == {"invocation_id": "f2db41e1fa331b3e", "state": "queued"}
    assert rerun.calls == [
        (
            ("inv1",),
            {
                "parameters": parameters,
                "overwrite": overwrite,
                "key": IdempotencyKey(caller="", key="k"),
            },
        )
    ]


# --- submissions ----------------------------------------------------------------


@pytest.mark.parametrize("state", SubmissionState)
def test_what_became_of_a_submission_is_told(state: SubmissionState) -> None:
    with an_api(show_submission=StandIn(a_submission(state))) as api:
        said = api.get(f"/submissions/{UUID(int=1)}").json()
    assert said == {
        "submission_id": str(UUID(int=1)),
        "state": state.value,
        "invocation_id": None,
        "problem": None,
    }


def test_why_it_was_rejected_is_told_as_it_was_answered() -> None:
    rejected = a_submission().rejected(
        Problem("galaxy-rejected", "Galaxy refused: no.", {"galaxy_message": "no"}),
        NOON,
    )
    with an_api(show_submission=StandIn(rejected)) as api:
        said = api.get(f"/submissions/{UUID(int=1)}").json()
    assert said["problem"] == {
        "type": "urn:galaxy-jobs:problem:galaxy-rejected",
        "title": "Galaxy rejected",
        "status": 422,
        "detail": "Galaxy refused: no.",
        "galaxy_message": "no",
    }


# --- datasets -------------------------------------------------------------------


A_DATASET = Dataset(
    dataset_id=DatasetId("reads/1"),
    name="Reads",
    source=GalaxyData(Src.HDA, "1"),
    created_at=NOON,
)
AS_DATASET = {
    "dataset_id": "reads/1",
    "name": "Reads",
    "source": {"src": "hda", "id": "1"},
    "created_at": "2026-01-02T12:00:00Z",
}


def test_a_dataset_is_registered() -> None:
    register = StandIn(A_DATASET)
    body = {key: AS_DATASET[key] for key in ("dataset_id", "name", "source")}
    with an_api(register_dataset=register) as api:
        answer = api.post("/datasets", json=body)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/datasets/reads%2F1"
    assert in_order(answer.json()) == in_order(AS_DATASET)
    assert register.calls == [(("Reads", GalaxyData(Src.HDA, "1"), "reads/1"), {})]


def test_a_dataset_without_an_id_is_given_one() -> None:
    register = StandIn(A_DATASET)
    source = {"src": "url", "url": "https://h/f", "ext": "txt"}
    with an_api(register_dataset=register) as api:
        api.post("/datasets", json={"name": "Reads", "source": source})
    assert register.calls == [(("Reads", UrlData("https://h/f", "txt"), None), {})]


def test_an_address_that_galaxy_must_not_fetch_is_refused() -> None:
    source = {"src": "url", "url": "file:///etc/passwd", "ext": "txt"}
    with an_api() as api:
        answer = api.post("/datasets", json={"name": "Reads", "source": source})
    assert code_of(answer) == "malformed-request"
    assert "http, https or ftp" in answer.json()["detail"]


def test_a_dataset_is_shown() -> None:
    show = StandIn(A_DATASET)
    with an_api(show_dataset=show) as api:
        assert api.get("/datasets/reads%2F1").json() == AS_DATASET
    assert show.calls == [(("reads/1",), {})]


def test_datasets_are_listed() -> None:
    place = Cursor(NOON, "reads/1")
    listing = StandIn(Page((A_DATASET,), place))
    with an_api(list_datasets=listing) as api:
        first = api.get("/datasets").json()
        api.get(f"/datasets?limit=1&cursor={first['next_cursor']}")
        jobs = api.get(f"/jobs?cursor={first['next_cursor']}")
    assert first["items"] == [AS_DATASET]
    assert listing.calls == [((50, None), {}), ((1, place), {})]
    assert code_of(jobs) == "malformed-request"


# --- workflows ------------------------------------------------------------------


COUNT = Workflow(
    workflow_id=WorkflowId("wf1"),
    name="QC / count",
    annotation="Counts.",
    inputs=(
        WorkflowInput(name="reads", kind=InputKind.DATA, formats=("txt",)),
        WorkflowInput(name="n", kind=InputKind.INTEGER, minimum=1, maximum=9),
        WorkflowInput(
            name="mode",
            kind=InputKind.TEXT,
            options=("a", "b"),
            default="a",
            annotation="How.",
        ),
    ),
)


def test_workflows_are_listed() -> None:
    with an_api(list_workflows=StandIn(["QC / count", "Sort"])) as api:
        said = api.get("/workflows").json()
    assert said == {
        "items": [{"name": "QC / count"}, {"name": "Sort"}],
        "next_cursor": None,
    }


def test_a_workflow_says_what_it_takes() -> None:
    show = StandIn(COUNT)
    with an_api(show_workflow=show) as api:
        said = api.get("/workflows/QC%20%2F%20count").json()
    assert show.calls == [(("QC / count",), {})]
    assert said == {
        "name": "QC / count",
        "workflow_id": "wf1",
        "annotation": "Counts.",
        "dataset_input": "reads",
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "n": {"title": "n", "type": "integer", "minimum": 1, "maximum": 9},
                "mode": {
                    "title": "mode",
                    "description": "How.",
                    "anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}],
                    "default": "a",
                },
            },
            "required": ["n"],
            "additionalProperties": False,
        },
    }


def test_a_workflow_with_two_data_inputs_says_which_takes_the_dataset_if_it_can() -> (
    None
):
    two = evolve(
        COUNT,
        inputs=(
            WorkflowInput(name="reads", kind=InputKind.DATA),
            WorkflowInput(name="pairs", kind=InputKind.COLLECTION),
        ),
    )
    with an_api(show_workflow=StandIn(two)) as api:
        open_ = api.get("/workflows/w").json()
    row = AllowedWorkflow(name="w", input="pairs")
    with an_api(show_workflow=StandIn(two), allowlist=Allowlist((row,))) as api:
        configured = api.get("/workflows/w").json()
    assert open_["dataset_input"] is None
    assert set(open_["parameters"]["properties"]) == {"reads", "pairs"}
    assert open_["parameters"]["required"] == []
    assert configured["dataset_input"] == "pairs"
    assert set(configured["parameters"]["properties"]) == {"reads"}
    assert configured["parameters"]["required"] == ["reads"]


# --- health, documentation, requests --------------------------------------------


def test_live_asks_nobody() -> None:
    with an_api(readiness=StandIn(RuntimeError("not asked"))) as api:
        answer = api.get("/health/live")
    assert answer.status_code == 200
    assert answer.json() == {"status": "alive"}


def test_ready_tells_of_the_database_and_what_was_last_heard_of_galaxy() -> None:
    news = GalaxyNews(identity=HERE, problem=None, at=NOON)
    ready = Ready(database=True, migrations="current", galaxy=news)
    with an_api(readiness=StandIn(ready)) as api:
        answer = api.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "database": True,
        "migrations": "current",
        "galaxy": {"ok": True, "problem": None, "at": "2026-01-02T12:00:00Z"},
        "problem": None,
    }


@pytest.mark.parametrize(
    "ready",
    [
        Ready(database=False, migrations=None, galaxy=None, problem="No route."),
        Ready(database=True, migrations="behind", galaxy=None),
    ],
)
def test_not_ready_is_a_503(ready: Ready) -> None:
    with an_api(readiness=StandIn(ready)) as api:
        answer = api.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["problem"] == ready.problem


def test_galaxy_in_trouble_does_not_make_us_unready() -> None:
    news = GalaxyNews(identity=None, problem="Down.", at=NOON)
    ready = Ready(database=True, migrations="ahead", galaxy=news)
    with an_api(readiness=StandIn(ready)) as api:
        answer = api.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["galaxy"]["ok"] is False


def test_a_request_has_an_id_in_the_answer_and_in_the_log() -> None:
    with (
        structlog.testing.capture_logs(
            processors=[structlog.contextvars.merge_contextvars]
        ) as logged,
        an_api(list_workflows=StandIn([])) as api,
    ):
        given_ = api.get("/workflows?", headers={"X-Request-ID": "mine-1"})
        made = api.get("/nothing", headers={"X-Request-ID": "not\x7fsane"})
        api.get("/health/live")
    assert given_.headers["x-request-id"] == "mine-1"
    assert len(made.headers["x-request-id"]) == 32
    assert [{**line, "ms": line["ms"] >= 0} for line in logged] == [
        {
            "event": "request",
            "log_level": "info",
            "method": "GET",
            "path": path,
            "status": answer.status_code,
            "ms": True,
            "request_id": answer.headers["x-request-id"],
        }
        for path, answer in (("/workflows", given_), ("/nothing", made))
    ]


def test_a_long_path_does_not_fill_the_log() -> None:
    with structlog.testing.capture_logs() as logged, an_api() as api:
        api.get(f"/nothing/{'x' * 9999}")
    assert len(logged[0]["path"]) == 300


def test_every_route_is_documented_with_its_refusals() -> None:
    with an_api() as api:
        document = api.get("/schema/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        "POST /jobs",
        "GET /jobs",
        "GET /jobs/events",
        "GET /jobs/{invocation_id}",
        "GET /jobs/{invocation_id}/history",
        "GET /jobs/{invocation_id}/outputs",
        "POST /jobs/{invocation_id}/cancel",
        "POST /jobs/{invocation_id}/rerun",
        "GET /submissions/{submission_id}",
        "POST /datasets",
        "GET /datasets",
        "GET /datasets/{dataset_id}",
        "GET /workflows",
        "GET /workflows/{name}",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
    }
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["operationId"].islower(), name
        for status, answer in operation["responses"].items():
            if status >= "400" and name != "GET /health/ready":
                assert list(answer["content"]) == ["application/problem+json"], name
    submit = operations["POST /jobs"]["responses"]
    assert set(submit) == {
        "200",
        "201",
        "400",
        "401",
        "403",
        "409",
        "413",
        "415",
        "422",
        "429",
        "500",
        "502",
        "503",
        "504",
    }
    assert "`idempotency-key-reused`" in submit["422"]["description"]
    assert {"Location", "Idempotent-Replayed"} <= set(submit["201"]["headers"])
    schemas = document["components"]["schemas"]
    assert list(schemas["JobDetailJson"]["properties"]) == list(IN_DETAIL)
    assert schemas["NewJob"]["additionalProperties"] is False
    assert (
        operations["POST /jobs/{invocation_id}/rerun"]["requestBody"]["required"]
        is False
    )


# --- whatever is sent ------------------------------------------------------------


@pytest.fixture(scope="module")
def anything() -> Iterator[TestClient[Any]]:
    with an_api(
        submit=StandIn(RUN),
        rerun=StandIn(RUN),
        cancel_job=StandIn(FAILED),
        register_dataset=StandIn(A_DATASET),
        list_jobs=StandIn(Page[Invocation]((), None)),
    ) as api:
        yield api


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
BODIES = st.binary() | st.dictionaries(
    st.sampled_from(
        [
            "dataset_id",
            "workflow_name",
            "parameters",
            "overwrite",
            "name",
            "source",
            "x",
        ]
    ),
    ANY_JSON,
).map(lambda said: json.dumps(said).encode())


@given(
    body=BODIES,
    path=st.sampled_from(["/jobs", "/datasets", "/jobs/1/rerun", "/jobs/1/cancel"]),
)
def test_no_body_is_a_fault_of_ours(
    anything: TestClient[Any], body: bytes, path: str
) -> None:
    answer = anything.post(path, content=body)
    if path == "/jobs/1/cancel":
        assert answer.status_code == 202
    else:
        assert answer.status_code in {201, 400}


@given(
    path=st.text(st.characters(codec="utf-8")).map(lambda one: one.encode())
    | st.binary()
)
def test_no_path_is_a_fault_of_ours(anything: TestClient[Any], path: bytes) -> None:
    spelt = "".join(f"%{one:02X}" for one in path)
    for below in ("submissions", "nothing"):
        answer = anything.get(f"/{below}/{spelt}")
        assert answer.status_code == 404
        assert code_of(answer).endswith("not-found")


@given(query=st.text(st.characters(codec="ascii")))
def test_no_query_is_a_fault_of_ours(anything: TestClient[Any], query: str) -> None:
    for name in ("limit", "cursor", "state", "x"):
        answer = anything.get("/jobs", params={name: query})
        assert answer.status_code in {200, 400}


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/jobs", "GET, HEAD, OPTIONS, POST"),
        ("/datasets", "GET, HEAD, OPTIONS, POST"),
        ("/datasets/d", "GET, HEAD, OPTIONS"),
        ("/jobs/1/cancel", "OPTIONS, POST"),
    ],
)
def test_what_may_be_done_is_told(path: str, methods: str) -> None:
    with an_api() as api:
        answer = api.options(path)
    assert (answer.status_code, answer.headers["allow"]) == (204, methods)

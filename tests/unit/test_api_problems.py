"""Refusals: one form, one table, and nothing that is nobody's business."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import structlog

from galaxy_jobs.domain import errors
from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.entrypoints.api.problems import STATUS, Refused, members, refused_by
from galaxy_jobs.entrypoints.hints import explain
from tests.support.api import StandIn, an_api, code_of


ID = UUID(int=7)
JOB = {"dataset_id": "d", "workflow_name": "w"}


def every_error(kind: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:  # adapters may have some of their own
            yield one
            yield from every_error(one)


@pytest.mark.parametrize("kind", list(every_error()))
def test_every_error_of_the_domain_has_a_status(kind: type[DomainError]) -> None:
    assert kind is errors.RunnerError or kind.code in STATUS


@pytest.mark.parametrize(
    ("error", "status", "code", "extra"),
    [
        (errors.InvalidValue("x"), 400, "malformed-request", {}),
        (errors.DatasetNotFound("d"), 422, "dataset-not-found", {}),
        (errors.WorkflowNotAllowed("w", ["v"]), 422, "workflow-not-allowed", {}),
        (errors.WorkflowNotFound("w"), 422, "workflow-not-found", {}),
        (
            errors.WorkflowAmbiguous("w", ["1", "2"]),
            422,
            "workflow-ambiguous",
            {"workflow_ids": ["1", "2"]},
        ),
        (
            errors.InvalidParameters({"n": "Input 'n' is required."}),
            422,
            "invalid-parameters",
            {"parameters": {"n": "Input 'n' is required."}},
        ),
        (
            errors.RunRejected("no such tool", 400008),
            422,
            "galaxy-rejected",
            {"galaxy_message": "no such tool", "galaxy_code": 400008},
        ),
        (errors.KeyReused(), 422, "idempotency-key-reused", {}),
        (errors.KeyInProgress(ID), 409, "in-progress", {"submission_id": str(ID)}),
        (errors.StaleVersion("It", 3), 409, "conflict", {}),
        (errors.RunnerRefusedUs("bad key"), 502, "galaxy-refused-us", {}),
        (errors.RunnerUnavailable("down"), 503, "galaxy-unavailable", {}),
        (errors.StoreUnavailable("down"), 503, "database-unavailable", {}),
        (
            errors.OutcomeUnknown("lost", ID),
            504,
            "outcome-unknown",
            {"submission_id": str(ID)},
        ),
    ],
)
def test_what_a_submission_can_come_to(
    error: DomainError, status: int, code: str, extra: dict[str, Any]
) -> None:
    with an_api(submit=StandIn(error)) as api:
        answer = api.post("/jobs", json=JOB)
    assert answer.status_code == status
    assert code_of(answer) == code
    assert answer.json()["detail"] == explain(error)
    assert extra.items() <= answer.json().items()


@pytest.mark.parametrize(
    ("path", "use_case", "error", "status", "code"),
    [
        ("/jobs/1", "show_job", errors.JobNotFound("1"), 404, "job-not-found"),
        (
            "/jobs/1/history",
            "job_history",
            errors.JobNotFound("1"),
            404,
            "job-not-found",
        ),
        (
            "/jobs/1/outputs",
            "job_outputs",
            errors.JobNotFound("1"),
            404,
            "job-not-found",
        ),
        ("/jobs/1/outputs", "job_outputs", errors.RunNotFound("gone"), 404, "gone"),
        (
            f"/submissions/{ID}",
            "show_submission",
            errors.SubmissionNotFound(ID),
            404,
            "submission-not-found",
        ),
        (
            "/datasets/d",
            "show_dataset",
            errors.DatasetNotFound("d"),
            404,
            "dataset-not-found",
        ),
        (
            "/workflows/w",
            "show_workflow",
            errors.WorkflowNotFound("w"),
            404,
            "workflow-not-found",
        ),
        (
            "/workflows/w",
            "show_workflow",
            errors.WorkflowNotAllowed("w", []),
            404,
            "workflow-not-allowed",
        ),
        (
            "/workflows/w",
            "show_workflow",
            errors.WorkflowAmbiguous("w", ["1", "2"]),
            422,
            "workflow-ambiguous",
        ),
        (
            "/jobs",
            "list_jobs",
            errors.StoreUnavailable("down"),
            503,
            "database-unavailable",
        ),
    ],
)
def test_what_a_look_can_come_to(
    path: str, use_case: str, error: DomainError, status: int, code: str
) -> None:
    with an_api(**{use_case: StandIn(error)}) as api:
        answer = api.get(path)
    assert answer.status_code == status
    assert code_of(answer) == code


@pytest.mark.parametrize(
    ("path", "use_case", "error", "status", "code"),
    [
        ("/jobs/1/cancel", "cancel_job", errors.JobNotFound("1"), 404, "job-not-found"),
        (
            "/jobs/1/cancel",
            "cancel_job",
            errors.AlreadyEnded("1", "failed"),
            409,
            "already-ended",
        ),
        ("/jobs/1/rerun", "rerun", errors.JobNotFound("1"), 404, "job-not-found"),
        (
            "/jobs/1/rerun",
            "rerun",
            errors.DatasetNotFound("d"),
            422,
            "dataset-not-found",
        ),
    ],
)
def test_what_a_wish_can_come_to(
    path: str, use_case: str, error: DomainError, status: int, code: str
) -> None:
    with an_api(**{use_case: StandIn(error)}) as api:
        answer = api.post(path)
    assert answer.status_code == status
    assert code_of(answer) == code


def test_another_dataset_by_that_id_is_a_conflict() -> None:
    body = {"name": "n", "source": {"src": "hda", "id": "1"}}
    with an_api(register_dataset=StandIn(errors.DatasetExists("d"))) as api:
        answer = api.post("/datasets", json=body)
    assert answer.status_code == 409
    assert code_of(answer) == "dataset-exists"


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (errors.KeyInProgress(ID), "2"),
        (errors.StoreUnavailable("down"), "5"),
        (errors.RunnerUnavailable("down"), "10"),
        (errors.RunnerUnavailable("busy", retry_after=6.1), "7"),
        (errors.RunnerUnavailable("busy", retry_after=0), "1"),
        (errors.OutcomeUnknown("lost", ID), None),
        (errors.KeyReused(), None),
    ],
)
def test_where_waiting_helps_it_is_said_how_long(
    error: DomainError, seconds: str | None
) -> None:
    with an_api(submit=StandIn(error)) as api:
        assert api.post("/jobs", json=JOB).headers.get("retry-after") == seconds


@pytest.mark.parametrize(
    "error",
    [RuntimeError("password 'hunter2'"), errors.RunnerError("hunter2"), KeyError("x")],
)
def test_our_own_faults_are_logged_and_not_told(error: Exception) -> None:
    with (
        structlog.testing.capture_logs() as logged,
        an_api(submit=StandIn(error)) as api,
    ):
        answer = api.post("/jobs", json=JOB, headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 500
    assert code_of(answer) == "internal-error"
    assert "hunter2" not in answer.text
    assert "Error" not in answer.text
    [entry] = [one for one in logged if one["event"] == "request failed"]
    assert entry["exc_info"] is error


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/jobs/1/nothing", 404, "not-found"),
        ("GET", "/jobs/%00", 404, "not-found"),
        ("GET", "/datasets/%ff", 404, "not-found"),
        ("GET", "/submissions/no-uuid", 404, "submission-not-found"),
        ("GET", "/schema/swagger", 404, "not-found"),
        ("DELETE", "/jobs", 405, "method-not-allowed"),
        ("POST", "/jobs/1", 405, "method-not-allowed"),
        ("GET", "/jobs?limit=0", 400, "malformed-request"),
        ("GET", "/jobs?limit=201", 400, "malformed-request"),
        ("GET", "/jobs?limit=many", 400, "malformed-request"),
        ("GET", "/jobs?batch_id=null", 400, "malformed-request"),
        ("GET", "/jobs/inv1/outputs?links=null", 400, "malformed-request"),
        ("GET", "/jobs/inv1/outputs?links=1e2", 400, "malformed-request"),
        ("GET", "/jobs?state=done", 400, "malformed-request"),
        ("GET", "/jobs?cursor=forged", 400, "malformed-request"),
        ("GET", "/jobs?dataset_id=%00", 400, "malformed-request"),
        ("GET", "/jobs?datset_id=d", 400, "malformed-request"),
        ("GET", "/datasets?cursor=", 400, "malformed-request"),
        ("POST", "/jobs?validate_only=maybe", 400, "malformed-request"),
        ("POST", "/jobs?validate_onyl=true", 400, "malformed-request"),
        ("POST", "/jobs", 400, "malformed-request"),
        ("POST", "/datasets", 400, "malformed-request"),
    ],
)
def test_what_is_refused_before_any_use_case(
    method: str, path: str, status: int, code: str
) -> None:
    submit = StandIn()
    with an_api(submit=submit) as api:
        answer = api.request(method, path)
    assert answer.status_code == status
    assert code_of(answer) == code
    assert not submit.calls


def test_a_parameter_is_named_with_what_was_read_and_what_is_expected() -> None:
    with an_api() as api:
        limit = api.get("/jobs?limit=many").json()
        state = api.get("/jobs?state=queued&state=done").json()
        unknown = api.get("/jobs?datset_id=d").json()
    assert limit["detail"] == (
        "Query parameter 'limit' is 'many'; expected a whole number from 1 to 200."
    )
    assert limit["field"] == "limit"
    assert "'queued', 'done'; expected one of queued, in_progress," in state["detail"]
    assert state["field"] == "state"
    assert (
        "Unknown query parameter 'datset_id'; known: batch_id, created_after, "
        in (unknown["detail"])
    )


def test_405_says_what_is_allowed() -> None:
    with an_api() as api:
        allowed = api.delete("/jobs").headers["allow"]
    assert set(allowed.split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}


def test_a_body_may_have_1_mib_and_no_more() -> None:
    fill = len(b'{"dataset_id":"","workflow_name":"w"}')
    body = b'{"dataset_id":"%s","workflow_name":"w"}'
    with an_api(submit=StandIn(errors.KeyReused())) as api:
        fits = api.post("/jobs", content=body % (b"x" * (1024 * 1024 - fill)))
        too_large = api.post("/jobs", content=body % (b"x" * (1024 * 1024 - fill + 1)))
    assert fits.status_code == 422
    assert too_large.status_code == 413
    assert code_of(too_large) == "too-large"


def test_a_form_is_no_json() -> None:
    with an_api() as api:
        answer = api.post("/jobs", data={"dataset_id": "d"})
    assert answer.status_code == 415
    assert code_of(answer) == "unsupported-media-type"


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x00b", "a\tb"])
def test_an_idempotency_key_has_1_to_255_printable_characters(key: str) -> None:
    with an_api() as api:
        answer = api.post("/jobs", json=JOB, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert code_of(answer) == "malformed-request"
    assert "idempotency" in answer.json()["detail"].lower()


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}],
)
def test_what_a_foreign_page_asks_reaches_nothing(headers: dict[str, str]) -> None:
    submit = StandIn()
    with an_api(submit=submit) as api:
        answer = api.post("/jobs", json=JOB, headers=headers)
    assert answer.status_code == 403
    assert code_of(answer) == "forbidden"
    assert not submit.calls


LONG = "é" * 100_000


@pytest.mark.parametrize(
    "error",
    [
        errors.JobNotFound(LONG),
        errors.DatasetNotFound(LONG),
        errors.DatasetExists(LONG),
        errors.AlreadyEnded(LONG, "failed"),
        errors.WorkflowNotFound(LONG),
        errors.WorkflowNotAllowed(LONG, [LONG] * 5000),
        errors.WorkflowAmbiguous("w", ["f597429621d6eb2b"] * 5000),
        errors.DatasetInputAmbiguous(LONG, [LONG] * 5000),
        errors.InvalidParameters({f"{n}{LONG}": "No." for n in range(5000)}),
        errors.RunRejected(LONG),
        errors.RunnerUnavailable(LONG),
        Refused("not-found", LONG, extra={"field": LONG}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_problem_grows_with_what_it_quotes(error: DomainError | Refused) -> None:
    refused = error if isinstance(error, Refused) else refused_by(error)
    assert len(json.dumps(members(refused), ensure_ascii=False)) < 25_000


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/jobs?{'x' * 60_000}=1", None),
        ("GET", f"/jobs?limit={'9' * 60_000}", None),
        ("GET", f"/jobs?state={'9' * 60_000}", None),
        ("GET", f"/submissions/{'9' * 60_000}", None),
        ("POST", "/jobs", {"x" * 500_000: 1}),
        ("POST", "/jobs", {"dataset_id": "d", "workflow_name": "w", "x" * 500_000: 1}),
    ],
)
def test_no_refusal_is_longer_than_what_was_asked(
    method: str, path: str, body: object
) -> None:
    with an_api() as api:
        answer = api.request(method, path, json=body)
    assert answer.status_code in {400, 404}
    assert len(answer.content) < len(path) + 1000
    field = answer.json().get("field", "")
    assert len(field) < 300


def test_a_path_is_read_up_to_its_twentieth_segment() -> None:
    with an_api() as api:
        answer = api.get("/%41" + "/a" * 30_000)
    assert code_of(answer) == "not-found"
    assert answer.json()["instance"] == "/A" + "/a" * 18


def test_only_what_may_pass_has_a_retry_after() -> None:
    assert refused_by(errors.RunnerUnavailable("down")).headers == {"Retry-After": "10"}
    lasting = errors.RunnerUnavailable("a redirect", lasting=True)
    assert refused_by(lasting, {"Location": "/here"}).headers == {"Location": "/here"}

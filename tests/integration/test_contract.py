"""The HTTP interface, row by row, as it was promised to those who build on it.

Real sockets and a real PostgreSQL; Galaxy is simulated, since each way in which it
can answer has to come when it is wanted. (What becomes of runs on a real one stands
in ``test_end_to_end``.) Whoever has to change a line here breaks somebody's client.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from attrs import frozen

from galaxy_jobs.adapters.testing.memory.galaxy import FAILURE, TEXT
from galaxy_jobs.domain import (
    AllowedWorkflow,
    InputKind,
    InvocationId,
    Output,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import (
    OutcomeUnknown,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunRejected,
)
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.workflow import Allowlist
from galaxy_jobs.domain.use_cases import PollPolicy
from galaxy_jobs.entrypoints.settings import HttpTable
from tests.support.page import Site, site
from tests.support.wait import until


N = WorkflowInput(
    name="n", kind=InputKind.INTEGER, minimum=1, maximum=9, default=1, annotation="How"
)
MODE = WorkflowInput(name="mode", kind=InputKind.TEXT, options=("fast", "exact"))
MORE = WorkflowInput(name="more", kind=InputKind.DATA, optional=True)

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

JOB = [
    "invocation_id",
    "dataset_id",
    "workflow_name",
    "state",
    "galaxy_state",
    "parameters",
    "overwrite",
    "rerun_of",
    "superseded_by",
    "created_at",
    "updated_at",
    "observed_at",
    "stale",
    "attention",
    "progress",
    "failure",
]


@frozen
class Client:
    """Asks as a client does."""

    site: Site
    token: str = ""

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> requests.Response:
        said = {name.replace("_", "-"): text for name, text in headers.items()}
        if self.token:
            said["Authorization"] = f"Bearer {self.token}"
        return requests.request(
            method, self.site.url + path, json=body, headers=said, timeout=60
        )

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def submit(self, **more: object) -> str:
        wish = {"dataset_id": "reads", "workflow_name": "sort", **more}
        answer = self.ask("POST", "/jobs", wish)
        assert answer.status_code == 201, answer.text
        id_: str = answer.json()["invocation_id"]
        return id_

    def ended(self, id_: str) -> Any:
        """Let Galaxy go on, and look, until a job has ended."""

        def there() -> Any:
            self.site.galaxy.tick()
            self.site.container.poll()()
            job = self.get(f"/jobs/{id_}")
            return job if job["state"] in {"completed", "failed", "cancelled"} else None

        return until(there)


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[Client]:
    soon = timedelta(milliseconds=1)
    with site(
        module_database_url,
        http=HttpTable(rate=1e6, burst=1e6),
        poll_policy=PollPolicy(min_interval=soon, max_interval=soon),
    ) as one:
        lines = Output(
            label="lines",
            src="hda",
            id="o1",
            name="n",
            extension="txt",
            size=2,
            state="ok",
        )
        one.galaxy.add_workflow("sort", TEXT, N, outputs=[lines])
        one.galaxy.add_workflow("strict", TEXT, N, MODE, MORE)
        one.galaxy.add_workflow("fails", TEXT, plan=FAILURE)
        one.galaxy.add_workflow("twice")
        one.galaxy.add_workflow("twice")
        one.dataset("reads")
        one.dataset("other")
        yield Client(one)


def problem(answer: requests.Response, status: int, code: str) -> Any:
    """Return a problem, once its form has been looked at (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["type"].rpartition(":")[2] == code
    assert said["status"] == status
    assert said["title"]
    assert said["detail"]
    assert said["instance"].startswith("/")
    assert said["request_id"] == answer.headers["x-request-id"]
    for word in ("Traceback", "psycopg", "SELECT ", "sqlalchemy"):
        assert word not in answer.text
    return said


# --- POST /jobs -------------------------------------------------------------------


def test_a_job_is_submitted(service: Client) -> None:
    wish = {
        "dataset_id": "reads",
        "workflow_name": "sort",
        "overwrite": False,
        "parameters": {"n": 2},
    }
    answer = service.ask("POST", "/jobs", wish)
    assert answer.status_code == 201
    said = answer.json()
    assert list(said) == ["invocation_id", "state"]
    assert said["state"] == "queued"
    assert answer.headers["location"] == f"/jobs/{said['invocation_id']}"
    assert "idempotent-replayed" not in answer.headers


def test_a_request_repeated_with_its_key_is_answered_again_and_runs_once(
    service: Client,
) -> None:
    wish = {"dataset_id": "reads", "workflow_name": "sort"}
    runs = len(service.site.galaxy.runs)
    first, second = (
        service.ask("POST", "/jobs", wish, Idempotency_Key="once") for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["invocation_id"] == second.json()["invocation_id"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert len(service.site.galaxy.runs) == runs + 1
    other = {**wish, "parameters": {"n": 3}}
    answer = service.ask("POST", "/jobs", other, Idempotency_Key="once")
    problem(answer, 422, "idempotency-key-reused")


def test_a_job_can_be_checked_without_being_run(service: Client) -> None:
    runs = len(service.site.galaxy.runs)
    wish = {
        "dataset_id": "reads",
        "workflow_name": "strict",
        "parameters": {"n": 2, "mode": "fast", "more": {"dataset_id": "other"}},
    }
    answer = service.ask("POST", "/jobs?validate_only=true", wish)
    assert answer.status_code == 200
    said = answer.json()
    assert list(said) == ["dataset_id", "workflow_name", "workflow_id", "inputs"]
    assert said["inputs"] == {
        "text": {"src": "hda", "id": "hda-reads"},
        "n": 2,
        "mode": "fast",
        "more": {"src": "hda", "id": "hda-other"},
    }
    wish["parameters"] = {"mode": "slow"}
    answer = service.ask("POST", "/jobs?validate_only=true", wish)
    problem(answer, 422, "invalid-parameters")
    assert len(service.site.galaxy.runs) == runs


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"n": 2}, "mode"),  # a required one is missing
        ({"mode": "fast", "nn": 2}, "nn"),  # an unknown name
        ({"mode": "fast", "n": "two"}, "n"),  # a wrong type
        ({"mode": "fast", "n": True}, "n"),
        ({"mode": "fast", "n": 1.5}, "n"),
        ({"mode": "slow"}, "mode"),  # no option
        ({"mode": "fast", "n": 10}, "n"),  # out of range
        ({"mode": "fast", "more": "x"}, "more"),  # no data
        ({"mode": "fast", "more": {"src": "url", "id": "x"}}, "more"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named_and_nothing_is_invoked(
    service: Client, parameters: dict[str, Any], named: str
) -> None:
    runs = len(service.site.galaxy.runs)
    wish = {
        "dataset_id": "reads",
        "workflow_name": "strict",
        "parameters": parameters,
    }
    said = problem(service.ask("POST", "/jobs", wish), 422, "invalid-parameters")
    assert list(said["parameters"]) == [named]
    assert repr(named) in said["parameters"][named]
    assert len(service.site.galaxy.runs) == runs


# --- what is wrong with what was sent, or cannot be done ------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"workflow_name": "sort"}, "dataset_id"),
        ({"dataset_id": "reads", "workflow_name": "sort", "x": 1}, "x"),
        ({"dataset_id": 1, "workflow_name": "sort"}, "dataset_id"),
        ({"dataset_id": "reads", "workflow_name": "sort", "overwrite": 1}, "overwrite"),
        (
            {"dataset_id": "reads", "workflow_name": "sort", "parameters": []},
            "parameters",
        ),
    ],
)
def test_400_malformed_request_names_the_field(
    service: Client, body: object, field: str
) -> None:
    said = problem(service.ask("POST", "/jobs", body), 400, "malformed-request")
    assert said["field"] == field
    assert repr(field) in said["detail"] or field in said["detail"]


def test_400_malformed_request_for_what_is_not_json_and_for_a_bad_cursor(
    service: Client,
) -> None:
    url = f"{service.site.url}/jobs"
    json_ = {"Content-Type": "application/json"}
    answer = requests.post(url, data=b"{no", headers=json_, timeout=60)
    problem(answer, 400, "malformed-request")
    for cursor in ("x", "", "WzFd", "%ff"):
        answer = service.ask("GET", f"/jobs?cursor={cursor}")
        problem(answer, 400, "malformed-request")
    problem(service.ask("GET", "/jobs?state=done"), 400, "malformed-request")
    problem(service.ask("GET", "/jobs?limit=201"), 400, "malformed-request")


def test_404_where_the_address_names_what_is_not_there(service: Client) -> None:
    for path, code in (
        ("/jobs/none", "job-not-found"),
        ("/jobs/none/history", "job-not-found"),
        ("/jobs/none/outputs", "job-not-found"),
        ("/submissions/none", "submission-not-found"),
        ("/datasets/none", "dataset-not-found"),
        ("/workflows/none", "workflow-not-found"),
        ("/none", "not-found"),
    ):
        problem(service.ask("GET", path), 404, code)
    for action in ("cancel", "rerun"):
        answer = service.ask("POST", f"/jobs/none/{action}")
        problem(answer, 404, "job-not-found")


def test_405_says_what_there_is(service: Client) -> None:
    answer = service.ask("PUT", "/jobs")
    problem(answer, 405, "method-not-allowed")
    assert {"GET", "POST"} <= set(answer.headers["allow"].replace(" ", "").split(","))


def test_413_over_one_mebibyte(service: Client) -> None:
    body = {"dataset_id": "x" * (1024 * 1024), "workflow_name": "sort"}
    problem(service.ask("POST", "/jobs", body), 413, "too-large")


def test_415_what_is_not_json(service: Client) -> None:
    url = f"{service.site.url}/jobs"
    problem(
        requests.post(url, data={"a": "b"}, timeout=60), 415, "unsupported-media-type"
    )


@pytest.mark.parametrize(
    ("dataset", "workflow", "code"),
    [
        ("none", "sort", "dataset-not-found"),
        ("reads", "none", "workflow-not-found"),
        ("reads", "twice", "workflow-ambiguous"),
    ],
)
def test_422_where_the_body_names_what_is_not_there(
    service: Client, dataset: str, workflow: str, code: str
) -> None:
    wish = {"dataset_id": dataset, "workflow_name": workflow}
    problem(service.ask("POST", "/jobs", wish), 422, code)


def test_422_workflow_not_allowed(database_url: str) -> None:
    only = Allowlist((AllowedWorkflow(name="other"),))
    with site(database_url, allowlist=only) as one:
        one.dataset("reads")
        wish = {"dataset_id": "reads", "workflow_name": "sort"}
        answer = Client(one).ask("POST", "/jobs", wish)
        said = problem(answer, 422, "workflow-not-allowed")
        assert "'other'" in said["detail"]
        assert Client(one).get("/workflows")["items"] == [{"name": "other"}]


def test_422_galaxy_rejected_carries_galaxys_own_words(service: Client) -> None:
    service.site.galaxy.fail_next("invoke", RunRejected("no such tool", 400008))
    wish = {"dataset_id": "reads", "workflow_name": "sort"}
    said = problem(service.ask("POST", "/jobs", wish), 422, "galaxy-rejected")
    assert (said["galaxy_message"], said["galaxy_code"]) == ("no such tool", 400008)


def test_502_and_503_where_nothing_was_started(service: Client) -> None:
    wish = {"dataset_id": "reads", "workflow_name": "sort"}
    runs = len(service.site.galaxy.runs)
    service.site.galaxy.fail_next("invoke", RunnerRefusedUs("Galaxy refuses the key."))
    problem(service.ask("POST", "/jobs", wish), 502, "galaxy-refused-us")
    down = RunnerUnavailable("Galaxy is down.", retry_after=7)
    service.site.galaxy.fail_next("invoke", down)
    answer = service.ask("POST", "/jobs", wish)
    problem(answer, 503, "galaxy-unavailable")
    assert answer.headers["retry-after"] == "7"
    assert len(service.site.galaxy.runs) == runs


def test_504_and_409_as_long_as_nobody_knows_and_the_submission_tells(
    service: Client,
) -> None:
    wish = {"dataset_id": "reads", "workflow_name": "sort"}
    service.site.galaxy.fail_next("invoke", OutcomeUnknown("lost"), after=True)
    lost = service.ask("POST", "/jobs", wish, Idempotency_Key="lost")
    id_ = problem(lost, 504, "outcome-unknown")["submission_id"]
    again = service.ask("POST", "/jobs", wish, Idempotency_Key="lost")
    assert problem(again, 409, "in-progress")["submission_id"] == id_
    assert int(again.headers["retry-after"]) >= 1
    said = service.get(f"/submissions/{id_}")
    assert list(said) == ["submission_id", "state", "invocation_id", "problem"]
    assert said["submission_id"] == id_
    assert (said["state"], said["invocation_id"]) == ("unknown", None)


# --- jobs, looked at ------------------------------------------------------------------


def test_a_job_says_all_that_was_promised(service: Client) -> None:
    id_ = service.submit(parameters={"n": 3})
    job = service.ended(id_)
    assert list(job) == [*JOB, "steps", "history_id"]
    assert (job["invocation_id"], job["dataset_id"]) == (id_, "reads")
    assert (job["workflow_name"], job["state"]) == ("sort", "completed")
    assert (job["parameters"], job["overwrite"]) == ({"n": 3}, False)
    for name in ("created_at", "updated_at", "observed_at"):
        assert TIME.fullmatch(job[name])
    assert (job["stale"], job["attention"], job["failure"]) == (False, None, None)
    assert list(job["progress"]) == ["total", "ok", "running", "waiting", "failed"]
    for step in job["steps"]:
        assert list(step) == ["index", "label", "tool", "state", "jobs"]


def test_a_failed_job_says_why(service: Client) -> None:
    id_ = service.submit(workflow_name="fails")
    job = service.ended(id_)
    assert job["state"] == "failed"
    assert list(job["failure"]) == [
        "reason",
        "step",
        "step_index",
        "path",
        "tool",
        "exit_code",
        "stderr",
        "message",
    ]


def test_its_history_and_its_outputs(service: Client) -> None:
    id_ = service.submit()
    service.ended(id_)
    history = service.get(f"/jobs/{id_}/history")
    assert history["next_cursor"] is None
    changes = [(one["from_state"], one["to_state"]) for one in history["items"]]
    assert changes[0] == (None, "queued")
    assert changes[-1][1] == "completed"
    for one in history["items"]:
        assert list(one)[:4] == ["id", "from_state", "to_state", "at"]
    outputs = service.get(f"/jobs/{id_}/outputs")
    assert outputs == {
        "items": [
            {
                "label": "lines",
                "src": "hda",
                "id": "o1",
                "name": "n",
                "extension": "txt",
                "size": 2,
                "state": "ok",
            }
        ],
        "next_cursor": None,
    }


def test_a_list_runs_from_the_newest_and_takes_filters_together(
    service: Client,
) -> None:
    ids = [service.submit(dataset_id="other", parameters={"n": n}) for n in (1, 2, 3)]
    page = service.get("/jobs?dataset_id=other&limit=2")
    assert list(page) == ["items", "next_cursor"]
    assert [one["invocation_id"] for one in page["items"]] == ids[:0:-1]
    assert list(page["items"][0]) == JOB
    added = service.submit(dataset_id="other")
    rest = service.get(f"/jobs?dataset_id=other&limit=2&cursor={page['next_cursor']}")
    assert [one["invocation_id"] for one in rest["items"]] == ids[:1]
    assert rest["next_cursor"] is None
    elsewhere = f"/jobs?dataset_id=reads&limit=2&cursor={page['next_cursor']}"
    problem(service.ask("GET", elsewhere), 400, "malformed-request")
    both = "/jobs?dataset_id=other&workflow_name=sort&state=queued&state=in_progress"
    found = [one["invocation_id"] for one in service.get(both)["items"]]
    assert found == [added, *ids[::-1]]
    assert service.get("/jobs?dataset_id=other&workflow_name=fails")["items"] == []
    assert service.get("/jobs?dataset_id=other&state=failed")["items"] == []


# --- jobs, acted on -------------------------------------------------------------------


def test_a_job_is_cancelled_and_cancelling_again_is_fine(service: Client) -> None:
    id_ = service.submit()
    first = service.ask("POST", f"/jobs/{id_}/cancel")
    assert (first.status_code, first.json()["state"]) == (202, "cancelling")
    assert service.ended(id_)["state"] == "cancelled"
    again = service.ask("POST", f"/jobs/{id_}/cancel")
    assert (again.status_code, again.json()["state"]) == (202, "cancelled")


@pytest.mark.parametrize("workflow", ["sort", "fails"])
def test_409_already_ended(service: Client, workflow: str) -> None:
    id_ = service.submit(workflow_name=workflow)
    service.ended(id_)
    problem(service.ask("POST", f"/jobs/{id_}/cancel"), 409, "already-ended")


def test_a_job_is_run_again_as_it_was_or_otherwise(service: Client) -> None:
    id_ = service.submit(parameters={"n": 4})
    answer = service.ask("POST", f"/jobs/{id_}/rerun")
    assert answer.status_code == 201
    assert list(answer.json()) == ["invocation_id", "state"]
    again = service.get(answer.headers["location"])
    assert (again["rerun_of"], again["parameters"]) == (id_, {"n": 4})
    body = {"parameters": {"n": 5}, "overwrite": True}
    answer = service.ask("POST", f"/jobs/{id_}/rerun", body)
    other = service.get(answer.headers["location"])
    assert (other["parameters"], other["overwrite"]) == ({"n": 5}, True)
    assert service.get(f"/jobs/{id_}")["superseded_by"] == other["invocation_id"]


# --- datasets and workflows -------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        {"src": "hda", "id": "1"},
        {"src": "ldda", "id": "1"},
        {"src": "hdca", "id": "1"},
        {"src": "url", "url": "https://example.org/a?b=c", "ext": "fastq"},
        {"src": "url", "url": "ftp://example.org/a", "ext": "bam"},
    ],
)
def test_a_dataset_is_registered_and_found(
    service: Client, source: dict[str, str]
) -> None:
    answer = service.ask("POST", "/datasets", {"name": "Reads", "source": source})
    assert answer.status_code == 201
    said = answer.json()
    assert list(said) == ["dataset_id", "name", "source", "created_at"]
    assert (said["name"], said["source"]) == ("Reads", source)
    assert TIME.fullmatch(said["created_at"])
    assert answer.headers["location"] == f"/datasets/{said['dataset_id']}"
    assert service.get(answer.headers["location"]) == said
    assert service.get("/datasets?limit=1")["items"] == [said]


def test_409_dataset_exists(service: Client) -> None:
    body = {"dataset_id": "a/b", "name": "n", "source": {"src": "hda", "id": "1"}}
    first, same = (service.ask("POST", "/datasets", body) for _ in range(2))
    assert first.json() == same.json()
    assert (first.status_code, same.status_code) == (201, 201)
    assert service.get("/datasets/a%2Fb")["dataset_id"] == "a/b"
    other = service.ask("POST", "/datasets", {**body, "name": "other"})
    problem(other, 409, "dataset-exists")


@pytest.mark.parametrize(
    "source",
    [
        {"src": "file", "id": "1"},
        {"src": "hda"},
        {"src": "hda", "url": "http://a.b"},
        {"src": "url", "url": "file:///etc/passwd", "ext": "txt"},
        {"src": "url", "url": "gopher://a.b", "ext": "txt"},
    ],
)
def test_400_for_a_source_that_there_is_not(
    service: Client, source: dict[str, str]
) -> None:
    body = {"name": "n", "source": source}
    problem(service.ask("POST", "/datasets", body), 400, "malformed-request")


def test_the_workflows_and_what_each_takes_as_json_schema(service: Client) -> None:
    listed = service.get("/workflows")
    assert {"name": "strict"} in listed["items"]
    assert listed["next_cursor"] is None
    said = service.get("/workflows/strict")
    assert list(said) == [
        "name",
        "workflow_id",
        "annotation",
        "dataset_input",
        "parameters",
    ]
    assert said["dataset_input"] == "text"
    schema = said["parameters"]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    assert schema["required"] == ["mode"]
    assert list(schema["properties"]) == ["n", "mode", "more"]
    n = schema["properties"]["n"]
    assert n["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 9}
    assert (n["default"], n["description"]) == (1, "How")
    assert schema["properties"]["mode"]["enum"] == ["fast", "exact"]


# --- health, documents, who may ask -----------------------------------------------


def test_health_is_told(service: Client) -> None:
    assert service.get("/health/live") == {"status": "alive"}
    ready = service.get("/health/ready")
    assert list(ready) == ["status", "database", "migrations", "galaxy", "problem"]
    assert (ready["status"], ready["database"]) == ("ready", True)
    assert ready["migrations"] == "current"


def test_the_numbers_the_document_and_its_page(service: Client) -> None:
    numbers = service.ask("GET", "/metrics")
    assert numbers.status_code == 200
    assert numbers.headers["content-type"].startswith("text/plain")
    document = service.ask("GET", "/schema/openapi.json").json()
    assert "/jobs" in document["paths"]
    page = service.ask("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "https://" not in page.text  # nothing comes from elsewhere


def test_every_answer_has_an_id_and_is_kept_by_nobody(service: Client) -> None:
    for path in ("/jobs", "/jobs/none", "/none", "/workflows"):
        answer = service.ask("GET", path, X_Request_ID="mine")
        assert answer.headers["x-request-id"] == "mine"
        assert answer.headers["x-content-type-options"] == "nosniff"
        kept = answer.headers["cache-control"]
        assert "no-store" in kept or "no-cache" in kept


def test_401_403_429_once_there_are_tokens(database_url: str) -> None:
    with site(database_url, http=HttpTable(rate=0.01, burst=20)) as one:
        one.dataset("reads")
        create = one.container.create_token()
        reading = Client(one, create("reader", Scope.READ).text)
        writing = Client(one, create("writer", Scope.SUBMIT).text)
        nobody = Client(one)
        until(lambda: nobody.ask("GET", "/jobs").status_code == 401, every=0.5)
        answer = nobody.ask("GET", "/jobs")
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        problem(Client(one, "gjt_no").ask("GET", "/jobs"), 401, "unauthenticated")
        reading.get("/jobs")
        answer = reading.ask("POST", "/datasets", {})
        problem(answer, 403, "forbidden")
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
        answer = writing.ask("POST", "/datasets", {})
        problem(answer, 400, "malformed-request")
        while (answer := writing.ask("GET", "/jobs")).ok:
            pass
        problem(answer, 429, "too-many-requests")
        assert int(answer.headers["retry-after"]) >= 1
        assert requests.get(f"{one.url}/health/live", timeout=60).ok


def test_403_for_another_host_or_origin_as_long_as_there_are_none(
    service: Client,
) -> None:
    problem(service.ask("GET", "/jobs", Host="evil.example"), 403, "forbidden")
    answer = service.ask("GET", "/jobs", Origin="https://evil.example")
    problem(answer, 403, "forbidden")
    local = service.ask("GET", "/jobs", Origin="http://localhost:3000")
    assert local.status_code == 200


def test_outputs_that_galaxy_has_forgotten_are_404_gone(service: Client) -> None:
    id_ = service.submit()
    service.ended(id_)
    service.site.galaxy.forget(InvocationId(id_))
    problem(service.ask("GET", f"/jobs/{id_}/outputs"), 404, "gone")

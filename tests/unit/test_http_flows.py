"""What a client goes through, over the real use cases and a simulated Galaxy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from dependency_injector import providers
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient

from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTokens,
    SimulatedGalaxy,
)
from galaxy_jobs.adapters.testing.memory.galaxy import FAILURE, TEXT
from galaxy_jobs.domain import InputKind, JobDetails, Output, WorkflowInput
from galaxy_jobs.domain.errors import (
    OutcomeUnknown,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunRejected,
)
from galaxy_jobs.entrypoints.api.app import create_app
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.settings import Settings
from tests.support.api import code_of
from tests.support.listing import ComposedListing


N = WorkflowInput(name="n", kind=InputKind.INTEGER, minimum=1, maximum=9, default=1)
LINES = Output(
    label="lines", src="hda", id="o1", name="Lines", extension="txt", size=2, state="ok"
)


@frozen
class World:
    """The service and what it stands in."""

    api: TestClient[Litestar]
    container: Container
    galaxy: SimulatedGalaxy
    clock: ManualClock

    def submit(self, key: str | None = None, **said: Any) -> Response:
        """Submit a job; what is not said is as it should be."""
        body = {"dataset_id": "reads", "workflow_name": "Sort", **said}
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.api.post("/jobs", json=body, headers=headers)

    def sweep(self) -> None:
        """Let Galaxy go on, and look."""
        self.galaxy.tick()
        self.clock.advance(timedelta(minutes=5))
        self.container.poll()()

    def until_ended(self, id_: str) -> dict[str, Any]:
        for _ in range(9):
            self.sweep()
            job: dict[str, Any] = self.api.get(f"/jobs/{id_}").json()
            if job["state"] in {"completed", "failed", "cancelled"}:
                return job
        raise AssertionError(job)


@pytest.fixture
def world() -> Iterator[World]:
    clock = ManualClock()
    store = MemoryStore(clock)
    galaxy = SimulatedGalaxy()
    galaxy.add_workflow("Sort", TEXT, N, outputs=[LINES])
    container = Container(settings=Settings(home=Path("/nowhere")))
    for name, thing in {
        "clock": clock,
        "datasets": MemoryDatasets(store),
        "submissions": MemorySubmissions(store),
        "invocations": MemoryInvocations(store),
        "listing": ComposedListing(MemoryInvocations(store).page),
        "queue": MemoryPollQueue(store),
        "superseded": MemorySupersededRuns(store),
        "tokens": MemoryTokens(store),
        "galaxy": galaxy,
    }.items():
        getattr(container, name).override(providers.Object(thing))
    with TestClient(create_app(container), base_url="http://127.0.0.1:8000") as api:
        register(api, "reads")
        yield World(api, container, galaxy, clock)
    container.shutdown_resources()


def register(api: TestClient[Litestar], id_: str) -> Response:
    source = {"src": "hda", "id": f"galaxy-{id_}"}
    body = {"dataset_id": id_, "name": "Reads", "source": source}
    answer = api.post("/datasets", json=body)
    assert answer.status_code == 201
    return answer


def test_a_job_from_its_submission_to_its_results(world: World) -> None:
    submitted = world.submit(parameters={"n": 2})
    assert submitted.status_code == 201
    id_ = submitted.json()["invocation_id"]
    assert submitted.headers["location"] == f"/jobs/{id_}"
    assert submitted.json()["state"] == "queued"
    assert world.until_ended(id_)["state"] == "completed"
    history = world.api.get(f"/jobs/{id_}/history").json()["items"]
    assert [one["to_state"] for one in history] == [
        "queued",
        "in_progress",
        "completed",
    ]
    [output] = world.api.get(f"/jobs/{id_}/outputs").json()["items"]
    assert output["label"] == "lines"
    listed = world.api.get("/jobs?dataset_id=reads&state=completed").json()
    assert [one["invocation_id"] for one in listed["items"]] == [id_]


def test_a_failed_job_says_where_and_why(world: World) -> None:
    details = JobDetails(tool="sort1", exit_code=2, stderr="no such key")
    world.galaxy.add_workflow("Bad", plan=FAILURE, details={"sort": details})
    id_ = world.submit(workflow_name="Bad").json()["invocation_id"]
    job = world.until_ended(id_)
    assert job["state"] == "failed"
    assert job["galaxy_state"] == "completed"
    assert job["failure"]["step"] == "sort"
    assert job["failure"]["tool"] == "sort1"
    assert job["failure"]["exit_code"] == 2
    assert job["failure"]["stderr"] == "no such key"


def test_a_request_repeated_with_its_key_runs_once(world: World) -> None:
    first = world.submit("k")
    again = world.submit("k")
    assert again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(world.galaxy.runs) == 1
    assert world.submit("l").json() != first.json()


def test_a_key_is_for_one_request(world: World) -> None:
    world.submit("k")
    assert code_of(world.submit("k", overwrite=True)) == "idempotency-key-reused"
    assert len(world.galaxy.runs) == 1


def test_a_lost_answer_is_a_504_that_tells_where_to_look(world: World) -> None:
    world.galaxy.fail_next("invoke", OutcomeUnknown("No answer."), after=True)
    lost = world.submit("k")
    assert lost.status_code == 504
    assert code_of(lost) == "outcome-unknown"
    id_ = lost.json()["submission_id"]
    unknown = world.api.get(f"/submissions/{id_}").json()
    assert unknown == {
        "submission_id": id_,
        "state": "unknown",
        "invocation_id": None,
        "problem": None,
    }
    repeated = world.submit("k")
    assert repeated.status_code == 409
    assert code_of(repeated) == "in-progress"
    assert repeated.json()["submission_id"] == id_
    assert int(repeated.headers["retry-after"]) > 0

    world.sweep()

    found = world.api.get(f"/submissions/{id_}").json()
    assert found["state"] == "accepted"
    assert found["invocation_id"] == world.galaxy.runs[0].invocation_id
    assert world.submit("k").json()["invocation_id"] == found["invocation_id"]
    assert len(world.galaxy.runs) == 1


def test_a_refused_one_frees_its_key_and_is_told_in_galaxys_words(world: World) -> None:
    world.galaxy.fail_next("invoke", RunRejected("Tool not installed.", 400008))
    refused = world.submit("k")
    assert refused.status_code == 422
    assert code_of(refused) == "galaxy-rejected"
    assert refused.json()["galaxy_message"] == "Tool not installed."
    assert refused.json()["galaxy_code"] == 400008
    assert world.submit("k").status_code == 201


def test_where_nothing_was_started_it_is_said_so(world: World) -> None:
    world.galaxy.outage = RunnerUnavailable("Galaxy is down.", retry_after=30)
    answer = world.submit()
    assert answer.status_code == 503
    assert code_of(answer) == "galaxy-unavailable"
    assert answer.headers["retry-after"] == "30"
    world.galaxy.outage = RunnerRefusedUs("Galaxy refuses our key.")
    answer = world.submit()
    assert answer.status_code == 502
    assert code_of(answer) == "galaxy-refused-us"
    assert not world.galaxy.runs


def test_reads_do_not_need_galaxy(world: World) -> None:
    id_ = world.submit("k").json()["invocation_id"]
    world.galaxy.outage = RunnerUnavailable("Galaxy is down.")
    for path in ("/jobs", f"/jobs/{id_}", f"/jobs/{id_}/history", "/datasets"):
        assert world.api.get(path).status_code == 200
    assert world.submit("k").status_code == 201
    assert world.api.get(f"/jobs/{id_}/outputs").status_code == 503


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"dataset_id": "nobody"}, "dataset-not-found"),
        ({"workflow_name": "Nothing"}, "workflow-not-found"),
        ({"parameters": {"n": "two"}}, "invalid-parameters"),
        ({"parameters": {"n": 10}}, "invalid-parameters"),
        ({"parameters": {"m": 1}}, "invalid-parameters"),
        ({"parameters": {"text": {"dataset_id": "reads"}}}, "invalid-parameters"),
    ],
)
def test_what_cannot_run_is_found_before_and_by_validate_only(
    world: World, said: dict[str, Any], code: str
) -> None:
    body = {"dataset_id": "reads", "workflow_name": "Sort", **said}
    for path in ("/jobs", "/jobs?validate_only=true"):
        answer = world.api.post(path, json=body)
        assert answer.status_code == 422
        assert code_of(answer) == code
    assert not world.galaxy.runs


def test_validate_only_runs_nothing(world: World) -> None:
    answer = world.api.post(
        "/jobs?validate_only=true",
        json={
            "dataset_id": "reads",
            "workflow_name": "Sort",
            "parameters": {"n": 2},
        },
    )
    assert answer.status_code == 200
    assert answer.json()["inputs"] == {
        "text": {"src": "hda", "id": "galaxy-reads"},
        "n": 2,
    }
    assert not world.galaxy.runs
    assert world.api.get("/jobs").json()["items"] == []


def test_the_parameters_that_are_wrong_are_named_one_by_one(world: World) -> None:
    answer = world.submit(parameters={"n": 10, "m": 1}).json()
    assert set(answer["parameters"]) == {"n", "m"}
    assert "from 1 to 9" in answer["parameters"]["n"]


def test_a_running_job_is_cancelled(world: World) -> None:
    id_ = world.submit().json()["invocation_id"]
    first = world.api.post(f"/jobs/{id_}/cancel")
    again = world.api.post(f"/jobs/{id_}/cancel")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["state"] == again.json()["state"] == "cancelling"
    assert world.until_ended(id_)["state"] == "cancelled"
    assert world.api.post(f"/jobs/{id_}/cancel").status_code == 202


def test_what_has_ended_is_not_cancelled(world: World) -> None:
    id_ = world.submit().json()["invocation_id"]
    world.until_ended(id_)
    answer = world.api.post(f"/jobs/{id_}/cancel")
    assert answer.status_code == 409
    assert code_of(answer) == "already-ended"


def test_a_job_is_run_again_with_what_changes(world: World) -> None:
    id_ = world.submit(parameters={"n": 2}).json()["invocation_id"]
    answer = world.api.post(
        f"/jobs/{id_}/rerun",
        json={"parameters": {"n": 3}, "overwrite": True},
        headers={"Idempotency-Key": "r"},
    )
    assert answer.status_code == 201
    again = world.api.get(answer.headers["location"]).json()
    assert again["rerun_of"] == id_
    assert again["parameters"] == {"n": 3}
    assert again["overwrite"] is True
    assert (
        world.api.get(f"/jobs/{id_}").json()["superseded_by"]
        == (again["invocation_id"])
    )
    replayed = world.api.post(
        f"/jobs/{id_}/rerun",
        json={"parameters": {"n": 3}, "overwrite": True},
        headers={"Idempotency-Key": "r"},
    )
    assert replayed.headers["idempotent-replayed"] == "true"
    assert len(world.galaxy.runs) == 2


def test_outputs_that_galaxy_has_forgotten_are_gone(world: World) -> None:
    id_ = world.submit().json()["invocation_id"]
    world.galaxy.forget(id_)
    answer = world.api.get(f"/jobs/{id_}/outputs")
    assert answer.status_code == 404
    assert code_of(answer) == "gone"


def test_pages_show_every_job_once_while_new_ones_come(world: World) -> None:
    def submit() -> str:
        world.clock.advance(timedelta(seconds=1))
        return str(world.submit().json()["invocation_id"])

    ids = [submit() for _ in range(7)]
    seen: list[str] = []
    path: str | None = "/jobs?limit=3&dataset_id=reads"
    while path:
        page = world.api.get(path).json()
        seen += [one["invocation_id"] for one in page["items"]]
        submit()
        cursor = page["next_cursor"]
        path = cursor and f"/jobs?limit=3&dataset_id=reads&cursor={cursor}"
    assert seen == ids[::-1]


def test_the_same_dataset_twice_is_one_and_another_is_a_conflict(world: World) -> None:
    first = register(world.api, "d")
    world.clock.advance(timedelta(hours=1))
    assert register(world.api, "d").json() == first.json()
    other = world.api.post(
        "/datasets",
        json={"dataset_id": "d", "name": "X", "source": {"src": "hda", "id": "2"}},
    )
    assert other.status_code == 409
    assert code_of(other) == "dataset-exists"
    listed = world.api.get("/datasets").json()["items"]
    assert {one["dataset_id"] for one in listed} == {"reads", "d"}
    assert len(listed) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"dataset_id": "", "name": "n", "source": {"src": "hda", "id": "1"}},
        {"dataset_id": "x" * 256, "name": "n", "source": {"src": "hda", "id": "1"}},
        {"name": " ", "source": {"src": "hda", "id": "1"}},
        {"name": "n", "source": {"src": "hda", "id": ""}},
        {"name": "n", "source": {"src": "url", "url": "nonsense", "ext": "txt"}},
    ],
)
def test_a_dataset_that_can_never_be_right_is_malformed(
    world: World, body: dict[str, Any]
) -> None:
    answer = world.api.post("/datasets", json=body)
    assert answer.status_code == 400
    assert code_of(answer) == "malformed-request"


def test_the_workflows_are_those_of_galaxy(world: World) -> None:
    assert world.api.get("/workflows").json()["items"] == [{"name": "Sort"}]
    said = world.api.get("/workflows/Sort").json()
    assert said["dataset_input"] == "text"
    assert set(said["parameters"]["properties"]) == {"n"}
    assert world.api.get("/workflows/Nothing").status_code == 404
    world.galaxy.add_workflow("Sort")
    ambiguous = world.api.get("/workflows/Sort")
    assert ambiguous.status_code == 422
    assert len(ambiguous.json()["workflow_ids"]) == 2

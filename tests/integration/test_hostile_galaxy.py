"""The service in front of a Galaxy that answers with garbage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import HistoryId, InvocationId, WorkflowId
from galaxy_jobs.domain.errors import RunnerError, RunnerUnavailable
from galaxy_jobs.domain.use_cases import Poll
from tests.support.hostile_galaxy import (
    ANSWERS,
    KEY,
    SLOW,
    WORKFLOW,
    Garbage,
    HostileGalaxy,
    hostile_galaxy,
    http,
    recorded,
)
from tests.support.service import Service, environment, service
from tests.support.wait import until


RUN = f"{7:016x}"


@pytest.fixture
def hostile() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as galaxy:
        yield galaxy


@pytest.fixture
def jobs(
    hostile: HostileGalaxy, database_url: str, tmp_path: Path
) -> Iterator[Service]:
    with service(
        tmp_path,
        database=database_url,
        galaxy=hostile.url,
        key=KEY,
        GALAXY_TIMEOUT="4",
    ) as running:
        yield running


# --- the adapter ---------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage", [*ANSWERS.values(), *SLOW.values()], ids=[*ANSWERS, *SLOW]
)
def test_garbage_is_an_error_of_the_port(
    hostile: HostileGalaxy, garbage: Garbage
) -> None:
    galaxy = Galaxy(hostile.url, KEY, timeout=0.5)
    kinds = "identity", "report", "create", "invoke"
    hostile.garbage = dict.fromkeys(kinds, garbage)
    calls = (
        galaxy.identity,
        lambda: galaxy.report(InvocationId(RUN)),
        lambda: galaxy.create("a"),
        lambda: galaxy.invoke(WorkflowId("w1"), {}, HistoryId("h1")),
    )
    for call in calls:
        with pytest.raises(RunnerError) as error:
            call()
        assert len(str(error.value)) < 5000
        if isinstance(error.value, RunnerUnavailable):
            assert 0 <= (error.value.retry_after or 0) <= 3600
    hostile.garbage.clear()
    patient = Galaxy(hostile.url, KEY)
    assert patient.report(InvocationId(RUN)).invocation_id == RUN
    assert patient.identity().user_id == recorded("user")["id"]


def test_a_galaxy_sets_no_cookies(hostile: HostileGalaxy) -> None:
    user = json.dumps(recorded("user"))
    hostile.garbage["identity"] = http(user, Set_Cookie="galaxysession=abc; Path=/")
    galaxy = Galaxy(hostile.url, KEY, timeout=5)
    galaxy.identity()
    assert not galaxy._client._session.cookies


# --- the API -------------------------------------------------------------------

ROUTES = {
    "export": f"/workflows/{WORKFLOW}",
    "workflows": "/workflows",
    "report": "/jobs/{id}/outputs",
    "dataset": "/jobs/{id}/outputs",
}


def test_the_api_survives_garbage(jobs: Service, hostile: HostileGalaxy) -> None:
    server = jobs.serve()
    dataset = jobs.dataset("hda", "d1")
    id_ = jobs.submit(dataset, WORKFLOW)
    hostile.shown[id_] = recorded("run_success")
    for name, garbage in ANSWERS.items():
        for kind, route in ROUTES.items():
            hostile.garbage = {kind: garbage}
            answer = jobs.request("GET", route.format(id=id_))
            assert answer.status_code in {200, 404, 422, 502, 503}, (name, kind)
            assert len(answer.content) < 30_000, (name, kind)
        hostile.garbage = {"create": garbage}
        answer = jobs.request("POST", "/jobs", body(dataset))
        assert answer.status_code in {502, 503}, (name, answer.text)
    hostile.garbage.clear()
    assert jobs.get(f"/jobs/{id_}/outputs")["items"]
    jobs.submit(dataset, WORKFLOW)
    assert server.process.poll() is None
    assert "Unexpected:" not in server.log.read_text()


def body(dataset: str) -> dict[str, str]:
    return {"dataset_id": dataset, "workflow_name": WORKFLOW}


def test_an_invoke_answered_with_garbage_is_found_afterwards(
    jobs: Service, hostile: HostileGalaxy
) -> None:
    jobs.serve()
    dataset = jobs.dataset("hda", "d1")
    submissions = []
    ids = "a\0b", "a\nb", "../a", "a,b", "", "x" * 2**20, "\ud800", None, 7, ["a"]
    answers = {
        **{
            name: answer
            for name, answer in ANSWERS.items()
            if " 429 " not in f" {name}"
        },
        **{repr(id_)[:20]: http(json.dumps({"id": id_})) for id_ in ids},
    }
    for name, garbage in answers.items():
        if name.startswith(("a 429", "a 401")):
            continue  # these say that nothing was started
        hostile.garbage["invoke"] = garbage
        answer = jobs.request("POST", "/jobs", body(dataset))
        assert answer.status_code == 504, (name, answer.text)
        problem = answer.json()
        assert problem["type"].endswith(":outcome-unknown"), name
        submissions.append(problem["submission_id"])
    hostile.garbage.clear()
    jobs.poll()
    runs = {runs[0] for runs in hostile.runs.values()}
    assert len(runs) == len(submissions)

    def adopted() -> bool:
        shown = [jobs.get(f"/submissions/{id_}") for id_ in submissions]
        return {one["invocation_id"] for one in shown} == runs

    until(adopted, 60, every=0.2)


# --- the poller ----------------------------------------------------------------


def test_a_poller_waits_for_its_database_and_its_schema(
    hostile: HostileGalaxy, empty_database_url: str, tmp_path: Path
) -> None:
    env = environment(
        tmp_path, database=empty_database_url, galaxy=hostile.url, key=KEY
    )
    away = {**env, "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
    poller = Service(away, tmp_path).poll()
    until(lambda: problems(poller) and "not available" in problems(poller)[0], 60)
    assert poller.process.poll() is None
    assert poller.stop() == 0
    behind = Service(env, tmp_path)
    poller = behind.poll(every=0.1)
    # A second between two attempts: what runs beside the sweeps had its turn, too.
    until(lambda: len(problems(poller)) > 1, 60)
    assert all("galaxy-jobs migrate" in problem for problem in problems(poller))
    assert behind.run("poll", "--once").returncode == 1
    assert not hostile.requests["identity"]
    assert behind.run("migrate").returncode == 0
    until(lambda: hostile.requests["identity"] > 1, 60)
    assert poller.stop() == 0


def problems(poller: object) -> list[str]:
    lines = poller.logged()  # type: ignore[attr-defined]
    return [line["problem"] for line in lines if line["event"] == "sweep failed"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"GALAXY_API_KEY": "a b"},
        {"GALAXY_URL": ""},
        {"DATABASE_URL": "mysql://a/b"},
        {"GALAXY_TIMEOUT": "long"},
    ],
    ids=str,
)
def test_a_wrong_setting_ends_the_loop(
    jobs: Service, tmp_path: Path, wrong: dict[str, str]
) -> None:
    done = Service({**jobs.env, **wrong}, tmp_path).run("poll", "--every", "1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def fail_at_first() -> None:
    """Let the first three sweeps of a process fail in ways that nobody expects."""
    sweep = Poll.__call__
    errors: list[Exception] = [
        MemoryError(),
        RecursionError("SELECT secret"),
        RuntimeError("can't start new thread"),
    ]

    def failing(*args: object, **kwargs: object) -> object:
        if errors:
            raise errors.pop(0)
        return sweep(*args, **kwargs)  # type: ignore[arg-type]

    Poll.__call__ = failing  # type: ignore[method-assign, assignment]


def test_no_exception_ends_the_loop(jobs: Service, hostile: HostileGalaxy) -> None:
    broken = evolve(jobs, change=fail_at_first)
    poller = broken.poll(every=0.1)
    until(lambda: hostile.requests["identity"] > 1 and len(problems(poller)) > 2, 60)
    first, second, third = problems(poller)
    assert first.startswith("Unexpected: MemoryError, at ")
    assert second.startswith("Unexpected: RecursionError, at ")
    assert third.startswith("Unexpected: RuntimeError, at ")
    assert "secret" not in poller.log.read_text()
    rests = [line["rest"] for line in poller.logged() if "problem" in line]
    assert rests == [1.0, 2.0, 4.0]
    assert poller.stop() == 0
    done = broken.run("poll", "--once")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("galaxy-jobs: Unexpected: MemoryError")
    assert not done.stdout


def test_garbage_about_one_job_is_its_trouble_alone(
    jobs: Service, hostile: HostileGalaxy
) -> None:
    jobs.serve()
    dataset = jobs.dataset("hda", "d1")
    ids = {name: jobs.submit(dataset, WORKFLOW) for name in (*ANSWERS, "good")}
    for id_ in ids.values():
        hostile.shown[id_] = recorded("run_success")
    hostile.garbage = {f"report {ids[name]}": ANSWERS[name] for name in ANSWERS}
    # One that asks for a pause would be granted it.
    quiet = [n for n in ANSWERS if n.startswith(("a 429", "a 503"))]
    for name in quiet:
        del hostile.garbage[f"report {ids[name]}"]
    jobs.poll()
    assert jobs.wait(ids["good"])["state"] == "completed"
    hostile.garbage.clear()
    for id_ in ids.values():
        assert jobs.wait(id_)["state"] == "completed"

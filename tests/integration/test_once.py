"""What a client is told when it repeats itself, hears nothing, or asks to stop.

The service is real, and so is Galaxy; a proxy in between loses what is to be lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from attrs import define

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from tests.support.galaxy import GALAXY, Lab
from tests.support.proxy import Fate, Proxy, Stage
from tests.support.service import Service, environment, running
from tests.support.truth import Truth
from tests.support.wait import until
from tests.support.workflows import data, parameter, tool, workflow


SETTINGS = """
[submit]
deadline = 6
fence_wait = 0.5
retry_in = 0.5
look_again = 1
[poll]
min_interval = 0.3
max_interval = 1
"""
INVOKE = ("POST", r"/api/workflows/\w+/invocations")
STOP = ("DELETE", r"/api/invocations/\w+")
TAKES_TIME = "takes time"

_keys = (f"key {number}" for number in count(1))


@define(repr=False)
class Here:
    """The service, the proxy behind it, and the truth beside it."""

    jobs: Service
    proxy: Proxy
    truth: Truth
    dataset_id: str

    def post(
        self, key: str | None, workflow_name: str = "no jobs", **more: Any
    ) -> requests.Response:
        body = {"dataset_id": self.dataset_id, "workflow_name": workflow_name, **more}
        headers = {} if key is None else {"Idempotency_Key": key}
        return self.jobs.request("POST", "/jobs", body, **headers)

    def lose(self, stage: Stage) -> requests.Response:
        """Submit something whose invoke, or the answer to it, gets lost."""
        gate = self.proxy.gate(*INVOKE, stage)
        gate.release(Fate.DROP)
        return self.post(next(_keys))

    def told(self, submission_id: str) -> Any:
        """Wait until it is known what became of a submission."""

        def settled() -> Any:
            answer = self.jobs.get(f"/submissions/{submission_id}")
            return answer if answer["state"] in {"accepted", "rejected"} else None

        return until(settled, 60, every=0.2)


@pytest.fixture(scope="module")
def here(
    galaxy: LocalGalaxy,
    lab: Lab,
    module_database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("once")
    (folder / "config.toml").write_text(SETTINGS)
    sleeps = tool("sleep", "text", sleep_s="@sleep_s")
    lab.add(workflow(TAKES_TIME, data("text"), parameter("sleep_s", default=0), sleeps))
    with Proxy(lab.url).running() as proxy:
        env = environment(
            folder,
            database=module_database_url,
            galaxy=proxy.url,
            key=lab.key,
            GALAXY_JOBS_CONFIG=str(folder / "config.toml"),
        )
        with running(Service(env, folder)) as jobs:
            jobs.serve()
            dataset_id = jobs.dataset("hda", lab.text)
            truth = Truth(lab.url, lab.key, module_database_url)
            yield Here(jobs, proxy, truth, dataset_id)


@pytest.fixture
def polled(here: Here) -> Iterator[None]:
    poller = here.jobs.poll()
    yield
    poller.stop()


def code(answer: requests.Response) -> str:
    kind: str = answer.json()["type"]
    return kind.rpartition(":")[2]


# --- idempotency keys ---------------------------------------------------------


def test_a_request_that_is_repeated_gets_the_first_answer(here: Here) -> None:
    key = next(_keys)
    first, again = here.post(key), here.post(key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    (submission,) = here.truth.submissions(key)
    assert here.truth.runs(submission) == [first.json()["invocation_id"]]


def test_a_rerun_that_is_repeated_gets_the_first_answer(here: Here) -> None:
    path = f"/jobs/{here.post(None).json()['invocation_id']}/rerun"
    key = next(_keys)
    first = here.jobs.request("POST", path, {}, Idempotency_Key=key)
    again = here.jobs.request("POST", path, {}, Idempotency_Key=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    other = here.jobs.request("POST", path, {"overwrite": True}, Idempotency_Key=key)
    assert code(other) == "idempotency-key-reused"


def test_a_key_is_for_one_request_only(here: Here) -> None:
    key = next(_keys)
    here.post(key)
    other = here.post(key, overwrite=True)
    assert other.status_code == 422
    assert code(other) == "idempotency-key-reused"


def test_while_the_first_is_not_settled_the_second_is_told_where_to_look(
    here: Here,
) -> None:
    key = next(_keys)
    gate = here.proxy.gate(*INVOKE, "before")
    answers = []
    first = threading.Thread(target=lambda: answers.append(here.post(key)))
    first.start()
    gate.wait()
    second = here.post(key)
    assert second.status_code == 409
    assert code(second) == "in-progress"
    assert int(second.headers["Retry-After"]) >= 1
    assert [second.json()["submission_id"]] == here.truth.submissions(key)
    gate.release()
    first.join(60)
    assert answers[0].status_code == 201
    assert here.post(key).json() == answers[0].json()


def test_of_many_at_the_same_time_one_runs(here: Here) -> None:
    key, answers = next(_keys), []
    threads = [
        threading.Thread(target=lambda: answers.append(here.post(key)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ran = {one.json()["invocation_id"] for one in answers if one.ok}
    assert {one.status_code for one in answers} <= {201, 409}
    (submission,) = here.truth.submissions(key)
    assert here.truth.runs(submission) == list(ran)


def test_what_galaxy_declines_frees_the_key(here: Here) -> None:
    key = next(_keys)
    for number in (1, 2):
        # Whatever can be known before is refused without asking Galaxy to run it.
        here.proxy.gate(*INVOKE, "before").release(Fate.ABSENT)
        answer = here.post(key)
        assert answer.status_code == 422
        assert code(answer) == "galaxy-rejected"
        assert len(here.truth.submissions(key)) == number


@pytest.mark.parametrize("what", ["asks for fewer requests", "asks at the history"])
def test_where_galaxy_puts_us_off_nothing_is_started_and_the_key_is_free(
    here: Here, what: str
) -> None:
    key = next(_keys)
    where = INVOKE if what == "asks for fewer requests" else ("POST", r"/histories\?")
    here.proxy.gate(*where, "before").release(Fate.BUSY)
    answer = here.post(key)
    assert answer.status_code == 503
    assert code(answer) == "galaxy-unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    (submission,) = here.truth.submissions(key)
    assert not here.truth.runs(submission)
    assert here.post(key).status_code == 201


@pytest.mark.parametrize(("length", "status"), [(255, 201), (256, 400)])
def test_a_key_has_255_characters_at_most(here: Here, length: int, status: int) -> None:
    answer = here.post("k" * length)
    assert answer.status_code == status
    if status == 400:
        assert "255" in answer.json()["detail"]


def test_a_galaxy_that_is_not_there_is_told_so_and_nothing_was_started(
    here: Here, lab: Lab, module_database_url: str, tmp_path: Path
) -> None:
    env = environment(
        tmp_path, database=module_database_url, galaxy="http://127.0.0.1:1", key=lab.key
    )
    with running(Service(env, tmp_path)) as alone:
        alone.serve()
        body = {"dataset_id": here.dataset_id, "workflow_name": "no jobs"}
        key = next(_keys)
        answer = alone.request("POST", "/jobs", body, Idempotency_Key=key)
    assert answer.status_code == 503
    assert code(answer) == "galaxy-unavailable"
    assert "Retry-After" in answer.headers
    assert not here.truth.submissions(key)


# --- answers that got lost ----------------------------------------------------


@pytest.mark.usefixtures("polled")
@pytest.mark.parametrize(
    ("stage", "state"), [("before", "rejected"), ("after", "accepted")]
)
def test_a_lost_answer_is_told_of_later(here: Here, stage: Stage, state: str) -> None:
    answer = here.lose(stage)
    assert answer.status_code == 504
    assert code(answer) == "outcome-unknown"
    told = here.told(answer.json()["submission_id"])
    assert told["state"] == state
    runs = here.truth.runs(told["submission_id"])
    if state == "accepted":
        assert runs == [told["invocation_id"]]
        assert here.jobs.wait(told["invocation_id"])["state"] == "completed"
    else:
        assert runs == []
        assert told["problem"]["type"].endswith("galaxy-unavailable")


@pytest.mark.usefixtures("polled")
def test_a_5xx_in_answer_to_an_invoke_is_not_taken_for_a_no(here: Here) -> None:
    here.proxy.gate(*INVOKE, "after").release(Fate.ERROR)
    answer = here.post(next(_keys))
    assert answer.status_code == 504
    assert here.told(answer.json()["submission_id"])["state"] == "accepted"


# --- cancel -------------------------------------------------------------------


def stops(here: Here, invocation_id: str) -> int:
    """Return how often Galaxy was told to stop a run."""
    return sum(
        one.method == "DELETE"
        and one.stage == "before"
        and f"/invocations/{invocation_id}" in one.path
        for one in here.proxy.seen
    )


def test_what_has_ended_unseen_is_not_told_to_stop(here: Here) -> None:
    id_ = here.post(None).json()["invocation_id"]
    until(lambda: here.truth.has_ended(id_), 60, every=0.3)
    answer = here.jobs.request("POST", f"/jobs/{id_}/cancel")
    assert answer.status_code == 202
    assert answer.json()["state"] == "cancelling"
    poller = here.jobs.poll()
    assert here.jobs.wait(id_)["state"] == "completed"
    poller.stop()
    assert stops(here, id_) == 0
    again = here.jobs.request("POST", f"/jobs/{id_}/cancel")
    assert again.status_code == 409
    assert code(again) == "already-ended"
    state = here.truth.ask(f"invocations/{id_}")["state"]
    assert state in {"scheduled", "completed"}, "Galaxy would have turned it cancelled"


@pytest.mark.usefixtures("polled")
def test_a_cancel_that_comes_just_too_late_tells_the_truth(here: Here) -> None:
    answer = here.post(None, TAKES_TIME, parameters={"sleep_s": 4})
    id_ = answer.json()["invocation_id"]
    gate = here.proxy.gate(*STOP, "before")
    here.jobs.wait(id_, "in_progress")
    here.jobs.request("POST", f"/jobs/{id_}/cancel")
    gate.wait()
    until(lambda: here.truth.has_ended(id_), 60, every=0.3)
    if GALAXY.release >= "26.0":  # writes `completed` over a cancel of that moment
        until(lambda: here.truth.ask(f"invocations/{id_}")["state"] == "completed", 60)
    gate.release()
    assert here.jobs.wait(id_)["state"] == "completed"
    until(lambda: here.truth.ask(f"invocations/{id_}")["state"] == "cancelled", 60)


@pytest.mark.usefixtures("polled")
def test_a_cancel_is_sent_until_galaxy_agrees(here: Here) -> None:
    answer = here.post(None, TAKES_TIME, parameters={"sleep_s": 120})
    id_ = answer.json()["invocation_id"]
    here.jobs.wait(id_, "in_progress")
    for fate in (Fate.ERROR, Fate.DROP):
        here.proxy.gate(*STOP, "before").release(fate)
    assert here.jobs.request("POST", f"/jobs/{id_}/cancel").status_code == 202
    assert here.jobs.wait(id_)["state"] == "cancelled"
    assert stops(here, id_) >= 3
    states = [one["to_state"] for one in here.jobs.get(f"/jobs/{id_}/history")["items"]]
    assert states[-2:] == ["cancelling", "cancelled"]
    assert here.jobs.request("POST", f"/jobs/{id_}/cancel").status_code == 202

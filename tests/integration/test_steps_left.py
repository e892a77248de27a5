"""Runs with steps that wait, for a reviewer or for ever, on a real Galaxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.galaxy import Lab
from tests.support.service import Service, service
from tests.support.wait import until


@pytest.fixture(scope="module")
def jobs(
    lab: Lab, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    config = folder / "config.toml"
    config.write_text("[poll]\nblocked_after = 3\n")
    with service(
        folder,
        database=module_database_url,
        galaxy=lab.url,
        key=lab.key,
        GALAXY_JOBS_CONFIG=str(config),
    ) as made:
        made.serve()
        made.poll()
        yield made


@pytest.fixture(scope="module")
def text(jobs: Service, lab: Lab) -> str:
    return jobs.dataset("hda", lab.text)


def waiting(jobs: Service, dataset_id: str, workflow: str) -> dict[str, Any]:
    """Return a job that waits for a review."""
    id_ = jobs.submit(dataset_id, workflow)

    def job() -> dict[str, Any] | None:
        shown: dict[str, Any] = jobs.job(id_)
        return shown if shown["attention"] else None

    return until(job, 90)


def review(jobs: Service, job: dict[str, Any], place: str, *, approve: bool) -> Any:
    path = f"/jobs/{job['invocation_id']}/steps/{place}/review"
    return jobs.request("POST", path, {"approve": approve})


def test_a_run_goes_on_after_its_review(jobs: Service, text: str) -> None:
    job = waiting(jobs, text, "review")
    assert job["state"] == "in_progress"
    assert job["attention"] == "Waits for a review at step 'check' in Galaxy (index 2)."
    assert review(jobs, job, "1", approve=True).status_code == 409
    answer = review(jobs, job, "2", approve=True)
    assert (answer.status_code, answer.json()["attention"]) == (200, None)
    job = jobs.wait(job["invocation_id"])
    assert (job["state"], job["progress"]["ok"]) == ("completed", 2)
    assert review(jobs, job, "2", approve=True).status_code == 409


def test_a_rejected_review_cancels_the_run_and_says_so(
    jobs: Service, text: str
) -> None:
    job = waiting(jobs, text, "review")
    assert review(jobs, job, "2", approve=False).status_code == 200
    job = jobs.wait(job["invocation_id"])
    assert (job["state"], job["failure"]) == ("cancelled", None)
    assert job["attention"] == "Stopped, since the review at step 'check' was rejected."


@pytest.mark.parametrize("approve", [True, False], ids=["approved", "rejected"])
def test_a_review_in_a_sub_workflow(
    jobs: Service,
    text: str,
    approve: bool,  # noqa: FBT001
) -> None:
    job = waiting(jobs, text, "sub review")
    step = "step 'nested > check'"
    assert job["attention"] == f"Waits for a review at {step} in Galaxy (index 1.1)."
    assert review(jobs, job, "1.1", approve=approve).status_code == 200
    job = jobs.wait(job["invocation_id"])
    if approve:
        assert (job["state"], job["attention"]) == ("completed", None)
    else:
        assert job["state"] == "cancelled"
        assert job["attention"] == f"Stopped, since the review at {step} was rejected."


def test_a_run_whose_last_steps_are_never_scheduled_fails(
    jobs: Service, text: str
) -> None:
    job = jobs.wait(jobs.submit(text, "never scheduled"), timeout=120)
    assert (job["state"], job["galaxy_state"]) == ("failed", "ready")
    assert (job["failure"]["step"], job["failure"]["exit_code"]) == ("bad", 3)
    states = [step["state"] for step in job["steps"]]
    assert states == ["ok", "failed", *["blocked"] * (len(states) - 2)]


def test_the_failure_stays_shown_when_such_a_run_is_cancelled(
    jobs: Service, text: str
) -> None:
    id_ = jobs.submit(text, "never scheduled")
    until(lambda: jobs.job(id_)["failure"], 60, every=0.1)
    assert jobs.request("POST", f"/jobs/{id_}/cancel").status_code == 202
    job = jobs.wait(id_)
    assert (job["state"], job["galaxy_state"]) == ("cancelled", "cancelled")
    assert (job["failure"]["step"], job["failure"]["exit_code"]) == ("bad", 3)


def test_an_empty_collection_says_that_nothing_was_done(
    jobs: Service, lab: Lab
) -> None:
    history = lab.call("POST", "histories", {"name": "empty"})["id"]
    empty = lab.call(
        "POST",
        f"histories/{history}/contents/dataset_collections",
        {"name": "empty", "collection_type": "list", "element_identifiers": []},
    )
    job = jobs.wait(jobs.submit(jobs.dataset("hdca", empty["id"]), "mapped"))
    assert (job["state"], job["progress"]["total"]) == ("completed", 0)
    assert job["attention"].startswith("Nothing was done:")

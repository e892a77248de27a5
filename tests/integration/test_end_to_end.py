"""What a client sees of everything that can become of a run, on a real Galaxy.

The API and a poller are processes of their own; each test says the state, the
reason, and the HTTP answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bioblend.galaxy import GalaxyInstance

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.samples import upload_text
from galaxy_jobs.adapters.galaxy import releases
from tests.support import workflows
from tests.support.galaxy import Lab
from tests.support.ids import absent_id
from tests.support.service import Service, service
from tests.support.wait import until


@pytest.fixture(scope="module")
def jobs(
    lab: Lab, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with service(
        folder, database=module_database_url, galaxy=lab.url, key=lab.key
    ) as one:
        one.cold = True
        one.serve()
        one.poll()
        yield one


@pytest.fixture(scope="module")
def text(jobs: Service, lab: Lab) -> str:
    return jobs.dataset("hda", lab.text)


@pytest.fixture(scope="module")
def texts(jobs: Service, lab: Lab) -> str:
    return jobs.dataset("hdca", lab.texts)


def refusal(jobs: Service, status: int, body: object) -> Any:
    """Submit what must be refused, and return the problem."""
    answer = jobs.request("POST", "/jobs", body)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.json()


def wish(dataset_id: str, workflow: str, **parameters: object) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "workflow_name": workflow,
        "parameters": parameters,
    }


def test_a_job_that_works_completes_with_its_outputs(jobs: Service, text: str) -> None:
    answer = jobs.request(
        "POST", "/jobs", wish(text, "two steps", sleep_s=1, exit_code=0)
    )
    assert answer.status_code == 201
    accepted = answer.json()
    assert accepted == {"invocation_id": accepted["invocation_id"], "state": "queued"}
    assert answer.headers["Location"] == f"/jobs/{accepted['invocation_id']}"
    job = jobs.wait(accepted["invocation_id"])
    assert job["state"] == "completed"
    assert job["failure"] is None
    assert job["progress"] == {
        "total": 2,
        "ok": 2,
        "running": 0,
        "waiting": 0,
        "failed": 0,
        "blocked": 0,
    }
    assert [step["state"] for step in job["steps"]] == ["ok"] * 5
    outputs = jobs.get(f"/jobs/{job['invocation_id']}/outputs")["items"]
    assert [(one["label"], one["state"]) for one in outputs] == [
        ("count_out", "ok"),
        ("sort_out", "ok"),
    ]
    states = [
        one["to_state"]
        for one in jobs.get(f"/jobs/{job['invocation_id']}/history")["items"]
    ]
    assert states[0] == "queued"
    assert states[-1] == "completed"
    assert len(states) == len(set(states))


def test_a_failing_tool_with_a_paused_one_behind_it(jobs: Service, text: str) -> None:
    job = jobs.wait(jobs.submit(text, "first fails"))
    assert job["state"] == "failed"
    # Galaxy itself says that all is well.
    until(lambda: job["galaxy_state"] in {"scheduled", "completed"})
    failure = job["failure"]
    assert failure["reason"] == "job-failed"
    assert (failure["step"], failure["step_index"]) == ("bad", 1)
    assert failure["path"] == ["bad"]
    assert failure["tool"] == "gxj_text"
    assert failure["exit_code"] == 3
    assert "3" in failure["stderr"]
    steps = {step["label"]: step["state"] for step in job["steps"]}
    assert steps["behind"] == steps["far behind"] == "blocked"
    assert steps["apart"] == "ok"


def test_a_failure_inside_a_sub_workflow_is_named_with_its_path(
    jobs: Service, text: str
) -> None:
    job = jobs.wait(jobs.submit(text, "sub fails"))
    assert job["state"] == "failed"
    assert job["failure"]["path"] == ["nested", "inner bad"]
    assert job["failure"]["step"] == "inner bad"
    assert job["failure"]["exit_code"] == 5


def test_a_sub_workflow_that_works_counts_its_jobs(jobs: Service, text: str) -> None:
    job = jobs.wait(jobs.submit(text, "sub works"))
    assert (job["state"], job["progress"]["total"]) == ("completed", 2)


def test_one_failing_element_of_a_mapped_collection(jobs: Service, texts: str) -> None:
    job = jobs.wait(jobs.submit(texts, "mapped, one fails"))
    assert job["state"] == "failed"
    assert (job["failure"]["step"], job["failure"]["element"]) == ("each", "text 1")
    each = next(step for step in job["steps"] if step["label"] == "each")
    assert each["jobs"] == {"error": 1, "ok": 2}
    outputs = jobs.get(f"/jobs/{job['invocation_id']}/outputs")["items"]
    made = next(output for output in outputs if output["label"] == "each_out")
    assert made["state"] == "error"
    states = [(element["name"], element["state"]) for element in made["elements"]]
    assert states == [("text 0", "ok"), ("text 1", "error"), ("text 2", "ok")]


def test_a_mapped_collection_that_works(jobs: Service, texts: str) -> None:
    job = jobs.wait(jobs.submit(texts, "mapped"))
    assert (job["state"], job["progress"]["ok"]) == ("completed", 6)


def test_a_skipped_step_is_no_failure(jobs: Service, text: str) -> None:
    job = jobs.wait(jobs.submit(text, "skipped"))
    assert job["state"] == "completed"
    never = next(step for step in job["steps"] if step["label"] == "never")
    assert never["jobs"] == {"skipped": 1}


def test_a_workflow_without_jobs_completes(jobs: Service, text: str) -> None:
    job = jobs.wait(jobs.submit(text, "no jobs"))
    assert (job["state"], job["progress"]["total"]) == ("completed", 0)


def test_a_condition_that_is_none_fails_with_galaxys_reason(
    jobs: Service, text: str
) -> None:
    job = jobs.wait(jobs.submit(text, "wrong when"))
    assert job["state"] == "failed"
    assert job["failure"]["reason"] == "when_not_boolean"
    assert (job["failure"]["step"], job["failure"]["step_index"]) == ("odd", 1)
    assert job["failure"]["message"]


def test_jobs_that_galaxy_leaves_running_can_be_stopped(
    jobs: Service, text: str
) -> None:
    id_ = jobs.submit(text, "given up while it runs")
    job = jobs.wait(id_)
    assert job["state"] == "failed"
    failure = job["failure"]
    assert failure["reason"] == "when_not_boolean"
    until(lambda: jobs.job(id_)["progress"]["running"] == 1)
    answer = jobs.request("POST", f"/jobs/{id_}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "failed")
    until(lambda: jobs.job(id_)["progress"]["failed"] == 1)
    job = jobs.job(id_)
    assert (job["state"], job["galaxy_state"]) == ("failed", "cancelled")
    assert (job["progress"]["running"], job["failure"]) == (0, failure)
    states = [one["to_state"] for one in jobs.get(f"/jobs/{id_}/history")["items"]]
    assert states.count("failed") == 1
    assert jobs.request("POST", f"/jobs/{id_}/cancel").status_code == 409


def test_a_value_that_only_the_tool_refuses_fails_with_galaxys_sentence(
    jobs: Service, text: str
) -> None:
    job = jobs.wait(jobs.submit(text, "two steps", {"exit_code": 999}))
    assert job["state"] == "failed"
    assert job["failure"]["exit_code"] is None
    assert "999" in job["failure"]["message"]


def test_data_by_address(jobs: Service, address: str) -> None:
    source = {"src": "url", "url": address, "ext": "txt"}
    body = {"name": "two lines", "source": source}
    dataset = jobs.post("/datasets", body)["dataset_id"]
    job = jobs.wait(jobs.submit(dataset, "success"))
    assert (job["state"], job["progress"]["ok"]) == ("completed", 1)


def test_an_address_that_galaxy_cannot_fetch(
    jobs: Service, galaxy: LocalGalaxy
) -> None:
    dataset = jobs.post(
        "/datasets",
        {
            "name": "nowhere",
            "source": {"src": "url", "url": "http://127.0.0.1:9/x.txt", "ext": "txt"},
        },
    )["dataset_id"]
    job = jobs.wait(jobs.submit(dataset, "success"))
    assert job["state"] == "failed"
    fetched_first = releases.ADDRESSES.affects(galaxy.release)
    reason = "job-failed" if fetched_first else "dataset_failed"
    assert job["failure"]["reason"] == reason


def test_a_missing_tool_is_refused_in_galaxys_words(jobs: Service, text: str) -> None:
    problem = refusal(jobs, 422, wish(text, "missing tool"))
    assert problem["type"].endswith("galaxy-rejected")
    assert "not_installed" in problem["galaxy_message"]


def test_a_dataset_that_galaxy_does_not_have_is_refused(
    jobs: Service, galaxy: LocalGalaxy
) -> None:
    for src in ("hda", "ldda", "hdca"):
        for id_ in ("f" * 16, absent_id(galaxy)):
            body = {"name": "gone", "source": {"src": src, "id": id_}}
            answer = jobs.request("POST", "/datasets", body)
            assert answer.status_code == 422, answer.text
            assert answer.json()["type"].endswith("invalid-source")
            gone = jobs.dataset(src, id_)
            problem = refusal(jobs, 422, wish(gone, "success"))
            assert problem["type"].endswith("invalid-parameters")
            assert f"{src} {id_!r}" in problem["parameters"]["text"]


def test_what_galaxy_knows_of_data_is_shown_and_asked_again_at_the_submission(
    jobs: Service, lab: Lab
) -> None:
    file = upload_text(lab.url, lab.key, "for a while.txt", "a\n")
    data = (("hda", file, "for a while.txt"), ("hdca", lab.texts, "texts"))
    for src, id_, name in data:
        body = {"name": name, "source": {"src": src, "id": id_}}
        dataset = jobs.post("/datasets", body)
        assert (dataset["galaxy_name"], dataset["state"]) == (name, "ok")
        is_list = src == "hdca"
        assert dataset["collection_type"] == ("list" if is_list else None)
        assert is_list or dataset["extension"] == "txt"
        assert jobs.get(f"/datasets/{dataset['dataset_id']}") == dataset
    gone = jobs.dataset("hda", file)
    checked = "/jobs?validate_only=true"
    plan = jobs.post(checked, wish(gone, "success"))
    assert plan["data"]["text"]["state"] == "ok"
    history = lab.call("GET", f"datasets/{file}")["history_id"]
    contents = f"histories/{history}/contents/{file}"
    for query, words in (("", "is deleted in Galaxy;"), ("?purge=true", "for good")):
        lab.call("DELETE", f"{contents}{query}")

        def is_told(words: str = words) -> bool:  # Galaxy purges in the background
            answer = jobs.request("POST", checked, wish(gone, "success"))
            return answer.status_code == 422 and words in answer.text

        until(is_told)
        assert refusal(jobs, 422, wish(gone, "success"))["parameters"]["text"]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"sleep": 1}, "sleep"),
        ({"sleep_s": "long"}, "sleep_s"),
        ({"sleep_s": True}, "sleep_s"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named_and_nothing_is_invoked(
    jobs: Service, lab: Lab, text: str, parameters: dict[str, object], named: str
) -> None:
    before = len(lab.call("GET", "invocations?limit=100"))
    problem = refusal(jobs, 422, wish(text, "two steps", **parameters))
    assert problem["type"].endswith("invalid-parameters")
    assert named in problem["parameters"]
    assert len(lab.call("GET", "invocations?limit=100")) == before


def test_a_limit_of_a_parameter_where_galaxy_keeps_it(
    jobs: Service, galaxy: LocalGalaxy, text: str
) -> None:
    body = wish(text, "two steps", sleep_s=61)
    if releases.LIMITS.affects(galaxy.release):
        job = jobs.post("/jobs", body)["invocation_id"]
        jobs.request("POST", f"/jobs/{job}/cancel")
    else:
        assert "sleep_s" in refusal(jobs, 422, body)["parameters"]


def test_a_batch_runs_to_its_end(jobs: Service, text: str) -> None:
    labels = [{"sample": f"s{number}"} for number in range(12)]
    body = {
        "workflow_name": "success",
        "labels": {"plate": "p7"},
        "items": [{"dataset_id": text, "labels": own} for own in labels],
    }
    key = {"Idempotency_Key": "plate p7"}
    created = jobs.post("/batches", body, **key)
    path = f"/batches/{created['batch_id']}"
    batch = until(lambda: (one := jobs.get(path))["ended_at"] and one, 120, every=0.3)
    assert (batch["size"], batch["counts"]) == (12, {"completed": 12})
    items = jobs.get(f"{path}/items")["items"]
    recorded = [item["submission_id"] for item in created["items"]]
    assert [item["submission_id"] for item in items] == recorded
    ran = [jobs.job(item["invocation_id"]) for item in items]
    assert [job["labels"] for job in ran] == [{"plate": "p7", **own} for own in labels]
    assert all(job["progress"]["ok"] == 1 for job in ran)
    assert len({job["history_id"] for job in ran}) == 12
    assert jobs.post("/batches", body, **key) == created
    assert len(jobs.get("/jobs?label=plate:p7")["items"]) == 12


def test_a_run_that_bioblend_started_is_followed_to_its_end(
    jobs: Service, lab: Lab, text: str
) -> None:
    galaxy = GalaxyInstance(lab.url, key=lab.key)
    (workflow,) = galaxy.workflows.get_workflows(name="two steps")
    run = galaxy.workflows.invoke_workflow(
        workflow["id"],
        inputs={"text": {"src": "hda", "id": lab.text}},
        params=None,
        inputs_by="name",
        history_name="By hand",
    )
    adopt = {"invocation_id": run["id"], "dataset_id": text}
    other = jobs.request("POST", "/jobs/adopt", {**adopt, "workflow_name": "no jobs"})
    assert other.status_code == 422, other.text
    assert other.json()["type"].endswith("workflow-mismatch")
    assert jobs.request("GET", f"/jobs/{run['id']}").status_code == 404
    adopted = jobs.post("/jobs/adopt", adopt)
    assert adopted["invocation_id"] == run["id"]
    job = jobs.wait(run["id"])
    assert (job["state"], job["progress"]["ok"]) == ("completed", 2)
    assert (job["workflow_name"], job["dataset_id"]) == ("two steps", text)
    assert job["history_id"] == run["history_id"]
    assert jobs.post("/jobs/adopt", adopt)["state"] == "completed"
    assert not galaxy.histories.show_history(run["history_id"])["deleted"]


def test_an_unknown_workflow(jobs: Service, text: str) -> None:
    problem = refusal(jobs, 422, wish(text, "no such workflow"))
    assert problem["type"].endswith("workflow-not-found")


def test_two_workflows_of_one_name(jobs: Service, lab: Lab, text: str) -> None:
    twin = workflows.workflow("twin", workflows.data("text"))
    ids = {lab.add(twin), lab.add(twin)}

    def ambiguous() -> Any:
        problem = refusal(jobs, 422, wish(text, "twin"))
        return problem if problem["type"].endswith("workflow-ambiguous") else None

    # That there is none of a name is believed for a second.
    assert set(until(ambiguous)["workflow_ids"]) == ids


def test_a_workflow_deleted_in_galaxy_is_not_run(
    jobs: Service, lab: Lab, text: str
) -> None:
    stored = lab.add(workflows.workflow("short-lived", workflows.data("text")))
    body = wish(text, "short-lived")
    until(lambda: jobs.request("POST", "/jobs", body).status_code == 201)
    lab.call("DELETE", f"workflows/{stored}")
    problem = refusal(jobs, 422, body)
    assert problem["type"].endswith("workflow-not-found")


def test_a_single_dataset_on_a_collection_input(jobs: Service, text: str) -> None:
    problem = refusal(jobs, 422, wish(text, "mapped"))
    assert problem["type"].endswith("invalid-parameters")
    assert "collection" in problem["detail"]


def test_a_wrong_key_is_said_to_be_ours(
    lab: Lab, module_database_url: str, tmp_path: Path, text: str
) -> None:
    with service(
        tmp_path, database=module_database_url, galaxy=lab.url, key="0" * 32
    ) as wrong:
        wrong.serve()
        problem = refusal(wrong, 502, wish(text, "success"))
        assert problem["type"].endswith("galaxy-refused-us")
        done = wrong.run("poll", "--once")
        assert done.returncode == 1
        assert "0" * 32 not in done.stdout + done.stderr + str(problem)


def test_a_galaxy_that_is_not_there(
    module_database_url: str, tmp_path: Path, text: str
) -> None:
    with service(
        tmp_path, database=module_database_url, galaxy="http://127.0.0.1:9", key="k"
    ) as lonely:
        lonely.serve()
        answer = lonely.request("POST", "/jobs", wish(text, "success"))
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("galaxy-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert lonely.get("/jobs")["items"]  # reads do not need it
        done = lonely.run("poll", "--once")
        assert done.returncode == 1
        assert "http://127.0.0.1:9" in done.stderr

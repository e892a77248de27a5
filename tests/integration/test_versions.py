"""Versions of workflows, hidden ones, twins and options, on a real Galaxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.galaxy.releases import OBJECT_STORES
from tests.support.galaxy import Lab
from tests.support.service import Service, service
from tests.support.wait import until
from tests.support.workflows import data, parameter, tool, workflow


GROWS, HIDDEN, TWINS, PLAIN = "it grows", "it is hidden", "there are two", "plain"

FIRST = workflow(
    GROWS,
    data("text"),
    parameter("old", default=0),
    tool("work", "text", operation="sort", sleep_s="@old"),
)
SECOND = workflow(
    GROWS,
    data("text"),
    parameter("new", default=0),
    tool("work", "text", operation="count", sleep_s="@new"),
)
STEPS = (data("text"), tool("work", "text", operation="sort"))

CONFIG = """
[[workflows]]
name = "it grows"

[[workflows]]
name = "its beginning"
id = "{grows}"
version = 0

[[workflows]]
name = "its future"
id = "{grows}"
version = 9

[[workflows]]
name = "it is hidden"

[[workflows]]
name = "there are two"

[[workflows]]
name = "one of two"
id = "{twin}"

[[workflows]]
name = "absent"

[[workflows]]
name = "stored nowhere"
id = "{plain}"
preferred_object_store_id = "nowhere"

[[workflows]]
name = "results nowhere"
id = "{plain}"
preferred_outputs_object_store_id = "nowhere"
preferred_intermediate_object_store_id = "nowhere"

[[workflows]]
name = "resources of nobody"
id = "{plain}"
resource_params = {{cores = 4}}
"""


@pytest.fixture(scope="module")
def ids(lab: Lab) -> dict[str, str]:
    """The ids of the workflows."""
    hidden = lab.add(workflow(HIDDEN, *STEPS))
    lab.call("PUT", f"workflows/{hidden}", {"hidden": True})
    twins = [lab.add(workflow(TWINS, *STEPS)) for _ in range(2)]
    return {
        "grows": lab.add(FIRST),
        "hidden": hidden,
        "twin": twins[0],
        "other": twins[1],
        "plain": lab.add(workflow(PLAIN, *STEPS)),
    }


@pytest.fixture(scope="module")
def jobs(
    tmp_path_factory: pytest.TempPathFactory,
    module_database_url: str,
    lab: Lab,
    ids: dict[str, str],
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("versions")
    config = folder / "config.toml"
    config.write_text(CONFIG.format(**ids))
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


def refusal(answer: Any, status: int, code: str) -> Any:
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["type"].endswith(code), problem
    return problem


def rerun(jobs: Service, job: str, **body: object) -> Any:
    done = jobs.post(f"/jobs/{job}/rerun", body)
    return jobs.wait(done["invocation_id"], "completed")


def client(jobs: Service) -> Service:
    return Service({**jobs.env, "GALAXY_JOBS_URL": jobs.url}, jobs.folder)


def ran(lab: Lab, job: Any) -> int:
    """Return the version that Galaxy says it has run."""
    shown = lab.call("GET", f"invocations/{job['invocation_id']}")
    workflow = lab.call("GET", f"workflows/{shown['workflow_id']}?instance=true")
    version: int = workflow["version"]
    return version


def test_versions(jobs: Service, lab: Lab, ids: dict[str, str], text: str) -> None:
    first = jobs.wait(jobs.submit(text, GROWS, {"old": 1}), "completed")
    assert (first["workflow_id"], first["workflow_version"]) == (ids["grows"], 0)
    assert ran(lab, first) == 0
    lab.call("PUT", f"workflows/{ids['grows']}", {"workflow": SECOND})

    # A value of the earlier job has no place in the newest version, and is named.
    lost = jobs.request("POST", f"/jobs/{first['invocation_id']}/rerun", {})
    sentence = str(refusal(lost, 422, "invalid-parameters")["parameters"]["old"])
    assert "no input 'old'" in sentence
    assert "repeated job, which ran version 0" in sentence

    same = rerun(jobs, first["invocation_id"], workflow_version="same")
    assert (same["workflow_version"], same["version_note"]) == (0, None)
    assert ran(lab, same) == 0
    assert same["request"]["old"] == 1

    pinned = jobs.submit(text, GROWS, {"old": 0}, workflow_version=0)
    assert ran(lab, jobs.wait(pinned, "completed")) == 0
    newest = jobs.wait(jobs.submit(text, GROWS, {"new": 0}), "completed")
    assert (newest["workflow_version"], ran(lab, newest)) == (1, 1)

    # And one whose values fit runs the newest, which is said.
    plain = jobs.wait(jobs.submit(text, GROWS, workflow_version=0), "completed")
    again = rerun(jobs, plain["invocation_id"])
    assert (again["workflow_version"], ran(lab, again)) == (1, 1)
    assert again["version_note"] == (
        f"Job {plain['invocation_id']} ran version 0 of this workflow; this job runs "
        "version 1."
    )
    typed = client(jobs).run("rerun", plain["invocation_id"])
    assert "ran version 0 of this workflow; this job runs version 1" in typed.stderr

    unknown = {"dataset_id": text, "workflow_name": GROWS, "workflow_version": 2}
    answer = jobs.request("POST", "/jobs", unknown)
    problem = refusal(answer, 422, "workflow-version-not-found")
    assert "The newest is version 1" in problem["detail"]


def test_versions_of_the_allowlist(jobs: Service, lab: Lab, text: str) -> None:
    job = jobs.wait(jobs.submit(text, "its beginning"), "completed")
    assert (job["workflow_version"], ran(lab, job)) == (0, 0)
    body = {"dataset_id": text, "workflow_name": "its beginning", "workflow_version": 1}
    answer = jobs.request("POST", "/jobs", body)
    problem = refusal(answer, 422, "workflow-version-not-found")
    assert "Only version 0 may be run here" in problem["detail"]
    body = {"dataset_id": text, "workflow_name": "its future"}
    answer = jobs.request("POST", "/jobs", body)
    refusal(answer, 422, "workflow-version-not-found")


def test_a_hidden_one_runs(jobs: Service, ids: dict[str, str], text: str) -> None:
    job = jobs.wait(jobs.submit(text, HIDDEN), "completed")
    assert job["workflow_id"] == ids["hidden"]


def test_twins(jobs: Service, lab: Lab, ids: dict[str, str], text: str) -> None:
    body = {"dataset_id": text, "workflow_name": TWINS}
    problem = refusal(jobs.request("POST", "/jobs", body), 422, "workflow-ambiguous")
    owner = lab.call("GET", "users/current")["username"]
    twins = {twin["id"]: twin for twin in problem["workflows"]}
    assert twins.keys() == {ids["twin"], ids["other"]}
    for twin in twins.values():
        assert twin["owner"] == owner
        assert twin["updated_at"] in problem["detail"]
        assert f"'{twin['id']}' (of '{owner}', changed " in problem["detail"]
    job = jobs.wait(jobs.submit(text, "one of two"), "completed")
    assert job["workflow_id"] == ids["twin"]


def test_the_list_marks_what_cannot_be_run(
    jobs: Service, ids: dict[str, str], text: str
) -> None:
    jobs.wait(jobs.submit(text, HIDDEN), "completed")
    listed = {item["name"]: item for item in jobs.get("/workflows")["items"]}
    marks = {name: item["available"] for name, item in listed.items()}
    assert (
        marks.items()
        >= {
            GROWS: True,
            "its beginning": True,
            HIDDEN: True,
            TWINS: False,
            "one of two": True,
            "absent": False,
        }.items()
    )
    assert "no workflow named 'absent'" in listed["absent"]["problem"]
    assert ids["other"] in listed[TWINS]["problem"]
    assert (listed["its beginning"]["version"], listed[HIDDEN]["version"]) == (0, 0)
    typed = client(jobs).run("workflows", "list")
    assert "absent" in typed.stdout
    assert "Galaxy shows no workflow" in typed.stdout
    doctor = jobs.run("doctor").stdout
    assert "no workflow named 'absent'" in " ".join(doctor.split())
    assert "no version 9" in " ".join(doctor.split())


def test_the_history_is_tagged_and_tagged_again_when_labels_change(
    jobs: Service, lab: Lab
) -> None:
    body = {
        "dataset_id": "reads 1, lane=2",
        "name": "reads",
        "source": {"src": "hda", "id": lab.text},
    }
    dataset_id = jobs.post("/datasets", body)["dataset_id"]
    labels = {"project": "p 1", "plate": "7", "checked": ""}
    job = jobs.wait(jobs.submit(dataset_id, HIDDEN, labels=labels), "completed")
    history = f"histories/{job['history_id']}"

    def tags() -> set[str]:
        return set(lab.call("GET", f"{history}?keys=tags")["tags"])

    shown = lab.call("GET", f"{history}?keys=name")
    assert shown["name"].startswith(f"{HIDDEN} on reads 1, lane=2 (galaxy-jobs ")
    ours = {"dataset:reads_1_lane=2", "project:p_1", "plate:7", "checked"}
    assert tags() == ours
    lab.call("PUT", history, {"tags": [*ours, "mine", "name:theirs"]})
    theirs = tags() - ours
    patch = {"project": "p 2", "plate": None, "lane": "ä/b:c, d"}
    path = f"/jobs/{job['invocation_id']}"
    merge = "application/merge-patch+json"
    assert jobs.request("PATCH", path, {"labels": patch}, Content_Type=merge).ok
    kept = {"dataset:reads_1_lane=2", "checked"}
    new = {"project:p_2", "lane:ä/b:c_d"}
    until(lambda: tags() == kept | theirs | new)
    assert len(theirs) == 2


@pytest.mark.parametrize("name", ["stored nowhere", "results nowhere"])
def test_an_object_store_that_there_is_not(
    jobs: Service, galaxy: LocalGalaxy, text: str, name: str
) -> None:
    answer = jobs.request("POST", "/jobs", {"dataset_id": text, "workflow_name": name})
    if OBJECT_STORES.affects(galaxy.release):
        assert answer.ok, answer.text
        jobs.wait(answer.json()["invocation_id"], "completed")
    else:
        problem = refusal(answer, 422, "galaxy-rejected")
        assert "object_store_id" in problem["galaxy_message"]


def test_resources_that_nobody_has_defined(jobs: Service, text: str) -> None:
    body = {"dataset_id": text, "workflow_name": "resources of nobody"}
    problem = refusal(jobs.request("POST", "/jobs", body), 422, "galaxy-rejected")
    assert "administrators of this Galaxy have defined none" in problem["detail"]

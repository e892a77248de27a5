"""What is deleted in a real Galaxy, and what stays there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import GalaxyData, HistoryId, Src
from tests.support.galaxy import Lab
from tests.support.service import Service, service
from tests.support.wait import until


@pytest.fixture(scope="module")
def lab(galaxy: LocalGalaxy) -> Lab:
    """Of a user whose quota nothing else counts against: others' jobs go on."""
    key = galaxy.user_key(f"tests-{uuid4().hex[:8]}")
    return Lab(galaxy.url, key, scenarios=["two steps"])


@pytest.fixture(scope="module")
def jobs(
    lab: Lab, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with service(
        folder, database=module_database_url, galaxy=lab.url, key=lab.key
    ) as started:
        started.serve()
        started.poll()
        yield started


def ended(jobs: Service, lab: Lab, workflow: str) -> dict[str, Any]:
    job: dict[str, Any] = jobs.wait(
        jobs.submit(jobs.dataset("hda", lab.text), workflow)
    )
    assert job["state"] == "completed", job
    return job


def datasets(lab: Lab, history: str) -> dict[str, bool]:
    """Return whether each dataset of a history is purged, by its name."""
    path = f"histories/{history}/contents?v=dev&keys=name,id,purged"
    return {item["name"]: item["purged"] for item in lab.call("GET", path)}


def test_results_are_purged_and_the_quota_falls(jobs: Service, lab: Lab) -> None:
    job = ended(jobs, lab, "two steps")
    id_, history = job["invocation_id"], job["history_id"]
    galaxy = Galaxy(lab.url, lab.key)
    before = galaxy.disk_usage()
    assert before.used
    assert before.ours > 0
    assert "our histories" in jobs.run("doctor").stdout
    (output,) = (
        item
        for item in jobs.get(f"/jobs/{id_}/outputs")["items"]
        if item["label"] == "sort_out"
    )
    kept = jobs.dataset("hda", output["id"])
    refused = jobs.request("DELETE", f"/jobs/{id_}/results")
    assert refused.status_code == 409, refused.text
    assert refused.json()["used_by"] == [{"kind": "dataset", "id": kept}]
    assert not lab.call("GET", f"histories/{history}")["deleted"]
    jobs.request("DELETE", f"/datasets/{kept}")
    answer = jobs.request("DELETE", f"/jobs/{id_}/results")
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"] == "deleted"
    shown = lab.call("GET", f"histories/{history}")
    assert (shown["deleted"], shown["purged"]) == (True, True)
    until(lambda: all(datasets(lab, history).values()))
    until(lambda: (galaxy.disk_usage().used or 0) < (before.used or 0))
    gone = jobs.request("GET", f"/jobs/{id_}/outputs/sort_out")
    assert (gone.status_code, gone.json()["title"]) == (410, "Results deleted")
    again = jobs.request("POST", f"/jobs/{id_}/refresh")
    assert again.json()["state"] == "completed"
    rerun = jobs.request("POST", f"/jobs/{id_}/rerun")
    assert rerun.status_code == 201
    assert jobs.wait(rerun.json()["invocation_id"])["state"] == "completed"
    galaxy.delete(HistoryId(history), purge=True)  # twice is no error


def test_single_datasets_are_purged_and_the_others_stay(
    jobs: Service, lab: Lab
) -> None:
    job = ended(jobs, lab, "two steps")
    history = HistoryId(job["history_id"])
    items = {
        item["label"]: item["id"]
        for item in jobs.get(f"/jobs/{job['invocation_id']}/outputs")["items"]
    }
    galaxy = Galaxy(lab.url, lab.key)
    chosen = [items["sort_out"]]
    galaxy.delete_datasets(history, chosen)
    galaxy.undelete_datasets(history, chosen)
    states = [lab.call("GET", f"datasets/{id_}")["deleted"] for id_ in items.values()]
    assert states == [False] * len(items)
    for _ in range(2):
        galaxy.delete_datasets(history, chosen, purge=True)
    until(lambda: lab.call("GET", f"datasets/{chosen[0]}")["purged"])
    other = lab.call("GET", f"datasets/{items['count_out']}")
    assert (other["deleted"], other["purged"]) == (False, False)


def test_elements_of_a_collection_in_another_history_stay(
    jobs: Service, lab: Lab
) -> None:
    job = ended(jobs, lab, "two steps")
    id_ = job["invocation_id"]
    element = next(
        item["id"]
        for item in jobs.get(f"/jobs/{id_}/outputs")["items"]
        if item["label"] == "sort_out"
    )
    history = lab.call("POST", "histories", {"name": "of somebody"})["id"]
    collection = lab.call(
        "POST",
        f"histories/{history}/contents",
        {
            "type": "dataset_collection",
            "collection_type": "list",
            "copy_elements": False,
            "element_identifiers": [{"name": "x", "src": "hda", "id": element}],
        },
    )["id"]
    galaxy = Galaxy(lab.url, lab.key)
    found = galaxy.elements(GalaxyData(Src.HDCA, collection))
    assert found == {element: job["history_id"]}
    assert galaxy.elements(GalaxyData(Src.HDCA, "f" * 16)) == {}
    kept = jobs.dataset("hdca", collection)
    refused = jobs.request("DELETE", f"/jobs/{id_}/results")
    assert refused.status_code == 409, refused.text
    assert refused.json()["used_by"] == [{"kind": "dataset", "id": kept}]
    assert not any(datasets(lab, job["history_id"]).values())
    jobs.request("DELETE", f"/datasets/{kept}")
    assert jobs.request("DELETE", f"/jobs/{id_}/results").status_code == 200

"""Results of a real Galaxy that only the user of the key may read."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import requests

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.galaxy import Galaxy, releases
from tests.support.galaxy import Lab
from tests.support.service import service


def test_private_results_are_read_by_nobody_else(
    galaxy: LocalGalaxy, module_database_url: str, tmp_path: Path
) -> None:
    # A user of this session alone, for whom it stays private.
    lab = Lab(galaxy.url, galaxy.user_key(f"tests-private-{uuid4().hex[:8]}"))
    other = galaxy.user_key("tests-nosy")
    config = tmp_path / "private.toml"
    config.write_text("[galaxy]\nprivate = true\n")

    def status(dataset_id: str, **headers: str) -> int:
        url = f"{lab.url}/api/datasets/{dataset_id}/display?raw=true"
        return requests.get(url, headers=headers, timeout=60).status_code

    assert not Galaxy(lab.url, lab.key).is_private()
    assert status(lab.text) == status(lab.text, x_api_key=other) == 200
    with service(
        tmp_path,
        database=module_database_url,
        galaxy=lab.url,
        key=lab.key,
        GALAXY_JOBS_CONFIG=str(config),
    ) as jobs:
        jobs.serve()
        jobs.poll()
        dataset_id = jobs.dataset("hda", lab.text)
        if releases.PRIVACY.affects(galaxy.release):
            wish = {"dataset_id": dataset_id, "workflow_name": "two steps"}
            refused = jobs.request("POST", "/jobs", wish)
            assert refused.status_code == 503, refused.text
            assert "public data" in refused.json()["detail"]
            assert not Galaxy(lab.url, lab.key).marked("two steps")
            done = jobs.run("doctor")
            assert done.returncode == 1
            assert "privacy of the results of public data" in done.stdout
            return
        id_ = jobs.submit(dataset_id, "two steps")
        job = jobs.wait(id_)
        assert job["state"] == "completed"
        outputs = jobs.get(f"/jobs/{id_}/outputs")["items"]
        assert len(outputs) == 2
        listed = lab.call("GET", f"histories/{job['history_id']}/contents")
        made = {item["id"] for item in listed}
        assert made >= {item["id"] for item in outputs}
        for dataset_id in made - {lab.text}:
            assert status(dataset_id) == 403
            assert status(dataset_id, **{"x-api-key": other}) == 403
            assert status(dataset_id, **{"x-api-key": lab.key}) == 200
        path = f"/jobs/{id_}/outputs/{outputs[0]['label']}"
        assert jobs.request("GET", path).status_code == 200
        checks = jobs.run("doctor").stdout
        assert "as [galaxy] private says" in checks
    assert Galaxy(lab.url, lab.key).is_private()
    # What was made before stays as it was.
    assert status(lab.text) == 200

"""A client that others generate from the OpenAPI document: typed, and used."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import requests

from galaxy_jobs.adapters.testing.memory.galaxy import TEXT
from galaxy_jobs.domain.model.token import Scope
from tests.support.page import site


TOOLS = Path(sys.executable).parent


def generated(url: str, folder: Path) -> Path:
    """Generate the package of a client from the document of a service."""
    document = folder / "openapi.json"
    document.write_text(requests.get(f"{url}/schema/openapi.json", timeout=30).text)
    done = subprocess.run(
        [
            *(TOOLS / "openapi-python-client", "generate", "--meta", "none"),
            *("--path", document, "--fail-on-warning"),
        ],
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "galaxy_jobs_client"


def test_a_generated_client_is_typed_and_submits_lists_waits_and_cancels(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(database_url) as service:
        service.galaxy.add_workflow("sort-and-count", TEXT)
        service.dataset("reads-1")
        token = service.container.create_token()("portal", Scope.SUBMIT).text
        package = generated(service.url, tmp_path)
        typed = subprocess.run(
            [
                *(TOOLS / "mypy", "--strict", "--follow-imports=silent"),
                # Not the generator's own client.py: its comments for mypy get lost.
                *(package / "api", package / "models"),
            ],
            check=False,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert typed.returncode == 0, typed.stdout

        monkeypatch.syspath_prepend(tmp_path)

        def of(name: str) -> ModuleType:
            return importlib.import_module(f"{package.name}.{name}")

        with of("client").AuthenticatedClient(service.url, token) as client:
            models = of("models")
            body = models.NewJob(dataset_id="reads-1", workflow_name="sort-and-count")
            plan = of("api.jobs.validate_job").sync(client=client, body=body)
            assert isinstance(plan, models.PlanJson)
            job = of("api.jobs.submit_job").sync(
                client=client, body=body, idempotency_key="once"
            )
            assert isinstance(job, models.Accepted)
            jobs = of("api.jobs.list_jobs").sync(client=client, dataset_id="reads-1")
            assert [each.invocation_id for each in jobs.items] == [job.invocation_id]
            waited = of("api.jobs.show_job").sync(
                job.invocation_id, client=client, wait=1
            )
            assert (waited.invocation_id, waited.state) == (job.invocation_id, "queued")
            cancelled = of("api.jobs.cancel_job").sync(job.invocation_id, client=client)
            assert cancelled.invocation_id == job.invocation_id
            problem = of("api.jobs.show_job").sync("nothing", client=client)
            assert isinstance(problem, models.ProblemDetails)
            assert problem.type_.endswith(":job-not-found")
            assert json.loads(json.dumps(jobs.to_dict()))["next_cursor"] is None

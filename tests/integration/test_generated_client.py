"""Clients that others generate from the OpenAPI document: typed, and used."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import requests

from galaxy_jobs.adapters.testing.memory.galaxy import TEXT
from galaxy_jobs.domain import InputKind, WorkflowInput
from galaxy_jobs.domain.model.token import Scope
from tests.support.npm import needs_npm, node_modules
from tests.support.page import site
from tests.support.tables import ROOT


TOOLS = Path(sys.executable).parent
TYPESCRIPT = ROOT / "tests/support/typescript"
"""A program in TypeScript, and what it is compiled with, locked."""

SLEEP = WorkflowInput(name="sleep_s", kind=InputKind.INTEGER)


def run(folder: Path, *command: str | Path) -> str:
    """Run a command there that has to succeed, and return its output."""
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def document(url: str, folder: Path) -> Path:
    """Return the document of a service, as a file in that folder."""
    file = folder / "openapi.json"
    file.write_text(requests.get(f"{url}/schema/openapi.json", timeout=30).text)
    return file


def test_a_generated_client_is_typed_and_submits_lists_waits_and_cancels(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(database_url) as service:
        service.galaxy.add_workflow("sort-and-count", TEXT)
        service.dataset("reads-1")
        token = service.container.create_token()("portal", Scope.SUBMIT).text
        schema = document(service.url, tmp_path)
        # A type that the generator does not know by itself.
        types = {"application/zip": "application/octet-stream"}
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"content_type_overrides": types}))
        generate = ("openapi-python-client", "generate", "--meta", "none")
        options = ("--path", schema, "--config", config, "--fail-on-warning")
        run(tmp_path, *generate, *options)
        package = tmp_path / "galaxy_jobs_client"
        # Not the generator's own client.py: its comments for mypy get lost.
        typed = (package / "api", package / "models")
        run(tmp_path, "mypy", "--strict", "--follow-imports=silent", *typed)

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


@needs_npm
def test_a_client_in_typescript_is_typed_and_submits_lists_waits_and_cancels(
    database_url: str, tmp_path: Path
) -> None:
    packages = node_modules(TYPESCRIPT)
    for name in ("package.json", "tsconfig.json", "client.ts"):
        shutil.copy(TYPESCRIPT / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages)
    with site(database_url) as service:
        service.galaxy.add_workflow("sort-and-count", TEXT, SLEEP)
        token = service.container.create_token()("portal", Scope.SUBMIT).text
        schema = document(service.url, tmp_path)
        generate = packages / ".bin/openapi-typescript"
        run(tmp_path, generate, schema, "--output", "schema.ts")
        run(tmp_path, packages / ".bin/tsc", "--project", ".")
        found = json.loads(run(tmp_path, "node", "client.js", service.url, token))

    (job,) = found["listed"]
    assert found == {
        "inputs": {"text": found["inputs"]["text"], "sleep_s": 2},
        "listed": [job],
        "waited": [job, "queued", 2],
        "cancelled": job,
        "code": "urn:galaxy-jobs:problem:job-not-found",
    }

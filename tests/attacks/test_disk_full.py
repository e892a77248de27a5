"""The disk is full: under the embedded PostgreSQL, its log, and the logs of all."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import requests

from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from tests.attacks.measure import Attack
from tests.attacks.soak_galaxy import KEY, WORKFLOW, small_galaxy
from tests.support.service import Service, environment, running
from tests.support.wait import until


SIZE = 128
"""MiB of the file system: the cluster has 40, and its log of changes 16 to 32."""

READS = ("/jobs", "/jobs/{job}", "/health/ready", "/metrics", "/", "/datasets")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_a_full_disk(attack: Attack, tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    with (
        file_system(server.folder) as disk,
        small_galaxy() as galaxy,
        server,
        service_on(disk, tmp_path, galaxy) as jobs,
    ):
        jobs.serve()
        poller = jobs.poll(0.5)
        body = {
            "dataset_id": "d",
            "name": "d",
            "source": {"src": "hda", "id": "1" * 16},
        }
        jobs.post("/datasets?check=false", body)
        job = jobs.submit("d", WORKFLOW)
        until(lambda: jobs.job(job)["state"] != "queued", 60)
        fill(disk)
        wrong = Counter(answers(jobs, job, 1))
        use_up_the_log(server)
        wrong.update(answers(jobs, job, 4))
        (disk / "filler").unlink()
        began = time.monotonic()
        until(lambda: submitted(jobs) and jobs.request("GET", "/health/ready").ok, 60)
        attack.at_most(10, "until all is served again", time.monotonic() - began, "s")
        if poller.process.poll() is None:
            job = jobs.submit("d", WORKFLOW)
            until(lambda: jobs.job(job)["state"] != "queued", 60)
        attack.at_most(10, "until jobs are followed", time.monotonic() - began, "s")
        attack.at_most(0, f"wrong answers {dict(wrong)}", wrong.total(), "")
        ended = sum(command.process.poll() is not None for command in jobs.commands)
        attack.at_most(0, "processes that have ended", ended, "")


@contextmanager
def file_system(folder: Path) -> Iterator[Path]:
    """Mount a small file system."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", folder], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def service_on(disk: Path, home: Path, galaxy: str) -> Iterator[Service]:
    """Give a service with the embedded PostgreSQL, which logs to the disk, too."""
    logs = disk / "logs"
    logs.mkdir()
    env = environment(home, database="", galaxy=galaxy, key=KEY)
    del env["DATABASE_URL"]
    with running(Service(env, logs, cold=True)) as jobs:
        yield jobs


def fill(disk: Path) -> None:
    """Write until there is no room."""
    for size in (2**20, 4096):
        with (disk / "filler").open("ab", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(size))


def use_up_the_log(server: EmbeddedPostgres) -> None:
    """Have PostgreSQL begin new files for its log of changes until it cannot."""
    with suppress(psycopg.Error), psycopg.connect(server.url) as connection:
        connection.autocommit = True
        for _ in range(30):
            connection.execute("SELECT pg_logical_emit_message(false, 'a', 'b')")
            connection.execute("SELECT pg_switch_wal()")


def answers(jobs: Service, job: str, seconds: float) -> Iterator[str]:
    """Yield those that are wrong where the database is not available."""
    deadline = time.monotonic() + seconds
    number = 0
    while time.monotonic() < deadline:
        number += 1
        source = {"src": "hda", "id": "1" * 16}
        body = {"dataset_id": f"d{number}", "name": "x" * 255, "source": source}
        for method, path, sent in (
            *(("GET", path.replace("{job}", job), None) for path in READS),
            ("POST", "/datasets", body),
            ("POST", "/jobs", {"dataset_id": "d", "workflow_name": WORKFLOW}),
        ):
            answer = jobs.request(method, path, sent)
            if not right(answer):
                yield f"{method} {path}: {answer.status_code} {answer.text[:150]}"


def right(answer: requests.Response) -> bool:
    """Whether an answer is a success, or says that the database is not available."""
    if answer.status_code < 300:
        return True
    if answer.status_code == 503 and answer.request.path_url == "/health/ready":
        return bool(answer.json()["status"] == "unavailable")
    kind = answer.headers.get("Content-Type", "")
    if not kind.startswith("application/problem+json"):
        return False
    code = str(answer.json()["type"]).rpartition(":")[2]
    return code in {"database-unavailable", "outcome-unknown"}


def submitted(jobs: Service) -> bool:
    """Whether a submission is accepted."""
    wish = {"dataset_id": "d", "workflow_name": WORKFLOW}
    return jobs.request("POST", "/jobs", wish).status_code == 201

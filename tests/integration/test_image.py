"""What deploy/Containerfile makes, made here step by step, and run as nobody much."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from attrs import define

from tests.support.containerfile import Image
from tests.support.galaxy import Lab
from tests.support.wait import until
from tests.support.wheel import ROOT


FOREIGN = {"Host": "10.1.2.3:8000"}
"""As whoever watches over a container asks it."""


@define
class Running:
    """An image with its environment, and the account that its commands run as."""

    image: Image
    env: Mapping[str, str]
    uid: int | None

    def command(self, *arguments: str) -> list[str]:
        return [*self.image.entrypoint, *(arguments or self.image.command)]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            check=False,
            env=self.env,
            cwd="/",
            user=self.uid,
            extra_groups=None if self.uid is None else [],
            capture_output=True,
            text=True,
            timeout=120,
        )

    def healthy(self, port: int) -> bool:
        ask = [part.replace(":8000/", f":{port}/") for part in self.image.health]
        done = subprocess.run(ask, check=False, env=self.env, capture_output=True)
        return done.returncode == 0


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # Not in pytest's own folder, which no other account can enter.
    root = Path(tempfile.mkdtemp(prefix="galaxy-jobs-image-"))
    root.chmod(0o755)
    try:
        yield Image(root).built(ROOT / "deploy/Containerfile", ROOT)
    finally:
        shutil.rmtree(root)


@pytest.fixture
def running(image: Image, lab: Lab, empty_database_url: str) -> Running:
    uid = None
    if os.geteuid() == 0:
        # The embedded PostgreSQL lets in the account alone that it runs as.
        socket = parse_qs(urlsplit(empty_database_url).query)["host"][0]
        uid = Path(socket).stat().st_uid
        assert uid != 0
    env = {
        **image.env,
        "DATABASE_URL": empty_database_url,
        "GALAXY_URL": lab.url,
        "GALAXY_API_KEY": lab.key,
    }
    return Running(image, env, uid)


def test_it_runs_as_nobody_who_could_change_it(image: Image) -> None:
    user, _, group = image.user.partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_it_holds_no_tests_and_no_tools(image: Image) -> None:
    (packages,) = (image.root / "opt/galaxy-jobs/lib").glob("python*/site-packages")
    there = {one.name for one in packages.iterdir()}
    assert there & {"galaxy_jobs", "litestar", "bioblend"} == {
        "galaxy_jobs",
        "litestar",
        "bioblend",
    }
    assert not there & {"pip", "pytest", "mypy", "playwright", "tests"}


def test_its_bytecode_is_there_and_is_taken_as_it_is(image: Image) -> None:
    (package,) = (image.root / "opt/galaxy-jobs/lib").glob("python*/*/galaxy_jobs")
    for source in package.rglob("*.py"):
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")
        flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
        assert flags == 0b01, compiled  # by hash, and the hash is not looked at


def test_it_migrates_makes_a_token_serves_and_polls(
    running: Running, lab: Lab, tmp_path: Path
) -> None:
    refused = running.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 1
    assert "galaxy-jobs migrate" in refused.stderr

    migrated = running.run("migrate")
    assert migrated.returncode == 0, migrated.stderr

    refused = running.run()
    assert refused.returncode == 2
    assert "galaxy-jobs token create" in refused.stderr

    made = running.run("token", "create", "frontend", "--scope", "submit")
    assert made.returncode == 0, made.stderr
    token = {"Authorization": f"Bearer {made.stdout.strip()}"}

    log = tmp_path / "serve.log"
    with log.open("wb") as out:
        serving = subprocess.Popen(
            [*running.command(), "--port", "0"],
            env=running.env,
            cwd="/",
            user=running.uid,
            extra_groups=None if running.uid is None else [],
            stdout=out,
            stderr=out,
        )
    try:

        def address() -> str | None:
            assert serving.poll() is None, log.read_text()
            told = [
                json.loads(line)
                for line in log.read_text().splitlines(True)
                if line.startswith("{") and line.endswith("\n")
            ]
            return next((one["url"] for one in told if one["event"] == "serving"), None)

        port = urlsplit(until(address, 60)).port
        assert port is not None
        url = f"http://127.0.0.1:{port}"
        # As the first thing that anybody asks: nothing else comes before it is ready.
        ready = requests.get(f"{url}/health/ready", headers=FOREIGN, timeout=30)
        assert ready.status_code == 200, ready.text
        live = requests.get(f"{url}/health/live", headers=FOREIGN, timeout=30)
        assert live.status_code == 200, live.text
        assert running.healthy(port)

        anybody = requests.get(f"{url}/jobs", headers=FOREIGN, timeout=30)
        assert anybody.status_code == 401
        data = {"name": "text", "source": {"src": "hda", "id": lab.text}}
        dataset = requests.post(
            f"{url}/datasets", json=data, headers={**FOREIGN, **token}, timeout=30
        ).json()
        wish = {"dataset_id": dataset["dataset_id"], "workflow_name": "success"}
        job = requests.post(
            f"{url}/jobs", json=wish, headers={**FOREIGN, **token}, timeout=60
        ).json()

        def ended() -> bool:
            swept = running.run("poll", "--once")
            assert swept.returncode == 0, swept.stderr
            shown = requests.get(
                f"{url}/jobs/{job['invocation_id']}", headers=token, timeout=30
            ).json()
            assert shown["state"] != "failed", shown
            return bool(shown["state"] == "completed")

        until(ended, 120)
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
        assert not running.healthy(port)
    finally:
        serving.kill()
        serving.wait()

"""The demo, as a newcomer sees it, on a Galaxy of one's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from tests.support.proxy import Fate, Passing, Proxy
from tests.support.readme import blocks


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Where the demo's own PostgreSQL lives."""
    yield tmp_path
    # Under root its data do not lie there.
    shutil.rmtree(EmbeddedPostgres(tmp_path).folder, ignore_errors=True)


@pytest.fixture
def key(galaxy: LocalGalaxy) -> str:
    """The key of somebody who has nothing there yet."""
    return galaxy.user_key(f"newcomer-{uuid4().hex[:8]}")


def demo(home: Path, url: str, key: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end, on a Galaxy that is configured."""
    wanted = {"GALAXY_URL": url, "GALAXY_API_KEY": key, "GALAXY_JOBS_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "galaxy_jobs.entrypoints", "demo", "--exit"],
        check=False,
        env={**os.environ, **wanted, "DATABASE_URL": ""},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=240,
    )


def stages(told: str) -> list[str]:
    """Return the first word of each line that tells of a stage."""
    lines = told.splitlines()
    return [one.partition("]")[2].split()[0] for one in lines if one.startswith("[ ")]


def without(*tools: str) -> Callable[[Passing], Fate]:
    """Make a Galaxy that lacks these tools (a whim of the proxy)."""
    paths = {f"/api/tools/{tool}" for tool in tools}
    return lambda passing: Fate.ABSENT if passing.path in paths else Fate.PASS


def test_it_tells_every_stage_and_ends_with_the_completed_job(
    galaxy: LocalGalaxy, key: str, home: Path
) -> None:
    done = demo(home, galaxy.url, key)
    assert done.returncode == 0, done.stdout + done.stderr
    told = stages(done.stdout)
    (shown,) = [one for one in blocks() if one.language == "text" and "[" in one.text]
    assert set(stages(shown.text)) == set(told), "README shows another demo"
    places = [told.index(one) for one in ("Galaxy", "API", "POST", "queued")]
    assert places == sorted(places)
    assert places[-1] < told.index("in_progress") < told.index("completed")
    assert '"state": "completed"' in done.stdout
    assert "output        sorted: " in done.stdout


def test_a_galaxy_without_our_tools_runs_what_every_galaxy_can(
    galaxy: LocalGalaxy, key: str, home: Path
) -> None:
    with Proxy(galaxy.url, without("gxj_text")).running() as proxy:
        done = demo(home, proxy.url, key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'copy-twice' imported" in done.stdout
    assert "output        copy of the copy: " in done.stdout


def test_a_galaxy_that_can_run_neither_is_told_of(
    galaxy: LocalGalaxy, key: str, home: Path
) -> None:
    with Proxy(galaxy.url, without("gxj_text", "cat1")).running() as proxy:
        done = demo(home, proxy.url, key)
    assert done.returncode == 1
    assert "has neither tool 'gxj_text' nor 'cat1'" in done.stderr


def test_a_galaxy_that_is_not_there_is_told_of(home: Path) -> None:
    done = demo(home, "http://127.0.0.1:9", "key")
    assert done.returncode == 1
    assert "http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr

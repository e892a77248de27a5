"""The demo, as a newcomer sees it, on a Galaxy of one's own."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from tests.support.demo import environment, left_running
from tests.support.proxy import Fate, Passing, Proxy
from tests.support.readme import blocks


PORT = 8000


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
    return subprocess.run(
        [sys.executable, "-m", "galaxy_jobs.entrypoints", "demo", "--exit"],
        check=False,
        env=environment(home, url, key),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=240,
    )


def stages(printed: str) -> list[str]:
    """Return the first word of each line that tells of a stage."""
    lines = printed.splitlines()
    return [
        line.partition("]")[2].split()[0] for line in lines if line.startswith("[ ")
    ]


def without(*things: str) -> Callable[[Passing], Fate]:
    """Make a Galaxy that lacks these things (a whim of the proxy)."""
    paths = {f"/api/{thing}" for thing in things}
    return lambda passing: Fate.ABSENT if passing.path in paths else Fate.PASS


def test_it_tells_every_stage_and_what_to_type_next(
    galaxy: LocalGalaxy, key: str, home: Path
) -> None:
    env = environment(home, galaxy.url, key)
    with left_running(home, env) as done:
        topics = stages(done.printed)
        (shown,) = [
            one for one in blocks() if one.language == "text" and "[" in one.text
        ]
        assert set(stages(shown.text)) == set(topics), "README shows another demo"
        places = [topics.index(one) for one in ("Galaxy", "API", "POST", "queued")]
        assert places == sorted(places)
        assert places[-1] < topics.index("in_progress") < topics.index("completed")
        assert '"state": "completed"' in done.printed
        assert "output        sorted: " in done.printed
        typed = subprocess.run(
            ["bash", "-ec", "\n".join(done.to_type())],
            check=False,
            env={**env, "GALAXY_JOBS_HOME": ""},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert typed.returncode == 0, typed.stdout + typed.stderr
        assert typed.stdout.startswith('{"items":[{"invocation_id"')
        assert "completed    2 of 2 jobs ok" in typed.stdout
        assert done.stop() == 0


def test_a_second_demo_takes_what_the_first_one_registered(
    galaxy: LocalGalaxy, key: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert demo(home, galaxy.url, key).returncode == 0
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody has it already
            other.bind(("127.0.0.1", PORT))
            other.listen()
        again = demo(home, galaxy.url, key)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "'fruits' is registered already" in again.stdout
    assert f"port {PORT} is taken: using " in again.stdout
    (hda,) = re.findall(r'"src": "hda", "id": "(\w+)"', again.stdout)
    # A service that wants tokens is shown the one that is set.
    token = ["token", "create", "newcomer", "--scope", "submit"]
    created = subprocess.run(
        [sys.executable, "-m", "galaxy_jobs.entrypoints", *token],
        check=True,
        env=environment(home, galaxy.url, key),
        capture_output=True,
        text=True,
        timeout=60,
    )
    monkeypatch.setenv("GALAXY_JOBS_TOKEN", created.stdout.strip())
    with Proxy(galaxy.url, without(f"datasets/{hda}")).running() as proxy:
        other_galaxy = demo(home, proxy.url, key)
    assert other_galaxy.returncode == 0, other_galaxy.stdout + other_galaxy.stderr
    assert "'fruits' is other data, or of another Galaxy" in other_galaxy.stdout
    assert '{"dataset_id": "fruits-2"' in other_galaxy.stdout


def test_a_galaxy_without_our_tools_runs_what_every_galaxy_can(
    galaxy: LocalGalaxy, key: str, home: Path
) -> None:
    with Proxy(galaxy.url, without("tools/gxj_text")).running() as proxy:
        done = demo(home, proxy.url, key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'copy-twice' is in Galaxy" in done.stdout
    assert "output        copy of the copy: " in done.stdout


def test_a_galaxy_that_can_run_neither_is_told_of(
    galaxy: LocalGalaxy, key: str, home: Path
) -> None:
    with Proxy(galaxy.url, without("tools/gxj_text", "tools/cat1")).running() as proxy:
        done = demo(home, proxy.url, key)
    assert done.returncode == 1
    assert "has neither tool 'gxj_text' nor 'cat1'" in done.stderr


def test_a_galaxy_that_is_not_there_is_told_of(home: Path) -> None:
    done = demo(home, "http://127.0.0.1:9", "key")
    assert done.returncode == 1
    assert "http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr

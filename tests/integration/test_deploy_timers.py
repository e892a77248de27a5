"""The line for cron and the systemd unit, run as their schedulers would run them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.galaxy import Lab
from tests.support.service import service


DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(sys.executable).parent


@pytest.fixture
def settings(lab: Lab, database_url: str, tmp_path: Path) -> Path:
    """A file of settings; the schema is there."""
    with service(tmp_path, database=database_url, galaxy=lab.url, key=lab.key):
        pass
    file = tmp_path / "settings.env"
    file.write_text(
        f"GALAXY_URL='{lab.url}'\nGALAXY_API_KEY='{lab.key}'\n"
        f"DATABASE_URL='{database_url}&connect_timeout=5'\n"
    )
    return file


def bare(tmp_path: Path) -> dict[str, str]:
    """The environment that cron gives."""
    return {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "SHELL": "/bin/sh",
        "HOME": str(tmp_path),
        "LOGNAME": "galaxy-jobs",
    }


def test_the_line_for_cron_sweeps(settings: Path, tmp_path: Path) -> None:
    lines = (DEPLOY / "cron/galaxy-jobs").read_text().splitlines()
    *_, user, command = lines[-1].split(maxsplit=6)
    assert user == "galaxy-jobs"
    for place, here in {
        "/etc/galaxy-jobs.env": settings,
        "/run/lock": tmp_path,
        "/var/log/galaxy-jobs": tmp_path,
    }.items():
        assert place in command
        command = command.replace(place, str(here))
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        check=False,
        env=bare(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
    )
    log = (tmp_path / "poll.log").read_text()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), log
    assert log.startswith("due=0 asked=0 ")


def test_the_systemd_unit_sweeps(settings: Path, tmp_path: Path) -> None:
    unit = (DEPLOY / "systemd/galaxy-jobs-poll.service").read_text()
    said = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
    assert said["EnvironmentFile"] == "/etc/galaxy-jobs.env"
    program, *arguments = shlex.split(said["ExecStart"])
    given = (line.split("=", 1) for line in settings.read_text().splitlines())
    done = subprocess.run(
        [BIN / Path(program).name, *arguments],
        check=False,
        env={
            "PATH": os.defpath,
            **{name: value.strip("'") for name, value in given},
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("due=0 asked=0 ")

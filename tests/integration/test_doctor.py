"""The doctor at real set-ups: a sound one, and each in which something is broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import psycopg
import pytest
from attrs import evolve, frozen
from dependency_injector import providers

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.galaxy import About, Galaxy
from galaxy_jobs.adapters.postgres.migrations import REVISIONS, VERSION_TABLE
from galaxy_jobs.domain import AllowedWorkflow, Allowlist
from galaxy_jobs.domain.errors import WorkflowVersionNotFound
from galaxy_jobs.domain.ports import Backlog, PollQueue
from galaxy_jobs.entrypoints.container import opened
from galaxy_jobs.entrypoints.doctor import CHECKS, Doctor, Finding, Verdict
from galaxy_jobs.entrypoints.settings import load
from tests.support import workflows
from tests.support.galaxy import Lab
from tests.support.service import Service
from tests.support.terminal import Terminal
from tests.support.wait import until


@frozen
class Report:
    """The findings of the doctor, by check."""

    code: int
    findings: list[dict[str, Any]]

    def __getitem__(self, check: str) -> dict[str, Any]:
        (finding,) = [finding for finding in self.findings if finding["check"] == check]
        return finding

    def failing(self) -> set[str]:
        return {
            finding["check"]
            for finding in self.findings
            if finding["verdict"] == "fail"
        }

    def left_out(self) -> set[str]:
        return {
            finding["check"]
            for finding in self.findings
            if finding["verdict"] == "left out"
        }


@frozen
class SetUp:
    """A set-up that is sound, until something of it is changed."""

    env: dict[str, str]
    folder: Path

    def service(self, **changed: str) -> Service:
        return Service({**self.env, **changed}, self.folder)

    def configured(self, text: str, **changed: str) -> dict[str, str]:
        path = self.folder / "config.toml"
        path.write_text(text)
        return {"GALAXY_JOBS_CONFIG": str(path), **changed}

    def examined(self, **changed: str) -> Report:
        done = self.service(**changed).run("doctor", "--json")
        assert "Traceback" not in done.stderr
        assert self.env["GALAXY_API_KEY"] not in done.stdout
        answer = json.loads(done.stdout)
        report = Report(done.returncode, answer["checks"])
        assert answer["ok"] is (done.returncode == 0)
        assert report.code == (1 if report.failing() else 0)
        # Whatever fails is told with what to do about it, and no check is missing.
        for finding in report.findings:
            assert finding["verdict"] != "fail" or finding["remedy"], finding
        assert {finding["check"] for finding in report.findings} == set(CHECKS)
        return report


@pytest.fixture(scope="module")
def sound(
    lab: Lab, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> SetUp:
    folder = tmp_path_factory.mktemp("doctor")
    env = {
        **os.environ,
        "DATABASE_URL": module_database_url,
        "GALAXY_URL": lab.url,
        "GALAXY_API_KEY": lab.key,
        "GALAXY_JOBS_HOME": str(folder),
    }
    return SetUp(env, folder)


def test_a_sound_set_up(sound: SetUp) -> None:
    config = '[[workflows]]\nname = "success"\n[[workflows]]\nname = "two steps"\n'
    report = sound.examined(**sound.configured(config))
    assert {finding["verdict"] for finding in report.findings} == {"ok"}
    assert any("takes the dataset on 'text'" in one["said"] for one in report.findings)
    assert "2 workflows allowed" in report["settings"]["said"]
    assert "may be run" in sound.examined()["workflows"]["said"]


def test_no_database(sound: SetUp) -> None:
    report = sound.examined(DATABASE_URL="postgresql://me:secret@127.0.0.1:9/jobs")
    assert report.failing() == {"database"}
    assert "'jobs' at 127.0.0.1 (port 9)" in report["database"]["said"]
    assert "secret" not in str(report)
    assert report.left_out() == {
        "migrations",
        "database clock",
        "jobs of others",
        "poller",
    }
    unmade = sound.examined(
        DATABASE_URL=re.sub(r"/test_\w+", "/not_made_yet", sound.env["DATABASE_URL"])
    )
    assert unmade.failing() == {"database"}
    assert "createdb" in unmade["database"]["said"]
    assert "Create it" in unmade["database"]["remedy"]
    malformed = sound.examined(DATABASE_URL="postgresql://[/jobs")
    assert malformed.failing() == {"database"}


def test_a_schema_that_is_not_there_or_behind(
    sound: SetUp, empty_database_url: str
) -> None:
    report = sound.examined(DATABASE_URL=empty_database_url)
    assert report.failing() == {"migrations"}
    assert report["migrations"]["remedy"] == "galaxy-jobs migrate"
    assert report.left_out() == {"jobs of others", "poller"}
    there = sound.service(DATABASE_URL=empty_database_url)
    assert there.run("migrate").returncode == 0
    assert sound.examined(DATABASE_URL=empty_database_url).code == 0
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '{REVISIONS[0]}'")
    behind = sound.examined(DATABASE_URL=empty_database_url)
    assert behind.failing() == {"migrations"}
    assert "older than this program" in behind["migrations"]["said"]


def test_the_local_galaxy_is_named_where_no_galaxy_is_set(
    sound: SetUp, galaxy: LocalGalaxy
) -> None:
    # The home of the tests' own Galaxy, as in a second terminal beside a demo.
    home = str(galaxy.home.parent)
    report = sound.examined(GALAXY_URL="", GALAXY_API_KEY="", GALAXY_JOBS_HOME=home)
    remedy = report["settings"]["remedy"]
    assert remedy is not None
    assert galaxy.url in remedy
    command = remedy.partition("  (")[0]
    typed = subprocess.run(
        ["sh", "-c", f'{command} && echo "$GALAXY_URL $GALAXY_API_KEY"'],
        check=True,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "GALAXY_JOBS_HOME": home,
        },
        capture_output=True,
        text=True,
    )
    url, key = typed.stdout.split()
    assert (url, len(key)) == (galaxy.url, 32)


def test_galaxy_not_there(sound: SetUp) -> None:
    report = sound.examined(GALAXY_URL="http://127.0.0.1:9")
    assert report.failing() == {"galaxy"}
    assert "http://127.0.0.1:9" in report["galaxy"]["said"]
    assert "galaxy-jobs galaxy start" in report["galaxy"]["remedy"]
    assert {"key", "workflows", "poller"} < report.left_out()


def test_something_else_where_galaxy_should_be(sound: SetUp) -> None:
    here = sound.service()
    try:
        here.serve()
        assert sound.examined(GALAXY_URL=here.url).failing() == {"galaxy"}
    finally:
        here.stop()


def test_a_bad_key(sound: SetUp) -> None:
    report = sound.examined(GALAXY_API_KEY="0" * 32)
    assert report.failing() == {"key"}
    assert "GALAXY_API_KEY" in report["key"]["remedy"]
    assert {"workflows", "poller"} < report.left_out()
    assert sound.examined(GALAXY_API_KEY="not a key").failing() == {"galaxy"}


def test_settings_missing_or_malformed(sound: SetUp) -> None:
    report = sound.examined(GALAXY_URL="")
    assert report.failing() == {"settings"}
    assert "GALAXY_URL is not set" in report["settings"]["said"]
    report = sound.examined(GALAXY_TIMEOUT="soon")
    assert report.failing() == {"settings"}
    assert "'soon'" in report["settings"]["said"]
    assert len(report.left_out()) == len(CHECKS) - 1


@pytest.mark.parametrize(
    ("config", "verdict", "message"),
    [
        ('name = "no such one"', "fail", "no workflow named 'no such one'"),
        ('name = "x"\nid = "ffffffffffffffff"', "fail", "no workflow with id"),
        ('name = "doctor\'s twin"', "fail", "2 workflows named"),
        ('name = "success"\ninput = "reads"', "fail", "has no such data input"),
    ],
)
def test_a_workflow_of_the_allowlist_that_cannot_be_run(
    sound: SetUp, lab: Lab, config: str, verdict: str, message: str
) -> None:
    twin = workflows.workflow("doctor's twin", workflows.data("text"))
    known = [workflow["name"] for workflow in lab.call("GET", "workflows")]
    for _ in range(2 - known.count(twin["name"])):
        lab.add(twin)
    report = sound.examined(**sound.configured(f"[[workflows]]\n{config}\n"))
    assert report["workflows"]["verdict"] == verdict
    assert message in report["workflows"]["said"]
    assert "GALAXY_JOBS_CONFIG" in report["workflows"]["remedy"]
    assert report.code == (1 if verdict == "fail" else 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [("doctor's pair", "on any of 'left', 'right'"), ("doctor's none", "on no input")],
)
def test_a_workflow_of_the_allowlist_with_several_data_inputs_or_none(
    sound: SetUp, lab: Lab, name: str, message: str
) -> None:
    pair = workflows.workflow(
        "doctor's pair", workflows.data("left"), workflows.data("right")
    )
    none = workflows.workflow("doctor's none", workflows.parameter("n", default=1))
    known = [workflow["name"] for workflow in lab.call("GET", "workflows")]
    for workflow in (pair, none):
        if workflow["name"] not in known:
            lab.add(workflow)
    report = sound.examined(**sound.configured(f'[[workflows]]\nname = "{name}"\n'))
    assert report["workflows"]["verdict"] == "ok"
    assert message in report["workflows"]["said"]


def test_no_poller_and_the_key_of_another_user(
    sound: SetUp, lab: Lab, galaxy: LocalGalaxy, database_url: str
) -> None:
    config = sound.configured("[poll]\nstale_after = 1\n", DATABASE_URL=database_url)
    here = sound.service(**config)
    try:
        here.serve()
        job = here.submit(here.dataset("hda", lab.text), "no jobs")

        patient = {"DATABASE_URL": database_url}
        never = sound.examined(**patient)
        assert (never.code, never["poller"]["verdict"]) == (0, "warn")
        assert "nothing was ever polled" in never["poller"]["said"]
        printed = sound.service(**patient).run("doctor").stdout
        assert printed.endswith("\nNo problems, 1 warning.\n")

        def overdue() -> Report | None:
            report = sound.examined(**config)
            return report if report.failing() else None

        report = until(overdue, 60)
        assert report.failing() == {"poller"}
        assert report["poller"]["remedy"] == "galaxy-jobs poll --every 5"
        key = galaxy.user_key("tests-doctor")
        other = sound.examined(**{**config, "GALAXY_API_KEY": key})
        assert other.failing() == {"jobs of others"}
        assert "was another one before" in other["jobs of others"]["said"]
        assert here.run("poll", "--once").returncode == 0
        assert here.wait(job)["state"] == "completed"
        assert sound.examined(**config).code == 0
    finally:
        here.stop()


def test_a_job_that_is_due_and_not_polled_is_warned_of_before_it_is_wrong(
    doctor: Doctor,
) -> None:
    us = doctor.parts.galaxy().identity()

    def polled(overdue: float, **totals: float) -> Finding:
        backlog = Backlog(
            active=1, due=1, overdue=timedelta(seconds=overdue), totals=totals
        )
        queue = cast("PollQueue", SimpleNamespace(backlog=lambda: {us: backlog}))
        doctor.parts.queue.override(queue)
        return by_check(doctor)["poller"]

    assert polled(9, sweeps=1).verdict is Verdict.OK
    late = polled(25, sweeps=1)
    assert late.verdict is Verdict.WARN
    assert "1 job active, due for 25 s and not polled yet" in late.message
    assert late.remedy == "galaxy-jobs poll --every 5"
    assert polled(3).verdict is Verdict.WARN
    assert polled(200, sweeps=1).verdict is Verdict.FAIL


@pytest.fixture
def doctor(sound: SetUp, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doctor]:
    """One within this process, whose clock can be set."""
    for name, value in sound.env.items():
        if name.startswith(("GALAXY", "DATABASE")):
            monkeypatch.setenv(name, value)
    settings = load(env_file=None)
    with opened(settings) as container:
        yield Doctor(container)


def by_check(doctor: Doctor) -> dict[str, Finding]:
    return {finding.check: finding for finding in doctor()}


def test_a_version_that_a_workflow_does_not_have(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(_: Galaxy, wanted: AllowedWorkflow) -> NoReturn:
        raise WorkflowVersionNotFound(wanted.name, 7, "The newest is version 0.")

    monkeypatch.setattr(Galaxy, "find", find)
    allowlist = Allowlist((AllowedWorkflow(name="success"),))
    doctor.parts.settings.override(evolve(doctor.settings, allowlist=allowlist))
    found = by_check(doctor)["workflows"]
    assert found.verdict is Verdict.FAIL
    assert "no version 7" in found.message
    assert "version" in (found.remedy or "")


@pytest.mark.parametrize(
    ("off", "message"),
    [(-7300, "2 h ahead of ours"), (7300, "2 h behind ours")],
)
def test_clocks_that_disagree(doctor: Doctor, off: float, message: str) -> None:
    clock = providers.Object(lambda: datetime.now(UTC) + timedelta(seconds=off))
    doctor.parts.clock.override(clock)
    findings = by_check(doctor)
    for check in ("database clock", "galaxy clock"):
        assert findings[check].verdict is Verdict.WARN
        assert message in findings[check].message
        assert findings[check].remedy


@pytest.mark.parametrize(
    ("version", "warning", "lacks"),
    [
        ("23.2.1", "older than 24.1, the oldest that is tested", True),
        ("24.2.4", None, True),
        ("26.1.2", None, False),
        ("27.0", "newer than 26.1, the newest that is tested", False),
    ],
)
def test_what_this_galaxy_is_and_lacks(
    doctor: Doctor,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    warning: str | None,
    *,
    lacks: bool,
) -> None:
    monkeypatch.setattr(Galaxy, "about", lambda _: About(version, None))
    findings = [finding for finding in doctor() if finding.check == "galaxy"]
    assert findings[-1].verdict is Verdict.OK
    assert f"Galaxy {version} answers." in findings[-1].message
    assert ("the state `completed`" in findings[-1].message) is lacks
    warnings = findings[:-1]
    assert len(warnings) == (0 if warning is None else 1)
    for finding in warnings:
        assert finding.verdict is Verdict.WARN
        assert str(warning) in finding.message
        assert finding.remedy


def test_a_home_that_cannot_be_written_to(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    doctor.folder = tmp_path / "file" / "postgres"
    home = by_check(doctor)["home"]
    assert home.verdict is Verdict.FAIL
    assert "GALAXY_JOBS_HOME" in (home.remedy or "")
    doctor.folder = tmp_path / "not" / "yet" / "there"
    assert by_check(doctor)["home"].verdict is Verdict.OK
    assert not (tmp_path / "not").exists()


def test_people_are_told_line_by_line_with_the_remedies(sound: SetUp) -> None:
    broken = {**sound.env, "DATABASE_URL": "postgresql://127.0.0.1:9/jobs"}
    terminal = Terminal(("doctor",), broken, sound.folder)
    assert terminal.end() == 1
    lines = terminal.text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "1 problem found."
    (at,) = [n for n, line in enumerate(lines) if line.startswith("FAIL  database")]
    rest = " ".join(" ".join(lines[at:]).split())
    assert "-> Start that server, or correct DATABASE_URL" in rest
    assert "\x1b[32m" in terminal.written
    done = sound.service().run("doctor")
    assert done.returncode == 0
    assert "All is well." in done.stdout
    assert "\x1b" not in done.stdout

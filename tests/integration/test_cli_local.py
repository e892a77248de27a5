"""What the local commands say where what they need is not there, or is wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.postgres import make_engine, where
from galaxy_jobs.adapters.postgres.migrations import REVISIONS
from tests.support.service import Service
from tests.support.wait import until


NOWHERE = "http://127.0.0.1:9"


def here(folder: Path, **env: str) -> Service:
    """Return our commands, with an environment of their own and no service."""
    rest = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GALAXY", "DATABASE"))
    }
    return Service({**rest, "GALAXY_JOBS_HOME": str(folder), **env}, folder)


@pytest.fixture
def commands(tmp_path: Path, database_url: str) -> Service:
    """Commands with a database that is up to date, and no Galaxy."""
    return here(
        tmp_path, DATABASE_URL=database_url, GALAXY_URL=NOWHERE, GALAXY_API_KEY="k"
    )


def test_a_migration_says_what_it_applied(
    tmp_path: Path, empty_database_url: str
) -> None:
    service = here(tmp_path, DATABASE_URL=empty_database_url)
    first, second = (service.run("migrate").stdout for _ in range(2))
    assert first == f"Applied: {', '.join(REVISIONS)}. The schema is up to date.\n"
    assert second == "The schema is up to date.\n"


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line on standard error."""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--port", "0"],
        ["poll", "--once"],
        ["migrate"],
        ["token", "list"],
    ],
    ids=" ".join,
)
def test_a_database_that_is_not_there(tmp_path: Path, command: list[str]) -> None:
    service = here(
        tmp_path,
        DATABASE_URL="postgresql://me:secret@127.0.0.1:9/jobs",
        GALAXY_URL=NOWHERE,
        GALAXY_API_KEY="k",
    )
    done = service.run(*command)
    assert done.returncode == 1
    # Which, where it looked, what to do.
    assert "The database 'jobs' at 127.0.0.1 (port 9) is not available" in done.stderr
    assert "DATABASE_URL" in done.stderr
    assert "galaxy-jobs doctor" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", [["serve", "--port", "0"], ["poll", "--once"]], ids=" ".join
)
def test_a_schema_that_is_behind(
    tmp_path: Path, empty_database_url: str, command: list[str]
) -> None:
    service = here(
        tmp_path,
        DATABASE_URL=empty_database_url,
        GALAXY_URL=NOWHERE,
        GALAXY_API_KEY="k",
    )
    done = service.run(*command)
    assert done.returncode == 1
    assert "Run `galaxy-jobs migrate`" in only_line(done)


def test_a_sweep_tells_by_its_exit_code_whether_it_could_ask(
    commands: Service, galaxy: LocalGalaxy, tmp_path: Path
) -> None:
    done = commands.run("poll", "--once")
    assert done.returncode == 1
    assert f"Galaxy at {NOWHERE} could not be reached" in only_line(done)
    assert done.stdout.startswith("due=0 ")
    there = Service(
        {
            **commands.env,
            "GALAXY_URL": galaxy.url,
            "GALAXY_API_KEY": galaxy.user_key("tests-local"),
        },
        tmp_path,
    )
    done = there.run("poll", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    # So that a DATABASE_URL that never came is seen.
    assert done.stdout.endswith(f" database={database_in(commands)}\n")


def database_in(service: Service) -> str:
    """Say which database the commands of a service are to use."""
    url = sa.make_url(service.env["DATABASE_URL"])
    host = url.host or url.query["host"]
    return f"{host}:{url.port or 5432}/{url.database}"


def test_where_the_database_is_is_said_without_its_password() -> None:
    url = "postgresql://me:secret@db.example.org/jobs?password=secret"
    assert where(make_engine(url)) == "db.example.org:5432/jobs"


def test_it_serves_without_galaxy_and_says_so(commands: Service) -> None:
    try:
        serving = commands.serve()

        def problems() -> list[str]:
            return [
                line["problem"]
                for line in serving.logged()
                if line["event"].startswith("no Galaxy yet")
            ]

        (problem,) = until(problems)
        assert f"Galaxy at {NOWHERE} could not be reached" in problem
        assert commands.get("/jobs")["items"] == []
        (ready,) = [line for line in serving.logged() if line["event"] == "serving"]
        assert ready["database"] == database_in(commands)
        assert serving.stop(signal.SIGTERM) == 0
    finally:
        commands.stop()


def test_a_port_that_is_taken(commands: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = commands.run("serve", "--port", port)
    assert done.returncode == 1
    assert f"cannot listen on http://127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_addresses_are_not_served_without_a_token(commands: Service) -> None:
    done = commands.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "galaxy-jobs token create" in only_line(done)


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["poll", "--once"]])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"GALAXY_URL": ""}, "GALAXY_URL is not set; expected the address"),
        ({"GALAXY_API_KEY": ""}, "GALAXY_API_KEY is not set; expected an API key"),
        ({"GALAXY_API_KEY": "secret key"}, "GALAXY_API_KEY: "),
        ({"GALAXY_URL": "usegalaxy.eu"}, "GALAXY_URL is 'usegalaxy.eu'; expected"),
        ({"GALAXY_TIMEOUT": "soon"}, "GALAXY_TIMEOUT is 'soon'; expected a number"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL is 'mysql://…'; expected"),
        ({"DATABASE_URL": "postgresql://u:secret@h:p/d"}, "DATABASE_URL: "),
        (
            {"GALAXY_JOBS_CONFIG": "nowhere.toml"},
            "nowhere.toml', which could not be read",
        ),
    ],
    ids=str,
)
def test_settings_missing_or_malformed(
    tmp_path: Path, command: list[str], changed: dict[str, str], message: str
) -> None:
    sound = {
        "DATABASE_URL": "postgresql://127.0.0.1:9/jobs",
        "GALAXY_URL": NOWHERE,
        "GALAXY_API_KEY": "k",
    }
    done = here(tmp_path, **(sound | changed)).run(*command)
    assert done.returncode == 2
    line = only_line(done)
    assert message in line
    assert "secret" not in line


def test_what_excludes_each_other(commands: Service) -> None:
    assert commands.run("poll", "--once", "--every", "1").returncode == 2
    assert commands.run("serve", "--port", "65536").returncode == 2
    assert commands.run("poll", "--every", "0").returncode == 2


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("litestar", ["serve", "--port", "0"], "server"),
        ("bioblend", ["poll", "--once"], "server"),
        ("alembic", ["migrate"], "server"),
        ("cyclopts", ["list"], "server"),
    ],
)
def test_what_is_not_installed_is_said_with_the_extra_that_brings_it(
    tmp_path: Path,
    empty_database_url: str,
    missing: str,
    command: list[str],
    extra: str,
) -> None:
    service = here(
        tmp_path,
        DATABASE_URL=empty_database_url,
        GALAXY_URL=NOWHERE,
        GALAXY_API_KEY="k",
    )
    if missing == "litestar":
        assert service.run("migrate").returncode == 0
    # As if it were not installed: the import machinery looks for it in vain.
    program = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from galaxy_jobs.entrypoints.__main__ import main
sys.argv = ["galaxy-jobs", *{command!r}]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env=dict(service.env),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert only_line(done) == (
        f"galaxy-jobs: {missing} is not installed. Install it with: "
        f"pip install 'galaxy-jobs[{extra}]'  (in a clone: '.[{extra}]')"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_a_shell(tmp_path: Path, shell: str) -> None:
    done = here(tmp_path).run("completion", shell)
    assert done.returncode == 0
    assert "workflows" in done.stdout
    (tmp_path / "script").write_text(done.stdout)
    if shell != "bash":
        return
    checked = subprocess.run(
        ["bash", "-n", tmp_path / "script"], check=False, capture_output=True
    )
    assert checked.returncode == 0, checked.stderr
    assert completed(tmp_path / "script", "galaxy-jobs", "wor") == ["workflows"]
    assert completed(tmp_path / "script", "galaxy-jobs", "datasets", "") == [
        *("add", "list", "show", "rename", "remove")
    ]
    states = completed(tmp_path / "script", "galaxy-jobs", "list", "--state", "c")
    assert states == ["cancelling", "completed", "cancelled"]


def completed(script: Path, *words: str) -> list[str]:
    """Return what bash offers once these words are typed and Tab is pressed."""
    program = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        "$(complete -p galaxy-jobs | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", program, "bash", script, *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()

"""A folder that is not ours, and a shell that has lost a setting."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from tests.attacks.measure import Attack
from tests.support.eavesdropper import eavesdropper
from tests.support.service import Service


KEY, TOKEN, PASSWORD = "key-of-ours", "gjt_0123456789abcdef_token-of-ours", "pw-of-ours"
SECRETS = {
    "GALAXY_API_KEY": KEY,
    "GALAXY_JOBS_TOKEN": TOKEN,
    "PGPASSWORD": PASSWORD,
}


def commands(folder: Path, **env: str) -> Service:
    """Return our commands with no settings but these, run in that folder."""
    rest = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GALAXY", "DATABASE", "PG"))
    }
    return Service({**rest, "HOME": str(folder / "home"), **env}, folder, cold=True)


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[list[Path]]:
    """Two folders for embedded databases."""
    homes = [tmp_path / "one", tmp_path / "two"]
    yield homes
    for home in (*homes, tmp_path / "home/.local/share/galaxy-jobs"):
        shutil.rmtree(EmbeddedPostgres(home).folder, ignore_errors=True)


@pytest.mark.usefixtures("homes")  # under root, doctor starts a database elsewhere
def test_an_env_file_with_addresses_of_others(attack: Attack, tmp_path: Path) -> None:
    with eavesdropper() as thief:
        url = f"http://127.0.0.1:{thief.port}"
        ours = commands(tmp_path, **SECRETS)
        for setting, command in (
            (f"GALAXY_JOBS_URL={url}", "list"),
            (f"GALAXY_JOBS_URL={url}/${{GALAXY_API_KEY}}", "list"),
            (f"GALAXY_URL={url}", "doctor"),
            (f"DATABASE_URL=postgresql://x@127.0.0.1:{thief.port}/x", "migrate"),
        ):
            (tmp_path / ".env").write_text(f"{setting}\n")
            ours.run(*command.split())
        stolen = thief.secrets(*SECRETS.values())
    attack.at_most(0, "secrets sent to addresses of the file", stolen, "secrets")


def test_an_env_file_with_variables_for_programs(
    attack: Attack, tmp_path: Path, homes: list[Path]
) -> None:
    names = ("LD_PRELOAD", "LD_LIBRARY_PATH", "PATH_OF_THE_FILE", "TZ")
    (tmp_path / ".env").write_text("".join(f"{name}=/nowhere\n" for name in names))
    secrets = {"DATABASE_URL": "", "GALAXY_URL": "http://127.0.0.1:9"}
    ours = commands(tmp_path, GALAXY_JOBS_HOME=str(homes[0]), **SECRETS, **secrets)
    try:
        ours.serve()
        (record,) = EmbeddedPostgres(homes[0]).data.glob("postmaster.pid")
        pid = record.read_text().split()[0]
        environ = Path(f"/proc/{pid}/environ").read_text()
    finally:
        ours.stop()
    preloaded = environ.count("=/nowhere")
    attack.at_most(0, "variables of the file in PostgreSQL", preloaded, "variables")
    known = sum(secret in environ for secret in SECRETS.values())
    attack.at_most(0, "our secrets in PostgreSQL's environment", known, "secrets")


def test_a_token_without_the_setting_of_the_service(
    attack: Attack, homes: list[Path], tmp_path: Path
) -> None:
    galaxy = {"GALAXY_URL": "http://127.0.0.1:9", "GALAXY_API_KEY": KEY}
    ours = commands(tmp_path, GALAXY_JOBS_HOME=str(homes[0]), **galaxy)
    try:
        ours.serve()
        lost = commands(tmp_path, GALAXY_JOBS_HOME=str(homes[1]), **galaxy)
        done = lost.run("token", "create", "me", "--scope", "submit")
        still_open = ours.request("GET", "/jobs").ok
    finally:
        ours.stop()
    misled = int(done.returncode == 0 and still_open)
    attack.at_most(0, "tokens that lock nothing", misled, "tokens")
    unnamed = int(str(EmbeddedPostgres(homes[1]).folder) not in done.stderr)
    attack.at_most(0, "answers without the database's name", unnamed, "answers")

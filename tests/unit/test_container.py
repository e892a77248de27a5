"""The container is not type-checked inside; building it is the check."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from galaxy_jobs.entrypoints.container import Container, opened
from galaxy_jobs.entrypoints.environment import BadSetting
from galaxy_jobs.entrypoints.settings import Settings


def settings(**given: object) -> Settings:
    return Settings(
        **{
            "galaxy_url": "http://127.0.0.1:9",
            "galaxy_api_key": "key",
            "database_url": "postgresql://nobody@127.0.0.1:9/none",
            "home": Path("/nonexistent"),
            **given,
        }  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", sorted(Container.providers))
def test_every_provider_can_be_built_and_none_connects(name: str) -> None:
    container = Container(settings=settings())
    assert container.providers[name]() is not None
    container.shutdown_resources()


def test_what_needs_galaxy_says_which_setting_is_missing() -> None:
    container = Container(settings=settings(galaxy_api_key=None))
    with pytest.raises(BadSetting, match="GALAXY_API_KEY is not set"):
        container.runner()


def test_who_opens_it_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    with opened(settings()) as container:
        poll = container.poll()
        assert list(poll.mapper(abs, [-1])) == [1]
        poll.pipelines(lambda: None)
        assert set(threading.enumerate()) - before
    assert not set(threading.enumerate()) - before

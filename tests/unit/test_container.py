"""The container is not type-checked inside; building it is the check."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dependency_injector.providers import Provider

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


def test_threads_that_are_the_first_to_ask_share_what_they_get() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            with opened(settings()) as container, ThreadPoolExecutor(8) as threads:
                for name in ("submit", "galaxy", "broadcast"):
                    provider, begin = container.providers[name], threading.Barrier(8)

                    def ask(
                        provider: Provider[object] = provider,
                        begin: threading.Barrier = begin,
                    ) -> object:
                        begin.wait(20)
                        return provider()

                    asked = [threads.submit(ask) for _ in range(8)]
                    assert len({id(each.result(20)) for each in asked}) == 1, name
    finally:
        sys.setswitchinterval(interval)

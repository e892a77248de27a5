"""How Hypothesis runs, and what a test run leaves behind.

Hypothesis searches quickly and at random by default, at length when asked.

``pytest --hypothesis-profile=long`` searches a hundred times as far. A failure
prints the blob that brings it back.
"""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings


pytest.register_assert_rewrite("tests.support")

from tests.support.galaxy import stop_unused_galaxy  # noqa: E402 - its asserts, too


# pytest-xdist tells its workers how wide a terminal is: what is tested has none.
os.environ.pop("COLUMNS", None)
# A shell lets what runs in its background ignore Ctrl-C, and that is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "short",
    max_examples=60,
    stateful_step_count=30,
    deadline=None,  # the machine is shared: a slow example proves nothing
    database=None,  # unit tests leave nothing on the disk
    derandomize=True,  # a change is judged by what it does; the long profile searches
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "long",
    settings.get_profile("short"),
    max_examples=6000,
    stateful_step_count=60,
    derandomize=False,
)
settings.load_profile("short")


LONGEST_FILES = (
    "test_embedded_postgres.py",
    "test_scenarios.py",
    "test_packaging.py",
    "test_postgres_repositories.py",
    "test_embedded_galaxy.py",
    "test_demo.py",
    "test_library.py",
    "test_chaos.py",
    "test_image.py",
    "test_cli_trouble.py",
    "test_web_layout.py",
    "test_web.py",
    "test_slow_looks.py",
    "test_declared_inputs.py",
    "test_surfaces.py",
    "test_cli.py",
    "test_openapi.py",
    "test_end_to_end.py",
    "test_uploads_galaxy.py",
    "test_collections.py",
    "test_downloads.py",
    "test_readme.py",
    "test_crashes.py",
    "test_http_server.py",
    "test_generated_client.py",
)
"""Those that take longest, in the order in which they are begun.

The first of them need no Galaxy, which is still starting. The scenarios keep it busy
for minutes: the tests of crashes, whose deadlines are short, come after them.
"""


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Begin the longest files first: no worker is to be left with one at the end.

    Of the others, those that compute (the unit tests) and those that mostly wait (for
    Galaxy) take turns.
    """
    if config.pluginmanager.hasplugin("randomly"):
        return
    ranks = {name: rank for rank, name in enumerate(LONGEST_FILES)}
    folders: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(item.path for item in items):
        folders.setdefault(path.parent, []).append(path)
    places = {
        path: (ranks.get(path.name, len(ranks)), place / len(paths))
        for paths in folders.values()
        for place, path in enumerate(paths)
    }
    items.sort(key=lambda item: places[item.path])


def pytest_collection_finish() -> None:
    """Search for garbage less often, and not in what stays: a third of all computing.

    Each test that makes an application leaves a hundred thousand objects in cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop Galaxy once no worker of this run, and no other run, uses it."""
    if not hasattr(session.config, "workerinput"):
        stop_unused_galaxy()

"""The real services the integration tests run on.

What is missing is an error, never a skip: a suite that tests nothing would pass.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.system import locked
from tests.support.galaxy import Lab, SharedGalaxy
from tests.support.postgres import (
    database_url,
    empty_database_url,
    module_database_url,
    postgres_url,
    template_database,
)
from tests.support.wheel import built_wheel, run


__all__ = [
    "database_url",
    "empty_database_url",
    "module_database_url",
    "postgres_url",
    "template_database",
]

SHARED_GALAXY = pytest.StashKey[SharedGalaxy]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start Galaxy while the tests run that do not need it."""
    needed = any(
        "galaxy" in getattr(item, "fixturenames", ()) for item in session.items
    )
    if needed and not session.config.option.collectonly:
        _galaxy(session.config)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (shared := session.config.stash.get(SHARED_GALAXY, None)) is not None:
        shared.leave()


def _galaxy(config: pytest.Config) -> SharedGalaxy:
    if SHARED_GALAXY not in config.stash:
        terminal = config.pluginmanager.getplugin("terminalreporter")
        config.stash[SHARED_GALAXY] = SharedGalaxy(
            lambda stage: terminal and terminal.write_line(stage)
        )
    return config.stash[SHARED_GALAXY]


@pytest.fixture(scope="session")
def galaxy(pytestconfig: pytest.Config) -> LocalGalaxy:
    """A Galaxy that runs; left running only where it ran before."""
    return _galaxy(pytestconfig).get()


@pytest.fixture(scope="session")
def lab(galaxy: LocalGalaxy) -> Lab:
    """A new user of that Galaxy, with data and every scenario."""
    return Lab(galaxy.url, galaxy.user_key(f"tests-{uuid4().hex[:8]}"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of this test run have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def wheel(shared_folder: Path) -> Path:
    """The wheel, built by the first worker that asks for it."""
    folder = shared_folder / "wheel"
    with locked(shared_folder / "wheel.lock"):
        return next(folder.glob("*.whl"), None) or built_wheel(folder)


@pytest.fixture(scope="session")
def bare_python(wheel: Path, shared_folder: Path) -> Path:
    """A Python with the wheel and what the wheel depends on."""
    home = shared_folder / "bare"
    python = home / "bin" / "python"
    with locked(shared_folder / "bare.lock"):
        if not home.exists():
            run(sys.executable, "-m", "venv", home)
            run(python, "-m", "pip", "install", "--quiet", wheel)
    return python


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a text of two lines, on this machine."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "two-lines.txt").write_text("one\ntwo\n")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/two-lines.txt"
        server.shutdown()

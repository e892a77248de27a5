"""The real services the integration tests run on.

What is missing is an error, never a skip: a suite that tests nothing would pass.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from tests.support.galaxy import Lab, shared_galaxy
from tests.support.wheel import built_wheel, run


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL of this session's own."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    try:
        with server as url:
            yield url
    finally:
        # Under root it does not lie in the temporary folder.
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """The URL of a database that is new and empty; it is dropped afterwards."""
    with _database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_url: str) -> Iterator[str]:
    """The same, for all tests of a module together."""
    with _database(postgres_url) as url:
        yield url


@contextmanager
def _database(postgres_url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield postgres_url.replace("/postgres?", f"/{name}?")
        connection.execute(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        )


@pytest.fixture(scope="session")
def galaxy(pytestconfig: pytest.Config) -> Iterator[LocalGalaxy]:
    """A Galaxy that runs; left running only where it ran before."""
    terminal = pytestconfig.pluginmanager.getplugin("terminalreporter")
    with shared_galaxy(lambda stage: terminal and terminal.write_line(stage)) as local:
        yield local


@pytest.fixture(scope="session")
def lab(galaxy: LocalGalaxy) -> Lab:
    """A new user of that Galaxy, with data and every scenario."""
    return Lab(galaxy.url, galaxy.user_key(f"tests-{uuid4().hex[:8]}"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What others install."""
    return built_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel and what the wheel says it needs."""
    home = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", home)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    return python

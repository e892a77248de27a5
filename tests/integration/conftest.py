"""The real services the integration tests run on.

What is missing is an error, never a skip: a suite that tests nothing would pass.
"""

from __future__ import annotations

import os
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
from galaxy_jobs.adapters.embedded.system import locked
from galaxy_jobs.adapters.postgres import make_engine, migrate
from tests.support.galaxy import Lab, SharedGalaxy
from tests.support.wheel import built_wheel, run


TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL of this session's own."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    try:
        with server as url:
            with psycopg.connect(url, autocommit=True) as connection:
                # What it holds is worth nothing after a crash.
                for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                    connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
                connection.execute("SELECT pg_reload_conf()")
            yield url
    finally:
        # Under root it does not lie in the temporary folder.
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """The name of a database with the schema, from which others are copied."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}".encode())
    engine = make_engine(_at(postgres_url, TEMPLATE))
    migrate(engine)
    engine.dispose()
    return TEMPLATE


@pytest.fixture
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """The URL of a new database with the schema; it is dropped afterwards."""
    with _database(postgres_url, template_database) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """The same, for all tests of a module together."""
    with _database(postgres_url, template_database) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """The URL of a new database without the schema; it is dropped afterwards."""
    with _database(postgres_url, "template1") as url:
        yield url


@contextmanager
def _database(postgres_url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template)
    )
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(create)
    yield _at(postgres_url, name)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(drop)


def _at(postgres_url: str, database: str) -> str:
    return postgres_url.replace("/postgres?", f"/{database}?")


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

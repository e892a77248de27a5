"""A PostgreSQL of the test session's own: fixtures, to be imported by a conftest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.postgres import make_engine, migrate


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
    with new_database(postgres_url, template_database) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """The same, for all tests of a module together."""
    with new_database(postgres_url, template_database) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """The URL of a new database without the schema; it is dropped afterwards."""
    with new_database(postgres_url, "template1") as url:
        yield url


@contextmanager
def new_database(postgres_url: str, template: str) -> Iterator[str]:
    """Make a database from a template; it is dropped at the end of the block."""
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

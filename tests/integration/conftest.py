"""The real services the integration tests run on.

What is missing is an error, never a skip: a suite that tests nothing would pass.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres


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
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield postgres_url.replace("/postgres?", f"/{name}?")
        connection.execute(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        )

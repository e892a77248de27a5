"""The version of the database's schema, and its migration.

Rule of the file: Alembic is imported only to migrate. Its import takes longer than
everything else at a start.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from importlib.resources import as_file, files
from typing import ClassVar

import psycopg
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from galaxy_jobs.adapters.postgres.engine import read, reason, translated
from galaxy_jobs.adapters.postgres.migrations import REVISIONS, VERSION_TABLE
from galaxy_jobs.domain.errors import DomainError, StoreUnavailable


LOCK_TIMEOUT = 5
"""Seconds that a migration waits for a lock; all later work waits behind it."""

LOCK_ATTEMPTS = 6
"""How often a migration tries, letting other work pass in between."""


class SchemaState(Enum):
    """The database's schema, compared with this program's."""

    EMPTY = "empty"  #: there is no schema
    BEHIND = "behind"  #: older: it has to be migrated
    CURRENT = "current"  #: the same
    AHEAD = "ahead"  #: newer: migrations leave the version before working


class SchemaBehind(DomainError):
    """The database's schema is older than this program, or missing."""

    code: ClassVar[str] = "schema-behind"


class SchemaConflict(DomainError):
    """The database has tables of our names that are not ours."""

    code: ClassVar[str] = "schema-conflict"


def schema_state(engine: Engine) -> SchemaState:
    """Compare the database's schema with this program's.

    Raises:
        StoreUnavailable: The server could not be reached.
    """
    return read(engine, _state)


def check_schema(engine: Engine) -> None:
    """Make sure that this program can work with the database's schema.

    Raises:
        SchemaBehind: It is older, or missing.
        StoreUnavailable: The server could not be reached.
    """
    match schema_state(engine):
        case SchemaState.EMPTY:
            raise SchemaBehind(
                "The database has no tables of ours yet. Run `galaxy-jobs migrate`."
            )
        case SchemaState.BEHIND:
            raise SchemaBehind(
                "The database's schema is older than this program. "
                "Run `galaxy-jobs migrate`."
            )
        case SchemaState.CURRENT | SchemaState.AHEAD:
            return


_HELD_BY_OTHERS = (
    psycopg.errors.LockNotAvailable,
    # The program of before takes its locks in another order.
    psycopg.errors.DeadlockDetected,
)


def migrate(
    engine: Engine,
    *,
    lock_timeout: int = LOCK_TIMEOUT,
    lock_attempts: int = LOCK_ATTEMPTS,
) -> Sequence[str]:
    """Upgrade the schema, in one transaction; a newer schema stays as it is.

    Several processes may do so at once.

    Args:
        engine: Of the database.
        lock_timeout: Seconds to wait for a lock in one attempt.
        lock_attempts: How many attempts there are.

    Returns:
        The revisions that were applied, oldest first.

    Raises:
        StoreUnavailable: The server could not be reached, or another program held
            locks on the tables to change.
        SchemaConflict: The database has other tables of the same names.
    """
    for attempt in range(lock_attempts):
        try:
            # A process that waits for a migration in progress finds it done.
            with engine.begin() as connection:
                applied = _migrate(connection, lock_timeout)
        except DBAPIError as error:
            if isinstance(error.orig, _HELD_BY_OTHERS):
                if attempt + 1 < lock_attempts:
                    continue
                raise StoreUnavailable(
                    "The schema could not be changed: other programs held on to "
                    f"its tables for {lock_attempts * lock_timeout} s. Stop them, "
                    "or repeat `galaxy-jobs migrate` at a quieter time."
                ) from error
            if isinstance(error.orig, psycopg.errors.DuplicateTable):
                raise SchemaConflict(
                    f"The database has something of that name already: "
                    f"{reason(error)}. Give galaxy-jobs a database of its own, or "
                    "a schema (?options=-csearch_path%3Dgalaxy_jobs)."
                ) from error
            broken = error.connection_invalidated
            raise translated(engine, error, broken=broken) from error
        else:
            return applied
    raise AssertionError("the last attempt returns or raises")


def _migrate(connection: Connection, lock_timeout: int) -> Sequence[str]:
    connection.execute(sa.text(f"SET LOCAL lock_timeout = '{lock_timeout}s'"))
    connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    connection.execute(
        sa.select(
            sa.func.pg_advisory_xact_lock(
                sa.func.hashtextextended("galaxy-jobs migrate", 0)
            )
        )
    )
    version = _version(connection)
    if _compared(version) in {SchemaState.CURRENT, SchemaState.AHEAD}:
        return ()
    from alembic import command  # noqa: PLC0415 - see the module
    from alembic.config import Config  # noqa: PLC0415

    with as_file(files(__package__) / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return REVISIONS if version is None else REVISIONS[REVISIONS.index(version) + 1 :]


def _state(connection: Connection) -> SchemaState:
    return _compared(_version(connection))


def _version(connection: Connection) -> str | None:
    exists = connection.scalar(
        sa.select(sa.func.to_regclass(VERSION_TABLE).isnot(None))
    )
    if not exists:
        return None
    version: str | None = connection.scalar(
        sa.text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
    )
    return version


def _compared(version: str | None) -> SchemaState:
    if version is None:
        return SchemaState.EMPTY
    if version not in REVISIONS:
        return SchemaState.AHEAD
    return SchemaState.CURRENT if version == REVISIONS[-1] else SchemaState.BEHIND

"""Connections and transactions, and the domain errors for their failures.

Rule of the file: :func:`read` and :func:`write` raise domain errors; anything else is
a bug. A transaction that certainly did not happen (its connection broke before the
commit was sent, or PostgreSQL undid it) is run again. Whether a commit happened whose
answer was lost is not known, and the error says so.

Transactions can wait for each other's locks, so they use at most half of the
connections: queries never wait for them.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock, Semaphore
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from galaxy_jobs.domain.errors import InvalidValue, StoreUnavailable


T = TypeVar("T")

ATTEMPTS = 5
"""How often a transaction is attempted that certainly did not happen."""

STATEMENT_TIMEOUT = 30
"""Seconds after which PostgreSQL cancels a statement."""

IDLE_TIMEOUT = 10
"""Seconds without a statement after which PostgreSQL ends a transaction.

Between two statements of ours lie milliseconds. But a process can be stopped in
between, with its machine or by a signal, and would keep its locks for as long."""

_UNDONE = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_MISSING = frozenset({"42P01", "42703"})  # no such table, no such column
_FORBIDDEN = frozenset({"25006", "42501"})  # a standby, missing privileges
_TOO_LARGE = "54"  # such as a text too long for an index
_IN_TROUBLE = ("53", "58", "XX")  # no resources, such as disk; its system; itself

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """Return an engine; it connects when it is first used.

    Args:
        url: ``postgresql://user@host/db``; libpq's parameters may follow a ``?``.
        pool_size: The number of connections at most; further work waits. Transactions
            use at most half of them.

    Raises:
        InvalidValue: The URL is malformed, or is not PostgreSQL's.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise _malformed("it cannot be parsed") from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise _malformed(f"it begins with {parsed.drivername!r}")
    parsed = parsed.set(drivername="postgresql+psycopg")
    options = (
        f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT}s"
        f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT}s"
    )
    given = parsed.query.get("options")
    if isinstance(given, str):
        options = f"{options} {given}"  # the later of two wins
    engine = sa.create_engine(
        parsed.difference_update_query(["options"]),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=STATEMENT_TIMEOUT,
        # As few connections as possible are kept busy, and idle ones can be closed.
        pool_use_lifo=True,
        json_serializer=to_json,
        hide_parameters=True,
        execution_options={"writers": Semaphore(max(pool_size // 2, 1))},
        connect_args={
            "application_name": parsed.query.get("application_name", "galaxy-jobs"),
            "connect_timeout": parsed.query.get("connect_timeout", 5),
            "options": options,
            # A peer that vanished without closing is noticed within a minute.
            "keepalives": 1,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
        },
    )
    _, parameters = engine.dialect.create_connect_args(engine.url)
    try:
        make_conninfo(**{k: v for k, v in parameters.items() if k != "context"})
    except psycopg.Error as error:
        raise _malformed(_first_line(error)) from None
    return engine


def to_json(value: Any) -> str:
    """Return *value* as JSON that PostgreSQL stores and returns unchanged.

    Raises:
        InvalidValue: It has a value that JSON or PostgreSQL cannot hold.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise unstorable(_first_line(error)) from error
    if _NUL.search(text):
        raise unstorable("a text holds a NUL character")
    return text


def read(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run *work*, a single query, outside any transaction.

    Each statement is a transaction anyway, and BEGIN and ROLLBACK would be two more
    round trips.

    Raises:
        StoreUnavailable: The server could not be reached, or broke off.
        InvalidValue: A value that PostgreSQL cannot hold was asked for.
    """

    def query() -> T:
        with engine.connect() as connection:
            return work(connection.execution_options(isolation_level="AUTOCOMMIT"))

    return _persistently(engine, query, lambda: False)


def write(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run *work* in one transaction, once there is a connection for it.

    It may be run several times, so it must change nothing but the database.

    Raises:
        StoreUnavailable: The server could not be reached, or broke off; whether
            anything was written is not known.
        InvalidValue: A value that PostgreSQL cannot store.
    """
    committing = False

    def transact() -> T:
        nonlocal committing
        committing = False
        with engine.connect() as connection:
            result = work(connection)
            committing = True
            connection.commit()
            return result

    with held(engine.get_execution_options()["writers"]):
        return _persistently(engine, transact, lambda: committing)


@contextmanager
def held(lock: Lock | Semaphore) -> Iterator[None]:
    """Hold a lock of this process during the block.

    Raises:
        StoreUnavailable: Others have held it for too long.
    """
    if not lock.acquire(timeout=STATEMENT_TIMEOUT):
        raise busy()
    try:
        yield
    finally:
        lock.release()


def clock(engine: Engine) -> datetime:
    """Return the time by the server's clock.

    Raises:
        StoreUnavailable: The server could not be reached.
    """
    now = sa.select(sa.func.clock_timestamp())
    time: datetime = read(engine, lambda c: c.execute(now).scalar_one())
    return time


def reason(error: BaseException) -> str:
    """Return the message of PostgreSQL or its driver, as one line without any SQL."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, psycopg.Error) and original.diag.message_primary:
        return original.diag.message_primary
    return _first_line(original)


def where(engine: Engine) -> str:
    """Return ``host:port/database`` of an engine, without its password."""
    return f"{_host(engine)}:{engine.url.port or 5432}/{engine.url.database or ''}"


def unavailable(engine: Engine, error: BaseException) -> StoreUnavailable:
    """Return the error for a server that is down, unreachable or misconfigured."""
    url = engine.url
    message = reason(error)
    if url.password and str(url.password) in message:
        message = "the connection failed"
    advice = "Check that it runs and that DATABASE_URL is right."
    if (_state(error) or "").startswith(_IN_TROUBLE):
        advice = "See the server's log."
    if f'database "{url.database}" does not exist' in message:
        advice = "Make it there, as with `createdb NAME`, or correct DATABASE_URL."
    return StoreUnavailable(
        f"The database {url.database or ''!r} at {_host(engine)} (port "
        f"{url.port or 5432}) is not available: {message}. {advice}"
    )


def translated(
    engine: Engine, error: DBAPIError | psycopg.Error, *, broken: bool
) -> Exception:
    """Return the domain error for a failed statement, or *error* if it is a bug.

    Args:
        engine: Where it failed.
        error: The error of the driver, or SQLAlchemy's around it.
        broken: Whether the connection broke.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = _state(error) or ""
    if state in _MISSING:
        return StoreUnavailable(
            f"The database's schema is not this program's: {reason(error)}. "
            "Run `galaxy-jobs migrate`."
        )
    if isinstance(cause, psycopg.DataError) or state.startswith(_TOO_LARGE):
        return unstorable(reason(error))
    if (
        isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        or broken
        or state in _FORBIDDEN
        or state.startswith(_IN_TROUBLE)
    ):
        return unavailable(engine, error)
    return error


def busy() -> StoreUnavailable:
    """Return the error for work that no connection became free for."""
    return StoreUnavailable(
        f"All connections to the database have been busy for {STATEMENT_TIMEOUT} s. "
        "Try again later."
    )


def unstorable(why: str) -> InvalidValue:
    """Return the error for a value that PostgreSQL cannot hold."""
    return InvalidValue(f"A value cannot be stored: {why}.")


def _host(engine: Engine) -> str:
    return str(engine.url.host or engine.url.query.get("host") or "localhost")


def _persistently(
    engine: Engine, attempt: Callable[[], T], committing: Callable[[], bool]
) -> T:
    tries = 0
    while True:
        tries += 1
        try:
            return attempt()
        except DBAPIError as error:
            broke_off = error.connection_invalidated and not committing()
            undone = _state(error) in _UNDONE
            if tries >= ATTEMPTS or not (broke_off or undone):
                broken = error.connection_invalidated
                raise translated(engine, error, broken=broken) from error
            if undone:  # at another time, or the same two would collide again
                time.sleep(random.uniform(0, 0.02) * tries)  # noqa: S311
        except PoolTimeoutError as error:
            raise busy() from error
        except StatementError as error:  # a value was refused before it was sent
            if isinstance(error.orig, InvalidValue):
                raise error.orig from error
            raise
        except UnicodeEncodeError as error:
            raise unstorable(error.reason) from error


def _state(error: BaseException) -> str | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def _malformed(why: str) -> InvalidValue:
    # The URL itself is not shown: it may hold a password.
    return InvalidValue(
        f"The database's URL is malformed: {why}. "
        "Expected postgresql://user:password@host:5432/database."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")

"""Connections for queries on an event loop: no thread is woken for them.

Rule of the file: it only reads. So a query whose connection broke is sent again,
and a pool with a broken connection is replaced as a whole: the others are as old.
That costs nothing while all is well; a check of each connection before its use
would be another round trip for each query.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import psycopg
from attrs import define, field
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout
from sqlalchemy import Connection, Engine

from galaxy_jobs.adapters.postgres.engine import (
    ATTEMPTS,
    STATEMENT_TIMEOUT,
    busy,
    read,
    translated,
    unstorable,
)


RECONNECT_TIMEOUT = 1
"""Seconds for which a pool tries to connect before it is given up for a new one."""

WARM_UP = "SELECT length(repeat('x', 1000000))"
"""Run once by each connection. It has glibc's malloc keep memory in the server process
that it otherwise takes from the system, and returns, for each page of jobs: a quarter
of the time of the query."""

Row: TypeAlias = tuple[Any, ...]
_Pool: TypeAlias = AsyncConnectionPool[psycopg.AsyncConnection[Row]]


@define(eq=False)
class AsyncReader:
    """Runs queries on the event loop, over a few connections of its own.

    It connects when it is first used, in the event loop of that time, and is closed
    in the same. After :meth:`close` it can be used again, in another one.

    Attributes:
        engine: Returns the engine, whose address, options and error messages are
            used here, too; called only once there is a query.
        size: The number of connections at most; further queries wait.
    """

    engine: Callable[[], Engine]
    size: int = 8
    _pool: _Pool | None = field(default=None, init=False)
    _opening: asyncio.Task[_Pool] | None = field(default=None, init=False)
    _closing: set[asyncio.Task[None]] = field(factory=set, init=False)

    async def fetch_row(
        self, statement: bytes, parameters: Mapping[str, Any]
    ) -> Row | None:
        """Return the first row of a query, or None if there is none.

        Args:
            statement: The query, with psycopg's placeholders.
            parameters: Values by name.

        Raises:
            StoreUnavailable: The server could not be reached, or broke off.
            InvalidValue: A value that PostgreSQL cannot hold was asked for.
        """
        attempts = 0
        while True:
            attempts += 1
            pool, broken = None, False
            try:
                pool = await self._open()
                async with pool.connection() as connection:
                    try:
                        cursor = await connection.execute(statement, parameters)
                        return await cursor.fetchone()
                    finally:
                        broken = connection.closed
            except PoolTimeout as error:
                raise busy() from error
            except psycopg.Error as error:
                broken = broken or isinstance(error, PoolClosed)
                if not broken or pool is None or attempts == ATTEMPTS:
                    raise translated(self.engine(), error, broken=broken) from error
                self._discard(pool)
            except UnicodeEncodeError as error:
                raise unstorable(error.reason) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            self._discard(self._pool)
        await asyncio.gather(*self._closing)

    async def _open(self) -> _Pool:
        if self._pool is not None:
            return self._pool
        if self._opening is None:  # of several queries at once, the first connects
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    async def _connect(self) -> _Pool:
        conninfo = await asyncio.to_thread(self._conninfo)
        # A pool would only log why it cannot connect.
        await (await psycopg.AsyncConnection.connect(conninfo)).close()
        pool: _Pool = AsyncConnectionPool(
            conninfo,
            kwargs={"autocommit": True},
            configure=_warm_up,
            min_size=1,
            max_size=self.size,
            timeout=STATEMENT_TIMEOUT,
            reconnect_timeout=RECONNECT_TIMEOUT,
            reconnect_failed=self._reconnect_failed,
            open=False,
        )
        await pool.open()
        self._pool = pool
        return pool

    def _conninfo(self) -> str:
        return read(self.engine(), _conninfo_of)

    def _opened(self, _: asyncio.Task[_Pool]) -> None:
        self._opening = None

    def _reconnect_failed(self, pool: _Pool) -> None:
        if not pool.get_stats()["pool_size"]:  # else queries wait for the others
            self._discard(pool)

    def _discard(self, pool: _Pool) -> None:
        """Close a pool; queries that wait for its connections go on in the next."""
        if self._pool is pool:
            self._pool = None
            closing = asyncio.create_task(pool.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


async def _warm_up(connection: psycopg.AsyncConnection[Row]) -> None:
    await connection.execute(WARM_UP)


def _conninfo_of(connection: Connection) -> str:
    """Return the address and the options that a connection was made with."""
    driver: Any = connection.connection.driver_connection
    return make_conninfo(driver.info.dsn, password=driver.info.password or None)

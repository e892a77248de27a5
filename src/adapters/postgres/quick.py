"""Queries on the event loop, for what clients ask most: no thread is woken for them.

Rule of the file: it is the quick way, and never the only one. Whatever goes wrong with
it is left to :func:`read`, in a thread: the question is put there once more, and what
that means is told by the one place that knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from attrs import define, field
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine

from galaxy_jobs.adapters.postgres.engine import read


_Quick: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


@define(eq=False)
class QuickReader:
    """Connections for the event loop, besides those of the engine.

    A library's pool would see to broken connections with tasks and timeouts of its
    own; here they are closed, and the engine is asked.

    Attributes:
        engine: Its connections are the model of ours.
        most: How many connections are open at most; who needs one more waits.
    """

    engine: Engine
    most: int = 8
    _free: list[_Quick] = field(factory=list, init=False)
    _places: asyncio.Semaphore = field(init=False)
    _conninfo: str | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.most)

    async def first(self, text: str, parameters: Mapping[str, Any]) -> Any:
        """Return the first row of a query.

        Args:
            text: The query, in psycopg's spelling.
            parameters: By their names.

        Raises:
            StoreUnavailable: The server could not be reached, or broke off.
            InvalidValue: A value that PostgreSQL cannot hold was asked for.
        """
        async with self._places:
            try:
                async with self._connection() as connection:
                    cursor = await connection.execute(text.encode(), parameters)
                    return await cursor.fetchone()
            except (psycopg.Error, UnicodeEncodeError):
                self._conninfo = None  # maybe it is not true any more

        def again(one: Connection) -> Any:
            return one.exec_driver_sql(text, dict(parameters)).first()

        return await asyncio.to_thread(read, self.engine, again)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Quick]:
        # The one used last, so that the fewest are kept busy.
        connection = self._free.pop() if self._free else await self._connect()
        try:
            yield connection
        except BaseException:  # it is broken, or in the middle of something
            await connection.close()
            raise
        self._free.append(connection)

    async def _connect(self) -> _Quick:
        if self._conninfo is None:
            like = await asyncio.to_thread(read, self.engine, _conninfo)
            self._conninfo = like
        return await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)

    def close(self) -> None:
        """Close all connections; the event loop may be gone by now."""
        for connection in self._free:
            connection.pgconn.finish()
        self._free.clear()


def _conninfo(connection: Connection) -> str:
    """Return how a connection was made: where to, and with which options."""
    driver: Any = connection.connection.driver_connection
    return make_conninfo(driver.info.dsn, password=driver.info.password or None)

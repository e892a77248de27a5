"""The threads of routes: calls that wait for Galaxy run apart from all others.

Galaxy may take its full time for an answer, and many clients may ask for it at once:
they wait for each other, and readers of the database never wait for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from litestar import Litestar


P = ParamSpec("P")
T = TypeVar("T")

READER_THREADS = 40
"""Calls that may run at once; mostly they wait for the database."""

GALAXY_THREADS = 40
"""Calls that may wait for Galaxy at once, in addition."""

DOWNLOAD_THREADS = 24
"""Calls that may wait for the bytes of files at once, in addition: each one reads a
part of a file, and clients that read slowly hold none."""

FILE_THREADS = 8
"""Reads and writes of files that may run at once, in addition: a slow disk keeps no
other request waiting."""

OPENER_THREADS = 8
"""Files that may be opened at once while others of the same zips are read."""

READS_AT_ONCE = 4
"""Parts of files that are copied at once: more would keep other requests waiting for
the interpreter, and for the event loop, which passes them on."""

READ_TURN = 0.02
"""Seconds after which a read is one that waits for Galaxy, and the next may begin."""


class _Pools:
    """The threads of one event loop, in addition to those for readers."""

    def __init__(self) -> None:
        self.galaxy = ThreadPoolExecutor(GALAXY_THREADS, "galaxy")
        self.download = ThreadPoolExecutor(DOWNLOAD_THREADS, "download")
        self.file = ThreadPoolExecutor(FILE_THREADS, "file")
        self.opener = ThreadPoolExecutor(OPENER_THREADS, "opener")
        self.turns = asyncio.Semaphore(READS_AT_ONCE)


_of_loops: dict[asyncio.AbstractEventLoop, _Pools] = {}


def asks_galaxy(route: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a route, or another call, in the threads for calls to Galaxy."""
    return _in_threads(route, lambda pools: pools.galaxy)


def opens_files(call: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a call in the threads for reading files."""
    return _in_threads(call, lambda pools: pools.download)


async def read_in_turn(read: Callable[[], bytes]) -> bytes:
    """Read a part of a file in the threads for that, a few of them at a time."""
    loop = asyncio.get_running_loop()
    pools = _of_loops[loop]
    async with pools.turns:
        reading = loop.run_in_executor(pools.download, read)
        try:
            await asyncio.wait({reading}, timeout=READ_TURN)
        except asyncio.CancelledError:
            reading.cancel()
            raise
    return await reading


def openers() -> ThreadPoolExecutor:
    """Return the threads that open files, which those that read them wait for."""
    return _of_loops[asyncio.get_running_loop()].opener


def _in_threads(
    call: Callable[P, T], pool_of: Callable[[_Pools], ThreadPoolExecutor]
) -> Callable[P, Awaitable[T]]:
    @functools.wraps(call)
    async def in_thread(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = functools.partial(call, *args, **kwargs)
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool_of(_of_loops[loop]), context.run, bound)

    return in_thread


async def in_file_thread(
    function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call a function in the threads for files."""
    call = functools.partial(function, *args, **kwargs)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_of_loops[loop].file, call)


@asynccontextmanager
async def executors(_: Litestar) -> AsyncIterator[None]:
    """Start the threads of an application; at the end, finish what runs."""
    loop = asyncio.get_running_loop()
    # The event loop waits for its default executor when it is closed.
    readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")
    loop.set_default_executor(readers)
    _of_loops[loop] = pools = _Pools()
    yield
    for threads in (pools.galaxy, pools.download, pools.file, pools.opener):
        await asyncio.to_thread(threads.shutdown)
    del _of_loops[loop]

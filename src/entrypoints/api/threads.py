"""The threads of routes: calls that wait for Galaxy run apart from all others.

Galaxy may take its full time for an answer, and many clients may ask for it at once:
they wait for each other, and readers of the database never wait for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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

_file_threads: dict[asyncio.AbstractEventLoop, ThreadPoolExecutor] = {}
_galaxy_threads: dict[asyncio.AbstractEventLoop, ThreadPoolExecutor] = {}
_download_threads: dict[asyncio.AbstractEventLoop, ThreadPoolExecutor] = {}
_opener_threads: dict[asyncio.AbstractEventLoop, ThreadPoolExecutor] = {}


def asks_galaxy(route: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a route, or another call, in the threads for calls to Galaxy."""
    return _in_threads(route, _galaxy_threads)


def reads_files(call: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a call in the threads for reading files."""
    return _in_threads(call, _download_threads)


def openers() -> ThreadPoolExecutor:
    """Return the threads that open files, which those that read them wait for."""
    return _opener_threads[asyncio.get_running_loop()]


def _in_threads(
    call: Callable[P, T], pools: Mapping[asyncio.AbstractEventLoop, ThreadPoolExecutor]
) -> Callable[P, Awaitable[T]]:
    @functools.wraps(call)
    async def in_thread(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = functools.partial(call, *args, **kwargs)
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pools[loop], context.run, bound)

    return in_thread


async def in_file_thread(
    function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call a function in the threads for files."""
    call = functools.partial(function, *args, **kwargs)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_file_threads[loop], call)


@asynccontextmanager
async def executors(_: Litestar) -> AsyncIterator[None]:
    """Start the threads of an application; at the end, finish what runs."""
    loop = asyncio.get_running_loop()
    # The event loop waits for its default executor when it is closed.
    readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")
    loop.set_default_executor(readers)
    galaxy = ThreadPoolExecutor(GALAXY_THREADS, thread_name_prefix="galaxy")
    _galaxy_threads[loop] = galaxy
    downloads = ThreadPoolExecutor(DOWNLOAD_THREADS, thread_name_prefix="download")
    _download_threads[loop] = downloads
    files = ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="file")
    _file_threads[loop] = files
    opening = ThreadPoolExecutor(OPENER_THREADS, thread_name_prefix="opener")
    _opener_threads[loop] = opening
    yield
    for threads in (galaxy, downloads, files, opening):
        await asyncio.to_thread(threads.shutdown)
    for pools in (_galaxy_threads, _download_threads, _file_threads, _opener_threads):
        del pools[loop]

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
from typing import Any, ParamSpec, TypeVar, cast

from litestar import Litestar, Request


P = ParamSpec("P")
T = TypeVar("T")

READER_THREADS = 40
"""Calls that may run at once; mostly they wait for the database."""

GALAXY_THREADS = 40
"""Calls that may wait for Galaxy at once, in addition."""


def asks_galaxy(route: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a route in the threads for calls to Galaxy; it has to take ``request``."""

    @functools.wraps(route)
    async def in_thread(*args: P.args, **kwargs: P.kwargs) -> T:
        request = cast("Request[Any, Any, Any]", kwargs["request"])
        call = functools.partial(route, *args, **kwargs)
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        executor = request.app.state.galaxy_threads
        return await loop.run_in_executor(executor, context.run, call)

    return in_thread


@asynccontextmanager
async def executors(app: Litestar) -> AsyncIterator[None]:
    """Hold the threads in the application's state; at the end, finish what runs."""
    # The event loop waits for its default executor when it is closed.
    asyncio.get_running_loop().set_default_executor(
        ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")
    )
    galaxy = ThreadPoolExecutor(GALAXY_THREADS, thread_name_prefix="galaxy")
    app.state.galaxy_threads = galaxy
    yield
    await asyncio.to_thread(galaxy.shutdown)

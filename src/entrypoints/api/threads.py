"""The threads that routes work in: those that wait for Galaxy apart from the others.

Galaxy may take its full time for an answer, and many may ask for it at once: they
wait for each other, and a reader never waits for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from litestar import Litestar


P = ParamSpec("P")
T = TypeVar("T")

THREADS = 40
"""How many requests may be at work at once; further ones wait their turn. Most
of the time they wait for the database, whatever the number of cores."""

ASKING = 40
"""How many may ask Galaxy at once, besides; further ones wait their turn."""

_asking: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def threads(_: Litestar) -> AsyncIterator[None]:
    """Give the routes their threads; at the end, what runs there is finished."""
    loop = asyncio.get_running_loop()
    # The event loop waits for what runs there when it is closed.
    loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="http"))
    _asking[loop] = ThreadPoolExecutor(ASKING, thread_name_prefix="asking")
    yield
    await asyncio.to_thread(_asking.pop(loop).shutdown)


def asks_galaxy(route: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Let a route that waits for Galaxy do so apart from the others."""

    @functools.wraps(route)
    async def apart(*args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        call = functools.partial(route, *args, **kwargs)
        context = contextvars.copy_context()
        return await loop.run_in_executor(_asking[loop], context.run, call)

    return apart

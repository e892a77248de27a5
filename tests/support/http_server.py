"""Serves three paths as the service is served: ``HOST PORT GRACE HEAD STALL``.

``/endless`` says "left" on standard output when nobody listens any more. ``/held``
says "held" there and answers with the next line of standard input. The address is
said first, and the exit code last.
"""

# ruff: noqa: T201 - it speaks to the test over standard output
from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator

from litestar import get, route
from litestar.response import Stream

from galaxy_jobs.entrypoints import logs
from galaxy_jobs.entrypoints.api import server
from galaxy_jobs.entrypoints.api.asgi import Service


@get("/", sync_to_thread=False)
def at_once() -> str:
    return "here"


@route("/held", http_method=["GET", "POST"], sync_to_thread=True)
def held() -> str:
    print("held", flush=True)
    return sys.stdin.readline().strip()


async def without_end() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)
    finally:
        print("left", flush=True)


@get("/endless", sync_to_thread=False)
def endless() -> Stream:
    return Stream(without_end())


def main() -> None:
    logs.configure(level=logging.ERROR)
    host, port, grace, head, stall = sys.argv[1:]
    server.HEAD_TIMEOUT = float(head)
    server.STALL_TIMEOUT = float(stall)
    code = server.run_server(
        Service([at_once, held, endless], openapi_config=None, logging_config=None),
        host,
        int(port),
        on_ready=lambda url: print(url, flush=True),
        grace=int(grace),
    )
    print(f"returned {code}", flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

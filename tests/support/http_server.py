"""Serves seven paths as the service is served: ``HOST PORT SHUTDOWN CLIENT MAX``.

``SHUTDOWN`` and ``CLIENT`` are the timeouts, in seconds; ``MAX`` is the number of
connections.

``/file`` sends *size* bytes, and says how many of them past the event loop, or "left"
where the client has. ``/endless`` says "left" on standard output when nobody listens
any more, ``/waiting`` "waiting" at its start and "gone" then. ``/held`` says "held"
there and answers with the next line of standard input. The address is said first, and
the exit code last.
"""

# ruff: noqa: T201 - it speaks to the test over standard output
from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import sys
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from litestar import Request, get, post, put, route
from litestar.response import Stream

from galaxy_jobs.adapters.http_server import (
    CannotListen,
    ClientDisconnected,
    direct_body,
    run_server,
    send_directly,
)
from galaxy_jobs.entrypoints import logs
from galaxy_jobs.entrypoints.api.asgi import Service


@get("/", sync_to_thread=False)
def at_once() -> str:
    return "here"


@route("/held", http_method=["GET", "POST"], sync_to_thread=True)
def held() -> str:
    print("held", flush=True)
    return sys.stdin.readline().strip()


@post("/echo", status_code=200)
async def echo(request: Request[Any, Any, Any]) -> bytes:
    return await request.body()


@put("/direct", status_code=200)
async def direct(request: Request[Any, Any, Any]) -> str:
    digest = hashlib.sha256()

    def sink(piece: memoryview) -> None:
        digest.update(piece)
        if bytes(piece[:4]) == b"fail":
            raise ValueError("as it was told")

    body = direct_body(request.scope)
    assert body is not None
    length = int(request.headers["content-length"])
    try:
        await body.read(length, sink, asyncio.to_thread)
    except ClientDisconnected:
        print("disconnected", flush=True)
        raise
    return digest.hexdigest()


async def without_end() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)
    finally:
        print("left", flush=True)


async def until_gone() -> AsyncIterator[bytes]:
    try:
        print("waiting", flush=True)
        await asyncio.sleep(60)
        yield b""
    finally:
        print("gone", flush=True)


async def pieces(request: Request[Any, Any, Any], size: int) -> AsyncIterator[bytes]:
    left = size

    def read() -> bytes:
        nonlocal left
        number = min(left, 2**20)
        left -= number
        return content(size)[size - left - number : size - left]

    sent = len(first := read())
    try:
        yield first
        while chunk := await send_directly(request.scope, read, asyncio.to_thread):
            sent += len(chunk)
            yield chunk
    finally:
        print("left" if left else size - sent, flush=True)


@cache
def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@get("/file", sync_to_thread=False)
def file(request: Request[Any, Any, Any], size: int) -> Stream:
    return Stream(pieces(request, size), headers={"Content-Length": str(size)})


@get("/waiting", sync_to_thread=False)
def waiting() -> Stream:
    return Stream(until_gone())


@get("/endless", sync_to_thread=False)
def endless() -> Stream:
    return Stream(without_end())


def main() -> None:
    logs.configure(level=logging.ERROR)
    host, port, shutdown, client, connections = sys.argv[1:]
    try:
        started = run_server(
            Service(
                [at_once, held, echo, direct, file, waiting, endless],
                openapi_config=None,
                logging_config=None,
            ),
            host,
            int(port),
            on_ready=lambda url: print(url, flush=True),
            shutdown_timeout=int(shutdown),
            client_timeout=int(client),
            max_connections=int(connections),
        )
    except CannotListen as error:
        sys.exit(str(error))
    code = 0 if started else 1
    print(f"returned {code}", flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

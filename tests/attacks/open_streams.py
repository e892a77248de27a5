"""Opens streams in a process of its own: ``python -m tests.attacks.open_streams URL``.

Reads from standard input a line of JSON: the headers and the paths, one stream each.
Writes "open" once every stream has begun. At the end of standard input, writes the
number of events ``change`` that came.
"""

# ruff: noqa: T201 - it speaks to the attack over standard output
from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from attrs import define, field


@define
class Streams:
    """Open streams; at the end of the block, what came through them.

    Attributes:
        changes: The number of events ``change``.
    """

    changes: int = field(default=0)


@contextmanager
def open_streams(
    url: str, paths: Sequence[str], headers: Mapping[str, str] | None = None
) -> Iterator[Streams]:
    """Keep a stream of each path open while the block runs."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.attacks.open_streams", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            print(json.dumps([headers or {}, paths]), file=process.stdin, flush=True)
            assert process.stdout.readline() == "open\n"
            yield (streams := Streams())
            process.stdin.close()
            streams.changes = int(process.stdout.readline())
        finally:
            process.kill()


async def main(url: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    parts = urlsplit(url)
    headers, paths = json.loads(sys.stdin.readline())
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    changes = 0

    async def read(reader: asyncio.StreamReader) -> None:
        nonlocal changes
        while chunk := await reader.read(65536):
            changes += chunk.count(b"event: change")

    kept: list[tuple[asyncio.StreamWriter, asyncio.Task[None]]] = []

    async def open_stream(path: str) -> None:
        async with connecting:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            head = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{lines}\r\n"
            writer.write(head.encode())
            begun = await reader.readuntil(b"\r\n\r\n")
            assert begun.startswith(b"HTTP/1.1 200"), begun
            kept.append((writer, asyncio.create_task(read(reader))))

    connecting = asyncio.Semaphore(16)
    await asyncio.gather(*map(open_stream, paths))
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(changes, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

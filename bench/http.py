"""The API under load: lists against a rival and against the limit, and who waits.

Load comes from ``wrk``, one connection pool, the same for both sides, in turns.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import requests
from tests.support.rows import fill
from tests.support.wait import until

from bench.store import Store, postgres, store
from bench.table import Row


HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / ".local" / "bench" / "sapporo"
LIST = "/jobs?dataset_id=dataset%200&limit=50"
RIVAL = HERE / "rivals" / "sapporo_server.py"
ROWS = 10_000
TURNS = 3
SECONDS = 3


def rows() -> Iterator[Row]:
    """Measure."""
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is needed: apt-get install wrk")
    with postgres() as server, store(server) as one:
        fill(one.url, ROWS)
        with serving(one.url) as (url, token, process):
            yield from against_the_limit(url, token)
            yield from against_sapporo(url, token)
            yield from who_waits(one, url, token, process)
            yield from who_listens(one, url, token, process)


@contextmanager
def serving(
    database: str, *issuers: str
) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """Run the service, and give its address and a token."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.http_server", database, *issuers],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parent,
    )
    try:
        assert process.stdout
        url, token = process.stdout.readline().split()
        yield url, token, process
    finally:
        process.terminate()
        process.wait(60)


def load(url: str, token: str = "", connections: int = 8) -> tuple[float, float]:
    """Return requests per second and the 95th percentile in ms."""
    said = subprocess.run(
        [
            "wrk",
            *("-t", "1", "-c", str(connections), "-d", f"{SECONDS}s"),
            *("-s", str(HERE / "p95.lua"), "-H", f"Authorization: Bearer {token}"),
            url,
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "Non-2xx" not in said, said
    rate = re.search(r"Requests/sec:\s*([\d.]+)", said)
    p95 = re.search(r"p95_us\s+([\d.]+)", said)
    assert rate
    assert p95
    return float(rate[1]), float(p95[1]) / 1000


def in_turns(ours: tuple[str, str], theirs: tuple[str, str]) -> tuple[float, float]:
    """Return the median rates of two, measured in turns."""
    found: list[tuple[float, float]] = [
        (load(*ours)[0], load(*theirs)[0]) for _ in range(TURNS)
    ]
    a, b = zip(*found, strict=True)
    return statistics.median(a), statistics.median(b)


def against_the_limit(url: str, token: str) -> Iterator[Row]:
    """Compare with psycopg by itself."""
    headers = {"Authorization": f"Bearer {token}"}
    page = requests.get(url + LIST, headers=headers, timeout=60).json()["items"]
    raw = requests.get(url + "/raw", headers=headers, timeout=60).json()["items"]
    stale = [one.pop("stale") for one in page] and [one.pop("stale") for one in raw]
    assert page == raw
    assert len(stale) == 50
    ours, theirs = in_turns((url + LIST, token), (f"{url}/raw", token))
    yield Row(
        "list: page of 50 of 10 thousand, req/s, against raw psycopg behind the same",
        ours,
        theirs,
        ours / theirs,
        "ratio >= 0.9",
        ours / theirs >= 0.9,
    )


def against_sapporo(url: str, token: str) -> Iterator[Row]:
    """Compare with sapporo's list, as it is by default and from its snapshot."""
    with sapporo() as theirs_url:
        for name, query, bar in (
            ("", "", 40.0),
            (" from its snapshot (latest=false)", "&latest=false", 0.0),
        ):
            runs = f"{theirs_url}/runs?page_size=50{query}"
            page = requests.get(runs, timeout=120).json()
            assert len(page["runs"]) == 50
            ours, theirs = in_turns((url + LIST, token), (runs, ""))
            yield Row(
                f"list: page of 50 of 10 thousand, req/s, against sapporo{name}",
                ours,
                theirs,
                ours / theirs,
                f"ratio >= {bar:g}" if bar else "none: for information",
                ours / theirs >= bar,
            )


@contextmanager
def sapporo() -> Iterator[str]:
    """Run sapporo, installed into an environment of its own."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "sapporo"], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, RIVAL, f"{folder}/runs", str(ROWS), str(port)],
            stdout=log,
            stderr=log,
        )
        url = f"http://127.0.0.1:{port}"

        def there() -> bool:
            assert process.poll() is None, (Path(folder) / "log").read_text()
            try:
                return requests.get(f"{url}/service-info", timeout=5).ok
            except requests.RequestException:
                return False

        try:
            until(there, 300, every=0.5)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def resident(process: subprocess.Popen[str]) -> float:
    """Return how much memory a process has, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


async def opened(
    url: str, token: str, path: str, count: int
) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send so many requests, each on a connection of its own."""
    parts = urlsplit(url)
    made = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        made.append((reader, writer))
    return made


def born(one: Store) -> None:
    """Record a transition, as a poll would."""
    one.run(
        "INSERT INTO invocation_transitions (invocation_id, to_state, at, galaxy_state,"
        " progress) SELECT invocation_id, state, now(), galaxy_state, progress"
        " FROM workflow_invocations WHERE state = 'queued' LIMIT 1"
    )


def who_listens(
    one: Store, url: str, token: str, process: subprocess.Popen[str]
) -> Iterator[Row]:
    """Tell a thousand clients of one event."""
    count = 1000

    async def told() -> tuple[float, float]:
        before = resident(process)
        streams = await opened(url, token, "/jobs/events", count)
        for reader, _ in streams:
            await reader.readuntil(b"id: ")
        memory = resident(process) - before
        waits = [
            asyncio.create_task(reader.readuntil(b"event: transition"))
            for reader, _ in streams
        ]
        await asyncio.to_thread(born, one)
        began = time.perf_counter()
        await asyncio.gather(*waits)
        delay = time.perf_counter() - began
        for _, writer in streams:
            writer.close()
        return memory, delay

    memory, delay = asyncio.run(told())
    yield Row(
        f"events: {count} streams on one process, KiB of memory each",
        memory * 1024 / count,
        None,
        None,
        "<= 100",
        memory * 1024 / count <= 100,
    )
    yield Row(
        f"events: ms from an event's commit until all {count} have it",
        delay * 1000,
        None,
        None,
        "<= 1000",
        delay <= 1,
    )


def who_waits(
    one: Store, url: str, token: str, process: subprocess.Popen[str]
) -> Iterator[Row]:
    """Let many wait for a job, and look whether readers notice."""
    count = 500
    with one.engine.connect() as connection:
        (job,) = connection.exec_driver_sql(
            "SELECT invocation_id FROM workflow_invocations WHERE state = 'queued'"
            " LIMIT 1"
        ).one()

    async def waited() -> tuple[float, float, float]:
        before = resident(process)
        waiting = await opened(url, token, f"/jobs/{job}?wait=60", count)
        await asyncio.sleep(3)  # until all are in: they answer nothing that tells
        memory = resident(process) - before
        busy = (await asyncio.to_thread(load, url + LIST, token))[0]
        for _, writer in waiting:
            writer.close()
        idle = (await asyncio.to_thread(load, url + LIST, token))[0]
        return memory, busy, idle

    load(url + LIST, token)
    memory, busy, idle = asyncio.run(waited())
    yield Row(
        f"wait: list req/s while {count} wait, against none ({memory:.0f} MiB more)",
        busy,
        idle,
        busy / idle,
        "ratio >= 0.9",
        busy / idle >= 0.9,
    )

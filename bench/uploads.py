"""A GiB through the API into the folder of the service, against ``dd conv=fsync``.

Both write to the same disk, in turn. Sixteen parts, four at a time; the client does
nothing but send them.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from bench.table import Row


SIZE = 2**30
TURNS = 3
PARALLEL_PARTS = 4

_SERVING = re.compile(r'"url": "(http://[^"]+)".*"event": "serving"')


def rows() -> Iterator[Row]:
    """Yield the rows."""
    with TemporaryDirectory(prefix="bench-uploads-", dir=Path.cwd()) as folder:
        home = Path(folder)
        with served(home) as (url, pid):
            piece = os.urandom(64 * 2**20)
            turns = [(_upload(url, piece), _dd(home, piece)) for _ in range(TURNS)]
            peak = _peak(pid)
    ratio = statistics.median(theirs / ours for ours, theirs in turns)
    yield Row(
        name="1 GiB uploaded into the local folder, against dd conv=fsync, s",
        ours=statistics.median(ours for ours, _ in turns),
        theirs=statistics.median(theirs for _, theirs in turns),
        ratio=ratio,
        bar="ratio >= 0.7",
        ok=ratio >= 0.7,
    )
    yield Row(
        "peak memory of the service, MiB", peak, None, None, "<= 100", peak <= 100
    )


@contextmanager
def served(home: Path) -> Iterator[tuple[str, int]]:
    """Serve with a database of its own; yield the address, and the process."""
    env = {
        **os.environ,
        "GALAXY_JOBS_HOME": str(home),
        "GALAXY_URL": "http://127.0.0.1:9",
        "GALAXY_API_KEY": "none",
    }
    env.pop("DATABASE_URL", None)
    log = home / "serve.log"
    with log.open("wb") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", "galaxy_jobs.entrypoints", "serve", "--port", "0"],
            env=env,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + 120
        while not (found := _SERVING.search(log.read_text())):
            if service.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text()[-1000:])
            time.sleep(0.1)
        yield found[1], service.pid
    finally:
        service.terminate()
        service.wait()


def _upload(url: str, piece: bytes) -> float:
    upload = _post(url, "/uploads", {"name": "a", "size": SIZE, "ext": "txt"})
    path = f"/uploads/{upload['upload_id']}"
    numbers = list(range(1, upload["parts"] + 1))
    parts = _post(url, f"{path}/parts", {"numbers": numbers})["parts"]
    began = time.perf_counter()
    with ThreadPoolExecutor(PARALLEL_PARTS) as threads:
        list(threads.map(lambda part: _put(part, piece), parts))
    taken = time.perf_counter() - began
    urllib.request.urlopen(urllib.request.Request(url + path, method="DELETE")).close()
    return taken


def _put(part: Any, piece: bytes) -> None:
    address = urlsplit(part["url"])
    connection = http.client.HTTPConnection(address.netloc, blocksize=2**20)
    target = f"{address.path}?{address.query}"
    connection.request("PUT", target, body=memoryview(piece)[: part["size"]])
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"a part is answered with {answer.status}")


def _post(url: str, path: str, body: object) -> Any:
    request = urllib.request.Request(
        url + path,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def _dd(home: Path, piece: bytes) -> float:
    source, target = home / "source", home / "target"
    with source.open("wb") as file:
        for _ in range(SIZE // len(piece)):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    began = time.perf_counter()
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    taken = time.perf_counter() - began
    source.unlink()
    target.unlink()
    return taken


def _peak(pid: int) -> float:
    """Return the most memory that a process has had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match
    return int(match[1]) / 1024

"""Files through the service: into its folder, to a server that speaks S3, and as a set.

Into the folder, a GiB against ``dd conv=fsync`` on the same disk; to SeaweedFS, against
boto3's own ``upload_file``. Both sides take turns. Sixteen parts, four at a time; the
client does nothing but send them. Then a collection of a thousand datasets, for which a
small Galaxy counts the requests that it gets.
"""

from __future__ import annotations

import http.client
import json
import mmap
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

import boto3
from tests.support.hostile_galaxy import WORKFLOW, hostile_galaxy

from bench.table import Row
from galaxy_jobs.adapters.embedded.store import LocalStore, StoreAccess


SIZE = 2**30
TURNS = 3
PARALLEL_PARTS = 4
ELEMENTS = 1000

_SERVING = re.compile(r'"url": "(http://[^"]+)".*"event": "serving"')


def rows() -> Iterator[Row]:
    """Yield the rows."""
    with TemporaryDirectory(prefix="bench-uploads-", dir=Path.cwd()) as folder:
        home = Path(folder)
        source = home / "source"
        with source.open("wb") as file:
            for _ in range(SIZE // 2**26):
                file.write(os.urandom(2**26))
            file.flush()
            os.fsync(file.fileno())
        yield from _into_the_folder(home, source)
        yield from _to_seaweedfs(home, source)
        yield from _collection(home)


# --- into the folder ----------------------------------------------------------------


def _into_the_folder(home: Path, source: Path) -> Iterator[Row]:
    with served(home) as (url, pid):
        idle = _peak(pid)
        turns = []
        for _ in range(TURNS):
            used = _cpu(pid)
            ours = _upload(url, source)
            used = _cpu(pid) - used
            turns.append((ours, _dd(home, source), used))
        peak = _peak(pid)
    ratio = statistics.median(theirs / ours for ours, theirs, _ in turns)
    yield Row(
        name="1 GiB uploaded into the local folder, against dd conv=fsync, s",
        ours=statistics.median(ours for ours, _, _ in turns),
        theirs=statistics.median(theirs for _, theirs, _ in turns),
        ratio=ratio,
        bar="ratio >= 0.7",
        ok=ratio >= 0.7,
    )
    used = statistics.median(used for _, _, used in turns)
    yield Row(
        name="the same, s of computing by the service",
        ours=used,
        theirs=None,
        ratio=None,
        bar="none: for information",
        ok=True,
    )
    yield Row(
        "peak memory of the service, MiB", peak, None, None, "<= 100", peak <= 100
    )
    more = peak - idle
    yield Row("of which the uploads took, MiB", more, None, None, "<= 30", more <= 30)


def _upload(url: str, source: Path) -> float:
    with _pieces(source) as content:
        upload, parts = _opened(url)
        began = time.perf_counter()
        _put_all(parts, content)
        taken = time.perf_counter() - began
    path = f"{url}/uploads/{upload['upload_id']}"
    urllib.request.urlopen(urllib.request.Request(path, method="DELETE")).close()
    return taken


def _dd(home: Path, source: Path) -> float:
    target = home / "target"
    began = time.perf_counter()
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    taken = time.perf_counter() - began
    target.unlink()
    return taken


# --- to a server that speaks S3 -----------------------------------------------------


def _to_seaweedfs(home: Path, source: Path) -> Iterator[Row]:
    local = LocalStore(home / "store", port=18533)
    try:
        access = local.start()
        config = home / "s3.toml"
        config.write_text(
            f"[storage]\nbucket = '{access.bucket}'\nendpoint = '{access.endpoint}'\n"
        )
        env = {
            "GALAXY_JOBS_CONFIG": str(config),
            "AWS_ACCESS_KEY_ID": access.key_id,
            "AWS_SECRET_ACCESS_KEY": access.secret,
        }
        with served(home, **env) as (url, _):
            turns = [
                (_presigned(url, source, access), _by_boto3(access, source))
                for _ in range(TURNS)
            ]
    finally:
        local.remove()
    ratio = statistics.median(theirs / ours for ours, theirs in turns)
    yield Row(
        name="1 GiB uploaded to SeaweedFS at presigned addresses, against boto3, s",
        ours=statistics.median(ours for ours, _ in turns),
        theirs=statistics.median(theirs for _, theirs in turns),
        ratio=ratio,
        bar="ratio >= 0.9",
        ok=ratio >= 0.9,
    )


def _presigned(url: str, source: Path, access: StoreAccess) -> float:
    """Upload it, from opening the upload until the store has put it together."""
    with _pieces(source) as content:
        began = time.perf_counter()
        upload, parts = _opened(url)
        _put_all(parts, content)
        complete = _post(url, f"/uploads/{upload['upload_id']}/complete", None)
        taken = time.perf_counter() - began
    if complete["state"] != "verifying":
        raise RuntimeError(f"the upload is {complete['state']}")
    key = f"uploads/{upload['upload_id']}"
    _client(access).delete_object(Bucket=access.bucket, Key=key)
    return taken


def _by_boto3(access: StoreAccess, source: Path) -> float:
    client = _client(access)
    began = time.perf_counter()
    client.upload_file(str(source), access.bucket, "theirs")
    taken = time.perf_counter() - began
    client.delete_object(Bucket=access.bucket, Key="theirs")
    return taken


def _client(access: StoreAccess) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=access.endpoint,
        region_name=access.region,
        aws_access_key_id=access.key_id,
        aws_secret_access_key=access.secret,
    )


# --- a set --------------------------------------------------------------------------


def _collection(home: Path) -> Iterator[Row]:
    config = home / "workflows.toml"
    config.write_text(f"[[workflows]]\nname = '{WORKFLOW}'\ninput = 'text'\n")
    elements = [
        {
            "name": f"sample {number}",
            "source": {"src": "hda", "id": f"{number + 1:016x}"}
            if number % 4 == 0
            else {"src": "url", "url": f"http://x.test/{number}", "ext": "txt"},
        }
        for number in range(ELEMENTS)
    ]
    source = {"src": "collection", "collection_type": "list", "elements": elements}
    body = {"name": "plate", "dataset_id": "plate", "source": source}
    with (
        hostile_galaxy() as galaxy,
        served(home, GALAXY_URL=galaxy.url, GALAXY_JOBS_CONFIG=str(config)) as (url, _),
    ):
        time.sleep(1)  # it greets Galaxy
        galaxy.requests.clear()
        began = time.perf_counter()
        _post(url, "/datasets?check=false", body)
        _post(url, "/jobs", {"dataset_id": "plate", "workflow_name": WORKFLOW})
        taken = time.perf_counter() - began
        number = galaxy.requests.total()
    yield Row(
        f"requests to Galaxy for a collection of {ELEMENTS:,} ({taken:.1f} s)",
        number,
        None,
        None,
        "<= 10",
        number <= 10,
    )


# --- both ---------------------------------------------------------------------------


@contextmanager
def served(home: Path, **more: str) -> Iterator[tuple[str, int]]:
    """Serve with a database of its own; yield the address, and the process."""
    env = {
        **os.environ,
        "GALAXY_JOBS_HOME": str(home),
        "GALAXY_URL": "http://127.0.0.1:9",
        "GALAXY_API_KEY": "none",
        **more,
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


@contextmanager
def _pieces(source: Path) -> Iterator[memoryview]:
    with (
        source.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as content,
    ):
        yield content


def _opened(url: str) -> tuple[Any, Any]:
    upload = _post(url, "/uploads", {"name": "a", "size": SIZE, "ext": "txt"})
    numbers = list(range(1, upload["parts"] + 1))
    path = f"/uploads/{upload['upload_id']}/parts"
    return upload, _post(url, path, {"numbers": numbers})["parts"]


def _put_all(parts: list[Any], content: memoryview) -> None:
    with ThreadPoolExecutor(PARALLEL_PARTS) as threads:
        list(threads.map(lambda part: _put(part, content), parts))


def _put(part: Any, content: memoryview) -> None:
    address = urlsplit(part["url"])
    connection = http.client.HTTPConnection(address.netloc)
    target = f"{address.path}?{address.query}"
    with content[part["offset"] :] as rest, rest[: part["size"]] as body:
        connection.request("PUT", target, body=body, headers=part["headers"])
        answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"a part is answered with {answer.status}")


def _post(url: str, path: str, body: object) -> Any:
    request = urllib.request.Request(
        url + path,
        data=b"" if body is None else json.dumps(body).encode(),
        headers={} if body is None else {"Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def _cpu(pid: int) -> float:
    """Return the seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> float:
    """Return the most memory that a process has had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match
    return int(match[1]) / 1024

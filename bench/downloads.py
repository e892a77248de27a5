"""Outputs downloaded through the service, against Galaxy directly."""

from __future__ import annotations

import functools
import http.server
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import SO_RCVBUF, SOL_SOCKET, socket
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import requests
from tests.support import workflows
from tests.support.galaxy import Lab
from tests.support.service import Service
from tests.support.wait import until

from bench.real import real
from bench.table import Row


SIZE = 2**30
FILES = 100
PARTS = [SIZE // FILES] * FILES
CLIENTS = 100
SHARED = 2**27
"""The bytes of what they download: enough for all of the time, and little more, for
Galaxy reads a file to its end after its client has left."""
UNREADING = 300
RUNS = 3

CURL = ["curl", "-s", "-o", "/dev/null", "-w", "%{speed_download}"]
COPY = "copy for the bench"
COPIES = "copies for the bench"
SMALLER = "smaller copy for the bench"


def rows() -> Iterator[Row]:
    """Measure downloads on a real Galaxy."""
    with real() as (service, lab):
        service.poll()
        with served([SIZE, SHARED, *PARTS]) as addresses:
            whole = job(service, lab, COPY, addresses[:1])
            smaller = job(service, lab, SMALLER, addresses[1:2])
            parts = job(service, lab, COPIES, addresses[2:])
        outputs = f"{service.url}/jobs/{whole}/outputs"
        (item,) = service.get(f"/jobs/{whole}/outputs")["items"]
        one = f"{outputs}/copy_out"
        direct = address(lab, item["id"])
        key = {"x-api-key": lab.key}
        ours, theirs = [], []
        for _ in range(RUNS):
            theirs.append(speed(direct, **key))
            ours.append(speed(one))
        ratio = median(ours) / median(theirs)
        yield Row(
            "an output of 1 GiB, MiB/s",
            median(ours),
            median(theirs),
            ratio,
            "ratio >= 0.9 of Galaxy directly",
            ok=ratio >= 0.9,
        )
        zipped = median(
            speed(f"{service.url}/jobs/{parts}/outputs.zip") for _ in range(RUNS)
        )
        ratio = zipped / median(ours)
        yield Row(
            f"a zip of {FILES} files, MiB/s",
            zipped,
            median(ours),
            ratio,
            "ratio >= 0.8 of one file of that size",
            ok=ratio >= 0.8,
        )
        [output] = service.get(f"/jobs/{parts}/outputs")["items"]
        files = [address(lab, element["id"]) for element in output["elements"]]
        each = median(speed_of_all(files, **key) for _ in range(RUNS))
        yield Row(
            "the same, against the files from Galaxy directly, one after another",
            zipped,
            each,
            zipped / each,
            "none: for information",
            ok=True,
        )
        alone = p95(service)
        shared = f"{service.url}/jobs/{smaller}/outputs/copy_out"
        beside = beside_downloads(service, shared)
        yield Row(
            f"GET /jobs beside {CLIENTS} downloads, ms at p95",
            beside,
            alone,
            beside / alone,
            "ratio <= 2 of without them",
            ok=beside <= 2 * alone,
        )
        settle(lab)
        (item,) = service.get(f"/jobs/{smaller}/outputs")["items"]
        elsewhere = beside_downloads(service, address(lab, item["id"]), **key)
        yield Row(
            f"the same, against {CLIENTS} downloads from Galaxy directly",
            beside,
            elsewhere,
            beside / elsewhere,
            "none: for information",
            ok=True,
        )
        settle(lab)
        yield unread(service, one)


def beside_downloads(service: Service, url: str, **headers: str) -> float:
    """Measure how long others wait while many download."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(CLIENTS):
            pool.submit(speed, url, "--max-time", "15", **headers)
        time.sleep(3)
        return p95(service)


def unread(service: Service, url: str) -> Row:
    """Measure the memory of clients that take nothing, at its highest."""
    pid = service.commands[0].process.pid
    address = urlsplit(url)
    before = highest = memory(pid)
    with ExitStack() as stack:
        for _ in range(UNREADING):
            client = stack.enter_context(socket())
            client.setsockopt(SOL_SOCKET, SO_RCVBUF, 65_536)
            client.connect((address.hostname, address.port))
            request = f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
            client.sendall(request.encode())
        for _ in range(30):
            time.sleep(1)
            highest = max(highest, memory(pid))
    each = (highest - before) / UNREADING
    return Row(
        f"{UNREADING} clients that do not read, MiB of memory each",
        each,
        None,
        None,
        "ours <= 1",
        ok=each <= 1,
    )


def memory(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def p95(service: Service) -> float:
    """Return the 95th percentile of the time of a list of jobs, in milliseconds."""
    times = []
    with requests.Session() as session:
        for _ in range(200):
            began = time.perf_counter()
            session.get(f"{service.url}/jobs", timeout=60).raise_for_status()
            times.append(1000 * (time.perf_counter() - began))
            time.sleep(0.02)
    return quantiles(times, n=20)[-1]


def speed(url: str, *options: str, **headers: str) -> float:
    """Return how many MiB a second curl downloads."""
    done = subprocess.run(
        [*CURL, *options, *options_of(headers), url],
        check=not options,
        capture_output=True,
        text=True,
    )
    return float(done.stdout) / 2**20


def address(lab: Lab, dataset_id: str) -> str:
    """Return where Galaxy has a file."""
    return f"{lab.url}/api/datasets/{dataset_id}/display?raw=true"


def speed_of_all(urls: list[str], **headers: str) -> float:
    """Return how many MiB a second curl downloads, over one connection."""
    wanted = [part for url in urls for part in ("-o", "/dev/null", url)]
    began = time.perf_counter()
    subprocess.run(["curl", "-sf", *options_of(headers), *wanted], check=True)
    return sum(PARTS) / 2**20 / (time.perf_counter() - began)


def settle(lab: Lab) -> None:
    """Wait until Galaxy has read to their ends the files of clients that have left."""

    def is_at_rest() -> bool:
        began = time.perf_counter()
        for _ in range(20):
            lab.call("GET", "version")
        return time.perf_counter() - began < 1

    until(is_at_rest, 900, every=5)


def options_of(headers: Mapping[str, str]) -> list[str]:
    """Return what has curl send headers."""
    return [part for item in headers.items() for part in ("-H", ": ".join(item))]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, *_: object) -> None: ...


@contextmanager
def served(sizes: list[int]) -> Iterator[list[str]]:
    """Serve texts of these sizes to Galaxy; give their addresses."""
    line = b"a line of the file that is copied, 48 bytes long\n"[-48:]
    with tempfile.TemporaryDirectory() as folder:
        for number, size in enumerate(sizes):
            with (Path(folder) / f"{number}.txt").open("wb") as file:
                block = line * 20_000
                for _ in range(size // len(block)):
                    file.write(block)
                file.write(line * ((size % len(block)) // len(line)))
        handler = functools.partial(Quiet, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}"
            yield [f"{url}/{number}.txt" for number in range(len(sizes))]
            server.shutdown()


def job(service: Service, lab: Lab, name: str, addresses: list[str]) -> str:
    """Have Galaxy copy files; return the id of the job, which has completed."""
    history = lab.call("POST", "histories", {"name": name})["id"]
    elements = [
        {"src": "url", "url": url, "ext": "txt", "name": f"f{number:03}"}
        for number, url in enumerate(addresses)
    ]
    target = {"destination": {"type": "hdas"}, "elements": elements}
    body = {"history_id": history, "targets": [target]}
    made = [item["id"] for item in lab.call("POST", "tools/fetch", body)["outputs"]]

    def fetched() -> bool:
        states = {lab.call("GET", f"datasets/{id_}")["state"] for id_ in made}
        assert "error" not in states
        return states == {"ok"}

    until(fetched, 1200, every=2)
    source: dict[str, Any] = {"src": "hda", "id": made[0]}
    steps = [workflows.data("text"), workflows.tool("copy", "text", operation="copy")]
    if len(made) > 1:
        members = [
            {"src": "hda", "name": f"f{number:03}", "id": id_}
            for number, id_ in enumerate(made)
        ]
        collection = {
            "name": name,
            "collection_type": "list",
            "element_identifiers": members,
        }
        path = f"histories/{history}/contents/dataset_collections"
        source = {"src": "hdca", "id": lab.call("POST", path, collection)["id"]}
        steps[0] = workflows.collection("text")
    lab.add(workflows.workflow(name, *steps))
    started = service.submit(service.dataset(source["src"], source["id"]), name)
    return str(service.wait(started, timeout=1800)["invocation_id"])

"""Requests that cost more than they should: to read, to refuse, or to list."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest
import requests

from tests.attacks.measure import (
    MIB,
    Attack,
    another_client,
    cpu_time,
    peak_memory,
)
from tests.support.rows import fill
from tests.support.service import Service, service


OPTIONS = 5000
"""Options of an input of the workflow."""

ANSWERS: dict[str, Any] = {
    "/api/users/current": {"id": "u1"},
    "/api/workflows": [
        {"id": "w1", "name": "options"},
        *({"id": f"{number:016}", "name": "twice"} for number in range(5000)),
    ],
    "/api/workflows/w1": {
        "id": "w1",
        "name": "options",
        "inputs": {
            "0": {"label": "text", "uuid": "a"},
            "1": {"label": "mode", "uuid": "b"},
            "2": {"label": "modes", "uuid": "c"},
        },
        "steps": {
            "0": {"type": "data_input"},
            **{
                str(index): {
                    "type": "parameter_input",
                    "tool_inputs": {
                        "parameter_type": "text",
                        "optional": True,
                        "multiple": index == 2,
                        "restrictions": [f"option {n:08}" for n in range(OPTIONS)],
                    },
                }
                for index in (1, 2)
            },
        },
    },
}


class Galaxy(BaseHTTPRequestHandler):
    """A Galaxy with a workflow of many options, and many workflows of one name."""

    def do_GET(self) -> None:
        answer = ANSWERS.get(self.path.partition("?")[0])
        body = json.dumps(answer or {"err_msg": "not here", "err_code": 1}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def served(tmp_path: Path, database_url: str) -> Iterator[Service]:
    """The API, with that Galaxy and a dataset ``reads``."""
    galaxy = ThreadingHTTPServer(("127.0.0.1", 0), Galaxy)
    Thread(target=galaxy.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{galaxy.server_port}"
    try:
        with service(tmp_path, database=database_url, galaxy=url, key="none") as api:
            api.cold = True
            api.serve()
            source = {"src": "hda", "id": "1"}
            api.post(
                "/datasets", {"dataset_id": "reads", "name": "n", "source": source}
            )
            yield api
    finally:
        galaxy.shutdown()
        galaxy.server_close()


UNKNOWN = {f"parameter {number}": 1 for number in range(30_000)}
MISFITS = [f"no option {number}" for number in range(30_000)]


def job(parameters: object, **more: object) -> bytes:
    body = {"dataset_id": "reads", "workflow_name": "options", "parameters": parameters}
    return json.dumps(body | more).encode()


@pytest.mark.parametrize(
    "body",
    [
        job(dict.fromkeys((f"{n:x}" for n in range(70_000)), 1)),
        job(UNKNOWN),
        job({"mode": "x" * 1_000_000}),
        job({"modes": MISFITS}),
        job({"x" * 1_000_000: 1}),
        job({}, **{"y" * 1_000_000: 1}),
        job({}, workflow_name="w" * 1_000_000),
        job({}, dataset_id="d" * 1_000_000),
        job(dict.fromkeys(("text", "modes"), [[[]]] * 80_000)),
    ],
    ids=[
        "short names",
        "names",
        "value",
        "values",
        "name",
        "field",
        "workflow",
        "dataset",
        "lists",
    ],
)
def test_refused_body(served: Service, attack: Attack, body: bytes) -> None:
    cost(served, attack, "/jobs", body, "application/json")


@pytest.mark.parametrize(
    "body",
    [
        b"workflow_name=options&dataset_id=reads&p.modes="
        + b"%0A".join(b"option%%20%08d" % n for n in range(45_000)),
        urlencode(
            {"workflow_name": "options", "dataset_id": "d" * 900_000, "p.mode": "x"}
        ).encode(),
        urlencode(
            {"workflow_name": "options", "dataset_id": "d", "p.mode": '"' * 330_000}
        ).encode(),
    ],
    ids=["values", "dataset", "quotes"],
)
def test_refused_form(served: Service, attack: Attack, body: bytes) -> None:
    type_ = "application/x-www-form-urlencoded"
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    cost(served, attack, "/ui/submit", body, type_, own=800_000, **headers)


def cost(  # noqa: PLR0917 - each is a part of the request
    api: Service,
    attack: Attack,
    path: str,
    body: bytes,
    content_type: str,
    own: int = 4000,
    **headers: str,
) -> None:
    """Measure what a refused body costs; the page itself may have *own* bytes."""
    headers["Content-Type"] = content_type
    pid = api.commands[-1].process.pid
    with (
        another_client(f"{api.url}/health/live") as client,
        peak_memory(pid) as peak,
    ):
        began = cpu_time(pid)
        answer = requests.post(api.url + path, body, headers=headers, timeout=60)
        seconds = cpu_time(pid) - began
    assert 400 <= answer.status_code < 500, answer.text[:300]
    size = len(answer.content)
    attack.at_most(4, "answer by the request", size / (len(body) + own), "")
    attack.at_most(1, "CPU time of the API", seconds, "s")
    attack.at_most(100, "memory of the API", peak.growth, "MiB")
    attack.at_most(500, "another client's slowest", client.slowest, "ms")


def test_many_workflows_of_one_name(served: Service, attack: Attack) -> None:
    body = {"dataset_id": "reads", "workflow_name": "twice"}
    answer = served.request("POST", "/jobs", body)
    assert answer.status_code == 422
    attack.at_most(4, "answer", len(answer.content) / 1000, "kB")


HEADS = {
    "segments": b"GET /%41" + b"/a" * 32_000 + b" HTTP/1.1\r\nHost: localhost",
    "slashes": b"GET /" + b"/" * 65_000 + b" HTTP/1.1\r\nHost: localhost",
    "cookies": b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a=1; " * 13_000,
    "headers": b"GET / HTTP/1.1\r\nHost: localhost" + b"\r\nA: 1" * 1900,
    "tags": b"GET /jobs HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: "
    + b'W/"a", ' * 9000,
    "parameters": b"GET /jobs?" + b"state=queued&" * 4600 + b" HTTP/1.1\r\nHost: a",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_heads_at_their_limit(api: Service, attack: Attack, head: bytes) -> None:
    parts = urlsplit(api.url)
    pid, size, count = api.commands[-1].process.pid, 0, 0
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=20) as line,
        line.makefile("rb") as answers,
    ):
        began, until = cpu_time(pid), time.monotonic() + 2
        while time.monotonic() < until:
            count += 1
            line.sendall(head + b"\r\n\r\n")
            while (text := answers.readline()) != b"\r\n":
                if text.lower().startswith(b"content-length:"):
                    size = int(text.split()[1])
            answers.read(size)
    attack.at_most(4, "answer by the request", size / len(head), "")
    # For no longer can each keep others waiting.
    milliseconds = 1000 * (cpu_time(pid) - began) / count
    attack.at_most(30, "CPU time of the API for each", milliseconds, "ms")


@pytest.mark.parametrize("path", ["/jobs?limit=200", "/"])
def test_list_of_jobs_with_large_parameters(
    api: Service, attack: Attack, database_url: str, path: str
) -> None:
    # As an earlier version stored them; they do not compress.
    fill(database_url, 60)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE workflow_invocations SET parameters = (SELECT json_build_object("
            "'x', string_agg(md5(random()::text), '')) FROM generate_series(1, 32768)"
            " WHERE invocation_id IS NOT NULL)"
        )
    pid = api.commands[-1].process.pid
    with peak_memory(pid) as peak:
        began = time.monotonic()
        answer = api.request("GET", path, Accept="text/html")
        seconds = time.monotonic() - began
    assert answer.ok, answer.text
    attack.at_most(1, "answer", len(answer.content) / MIB, "MiB")
    attack.at_most(20, "memory of the API", peak.growth, "MiB")
    attack.at_most(500, "time", 1000 * seconds, "ms")

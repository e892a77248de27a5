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
from urllib.parse import urlsplit

import psycopg
import pytest
import requests

from tests.attacks.measure import (
    MIB,
    Attack,
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
            **{
                str(index): {"label": f"an input with a longer name, {index}"}
                for index in range(3, 20)
            },
        },
        "steps": {
            "0": {"type": "data_input"},
            **{
                str(index): {
                    "type": "parameter_input",
                    "tool_inputs": {"parameter_type": "text", "optional": True},
                }
                for index in range(3, 20)
            },
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
                "/datasets?check=false",
                {"dataset_id": "reads", "name": "n", "source": source},
            )
            yield api
    finally:
        galaxy.shutdown()
        galaxy.server_close()


def job(parameters: object, workflow: str = "options") -> bytes:
    body = {"dataset_id": "reads", "workflow_name": workflow, "parameters": parameters}
    return json.dumps(body).encode()


BODIES = {
    "names": job(dict.fromkeys((f"{number:x}" for number in range(70_000)), 1)),
    "a name": job({"x" * 1_000_000: 1}),
    "an option": job({"mode": "x"}),
    "options": job({"modes": ["option 00004999"] * 3000 + ["x"]}),
    "lists": job(dict.fromkeys(("text", "modes"), [[[]]] * 80_000)),
    "a workflow": job({}, "w" * 1_000_000),
    "workflows of one name": job({}, "twice"),
}
FORMS = {
    "dataset": b"dataset_id=" + b"d" * 900_000,
    "quotes": b"p.an+input+with+a+longer+name%2C+3=" + b'"' * 900_000,
}


def test_refused_bodies(served: Service, attack: Attack) -> None:
    for name, body in BODIES.items():
        cost(served, attack, name, "/jobs", body, {"Content-Type": "application/json"})


def test_refused_forms(served: Service, attack: Attack) -> None:
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Sec-Fetch-Site": "same-origin",
        "Accept": "text/html",
    }
    for name, fields in FORMS.items():
        body = b"workflow_name=options&" + fields
        cost(served, attack, name, "/ui/submit", body, headers, own=250_000)


def cost(  # noqa: PLR0917 - each is a part of the request
    api: Service,
    attack: Attack,
    name: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    *,
    own: int = 4000,
) -> None:
    """Measure what a refused body costs; without it, a page would have *own* bytes."""
    pid = api.commands[-1].process.pid
    with peak_memory(pid) as peak:
        began = cpu_time(pid)
        answer = requests.post(api.url + path, body, headers=headers, timeout=60)
        seconds = cpu_time(pid) - began
    assert 400 <= answer.status_code < 500, answer.text[:300]
    ratio = len(answer.content) / (len(body) + own)
    attack.at_most(4, f"{name}: answer by the request", ratio, "")
    attack.at_most(1, f"{name}: CPU time", seconds, "s")
    attack.at_most(100, f"{name}: memory", peak.growth, "MiB")


HEADS = {
    "segments": b"GET /%41" + b"/a" * 32_000 + b" HTTP/1.1\r\nHost: localhost",
    "slashes": b"GET /" + b"/" * 65_000 + b" HTTP/1.1\r\nHost: localhost",
    "cookies": b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a=1; " * 13_000,
    "headers": b"GET / HTTP/1.1\r\nHost: localhost" + b"\r\nA: 1" * 1900,
    "tags": b"GET /jobs HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: "
    + b'W/"a", ' * 9000,
    "parameters": b"GET /jobs?" + b"state=queued&" * 4600 + b" HTTP/1.1\r\nHost: a",
}


def test_heads_at_their_limit(api: Service, attack: Attack) -> None:
    for name, head in HEADS.items():
        send(api, attack, name, head)


def send(api: Service, attack: Attack, name: str, head: bytes) -> None:
    """Send a head for a second, and measure what each costs."""
    parts = urlsplit(api.url)
    pid, size, count = api.commands[-1].process.pid, 0, 0
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=20) as line,
        line.makefile("rb") as answers,
    ):
        began, until = cpu_time(pid), time.monotonic() + 1
        while time.monotonic() < until:
            count += 1
            line.sendall(head + b"\r\n\r\n")
            while (text := answers.readline()) != b"\r\n":
                if text.lower().startswith(b"content-length:"):
                    size = int(text.split()[1])
            answers.read(size)
    attack.at_most(4, f"{name}: answer by the request", size / len(head), "")
    # For no longer can each keep others waiting.
    milliseconds = 1000 * (cpu_time(pid) - began) / count
    attack.at_most(30, f"{name}: CPU time of each", milliseconds, "ms")


def test_lists_of_jobs_with_large_parameters(
    api: Service, attack: Attack, database_url: str
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
    for name, path in {"list": "/jobs?limit=200", "page": "/"}.items():
        with peak_memory(pid) as peak:
            began = cpu_time(pid)
            answer = api.request("GET", path, Accept="text/html")
            seconds = cpu_time(pid) - began
        assert answer.ok, answer.text
        attack.at_most(1, f"{name}: answer", len(answer.content) / MIB, "MiB")
        attack.at_most(20, f"{name}: memory", peak.growth, "MiB")
        attack.at_most(0.5, f"{name}: CPU time", seconds, "s")

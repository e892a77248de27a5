"""A workflow with 80 steps, shown and checked, once it has been read.

Galaxy is a small server in this process that answers at once. The time of requests to
it is taken off.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from bench.table import Row
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.testing.memory import MemoryDatasets, MemoryStore
from galaxy_jobs.domain import (
    AllowedWorkflow,
    Allowlist,
    Dataset,
    DatasetId,
    GalaxyData,
    Request,
    Src,
    use_cases,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases.submit import Check
from galaxy_jobs.entrypoints.api import workflow_schema


STEPS = 80
TURNS = 100
NAME = "long"


def rows() -> Iterator[Row]:
    """Measure."""
    requests: list[float] = []
    with small_galaxy() as url:
        galaxy = Galaxy(url, "key", observer=lambda *asked: requests.append(asked[-1]))
        show = use_cases.ShowWorkflow(galaxy, Allowlist())
        allowed = AllowedWorkflow(name=NAME)
        check = Check(datasets(), galaxy, Allowlist(), lambda: datetime.now(UTC))
        request = Request(
            dataset_id=DatasetId("d"),
            workflow_name=NAME,
            parameters={f"number {step}": step for step in range(1, STEPS // 2)},
        )
        for name, run in (
            ("form", lambda: workflow_schema.parameters(show(NAME, SERVICE), allowed)),
            ("validate_only", lambda: check(request, SERVICE)),
        ):
            run()
            yield from measured(f"{name}, {STEPS} steps, warm", run, requests)


def measured(
    name: str, run: Callable[[], object], requests: list[float]
) -> Iterator[Row]:
    """Yield what a call takes without its requests, and the number of these."""
    taken, counts = [], []
    for _ in range(TURNS):
        requests.clear()
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began - sum(requests))
        counts.append(len(requests))
    ms, most = median(taken) * 1000, max(counts)
    yield Row(
        f"{name}: requests about the workflow", most, None, None, "<= 1", most <= 1
    )
    yield Row(
        f"{name}: ms without requests, median",
        round(ms, 2),
        None,
        None,
        "<= 5",
        ms <= 5,
    )


def datasets() -> MemoryDatasets:
    """Return one dataset."""
    made = MemoryDatasets(MemoryStore(now=lambda: datetime.now(UTC)))
    made.add(
        Dataset(
            dataset_id=DatasetId("d"),
            name="d",
            source=GalaxyData(Src.HDA, "d"),
            created_at=datetime.now(UTC),
        ),
        SERVICE,
    )
    return made


def export() -> dict[str, Any]:
    """Return a workflow: a data input, parameters with rules, and as many tools."""
    regex = {"type": "regex", "expression": "^[a-z]+$", "message": "Small letters."}
    steps = [step("data_input", "text", {"optional": False})]
    steps += [
        step(
            "parameter_input",
            f"number {place}",
            {"parameter_type": "integer", "optional": False, "validators": [regex]},
        )
        for place in range(1, STEPS // 2)
    ]
    steps += [step("tool", f"tool {place}", {"a": 1}) for place in range(STEPS // 2)]
    return {"name": NAME, "annotation": "", "steps": dict(enumerate(steps))}


def step(kind: str, label: str, state: object) -> dict[str, Any]:
    """Return a step as Galaxy exports it."""
    return {
        "type": kind,
        "label": label,
        "uuid": str(uuid4()),
        "errors": None,
        "tool_state": json.dumps(state),
    }


@contextmanager
def small_galaxy() -> Iterator[str]:
    """Serve that workflow, and give the address."""
    listed = [{"id": "w1", "name": NAME, "deleted": False, "update_time": "1"}]
    answers = {"/api/workflows": listed, "/api/workflows/w1/download": export()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = json.dumps(answers[urlsplit(self.path).path]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

"""A small Galaxy for the soak: it accepts invocations, and each run ends by itself.

Its answers are in the words of a real one, recorded in tests/unit/recorded. It runs in
a process of its own: ``python -m tests.attacks.soak_galaxy`` prints its address.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from attrs import define, field
from bench.galaxy import recorded, summary


KEY = "soak"
WORKFLOW = "two steps"
RUN_TIME = (5, 40)
"""Seconds that a run takes."""
NOT_FOUND = 404, {"err_msg": "Not found", "err_code": 404001}


@define
class Run:
    """One run, which ends as one of the recorded runs did."""

    invocation_id: str
    history_id: str
    ending: str
    ends_at: float
    cancelled: bool = False

    def shown(self) -> str:
        """Return how it is shown now."""
        name = "run_slow" if time.monotonic() < self.ends_at else self.ending
        answer = SHOWN["run_cancelled" if self.cancelled else name]
        return answer.replace("@id@", self.invocation_id).replace(
            "@history@", self.history_id
        )


def _shown(name: str) -> str:
    answer = recorded(name)
    text = json.dumps({**answer, "id": "@id@", "history_id": "@history@", "inputs": {}})
    return text.replace(answer["id"], "@id@")


SHOWN = {name: _shown(name) for name in ("run_slow", "run_success", "run_cancelled")}
# No job waits for another's output: that would ask for jobs and data of their own.
SHOWN["run_failed"] = SHOWN["run_success"].replace('"state": "ok"', '"state": "error"')


@define
class SmallGalaxy:
    """What is there, by id."""

    runs: dict[str, Run] = field(factory=dict)
    histories: dict[str, str] = field(factory=dict)
    _ids: Iterator[int] = field(factory=lambda: count(1))

    def answer(  # noqa: C901, PLR0912 - a table of routes
        self, method: str, parts: list[str], query: dict[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        """Return status and JSON; a string is JSON already."""
        match method, parts:
            case "GET", ["version"]:
                return 200, {"version_major": "26.1"}
            case "GET", ["users", "current"]:
                return 200, recorded("user")
            case "GET", ["workflows"]:
                return 200, [recorded("workflow")]
            case "GET", ["workflows", _, "download"]:
                return 200, recorded("export_two_steps")
            case "GET", ["workflows", _]:
                return 200, recorded("workflow")
            case "POST", ["workflows", _, "invocations"]:
                run = self.started(body["history"].removeprefix("hist_id="))
                return 200, run.shown()
            case "GET", ["invocations"]:
                wanted = query.get("history_id", [""])[0]
                found = [run for run in self.runs.values() if run.history_id == wanted]
                return 200, f"[{','.join(run.shown() for run in found)}]"
            case "GET" | "DELETE", ["invocations", id_] if id_ in self.runs:
                self.runs[id_].cancelled |= method == "DELETE"
                return 200, self.runs[id_].shown()
            case "GET", ["datasets", id_]:
                return 200, {"id": id_, "name": "a", "state": "ok"}
            case "GET", ["jobs", id_]:
                return 200, {**recorded("job_failed"), "id": id_}
            case "POST", ["histories"]:
                id_ = f"{next(self._ids):016x}"
                self.histories[id_] = body["name"]
                return 200, {"id": id_, "name": body["name"]}
            case "GET", ["histories"]:
                wanted = query.get("qv", [""])[0]
                named = {i: n for i, n in self.histories.items() if wanted in n}
                return 200, [{"id": i, "name": n} for i, n in named.items()]
            case "GET", ["histories", _, "jobs_summary"]:
                ids = query["ids"][0].split(",")
                known = [self.runs[id_] for id_ in ids if id_ in self.runs]
                told = (
                    summary(run.shown()).replace("@invocation@", run.invocation_id)
                    for run in known
                )
                return 200, f"[{','.join(told)}]"
            case "GET", ["histories", _, "contents"]:
                return 200, []
            case _, ["histories", id_, *_] if id_ in self.histories:
                return 200, {"id": id_, "deleted": False, "purged": False}
            case _:
                return NOT_FOUND

    def started(self, history_id: str) -> Run:
        """Return a run that begins now."""
        chance = random.random()
        run = Run(
            f"{next(self._ids):016x}",
            history_id,
            "run_failed" if chance < 0.1 else "run_success",
            time.monotonic() + random.uniform(*RUN_TIME),
        )
        self.runs[run.invocation_id] = run
        return run


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    galaxy: ClassVar[SmallGalaxy] = SmallGalaxy()
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def handle_any(self) -> None:
        """Answer one request."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        url = urlsplit(self.path)
        parts = url.path.removeprefix("/api").strip("/").split("/")
        status, content = self.galaxy.answer(
            self.command, parts, parse_qs(url.query), body
        )
        said = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the library's

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def small_galaxy() -> Iterator[str]:
    """Run one in a process of its own, and give its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.attacks.soak_galaxy"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    """Serve until terminated."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

"""A Galaxy over HTTP that never answers requests of one kind."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from attrs import define, field


RECORDED = Path(__file__).parents[1] / "unit/recorded/26.1"
WORKFLOW = "two steps"


def recorded(name: str) -> Any:
    """Return an answer that a real Galaxy gave."""
    return json.loads((RECORDED / f"{name}.json").read_text())["answer"]


@define
class SlowGalaxy:
    """It and its address.

    Attributes:
        url: The address.
        come: Set once a request has come that is not answered.
    """

    url: str = ""
    come: threading.Event = field(factory=threading.Event)


@contextmanager
def slow_galaxy(unanswered: str) -> Iterator[SlowGalaxy]:
    """Serve one on a free port.

    Args:
        unanswered: The beginning of the requests that are not answered.
    """
    galaxy, ended = SlowGalaxy(), threading.Event()
    answers: dict[str, Any] = {
        "GET /api/version": {"version_major": "26.1"},
        "GET /api/users/current": recorded("user"),
        "GET /api/workflows/a1/download": recorded("export_two_steps"),
        "GET /api/workflows/": {**recorded("workflow"), "id": "a1", "name": WORKFLOW},
        "GET /api/workflows": [{"id": "a1", "name": WORKFLOW, "deleted": False}],
        "POST /api/workflows/": {"id": "a2", "state": "new"},
        "POST /api/histories": {"id": "a3"},
    }

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = f"{self.command} {self.path}"
            if asked.startswith(unanswered):
                galaxy.come.set()
                ended.wait()
                return
            answer: Any = next(
                (answers[key] for key in answers if asked.startswith(key)), {}
            )
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = respond  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        galaxy.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=[0.02]).start()
        try:
            yield galaxy
        finally:
            ended.set()
            server.shutdown()

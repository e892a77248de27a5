"""Sets of files that Galaxy fetches, and what it made of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import frozen

from tests.support.galaxy import Lab
from tests.support.proxy import Proxy
from tests.support.service import Service
from tests.support.truth import Truth


POLL_AT_ONCE = """
[submit]
deadline = 8
fence_wait = 0.5
lease = 1
retry_in = 0.5
[poll]
min_interval = 0.3
max_interval = 1
"""
"""Settings under which a job is looked at several times a second."""


def lines(path: str) -> bytes:
    """Return the file that is served at a path."""
    return f"one line of {path}\n".encode() * 200


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/absent"):
            self.send_error(404)
            return
        content = lines(path)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:1000] if path.startswith("/cut") else content)
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@contextmanager
def files() -> Iterator[str]:
    """Serve files on this machine; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@frozen
class World:
    """The service behind a proxy, the files, and the truth in Galaxy."""

    jobs: Service
    proxy: Proxy
    truth: Truth
    lab: Lab
    files: str

    def address(self, path: str, **more: Any) -> dict[str, Any]:
        url = f"{self.files}{path}?X-Amz-Signature=secret"
        return {"src": "url", "url": url, "ext": "txt", **more}

    def register(self, type_: str, *elements: dict[str, Any]) -> str:
        source = {"src": "collection", "collection_type": type_, "elements": elements}
        body = {"name": "plate", "source": source}
        dataset_id: str = self.jobs.post("/datasets", body)["dataset_id"]
        return dataset_id

    def requests(self) -> list[str]:
        """Return what Galaxy was asked, in order."""
        return [
            f"{passing.method} {passing.path.partition('?')[0]}"
            for passing in self.proxy.seen
            if passing.stage == "before"
        ]

    def leaves(self, invocation_id: str) -> dict[str, Any]:
        """Return the datasets in the collection that a run was given, by place."""
        given = self.truth.ask(f"invocations/{invocation_id}")["inputs"]["0"]
        shown = self.truth.ask(f"dataset_collections/{given['id']}")

        def walk(level: Any, above: str = "") -> Iterator[tuple[str, Any]]:
            for element in level["elements"]:
                place = f"{above}{element['element_identifier']}"
                if element["element_type"] == "hda":
                    yield place, element["object"]
                else:
                    yield from walk(element["object"], f"{place}/")

        return dict(walk(shown))

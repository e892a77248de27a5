"""How long a client command takes to start, ask and answer.

The rival is a script that would ask Galaxy by itself, through BioBlend: the import
alone, before it has asked anything. Both are whole processes, in turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.table import Row


PAIRS = 15


class _NoJobs(BaseHTTPRequestHandler):
    """A service without jobs, so that it is the command that is measured."""

    def do_GET(self) -> None:
        body = b'{"items":[],"next_cursor":null}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def rows() -> Iterator[Row]:
    """Yield the row."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _NoJobs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    ours = [sys.executable, "-m", "galaxy_jobs.entrypoints", "list"]
    theirs = [sys.executable, "-c", "import bioblend.galaxy"]
    try:
        for command in (ours, theirs):
            _seconds(command, url)  # bytecode is written, files are read
        pairs = [(_seconds(ours, url), _seconds(theirs, url)) for _ in range(PAIRS)]
    finally:
        server.shutdown()
        server.server_close()
    ratio = statistics.median(b / a for a, b in pairs)
    yield Row(
        name="`galaxy-jobs list`, whole process, against importing BioBlend, s",
        ours=statistics.median(a for a, _ in pairs),
        theirs=statistics.median(b for _, b in pairs),
        ratio=ratio,
        bar="ratio >= 1.2",
        ok=ratio >= 1.2,
    )


def _seconds(command: list[str], url: str) -> float:
    env = {**os.environ, "GALAXY_JOBS_URL": url}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began

"""A small Galaxy over HTTP that answers some requests with garbage.

Every route that the service uses has a kind. Without garbage for its kind a request
gets the answer of an ordinary Galaxy, in the shapes that a real one was recorded in.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from attrs import define, field


RECORDED = Path(__file__).parents[1] / "unit/recorded/26.1"
KEY = "hostile"
WORKFLOW = "two steps"

Write: TypeAlias = Callable[[bytes], object]
Garbage: TypeAlias = bytes | Callable[[Write], object]
"""The bytes of an answer, head included, or a function that writes them."""


def recorded(name: str) -> Any:
    """Return an answer that a real Galaxy gave."""
    return json.loads((RECORDED / f"{name}.json").read_text())["answer"]


def http(body: bytes | str, status: int = 200, **headers: str) -> bytes:
    """Return the bytes of an answer."""
    content = body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status} Reason",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    if "Content_Length" not in headers:
        lines.append(f"Content-Length: {len(content)}")
    if "Content_Type" not in headers:
        lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def many(item: bytes, size: int) -> bytes:
    """Return a JSON list of so many bytes, of one item over and over."""
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"


def without_end(head: bytes, part: bytes, every: float = 0) -> Garbage:
    """Write a head, and a part over and over, until the connection is closed."""

    def write_on(write: Write) -> None:
        write(head)
        while True:
            write(part)
            if every:
                time.sleep(every)

    return write_on


DEEP = b"[" * 100_000 + b"]" * 100_000
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
LATE = "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"

ANSWERS: Mapping[str, Garbage] = {
    "nested 100,000 deep": http(DEEP),
    "nested 900 deep": http(b'{"a":' * 900 + b"1" + b"}" * 900),
    "not closed": http(b'{"id": "a'),
    "a number": http(b"7"),
    "NaN": http(b"NaN"),
    "a number of 400 digits": http(b"1" + b"0" * 400),
    "a number of 5,000 digits": http(b"1" + b"0" * 5000),
    "1e400": http(b"1e400"),
    "null": http(b"null"),
    "an empty list": http(b"[]"),
    "an empty object": http(b"{}"),
    "a list of lists": http(many(b"[]", 500_000)),
    "a lone surrogate": http(rb'"\ud800"'),
    "bytes": http(b"\xff\xfe\x00"),
    "a page": http("<html>Welcome</html>", Content_Type="text/html"),
    "a type of 60,000 characters": http("x", Content_Type="x" * 60_000),
    "nothing": http(b"", 204),
    "a gzip bomb": http(gzip.compress(bytes(40_000_000)), Content_Encoding="gzip"),
    "no gzip": http(b"{}", Content_Encoding="gzip"),
    "too short": http(b"{}", Content_Length="100"),
    "a negative length": http(b"{}", Content_Length="-1"),
    "a length of letters": http(b"{}", Content_Length="many"),
    "a redirect to itself": http(b"", 302, Location="/api/users/current"),
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + http(b"{}"),
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status of 999": http(b"{}", 999),
    "200 headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n{}",
    "a header of 70,000 characters": http(b"{}", X="y" * 70_000),
    "a chunk of minus one": CHUNKED + b"-1\r\n",
    "a chunk size without end": CHUNKED + b"1" * 200_000,
    "half a chunk": CHUNKED + b"ff\r\n{",
    "a trailer of 200,000 characters": CHUNKED + b"2\r\n{}\r\n0\r\nX:" + b"y" * 200_000,
    "a 429 for ever": http(b"{}", 429, Retry_After=LATE),
    "a 429 until the year 9999": http(
        b"{}", 429, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"
    ),
    "a 429 until 1801": http(b"{}", 429, Retry_After="Thu, 01 Jan 1801 00:00:00 GMT"),
    "a 503 for NaN seconds": http(b"{}", 503, Retry_After="nan"),
    "a 503 for minus one": http(b"{}", 503, Retry_After="-1"),
    "a 503 for a million seconds": http(b"{}", 503, Retry_After="1000000"),
    "a 503 for 1e400": http(b"{}", 503, Retry_After="1e400"),
    "a 500 with a long message": http(
        json.dumps({"err_msg": "\ud800\0" * 100_000, "err_code": 10**400}), 500
    ),
    "a 401 with a long message": http(json.dumps({"err_msg": "x" * 1_000_000}), 401),
}
"""Answers that are garbage to any request; each takes no longer than a good one."""

SLOW: Mapping[str, Garbage] = {
    "continue without end": without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "a byte now and then": without_end(http(b"", Content_Length="9999"), b" ", 0.05),
    "chunks without end": without_end(CHUNKED, b"1\r\n \r\n", 0.01),
    "headers without end": without_end(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05),
}
"""Answers that last until the deadline."""


@define
class HostileGalaxy:
    """What it has, and the garbage it answers with.

    Attributes:
        garbage: By kind of request (see :meth:`answer`), such as ``report``, or by kind
            and id, such as ``report 12ab``; ``full 12ab`` is for its full looks alone.
        shown: By id of a run, what is shown of it; others are shown as running.
        mapped: By id of a run of one mapped step, its jobs in each state.
        requests: The number of requests of each kind.
        runs: The runs in each history.
        names: The names of the histories.
        histories: The history of each run.
        actions: The answers to reviews, by the ids of a run and its step.
        made: The bodies of the requests to fetch data and to make collections.
        invoked: The bodies of those to invoke.
        files: The files of datasets, and those that were sent, by id.
        permissions: The roles in the default permissions of the user.
    """

    garbage: dict[str, Garbage] = field(factory=dict)
    shown: dict[str, dict[str, Any]] = field(factory=dict)
    mapped: dict[str, dict[str, int]] = field(factory=dict)
    requests: Counter[str] = field(factory=Counter)
    runs: dict[str, list[str]] = field(factory=lambda: defaultdict(list))
    names: dict[str, str] = field(factory=dict)
    histories: dict[str, str] = field(factory=dict)
    actions: dict[str, Any] = field(factory=dict)
    made: list[dict[str, Any]] = field(factory=list)
    invoked: list[dict[str, Any]] = field(factory=list)
    files: dict[str, bytes] = field(factory=dict)
    permissions: dict[str, list[int]] = field(
        factory=lambda: {"DATASET_MANAGE_PERMISSIONS": [2], "DATASET_ACCESS": []}
    )
    url: str = ""
    _ids: Iterator[int] = field(factory=lambda: count(2**40), init=False)
    _running: dict[str, Any] = field(factory=lambda: recorded("run_slow"), init=False)

    def answer(  # noqa: C901, PLR0912, PLR0915 - a table of the routes
        self, method: str, target: str, body: bytes
    ) -> tuple[str, Any]:
        """Return the kind of a request and its ordinary answer."""
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        match method, *parts.path.removeprefix("/api/").split("/"):
            case "GET", "version":
                return "version", {"version_major": "26.1"}
            case "GET", "configuration":
                return "configuration", {"allow_user_dataset_purge": True}
            case "GET", "users", "current":
                return "identity", recorded("user")
            case "GET", "users", _, "permissions", "inputs":
                own = [recorded("user")["email"], 2]
                return "permissions", {
                    "inputs": [
                        {"name": name, "options": [own, ["others", 3]], "value": value}
                        for name, value in self.permissions.items()
                    ]
                }
            case "PUT", "users", _, "permissions", "inputs":
                if "permit" not in self.garbage:
                    self.permissions.update(json.loads(body))
                return "permit", {"message": "Permissions have been saved."}
            case "GET", "workflows" if "show_hidden" in query:
                return "hidden workflows", []
            case "GET", "workflows":
                listed = {"id": "w1", "name": WORKFLOW, "deleted": False}
                # Another one each time: whatever was read of it does not hold.
                listed["update_time"] = f"2026-01-01 {next(self._ids)}"
                return "workflows", [listed]
            case "GET", "workflows", id_, "download" if "version" in query:
                version = int(query["version"][0])
                form = recorded("export_two_steps")
                return f"version {version}", {**form, "version": version}
            case "GET", "workflows", id_, "download" if query["style"] == ["ga"]:
                return "export", {**recorded("export_two_steps"), "name": WORKFLOW}
            case "GET", "workflows", id_, "download":
                return "run_form", recorded("run_form_two_steps")
            case "GET", "workflows", id_:
                # A version is shown with the id of its workflow.
                id_ = "w1" if "instance" in query else id_
                return "workflow", {**recorded("workflow"), "id": id_, "name": WORKFLOW}
            case "POST", "histories":
                id_ = f"{next(self._ids):016x}"
                self.names[id_] = json.loads(body)["name"]
                return "create", {"id": id_}
            case "GET", "histories" if "limit" in query:
                return "newest", [{"id": "f00d"}]
            case "GET", "histories":
                name = query["qv"][0]
                found = {
                    id_: given for id_, given in self.names.items() if name in given
                }
                return "marked", [{"id": id_, "name": found[id_]} for id_ in found]
            case "GET", "histories", _, "jobs_summary":
                ids, types = query["ids"][0].split(","), query["types"][0].split(",")
                kind = "summaries" if "WorkflowInvocation" in types else "counts"
                return kind, list(map(self._summary, ids, types))
            case "GET", "jobs":
                run = (
                    query.get("implicit_collection_jobs_id") or query["invocation_id"]
                )[0]
                first, limit = (
                    int(query.get("offset", ["0"])[0]),
                    int(query["limit"][0]),
                )
                newest_first = self._jobs(run, query.get("state"))[::-1]
                return "jobs", newest_first[first : first + limit]
            case "PUT", "histories", _, "contents", "bulk":
                return json.loads(body)["operation"], {"errors": []}
            case "DELETE", "histories", id_ if '"purge": true' in body.decode():
                return "purge history", {"id": id_, "purged": True}
            case _, "histories", id_:
                return "history", {"id": id_, "purged": False}
            case "POST", "workflows", _, "invocations":
                id_ = f"{next(self._ids):016x}"
                self.invoked.append(json.loads(body))
                history = json.loads(body)["history"].removeprefix("hist_id=")
                self.runs[history] += [id_]
                self.histories[id_] = history
                return "invoke", {"id": id_, "state": "new"}
            case "POST", "upload", "resumable_upload":
                id_ = f"{next(self._ids):x}"
                self.files[id_] = b""
                location = f"http://elsewhere.test/prefix/api/upload/{id_}"
                return "begin file", http("", 201, Location=location)
            case "PATCH", "upload", "resumable_upload", id_:
                self.files[id_] += body
                return "part of file", http("", 204)
            case "POST", "tools", "fetch":
                made = json.loads(body)
                self.made.append(made)
                items = [item for target in made["targets"] for item in target["items"]]
                outputs = [{"id": f"{next(self._ids):016x}"} for _ in items]
                return "fetch", {"outputs": outputs}
            case "POST", "dataset_collections":
                self.made.append(json.loads(body))
                return "make", {"id": f"{next(self._ids):016x}"}
            case "GET", "invocations":
                ids = self.runs[query["history_id"][0]]
                page = ids[::-1] if query.get("offset", ["0"]) == ["0"] else []
                return "runs", [{"id": id_} for id_ in page]
            case "POST", "invocations", _, "prepare_store_download":
                made = f"00000000-0000-4000-8000-{next(self._ids):012x}"
                return "export", {"storage_request_id": made}
            case "GET", "short_term_storage", id_, "ready":
                return "ready", id_ in self.files
            case "GET", "short_term_storage", id_:
                return "file export", self.files.get(id_)
            case "GET", "invocations", id_:
                return "report", self._shown(id_, full="step_details" in query)
            case "PUT", "invocations", run, "steps", id_:
                self.actions[f"{run} {id_}"] = json.loads(body)["action"]
                return "review", {"id": id_}
            case "DELETE", "invocations", id_:
                return "cancel", self._shown(id_)
            case "GET", "jobs", id_:
                return "details", {**recorded("job_failed"), "id": id_}
            case "GET", "datatypes", "mapping":
                return "datatypes", recorded("datatypes")
            case "GET", "datatypes", "converters":
                return "converters", [{"source": "tabular", "target": "json"}]
            case "GET" | "HEAD", "datasets", id_, "display":
                return f"file {method}", self.files.get(id_)
            case "GET", "datasets":
                return "datasets", []
            case "GET", "datasets", id_:
                return "dataset", {"id": id_, "name": "a", "state": "ok"}
            case "GET", "dataset_collections", id_:
                return "collection", {"id": id_, "name": "a", "elements": []}
            case _:
                raise LookupError(f"{method} {target}")

    def _shown(self, id_: str, *, full: bool = True) -> dict[str, Any]:
        shown = self.shown.get(id_, self._running)
        steps = [{**step, "jobs": step["jobs"] * full} for step in shown["steps"]]
        if id_ in self.mapped:
            step = {**steps[-1], "job_id": None, "implicit_collection_jobs_id": id_}
            steps = [{**step, "jobs": self._jobs(id_) if full else []}]
        # Not the data that was recorded: runs are given other data here.
        history = self.histories.get(id_, shown["history_id"])
        own = {"id": id_, "history_id": history}
        return {**shown, **own, "steps": steps, "inputs": {}}

    def _jobs(self, run: str, states: list[str] | None = None) -> list[dict[str, Any]]:
        counts = self.mapped[run].items()
        all_ = [state for state, number in counts for _ in range(number)]
        return [
            {"id": f"{n:016x}", "state": state, "tool_id": "many"}
            for n, state in enumerate(all_)
            if states is None or state in states
        ]

    def _summary(self, id_: str, model: str) -> dict[str, Any]:
        runs = [*self.shown.values(), self._running]
        if model == "WorkflowInvocation":
            runs = [self._shown(id_)]
        states = self.mapped.get(id_) or Counter(
            job["state"]
            for run in runs
            for step in run["steps"]
            for job in step["jobs"]
            if model != "Job" or job["id"] == id_
        )
        return {
            "id": id_,
            "populated_state": "ok",
            "states": states,
            "model": model,
        }

    def respond(
        self,
        method: str,
        target: str,
        body: bytes,
        write: Write,
        headers: Any,
    ) -> bool:
        """Write an answer; return whether the connection may serve another."""
        kind, content = self.answer(method, target, body)
        self.requests[kind] += 1
        if kind.startswith("file") and kind not in self.garbage:
            write(_file(content, headers.get("Range"), method))
            return True
        id_ = urlsplit(target).path.rpartition("/")[2]
        garbage = self.garbage.get(f"{kind} {id_}") or self.garbage.get(kind)
        if "step_details" in target:
            garbage = self.garbage.get(f"full {id_}") or garbage
        if garbage is None:
            written = isinstance(content, bytes)
            write(content if written else http(json.dumps(content)))
        elif isinstance(garbage, bytes):
            write(garbage)
        else:
            garbage(write)
        return garbage is None


def _file(content: bytes | None, asked: str | None, method: str) -> bytes:
    """Return the answer of an ordinary Galaxy to a request for a file."""
    if content is None:
        message = json.dumps({"err_msg": "not found", "err_code": 404001})
        answer = http(message, 404)
    else:
        more: dict[str, Any] = {
            "Content_Type": "application/octet-stream",
            "ETag": hashlib.sha256(content).hexdigest(),
        }
        if asked and method == "GET":
            first, last = map(int, asked.removeprefix("bytes=").split("-"))
            more["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
            answer = http(content[first : last + 1], 206, **more)
        else:
            answer = http(content, **more)
    head, _, body = answer.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n" + (b"" if method == "HEAD" else body)


@contextmanager
def hostile_galaxy(**garbage: Garbage) -> Iterator[HostileGalaxy]:
    """Serve one on a free port of this machine, from threads of this process.

    Args:
        garbage: By kind of request; see :attr:`HostileGalaxy.garbage`.
    """
    galaxy = HostileGalaxy(dict(garbage))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            with suppress(OSError):
                if galaxy.respond(
                    self.command, self.path, body, self.wfile.write, self.headers
                ):
                    return
            self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = respond  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None: ...

    with Server(("127.0.0.1", 0), Handler) as server:
        galaxy.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield galaxy
        finally:
            server.shutdown()
            thread.join()

"""Texts that would rule a terminal, and a server that says nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


CONTROLS = [
    *map(chr, {*range(0x20), 0x7F, *range(0x80, 0xA0)} - {0x09, 0x0A}),
    *map(chr, range(0x202A, 0x202F)),  # embeddings and overrides of direction
    *map(chr, range(0x2066, 0x206A)),  # isolates
    *"\u061c\u200e\u200f",  # marks of direction
    *"\u2028\u2029",  # separators of lines and paragraphs
    *"\ufeff\u200b\u200c\u200d\u2060\u00ad",  # of no width
    *"\U000e0001\U000e0041\U000e007f",  # tags
    *"\ufff9\ufffb",  # annotations
]
"""Each character that moves a cursor, hides, or turns text round."""

HOSTILE = "".join(f"{control};" for control in CONTROLS)
"""A text of all of them; none is followed by a semicolon in what we write."""

MOMENT = "2026-01-02T03:04:05Z"


def raw_controls(written: str) -> list[str]:
    """Return the controls of the text that a terminal was sent as they are."""
    return [control for control in CONTROLS if f"{control};" in written]


def job(state: str) -> dict[str, Any]:
    """Return a job whose every text is hostile."""
    return {
        "invocation_id": f"id{HOSTILE}",
        "dataset_id": f"dataset{HOSTILE}",
        "workflow_name": f"workflow{HOSTILE}",
        "state": state,
        "galaxy_state": f"scheduled{HOSTILE}",
        "parameters": {f"name{HOSTILE}": f"value{HOSTILE}"},
        "overwrite": False,
        "rerun_of": f"id{HOSTILE}",
        "superseded_by": f"id{HOSTILE}",
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "observed_at": MOMENT,
        "stale": False,
        "attention": f"attention{HOSTILE}",
        "progress": {"total": 1, "ok": 0, "running": 0, "waiting": 0, "failed": 1},
        "failure": {
            "reason": f"reason{HOSTILE}",
            "step": f"step{HOSTILE}",
            "step_index": 0,
            "path": [f"path{HOSTILE}"],
            "tool": f"tool{HOSTILE}",
            "exit_code": 1,
            "stderr": f"stderr{HOSTILE}\nmore{HOSTILE}",
            "message": f"message{HOSTILE}",
        },
        "steps": [
            {
                "index": 0,
                "label": f"step{HOSTILE}",
                "tool": f"tool{HOSTILE}",
                "state": f"state{HOSTILE}",
                "jobs": {f"error{HOSTILE}": 1},
            }
        ],
        "history_id": f"history{HOSTILE}",
        "dataset_input": f"input{HOSTILE}",
        "use_cached_job": None,
        "results": "kept",
        "results_deleted_at": None,
        "intermediates_deleted_at": None,
        "labels": {f"label{HOSTILE}": f"value{HOSTILE}"},
        "workflow_id": f"id{HOSTILE}",
        "workflow_version": 3,
        "version_note": f"note{HOSTILE}",
        "request": {f"input{HOSTILE}": f"value{HOSTILE}"},
    }


def _answer(path: str) -> tuple[int, Any]:  # noqa: C901, PLR0912 - a table
    """Return what our API would, with hostile texts; or a hostile Galaxy's error."""
    dataset = {
        "dataset_id": f"dataset{HOSTILE}",
        "name": f"name{HOSTILE}",
        "source": {"src": f"hda{HOSTILE}", "id": f"id{HOSTILE}"},
        "created_at": MOMENT,
        "galaxy_name": f"name{HOSTILE}",
        "state": f"state{HOSTILE}",
        "extension": f"ext{HOSTILE}",
        "collection_type": f"list{HOSTILE}",
        "described_at": MOMENT,
        "labels": {f"key{HOSTILE}": f"value{HOSTILE}"},
    }
    output: dict[str, Any] = {
        **{name: f"{name}{HOSTILE}" for name in ("label", "src", "id", "name")},
        **{name: f"{name}{HOSTILE}" for name in ("extension", "state")},
        "size": 1,
        "file": f"file{HOSTILE}",
        "element_count": 1,
    }
    element: dict[str, Any] = {
        "name": f"element{HOSTILE}",
        "file": None,
        "elements": [],
    }
    output["elements"] = [output | element]
    change = {
        **{name: f"{name}{HOSTILE}" for name in ("to_state", "galaxy_state")},
        "at": MOMENT,
        "progress": job("failed")["progress"],
    }
    workflow = {
        **{name: f"{name}{HOSTILE}" for name in ("name", "annotation", "workflow_id")},
        "version": 3,
        "updated_at": MOMENT,
        "dataset_input": f"input{HOSTILE}",
        "dataset_inputs": [f"input{HOSTILE}"],
        "missing_tools": [f"tool{HOSTILE}"],
        "problem": f"problem{HOSTILE}",
        "run_time_parameters": [f"parameter{HOSTILE}"],
        "parameters": {
            "properties": {
                f"other{HOSTILE}": {
                    "type": f"type{HOSTILE}",
                    "enum": [f"option{HOSTILE}"],
                    "x-galaxy-labels": [f"label{HOSTILE}"],
                    "x-galaxy-columns": [{"name": f"column{HOSTILE}"}],
                    "default": f"default{HOSTILE}",
                    "description": f"about{HOSTILE}",
                },
                f"input{HOSTILE}": {
                    "type": f"type{HOSTILE}",
                    "enum": [f"option{HOSTILE}"],
                    "default": f"default{HOSTILE}",
                    "description": f"about{HOSTILE}",
                },
            },
            "required": [f"input{HOSTILE}"],
        },
    }
    match path.partition("?")[0].strip("/").split("/"):
        case ["api", "version"]:
            return 200, {"version_major": f"26.1{HOSTILE}", "version_minor": HOSTILE}
        case ["api", *_]:
            return 400, {"err_msg": f"error{HOSTILE}", "err_code": 400008}
        case ["jobs", "refused", *_] | ["datasets", "refused"]:
            return 422, {
                "type": f"urn:x:code{HOSTILE}",
                "title": f"title{HOSTILE}",
                "detail": f"detail{HOSTILE}\nmore{HOSTILE}",
                "status": 422,
            }
        case ["jobs", "short", "outputs"]:
            return 200, _page({**output, "file": "\x1b;\x9b;\u202e;"})
        case ["jobs", _, "outputs"]:
            return 200, _page(output)
        case ["jobs", _, "outputs", _]:
            return 200, "what is in the file"
        case ["jobs", _, "history"]:
            return 200, _page(change)
        case ["jobs", _, "cancel"] | ["jobs", "adopt"]:
            return 202, {**job("cancelling"), "state": f"cancelling{HOSTILE}"}
        case ["jobs", _, "rerun"]:
            return 201, {**job("queued"), "state": f"queued{HOSTILE}"}
        case ["jobs", _] | ["jobs", _, "refresh"] | ["jobs", _, "steps", *_]:
            return 200, job("failed")
        case ["jobs"]:
            return 200, {**_page(job("failed")), **job("failed")}
        case ["datasets"]:
            return 200, {**_page(dataset), **dataset}
        case ["datasets", _]:
            return 200, dataset
        case ["uploads", *_]:
            return 200, {
                "upload_id": f"id{HOSTILE}",
                "dataset_id": f"dataset{HOSTILE}",
                "state": "complete",
                "sha256": None,
                "dataset": dataset,
            }
        case ["webhooks", _, "replay"]:
            return 202, {"replayed": f"3{HOSTILE}"}
        case ["webhooks", _, "deliveries" | "test" as last]:
            delivery = {
                "delivery_id": f"id{HOSTILE}",
                "type": f"type{HOSTILE}",
                "subject": f"job{HOSTILE}",
                "state": f"state{HOSTILE}",
                "attempts": f"1{HOSTILE}",
                "problem": f"problem{HOSTILE}",
            }
            return 200, delivery if last == "test" else _page(delivery)
        case ["webhooks", *_]:
            webhook = {
                "webhook_id": f"id{HOSTILE}",
                "url": f"url{HOSTILE}",
                "state": f"state{HOSTILE}",
                "events": [f"event{HOSTILE}"],
                "labels": {f"key{HOSTILE}": f"value{HOSTILE}"},
                "workflow_names": [f"name{HOSTILE}"],
                "secret": f"secret{HOSTILE}",
            }
            return 200, {**_page(webhook), **webhook}
        case ["jobs", _, "results"]:
            return 409, {
                "type": "urn:galaxy-jobs:problem:results-in-use",
                "title": f"title{HOSTILE}",
                "detail": f"detail{HOSTILE}",
            }
        case ["batches", *_]:
            batch = {
                "batch_id": f"id{HOSTILE}",
                "workflow_name": f"name{HOSTILE}",
                "size": 1,
                "counts": {f"state{HOSTILE}": 1},
                "parameters": {f"n{HOSTILE}": f"value{HOSTILE}"},
                "labels": {f"key{HOSTILE}": f"value{HOSTILE}"},
                "rerun_of": f"id{HOSTILE}",
                "created_at": MOMENT,
                "cancelled_at": MOMENT,
                "ended_at": MOMENT,
                "failures": [
                    {
                        "dataset_id": f"dataset{HOSTILE}",
                        "state": f"state{HOSTILE}",
                        "problem": {"detail": f"detail{HOSTILE}"},
                        "failure": None,
                    }
                ],
            }
            return 200, {**_page(batch), **batch}
        case ["workflows"]:
            return 200, _page(workflow)
        case ["workflows", _]:
            return 200, workflow
        case _:
            return 404, f"<{HOSTILE}>"


def _page(item: object) -> dict[str, Any]:
    return {"items": [item], "next_cursor": f"cursor{HOSTILE}"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, data = _answer(self.path)
        # Everything above ASCII as it is; JSON itself allows no others in texts.
        body = json.dumps(data, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever the method is
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def hostile_server() -> Iterator[str]:
    """Run a server that answers as our API and as Galaxy; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

"""What the doctor says of the store of files, and of the address for Galaxy."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.adapters.testing.memory import MemoryObjectStore
from galaxy_jobs.domain import Signer
from galaxy_jobs.domain.model.signing import SigningKey
from galaxy_jobs.domain.ports import SignedRequest
from galaxy_jobs.domain.use_cases import HandOver
from galaxy_jobs.entrypoints.doctor import Doctor, Verdict
from galaxy_jobs.entrypoints.settings import (
    DataTable,
    HandingOver,
    HttpTable,
    Settings,
)
from tests.support.hostile_galaxy import hostile_galaxy, http


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def doctor(store: Any = None, galaxy: str | None = None, **settings: Any) -> Doctor:
    given = {"galaxy_url": "http://127.0.0.1:9", "galaxy_api_key": "k", **settings}
    unused: Any = None
    parts: Any = SimpleNamespace(
        settings=lambda: Settings(**given),
        galaxy=lambda: Galaxy(galaxy or "", "k", timeout=5),
        object_store=lambda: store,
        clock=lambda: lambda: NOON,
        hand_over=lambda: HandOver(
            unused, store, lambda: SIGNER, lambda: NOON, lambda: offered(settings)
        ),
    )
    return Doctor(parts, try_uploads=galaxy is not None)


def offered(settings: dict[str, Any]) -> str:
    return settings["data"].public_url or ""


SIGNER = Signer([SigningKey(b"k" * 32)])


def found(doctor: Doctor, check: str) -> list[tuple[Verdict, str]]:
    return [
        (outcome[0], " ".join(filter(None, outcome[1:])))
        for outcome in doctor._outcomes(check, (), {})
    ]


def test_a_folder_that_can_be_written_to_and_one_that_cannot(tmp_path: Path) -> None:
    def of(root: Path) -> list[tuple[Verdict, str]]:
        store = FolderStore(root, lambda: Signer([]), lambda: NOON)
        return found(doctor(store), "storage")

    ((verdict, _),) = of(tmp_path / "storage")
    assert verdict is Verdict.OK
    (tmp_path / "file").write_text("where a folder has to be")
    ((verdict, message),) = of(tmp_path / "file")
    assert verdict is Verdict.FAIL
    assert "[storage]" in message


@frozen
class FarStore(MemoryObjectStore):
    """One with a clock and addresses of its own."""

    late: timedelta = timedelta(0)
    host: str = ""

    def now(self) -> datetime:
        return NOON - self.late

    def finish(self, key: str, ref: str, size: int) -> None:
        """Take it for whole: nothing sends it parts here."""

    def sign_part(self, *_: Any, **__: Any) -> SignedRequest:
        return SignedRequest(url=f"{self.host}/part?signature=s", expires_at=NOON)


@pytest.mark.parametrize(("late", "verdict"), [(0, Verdict.OK), (3600, Verdict.WARN)])
def test_the_clock_of_a_store_is_compared(late: int, verdict: Verdict) -> None:
    store = FarStore(lambda: NOON, late=timedelta(seconds=late))
    first, second = found(doctor(store), "storage")
    assert (first[0], second[0]) == (Verdict.OK, verdict)
    assert ("may be refused" in second[1]) == (late > 0)


@contextmanager
def answering(**headers: str) -> Iterator[str]:
    """A server that answers all with these headers; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            for name, text in headers.items():
                self.send_header(name.replace("_", "-"), text)
            self.end_headers()

        do_OPTIONS = do_PUT = respond  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02]).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


ALLOWED = {
    "Access_Control_Allow_Origin": "*",
    "Access_Control_Allow_Methods": "GET, PUT",
}


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        (ALLOWED, None),
        (
            {**ALLOWED, "Access_Control_Allow_Origin": "https://a.test"},
            "https://b.test",
        ),
        ({**ALLOWED, "Access_Control_Allow_Methods": "GET"}, "https://a.test"),
        ({}, "https://a.test"),
    ],
)
def test_a_store_is_asked_what_browsers_ask_it(
    headers: dict[str, str], problem: str | None
) -> None:
    with answering(**headers) as host:
        one = doctor(
            FarStore(lambda: NOON, host=host),
            data=DataTable(public_url="https://a.test/prefix"),
            http=HttpTable(allow_origins=["https://b.test"]),
        )
        _, _, *problems = found(one, "storage")
    assert all(verdict is Verdict.WARN for verdict, _ in problems)
    assert (problem in problems[0][1]) if problem else not problems
    assert "signature" not in str(problems)
    ((verdict, message), _) = found(one, "storage")[2:]
    assert verdict is Verdict.WARN
    assert "does not answer" in message


@pytest.mark.parametrize(
    ("galaxy_url", "here", "verdict"),
    [
        ("http://127.0.0.1:8085", "http://127.0.0.1:8000", Verdict.OK),
        ("https://usegalaxy.eu", "https://jobs.example.org", Verdict.OK),
        ("https://usegalaxy.eu", "http://127.0.0.1:8000", Verdict.WARN),
    ],
)
def test_an_address_that_galaxy_cannot_reach(
    galaxy_url: str, here: str, verdict: Verdict
) -> None:
    one = doctor(galaxy_url=galaxy_url, data=DataTable(public_url=here))
    ((actual, message),) = found(one, "uploads")
    assert actual is verdict
    assert ("public_url" in message) == (verdict is Verdict.WARN)


PUBLIC = "Set  public_url"
GONE = http("", 404)
REFUSED = http(json.dumps({"err_msg": "Access is not permitted."}), 400)
FAILED = {
    "id": "d",
    "state": "error",
    "misc_info": "HTTP 403: https://a.test/data/x?key=k&signature=5ec7e7&expires=1",
}


@pytest.mark.parametrize(
    ("garbage", "way", "verdict", "words", "remedy"),
    [
        ({}, "fetch", Verdict.OK, "fetches them at https://a.test", None),
        ({}, "push", Verdict.OK, "sent to Galaxy, which takes", None),
        (
            {"dataset": FAILED},
            "fetch",
            Verdict.FAIL,
            "cannot fetch",
            'hand_over = "push"',
        ),
        ({"fetch": REFUSED}, "fetch", Verdict.FAIL, "not permitted", "hand_over"),
        ({"dataset": FAILED, "begin file": GONE}, "fetch", Verdict.FAIL, "403", PUBLIC),
        ({"begin file": GONE}, "push", Verdict.FAIL, "cannot be sent", PUBLIC),
    ],
)
def test_the_way_that_works_is_found_out(
    garbage: dict[str, Any],
    way: HandingOver,
    verdict: Verdict,
    words: str,
    remedy: str | None,
) -> None:
    answers = {
        kind: answer if isinstance(answer, bytes) else http(json.dumps(answer))
        for kind, answer in garbage.items()
    }
    with answering() as host, hostile_galaxy(**answers) as galaxy:
        store = FarStore(lambda: NOON, host=host)
        data = DataTable(public_url="https://a.test", hand_over=way)
        ((actual, message),) = found(doctor(store, galaxy.url, data=data), "uploads")
    assert (actual, words in message) == (verdict, True), message
    assert remedy is None or remedy in message
    assert ("hand_over" in message) == (remedy in {'hand_over = "push"', "hand_over"})
    assert "5ec7e7" not in message
    assert not store.keys
    fetched = galaxy.requests["fetch"]
    # Its history is purged, whatever came of it.
    assert galaxy.requests["create"] == fetched == galaxy.requests["purge history"]
    assert fetched == (0 if way == "push" else 1)


def test_files_are_tried_at_a_galaxy_whose_users_may_not_purge() -> None:
    message = "This instance does not allow user dataset purging"
    refused = http(json.dumps({"err_msg": message, "err_code": 403004}), 403)
    with answering() as host, hostile_galaxy(**{"purge history": refused}) as galaxy:
        store = FarStore(lambda: NOON, host=host)
        data = DataTable(public_url="https://a.test", hand_over="fetch")
        ((verdict, said),) = found(doctor(store, galaxy.url, data=data), "uploads")
    assert verdict is Verdict.OK, said
    assert galaxy.requests["history"] == 1  # deleted


def test_a_store_that_takes_no_file_is_told_from_galaxy() -> None:
    store = FarStore(lambda: NOON, host="http://127.0.0.1:9")
    with hostile_galaxy() as galaxy:
        data = DataTable(public_url="https://a.test")
        ((verdict, message),) = found(doctor(store, galaxy.url, data=data), "uploads")
    assert verdict is Verdict.FAIL
    assert "No file can be sent to 127.0.0.1:9" in message
    assert not galaxy.requests
    assert not store.keys

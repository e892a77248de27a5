"""Uploaded files that are sent to a Galaxy which cannot fetch them."""

from __future__ import annotations

import hashlib
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy, sent
from galaxy_jobs.adapters.galaxy.client import Client
from galaxy_jobs.domain import (
    CollectionData,
    GalaxyData,
    HistoryId,
    SourceElement,
    Src,
    UploadData,
    UrlData,
    WorkflowId,
)
from galaxy_jobs.domain.errors import (
    ObjectNotFound,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunRejected,
    StorageUnavailable,
)
from galaxy_jobs.domain.model.dataset import UploadedFile
from tests.support.hostile_galaxy import HostileGalaxy, hostile_galaxy, http


SHA256 = "0a" * 32
PIECE = 2**20


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as server:
        yield server


def file(
    name: str, *pieces: bytes, size: int | None = None, error: Exception | None = None
) -> UploadData:
    @contextmanager
    def read() -> Iterator[Iterator[bytes]]:
        def each() -> Iterator[bytes]:
            yield from pieces
            if error is not None:
                raise error

        if error is not None and not pieces:
            raise error
        yield each()

    given = sum(map(len, pieces)) if size is None else size
    return UploadData(f"id of {name}", UploadedFile(name, "fastq", given, SHA256, read))


def invoke(server: HostileGalaxy, **inputs: Any) -> None:
    galaxy = Galaxy(server.url, "key", timeout=5)
    galaxy.invoke(WorkflowId("w1"), inputs, HistoryId("f00d"))


def test_a_file_is_sent_whole_and_becomes_a_dataset_of_the_run(
    server: HostileGalaxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent, "PATCH_SIZE", 4)
    invoke(server, text=file("a'ü.fq", b"12", b"345678", b"9"), n=1)
    assert server.requests["part of file"] == 3
    (sent_file,) = server.files.values()
    assert sent_file == b"123456789"
    (fetch,) = server.made
    (id_,) = server.files
    hashes = [{"hash_function": "SHA-256", "hash_value": SHA256}]
    item = {"src": "files", "name": "a'ü.fq", "ext": "fastq", "hashes": hashes}
    assert fetch == {
        "history_id": "f00d",
        "targets": [{"destination": {"type": "hdas"}, "items": [item]}],
        "files_0|file_data": {"session_id": id_, "name": "a'ü.fq"},
    }
    (invoked,) = server.invoked
    assert invoked["inputs"]["text"]["src"] == "hda"
    assert invoked["inputs"]["n"] == 1


def test_a_collection_has_sent_files_beside_other_data(server: HostileGalaxy) -> None:
    elements = (
        SourceElement("a", file("a.fq", b"a")),
        SourceElement("b", UrlData("http://x.test/b.fq", "fastq")),
        SourceElement("c", file("c.fq", b"c")),
        SourceElement("d", GalaxyData(Src.HDA, "d1")),
    )
    invoke(server, reads=CollectionData("list", elements))
    fetch, made = server.made
    items = fetch["targets"][0]["items"]
    names = [(item["src"], item["name"]) for item in items]
    assert names == [("files", "a (a.fq)"), ("url", "b"), ("files", "c (c.fq)")]
    by_place = [
        server.files[fetch[f"files_{n}|file_data"]["session_id"]] for n in (0, 1)
    ]
    assert by_place == [b"a", b"c"]
    assert made["hide_source_items"] is False
    given = [element["id"] for element in made["element_identifiers"]]
    assert given[3] == "d1"
    assert len(set(given)) == 4


def test_a_collection_of_sent_files_alone_hides_them(server: HostileGalaxy) -> None:
    elements = (SourceElement("a", file("a.fq", b"a")),)
    invoke(server, reads=CollectionData("list", elements))
    assert server.made[-1]["hide_source_items"] is True


@pytest.mark.parametrize("seconds", [0.25, -1.0])
def test_a_file_that_is_not_taken_in_time_names_its_limit(
    server: HostileGalaxy, seconds: float
) -> None:
    server.garbage["begin file"] = lambda _: time.sleep(1)
    client, data = Client(server.url, "key", timeout=5), file("a.fq", b"a").file
    assert data is not None
    with pytest.raises(RunnerUnavailable, match=r"within 0(\.\d+)? s"):
        sent.send(client, data, time.monotonic() + seconds)


@pytest.mark.parametrize(
    ("garbage", "error"),
    [
        ({"begin file": http("", 502)}, RunnerUnavailable),
        ({"begin file": http("", 201)}, RunnerUnavailable),
        ({"begin file": http("", 201, Location="/api/upload/..")}, RunnerUnavailable),
        ({"begin file": http("{}", 401)}, RunnerRefusedUs),
        ({"part of file": http("", 413)}, RunnerUnavailable),
        ({"part of file": http('{"detail": "conflict"}', 409)}, RunnerUnavailable),
        ({"part of file": http('{"err_msg": "too large"}', 400)}, RunRejected),
        ({"part of file": b""}, RunnerUnavailable),
    ],
    ids=str,
)
def test_nothing_is_made_of_a_file_that_galaxy_does_not_take(
    server: HostileGalaxy, garbage: dict[str, Any], error: type[Exception]
) -> None:
    server.garbage |= garbage
    with pytest.raises(error):
        invoke(server, text=file("a.fq", b"a"))
    assert not server.made
    assert not server.invoked


@pytest.mark.parametrize(
    "unreadable",
    [
        file("a.fq", b"a", size=2),
        file("a.fq", error=ObjectNotFound(), size=2),
        file("a.fq", b"a", error=StorageUnavailable("The store is down."), size=2),
    ],
    ids=["too short", "gone", "breaks off"],
)
def test_nothing_is_made_of_a_file_that_cannot_be_read(
    server: HostileGalaxy, unreadable: UploadData
) -> None:
    with pytest.raises(RunnerUnavailable, match="could not be sent to Galaxy: The"):
        invoke(server, text=unreadable)
    assert not server.made
    assert not server.invoked


@contextmanager
def swallowing() -> Iterator[tuple[str, Any]]:
    """A server that takes files and keeps their SHA-256 only."""
    digest = hashlib.sha256()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            left = int(self.headers["Content-Length"])
            while left:
                piece = self.rfile.read(min(left, 2**16))
                digest.update(piece)
                left -= len(piece)
            self.send_response(201)
            self.send_header("Location", "/api/upload/resumable_upload/f1")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PATCH = respond  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02]).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", digest
        finally:
            server.shutdown()


def test_a_large_file_takes_the_memory_of_a_few_pieces() -> None:
    count = 160
    pieces = (bytes([n]) * PIECE for n in range(count))

    @contextmanager
    def read() -> Iterator[Iterator[bytes]]:
        yield pieces

    large = UploadedFile("large", "fastq", count * PIECE, None, read)
    with swallowing() as (url, digest):
        client = Client(url, "key", timeout=60)
        tracemalloc.start()
        try:
            assert sent.send(client, large, time.monotonic() + 60) == "f1"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    whole = hashlib.sha256()
    for n in range(count):
        whole.update(bytes([n]) * PIECE)
    assert digest.digest() == whole.digest()
    assert peak < 8 * PIECE, peak

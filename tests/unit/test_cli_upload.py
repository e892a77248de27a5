"""What `galaxy-jobs upload` does at an error, and with a proxy."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define

from galaxy_jobs.entrypoints.client import uploading
from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused
from galaxy_jobs.entrypoints.client.http import Answer, Api
from galaxy_jobs.entrypoints.environment import Service
from tests.support.receiver import receiver
from tests.support.wait import until


SERVICE = Service(url="http://jobs.invalid")
DATASET = {"dataset_id": "d1"}

PART = 6 * 2**20
"""Bytes of a part that no kernel takes at once."""


@define
class Stand:
    """Stands in for a service with one upload.

    Attributes:
        store: The address of the store that its parts are sent to.
        part_size: The bytes of a part.
        missing: The numbers of its parts, if it is open.
        refused: What of it is refused: the number of a part, or "complete".
    """

    store: str = ""
    part_size: int = 1
    missing: Sequence[int] = ()
    refused: int | str | None = None
    service: Service = SERVICE

    def get(self, *_: str) -> Answer:
        return Answer({"received": {"bytes": 0}, "missing": self.missing}, {})

    def post(self, *parts: str, body: Any = None, **_: object) -> Answer:
        match parts, body:
            case ("uploads",), _:
                state = "open" if self.missing else "verifying"
                size = body["size"]
                answer: Any = {
                    "state": state,
                    "size": size,
                    "part_size": self.part_size,
                }
                return Answer({"upload_id": "u1", **answer}, {})
            case (*_, "parts"), {"numbers": [what]}:
                part = {"method": "POST", "url": f"{self.store}/part", "headers": {}}
                answer = {"parts": [part]}
            case _:
                what = "complete"
                answer = {"state": "complete", "sha256": None, "dataset": DATASET}
        if what == self.refused:
            raise Refused({"type": "urn:galaxy-jobs:problem:upload-ended"})
        return Answer(answer, {})


def upload(stand: Stand, path: Path) -> Any:
    return uploading.upload(
        cast("Api", stand), path, ext="txt", dataset_id=None, advance=lambda _: None
    )


@pytest.fixture
def two_bytes(tmp_path: Path) -> Path:
    path = tmp_path / "reads.txt"
    path.write_bytes(b"ab")
    return path


@contextmanager
def refused_soon() -> Iterator[None]:
    """Check that all ends with a refusal: the call soon, and then its threads."""
    before, begun = {*threading.enumerate()}, time.monotonic()
    with pytest.raises(Refused):
        yield
    assert time.monotonic() - begun < 5
    until(lambda: not {*threading.enumerate()} - before, timeout=5)


def test_an_error_ends_the_hashing(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(64 * 2**30)  # of nothing: read in a minute or more
    with refused_soon():
        upload(Stand(refused="complete"), path)


def test_an_error_waits_for_no_other_part(
    two_bytes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "PART_TIMEOUT", 20.0)
    monkeypatch.setattr(uploading, "ATTEMPTS", 1)
    with refused_soon(), socket.create_server(("127.0.0.1", 0)) as silent:
        store = f"http://127.0.0.1:{silent.getsockname()[1]}"
        upload(Stand(store, missing=[1, 2], refused=2), two_bytes)


def test_after_an_error_no_part_is_sent_again(two_bytes: Path) -> None:
    with refused_soon():
        upload(Stand("http://127.0.0.1:9", missing=[1, 2], refused=2), two_bytes)


def test_parts_go_through_the_proxy_of_their_host(
    two_bytes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(uploading, "ATTEMPTS", 1)
    stand = Stand("http://store.invalid", missing=[1, 2])
    with receiver() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "jobs.invalid")
        assert upload(stand, two_bytes) == DATASET
        monkeypatch.setenv("no_proxy", "store.invalid")
        with pytest.raises(CommandFailed, match="could not be stored: NameResolution"):
            upload(stand, two_bytes)
    assert {part.path for part in proxy.received} == {"http://store.invalid/part"}
    assert sorted(part.body for part in proxy.received) == [b"a", b"b"]


def test_a_slow_line_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "CONNECT_TIMEOUT", 0.5)
    path = tmp_path / "reads.txt"
    path.write_bytes(bytes(PART))

    def take(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            left = PART - len(connection.recv(2**16).partition(b"\r\n\r\n")[2])
            while left:
                time.sleep(0.05)  # a mebibyte in a second
                left -= len(connection.recv(2**20 // 20))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        server.bind(("127.0.0.1", 0))
        server.listen()
        taking = threading.Thread(target=take, args=(server,), daemon=True)
        taking.start()
        store = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(uploading, "ATTEMPTS", 1)
        stand = Stand(store, PART, missing=[1])
        assert upload(stand, path) == DATASET
        taking.join()

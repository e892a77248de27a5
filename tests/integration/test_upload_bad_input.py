"""What is wrong with uploads over real HTTP: a clear problem, nothing half-registered.

A table of all that clients, disks, stores and clocks may do. After each row there is no
dataset, and after a sweep the store has nothing of the upload.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest
from attrs import field, frozen

from galaxy_jobs.adapters.clock import SystemClock
from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.adapters.storage.s3 import S3Store
from galaxy_jobs.domain import Scope, Sees, Signer, SigningKey
from galaxy_jobs.domain.model import upload as model
from galaxy_jobs.domain.model.upload import MIB
from galaxy_jobs.domain.use_cases import uploads as use_cases
from tests.support.http_contract import problem
from tests.support.http_world import IMPATIENT, World, over_sockets
from tests.support.upload_contract import altered, sent
from tests.support.wait import until


CONTENT = os.urandom(2 * MIB + 17)
LAST = CONTENT[2 * MIB :]
SIGNER = Signer([SigningKey(b"k" * 32)])


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PART_SIZE", MIB)
    monkeypatch.setattr(use_cases, "PART_SIZE", MIB)


@pytest.fixture(scope="module")
def both(module_database_url: str) -> Iterator[tuple[World, World]]:
    """Two owners, each of whom sees only what is theirs."""
    with over_sockets(module_database_url, **IMPATIENT) as made:
        create = made.container.create_token()
        tokens = [create(name, Scope.SUBMIT, sees=Sees.OWN) for name in ("a", "b")]
        # It takes a second until tokens are needed.
        until(lambda: made.ask("GET", "/uploads").status_code == 401)
        mine, theirs = (made.with_token(token.text) for token in tokens)
        yield mine, theirs


@frozen
class Trial:
    """An upload of three parts, in the hands of somebody who does something wrong.

    Attributes:
        world: Of the owner.
        others: Of another one.
        database: Where it can be made to expire.
        more: What it was opened with, in addition.
    """

    world: World
    others: World
    database: str
    dataset_id: str = field(factory=lambda: str(uuid4()))
    more: dict[str, object] = field(factory=dict)

    def open(self, **fields: object) -> httpx.Response:
        body = {
            "name": "reads.fastq",
            "size": len(CONTENT),
            "ext": "fastq",
            "dataset_id": self.dataset_id,
            **fields,
        }
        answer = self.world.ask("POST", "/uploads", body)
        if answer.is_success:
            self.more.update(answer.json())
        return answer

    @property
    def path(self) -> str:
        if not self.more:
            assert self.open().status_code == 201
        return f"/uploads/{self.more['upload_id']}"

    def part(self, number: int, **more: object) -> Any:
        body = {"numbers": [number], **more}
        answer = self.world.ask("POST", f"{self.path}/parts", body)
        assert answer.status_code == 200, answer.text
        return answer.json()["parts"][0]

    def put(self, number: int, body: bytes | None = None) -> httpx.Response:
        part = self.part(number)
        piece = CONTENT[part["offset"] :][: part["size"]] if body is None else body
        return sent(self.world, part, piece)

    def put_all(self) -> None:
        for number in (3, 1, 2):  # in any order
            assert self.put(number).status_code == 200

    def complete(self) -> httpx.Response:
        return self.world.ask("POST", f"{self.path}/complete")

    def sweep(self) -> None:
        self.world.container.sweep_uploads()()

    def expire(self) -> None:
        with psycopg.connect(self.database) as connection:
            connection.execute(
                "UPDATE uploads SET expires_at = now(), look_at = now()"
                " WHERE state = 'open'"
            )

    @contextmanager
    def half_put(self, number: int) -> Iterator[Callable[[], int]]:
        """Send a half of a part; what it gives sends the rest, and returns the status.

        At the end of the block the client leaves.
        """
        part = self.part(number)
        address = urlsplit(part["url"])
        piece = CONTENT[part["offset"] :][: part["size"]]
        half = len(piece) // 2
        with socket.create_connection((address.hostname, address.port or 80)) as raw:
            raw.sendall(
                f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: "
                f"{address.netloc}\r\nContent-Length: {len(piece)}\r\n\r\n".encode()
                + piece[:half]
            )
            marker = self.root / self.path.strip("/") / f"part-{number:05}.lock"
            until(marker.exists)

            def rest() -> int:
                raw.sendall(piece[half:])
                return int(raw.recv(4096).split()[1])

            yield rest

    @property
    def root(self) -> Path:
        return self.world.container.folder_store().root

    # --- what clients do wrong ------------------------------------------------------

    def forged(self, **query: str | None) -> httpx.Response:
        part = self.part(3)
        return sent(self.world, part, LAST, altered(part["url"], **query))

    def at_another_place(self, before: str, after: str) -> httpx.Response:
        part = self.part(3)
        url = part["url"].replace(before, after)
        assert url != part["url"]
        return sent(self.world, part, LAST, url)

    def wrong_part(self) -> httpx.Response:
        digest = hashlib.sha256(LAST).hexdigest()
        part = self.part(3, sha256={"3": digest})
        return sent(self.world, part, LAST[::-1])

    def without_length(self) -> httpx.Response:
        return self.world.api.put(self.part(3)["url"], content=iter([LAST]))

    def wrong_whole(self) -> httpx.Response:
        self.open(sha256="0" * 64)
        self.put_all()
        assert self.complete().status_code == 202
        self.sweep()
        return self.complete()

    def incomplete(self) -> httpx.Response:
        self.put(3)
        self.put(1)
        answer = self.complete()
        assert answer.json()["missing"] == [2]
        return answer

    def complete_amid_a_part(self) -> httpx.Response:
        self.put_all()
        with self.half_put(1):
            return self.complete()

    def same_part_twice_at_once(self) -> httpx.Response:
        with self.half_put(1):
            return self.put(1)

    def left_amid_a_part(self) -> httpx.Response:
        self.put(2)
        self.put(3)
        with self.half_put(1):
            pass
        answer = self.complete()
        assert answer.json()["missing"] == [1]
        return answer

    def expired(self, method: str, path: str, body: object = None) -> httpx.Response:
        self.put_all()
        self.expire()
        return self.world.ask(method, self.path + path, body)

    def expired_and_swept(self) -> httpx.Response:
        part = self.part(3)
        self.expire()
        self.sweep()
        return sent(self.world, part, LAST)

    def aborted(self, method: str, path: str, body: object = None) -> httpx.Response:
        self.put_all()
        for _ in range(2):
            assert self.world.ask("DELETE", self.path).status_code == 204
        return self.world.ask(method, self.path + path, body)

    def aborted_meanwhile(self) -> httpx.Response:
        part = self.part(3)
        assert self.world.ask("DELETE", self.path).status_code == 204
        return sent(self.world, part, LAST)

    def theirs(self, method: str, path: str, body: object = None) -> httpx.Response:
        self.put_all()
        return self.others.ask(method, self.path + path, body)


SIGN = ("POST", "/parts", {"numbers": [1]})
MALFORMED = (400, "malformed-request")
FORBIDDEN = (403, "forbidden")
INCOMPLETE = (409, "upload-incomplete")
ENDED = (409, "already-ended")
EXPIRED = (410, "upload-expired")
NOT_FOUND = (404, "upload-not-found")
UNAVAILABLE = (503, "storage-unavailable")

WRONG: dict[str, tuple[Callable[[Trial], httpx.Response], tuple[int, str]]] = {
    "a part with a byte less": (lambda t: t.put(3, LAST[:-1]), FORBIDDEN),
    "a part with a byte more": (lambda t: t.put(3, LAST + b"x"), FORBIDDEN),
    "a part of no declared length": (Trial.without_length, FORBIDDEN),
    "another checksum of a part": (Trial.wrong_part, (422, "checksum-mismatch")),
    "another checksum of the whole": (Trial.wrong_whole, (422, "checksum-mismatch")),
    "a part is missing": (Trial.incomplete, INCOMPLETE),
    "no part is there": (Trial.complete, INCOMPLETE),
    "parts that it has not": (
        lambda t: t.world.ask("POST", f"{t.path}/parts", {"numbers": [3, 4]}),
        MALFORMED,
    ),
    "completed amid a part": (Trial.complete_amid_a_part, INCOMPLETE),
    "a part twice at once": (Trial.same_part_twice_at_once, UNAVAILABLE),
    "the client leaves amid a part": (Trial.left_amid_a_part, INCOMPLETE),
    "completed once expired": (lambda t: t.expired("POST", "/complete"), EXPIRED),
    "signed once expired": (lambda t: t.expired(*SIGN), EXPIRED),
    "stored once expired": (Trial.expired_and_swept, FORBIDDEN),
    "completed once aborted": (lambda t: t.aborted("POST", "/complete"), ENDED),
    "signed once aborted": (lambda t: t.aborted(*SIGN), ENDED),
    "stored once aborted": (Trial.aborted_meanwhile, FORBIDDEN),
    "shown to another owner": (lambda t: t.theirs("GET", ""), NOT_FOUND),
    "signed for another owner": (lambda t: t.theirs(*SIGN), NOT_FOUND),
    "completed by another owner": (lambda t: t.theirs("POST", "/complete"), NOT_FOUND),
    "aborted by another owner": (lambda t: t.theirs("DELETE", ""), NOT_FOUND),
    "0 bytes": (lambda t: t.open(size=0), MALFORMED),
    "6 TB": (lambda t: t.open(size=6 * 10**12), MALFORMED),
    "1 TiB, for which the disk has no room": (
        lambda t: t.open(size=2**40),
        UNAVAILABLE,
    ),
    "a name with slashes": (lambda t: t.open(name="../a"), MALFORMED),
    "a name with controls": (lambda t: t.open(name="a\x1b[2J"), MALFORMED),
    "a name that turns text around": (lambda t: t.open(name="a\u202eb"), MALFORMED),
    "a later expiry": (lambda t: t.forged(expires="99999999999"), FORBIDDEN),
    "another offset": (lambda t: t.forged(offset="0"), FORBIDDEN),
    "another size": (lambda t: t.forged(size="18"), FORBIDDEN),
    "another signature": (lambda t: t.forged(signature="0" * 64), FORBIDDEN),
    "no signature": (lambda t: t.forged(signature=None), FORBIDDEN),
    "another key": (lambda t: t.forged(key="00000000"), FORBIDDEN),
    "another part": (lambda t: t.at_another_place("/parts/3", "/parts/2"), FORBIDDEN),
    "another upload": (lambda t: t.at_another_place(t.path[9:], "x"), FORBIDDEN),
}


@pytest.mark.parametrize(("wrong", "expected"), WRONG.values(), ids=WRONG)
def test_a_clear_problem_and_nothing_half_registered(
    both: tuple[World, World],
    module_database_url: str,
    wrong: Callable[[Trial], httpx.Response],
    expected: tuple[int, str],
) -> None:
    trial = Trial(*both, module_database_url)
    problem(wrong(trial), *expected)
    check_nothing_is_left(trial)


def test_completing_twice_is_no_error(
    both: tuple[World, World], module_database_url: str
) -> None:
    trial = Trial(*both, module_database_url)
    trial.put_all()
    assert [trial.complete().status_code for _ in range(2)] == [202, 202]
    trial.sweep()
    answers = [trial.complete() for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert {answer.json()["sha256"] for answer in answers} == {digest}


def test_a_part_that_was_under_way_is_stored_and_the_upload_completed(
    both: tuple[World, World], module_database_url: str
) -> None:
    trial = Trial(*both, module_database_url)
    trial.put_all()
    with trial.half_put(1) as rest:
        problem(trial.complete(), *INCOMPLETE)
        assert rest() == 200
    assert trial.complete().status_code == 202
    trial.sweep()
    assert trial.complete().status_code == 200


def check_nothing_is_left(trial: Trial) -> None:
    answer = trial.world.ask("GET", f"/datasets/{trial.dataset_id}")
    problem(answer, 404, "dataset-not-found")
    trial.expire()
    trial.sweep()
    answer = trial.world.ask("GET", f"/datasets/{trial.dataset_id}")
    problem(answer, 404, "dataset-not-found")
    if trial.more:
        folder = trial.root / trial.path.strip("/")
        assert not [*folder.parent.glob(f"{folder.name}*")]
    assert trial.world.get("/uploads")["items"] == []


# --- what is wrong around it --------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir()
    options = f"size={size}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.parametrize("left", [MIB // 2, MIB], ids=["of a part", "of the marker"])
def test_a_full_disk(database_url: str, tmp_path: Path, left: int) -> None:
    with small_disk(tmp_path / "disk", 8 * MIB) as disk:
        store = FolderStore(disk / "storage", lambda: SIGNER, SystemClock())
        with over_sockets(database_url, folder_store=store, **IMPATIENT) as world:
            trial = Trial(world, world, database_url)
            answer = trial.open(size=9 * MIB)
            assert "bytes left" in problem(answer, *UNAVAILABLE)["detail"]
            assert trial.open().status_code == 201
            assert trial.put(3).status_code == 200
            with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
                while True:
                    filler.write(bytes(4096))
            free = Path(disk, "filler").stat().st_size - left
            os.truncate(disk / "filler", free)
            if left == MIB:  # the locks of a part take no room there
                (disk / "storage" / trial.path[1:] / "part-00002.lock").touch()
            answer = trial.put(2)
            assert "full" in problem(answer, *UNAVAILABLE)["detail"]
            assert world.get(trial.path)["missing"] == [1, 2]
            problem(trial.complete(), *INCOMPLETE)
            (disk / "filler").unlink()
            trial.put_all()
            assert trial.complete().status_code == 202
            trial.sweep()
            assert trial.complete().status_code == 200


def test_a_store_that_is_down(database_url: str) -> None:
    keys = ("id", "secret")
    down = S3Store(
        "http://127.0.0.1:9", None, "us-east-1", "bucket", SystemClock(), keys
    )
    with over_sockets(database_url, **IMPATIENT) as world:
        trial = Trial(world, world, database_url)
        trial.put_all()
    with over_sockets(database_url, object_store=down, **IMPATIENT) as world:
        body = {"name": "a", "size": 5, "ext": "txt", "dataset_id": "d"}
        for method, path, sent_body in (
            ("POST", "/uploads", body),
            ("GET", trial.path, None),
            ("POST", f"{trial.path}/complete", None),
        ):
            answer = world.ask(method, path, sent_body)
            problem(answer, *UNAVAILABLE)
            assert "secret" not in answer.text
        assert len(world.get("/uploads")["items"]) == 1
        problem(world.ask("GET", "/datasets/d"), 404, "dataset-not-found")
        # It is given up all the same, and removed when the store is back.
        assert world.ask("DELETE", trial.path).status_code == 204
        assert world.container.sweep_uploads()().problem is not None
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE uploads SET look_at = now() WHERE stored")
    with over_sockets(database_url, **IMPATIENT) as world:
        assert world.container.sweep_uploads()().problem is None
        upload_id = trial.path.rpartition("/")[2]
        problem(world.ask("POST", f"/uploads/{upload_id}/complete"), *ENDED)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_by_an_hour(database_url: str, hours: int) -> None:
    def wrong() -> datetime:
        return datetime.now(UTC) + timedelta(hours=hours)

    with (
        over_sockets(database_url, clock=wrong, **IMPATIENT) as world,
        over_sockets(database_url, **IMPATIENT) as right,
    ):
        trial = Trial(world, world, database_url)
        trial.put_all()
        assert trial.complete().status_code == 202
        trial.sweep()
        assert trial.complete().status_code == 200
        # It expires by the clock of the database.
        trial = Trial(world, world, database_url)
        assert trial.open().status_code == 201
        expires_at = datetime.fromisoformat(str(trial.more["expires_at"]))
        left = expires_at - datetime.now(UTC)
        assert timedelta(hours=23.9) < left < timedelta(hours=24.1)
        # An address that lives for an hour has expired elsewhere, or lives for two.
        part = trial.part(3)
        path = urlsplit(part["url"])._replace(scheme="", netloc="").geturl()
        if hours < 0:
            problem(sent(right, part, LAST, path), *FORBIDDEN)
            assert right.get(trial.path)["missing"] == [1, 2, 3]

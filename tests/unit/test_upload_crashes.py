"""Uploads whose process dies before or after each call to the database or the store.

Nothing runs after such a call, as with ``kill -9``. Then either the client comes back,
and its upload is finished, or it never does, and nothing is left of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from attrs import define

from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryDatasets,
    MemoryStore,
    MemoryUploads,
)
from galaxy_jobs.domain import DatasetId, IdempotencyKey, Signer, SigningKey, Upload
from galaxy_jobs.domain.errors import DatasetNotFound
from galaxy_jobs.domain.model import upload as model
from galaxy_jobs.domain.model.upload import MIB, UploadState
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import (
    AbortUpload,
    CompleteUpload,
    OpenUpload,
    ShowUpload,
    SignParts,
    SweepUploads,
)
from galaxy_jobs.domain.use_cases import uploads as use_cases


CONTENT = os.urandom(MIB + 5)
ID = DatasetId("reads")
KEY = IdempotencyKey("", "k")
DAY = timedelta(days=2)


class Killed(BaseException):
    """The process is gone; a BaseException, which nothing handles."""


@define
class Mortal:
    """Passes calls on until the process dies, before or after one of them."""

    inner: Any
    count: list[int]
    dies_at: int

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._step()
            answer = found(*args, **kwargs)
            self._step()
            return answer

        return call

    def _step(self) -> None:
        self.count[0] += 1
        if self.count[0] == self.dies_at:
            raise Killed


class World:
    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, ManualClock()
        signer = Signer([SigningKey(b"k" * 32)])
        memory = MemoryStore(self.clock)
        self.uploads = MemoryUploads(memory)
        self.datasets = MemoryDatasets(memory)
        self.store = FolderStore(self.folder, lambda: signer, self.clock)

    def process(self, dies_at: int = 0) -> Process:
        count = [0]
        return Process(
            self,
            Mortal(self.uploads, count, dies_at),
            Mortal(self.store, count, dies_at),
            count,
        )

    def left(self) -> list[str]:
        """Return what is in the store."""
        return sorted(path.name for path in self.folder.glob("uploads/*"))


@define
class Process:
    """One process of the service, and a client of it."""

    world: World
    uploads: Any
    store: Any
    count: list[int]

    def open(self) -> Upload:
        datasets, clock = self.world.datasets, self.world.clock
        opened = OpenUpload(self.uploads, datasets, self.store, clock)
        upload, _ = opened(
            SERVICE, name="a", size=len(CONTENT), ext="txt", dataset_id=ID, key=KEY
        )
        return upload

    def send(self, upload: Upload) -> None:
        """Store what is missing."""
        received = ShowUpload(self.uploads, self.store)(SERVICE, upload.upload_id)
        for number in received.missing:
            (part,) = SignParts(self.uploads, self.store)(
                SERVICE, upload.upload_id, [number]
            )
            query = dict(parse_qsl(urlsplit(part.url).query))
            piece = CONTENT[part.offset : part.offset + part.size]
            key = upload.store_key
            with self.world.store.receive(key, number, query, part.size) as writer:
                writer.write(piece[:3])
                self.store._step()  # it dies amid a part
                writer.write(piece[3:])
                writer.finish()

    def complete(self, upload: Upload) -> Upload:
        return CompleteUpload(self.uploads, self.store, self.world.clock)(
            SERVICE, upload.upload_id
        )

    def sweep(self) -> None:
        SweepUploads(self.uploads, self.store, self.world.clock)()

    def whole(self) -> None:
        """Upload the file, from wherever it is."""
        upload = self.open()
        if upload.state is UploadState.OPEN:
            self.send(upload)
            self.complete(upload)
        self.sweep()

    def given_up(self) -> None:
        upload = self.open()
        self.send(upload)
        AbortUpload(self.uploads, self.store)(SERVICE, upload.upload_id)
        self.sweep()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PART_SIZE", MIB)
    monkeypatch.setattr(use_cases, "PART_SIZE", 1)


def steps(tmp_path: Path, work: Callable[[Process], None]) -> int:
    """Return how many steps there are until the end."""
    process = World(tmp_path / "counted").process()
    work(process)
    return process.count[0]


def killed(world: World, work: Callable[[Process], None], step: int) -> None:
    with pytest.raises(Killed):
        work(world.process(dies_at=step))


def check_whole(world: World) -> None:
    """Assert that the dataset is there, and its file whole."""
    dataset = world.datasets.get(ID, SERVICE)
    with world.store.read(f"uploads/{dataset.source.upload_id}") as pieces:  # type: ignore[union-attr]
        assert b"".join(pieces) == CONTENT


def is_registered(world: World) -> bool:
    try:
        world.datasets.get(ID, SERVICE)
    except DatasetNotFound:
        return False
    return True


def test_a_client_that_comes_back_finishes_its_upload(tmp_path: Path) -> None:
    number = steps(tmp_path, Process.whole)
    assert number > 20
    for step in range(1, number + 1):
        world = World(tmp_path / str(step))
        killed(world, Process.whole, step)
        if is_registered(world):
            check_whole(world)
        world.clock.advance(timedelta(minutes=2))  # a lease may run
        world.process().whole()
        check_whole(world)
        assert len(world.left()) == 1
        world.clock.advance(DAY)
        world.process().sweep()
        check_whole(world)


def test_nothing_is_left_of_an_upload_whose_client_never_comes_back(
    tmp_path: Path,
) -> None:
    for step in range(1, steps(tmp_path, Process.whole) + 1):
        world = World(tmp_path / str(step))
        killed(world, Process.whole, step)
        world.clock.advance(DAY)
        world.process().sweep()
        if is_registered(world):  # it was whole by then
            check_whole(world)
            assert len(world.left()) == 1
        else:
            assert world.left() == []


def test_a_sweep_that_dies_is_finished_by_the_next(tmp_path: Path) -> None:
    def begin(world: World) -> None:
        upload = world.process().open()
        world.process().send(upload)
        world.clock.advance(DAY)

    counted = World(tmp_path / "counted")
    begin(counted)
    process = counted.process()
    process.sweep()
    for step in range(1, process.count[0] + 1):
        world = World(tmp_path / str(step))
        begin(world)
        killed(world, Process.sweep, step)
        world.clock.advance(timedelta(minutes=2))
        world.process().sweep()
        assert world.left() == []
        assert not is_registered(world)


def test_an_abort_that_dies_leaves_nothing(tmp_path: Path) -> None:
    for step in range(1, steps(tmp_path, Process.given_up) + 1):
        world = World(tmp_path / str(step))
        killed(world, Process.given_up, step)
        world.clock.advance(DAY)
        world.process().sweep()
        assert world.left() == []
        assert not is_registered(world)


def test_a_file_is_removed_once_no_dataset_has_it(tmp_path: Path) -> None:
    counted = World(tmp_path / "counted")

    def begin(world: World) -> None:
        world.process().whole()
        world.datasets.remove(ID, SERVICE)
        world.process().sweep()
        assert len(world.left()) == 1  # not at once
        world.clock.advance(DAY)

    begin(counted)
    process = counted.process()
    process.sweep()
    assert counted.left() == []
    for step in range(1, process.count[0] + 1):
        world = World(tmp_path / str(step))
        begin(world)
        killed(world, Process.sweep, step)
        world.clock.advance(timedelta(minutes=2))
        world.process().sweep()
        assert world.left() == []

"""Uploads whose process dies before or after each call to the database or the store.

Nothing runs after such a call, as with ``kill -9``. Then either the client comes back,
and its upload is finished, or it never does, and nothing is left of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import define

from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryDatasets,
    MemoryObjectStore,
    MemoryStore,
    MemoryUploads,
)
from galaxy_jobs.domain import (
    CollectionData,
    Dataset,
    DatasetId,
    IdempotencyKey,
    Signer,
    SigningKey,
    SourceElement,
    Upload,
)
from galaxy_jobs.domain.errors import DatasetNotFound, StorageUnavailable
from galaxy_jobs.domain.model import upload as model
from galaxy_jobs.domain.model.dataset import DatasetRef, leaves_of
from galaxy_jobs.domain.model.upload import MIB, UploadState
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import (
    AbortUpload,
    CompleteUpload,
    HandOver,
    OpenUpload,
    PruneUploads,
    ShowUpload,
    SignParts,
    SweepUploads,
)
from galaxy_jobs.domain.use_cases import uploads as use_cases
from galaxy_jobs.domain.use_cases.sources import ResolveSource


CONTENT = os.urandom(MIB + 5)
ID = DatasetId("reads")
KEY = IdempotencyKey("", "k")
DAY = timedelta(days=2)
MINUTE = timedelta(minutes=1)
OK = 200


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
    def __init__(self) -> None:
        self.clock = ManualClock()
        memory = MemoryStore(self.clock)
        self.uploads = MemoryUploads(memory)
        self.datasets = MemoryDatasets(memory)
        self.store = MemoryObjectStore(self.clock)

    def process(self, dies_at: int = 0) -> Process:
        count = [0]
        return Process(
            self,
            Mortal(self.uploads, count, dies_at),
            Mortal(self.store, count, dies_at),
            count,
        )

    def left(self) -> set[str]:
        """Return what is in the store."""
        return self.store.keys


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
            piece = CONTENT[part.offset : part.offset + part.size]
            status, _ = self.world.store.send(part.method, part.url, piece)
            assert status == OK

    def complete(self, upload: Upload) -> Upload:
        complete = CompleteUpload(
            self.uploads, self.store, self.world.clock, self.world.datasets
        )
        return complete(SERVICE, upload.upload_id).upload

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


def steps(work: Callable[[Process], None]) -> int:
    """Return how many steps there are until the end."""
    process = World().process()
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


def test_a_client_that_comes_back_finishes_its_upload() -> None:
    number = steps(Process.whole)
    assert number > 20
    for step in range(1, number + 1):
        world = World()
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


def test_nothing_is_left_of_an_upload_whose_client_never_comes_back() -> None:
    for step in range(1, steps(Process.whole) + 1):
        world = World()
        killed(world, Process.whole, step)
        world.clock.advance(DAY)
        world.process().sweep()
        if is_registered(world):  # it was whole by then
            check_whole(world)
            assert len(world.left()) == 1
        else:
            assert not world.left()


def test_a_sweep_that_dies_is_finished_by_the_next() -> None:
    def begin(world: World) -> None:
        upload = world.process().open()
        world.process().send(upload)
        world.clock.advance(DAY)

    counted = World()
    begin(counted)
    process = counted.process()
    process.sweep()
    for step in range(1, process.count[0] + 1):
        world = World()
        begin(world)
        killed(world, Process.sweep, step)
        world.clock.advance(timedelta(minutes=2))
        world.process().sweep()
        assert not world.left()
        assert not is_registered(world)


def test_an_abort_that_dies_leaves_nothing() -> None:
    for step in range(1, steps(Process.given_up) + 1):
        world = World()
        killed(world, Process.given_up, step)
        world.clock.advance(DAY)
        world.process().sweep()
        assert not world.left()
        assert not is_registered(world)


def test_a_file_is_removed_once_no_dataset_has_it() -> None:
    counted = World()

    def begin(world: World) -> None:
        world.process().whole()
        world.datasets.remove(ID, SERVICE)
        world.process().sweep()
        assert len(world.left()) == 1  # not at once
        world.clock.advance(DAY)

    begin(counted)
    process = counted.process()
    process.sweep()
    assert not counted.left()
    for step in range(1, process.count[0] + 1):
        world = World()
        begin(world)
        killed(world, Process.sweep, step)
        world.clock.advance(timedelta(minutes=2))
        world.process().sweep()
        assert not world.left()


def test_what_is_begun_after_an_upload_is_over_is_removed() -> None:
    """A request that was held up, and the same again by which it was given up."""
    world = World()

    class Late(Mortal):
        def _step(self) -> None:
            super()._step()
            if self.count[0] == 1:
                upload = world.process().open()
                AbortUpload(world.uploads, world.store)(SERVICE, upload.upload_id)

    held_up = world.process()
    held_up.store = Late(world.store, [0], dies_at=0)
    assert held_up.open().state is UploadState.ABORTED
    assert not world.left()


def test_the_records_of_old_uploads_are_removed_with_what_is_left_of_them() -> None:
    world = World()
    world.process().given_up()
    ((upload_id, upload),) = [*world.uploads.store.uploads.items()]
    whole = world.process()
    whole.whole()
    # By a process that was paused, and then killed.
    world.store.begin(upload.store_key, 5)
    prune = PruneUploads(world.uploads, world.store)
    world.clock.advance(timedelta(days=31) - MINUTE)
    assert prune() == 0
    world.clock.advance(2 * MINUTE)
    steps = world.process()
    PruneUploads(steps.uploads, steps.store)()
    assert upload_id not in world.uploads.store.uploads
    check_whole(world)
    assert len(world.left()) == 1


def test_none_is_removed_while_the_store_is_down() -> None:
    world = World()
    world.process().given_up()
    world.clock.advance(timedelta(days=32))

    class Down(MemoryObjectStore):
        def discard(self, key: str) -> None:
            raise StorageUnavailable("It is down.")

    assert PruneUploads(world.uploads, Down(world.clock))() == 0
    assert PruneUploads(world.uploads, world.store)() == 1
    assert PruneUploads(world.uploads, world.store)() == 0


def test_all_files_of_a_collection_are_handed_over_by_one_query() -> None:
    world = World()
    world.process().whole()
    upload = next(iter(world.uploads.store.uploads.values()))
    elements = tuple(SourceElement(str(n), upload.data) for n in range(100))
    pair = CollectionData("list", (*elements, SourceElement("ref", DatasetRef(ID))))
    dataset = Dataset(
        dataset_id=DatasetId("set"),
        name="n",
        source=pair,
        created_at=world.clock(),
    )
    counted = world.process()
    signer = Signer([SigningKey(b"k" * 32)])
    url = "http://localhost"
    hand_over = HandOver(
        counted.uploads, world.store, lambda: signer, world.clock, lambda: url
    )
    resolved = ResolveSource(world.datasets, hand_over)(dataset)
    urls = {content.url for _, content in leaves_of(resolved)}  # type: ignore[union-attr]
    assert len(urls) == 1
    assert urls.pop().startswith(f"{url}/data/{upload.upload_id}/a?")
    assert counted.count == [2], "before and after one call"

"""Files in a folder, held to the contract, and what only a folder can meet."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.adapters.testing.contracts.objects import (
    CONTENT,
    FIRST,
    HOUR,
    LAST,
    PART,
    SIZE,
    ObjectStoreContract,
    Requests,
)
from galaxy_jobs.adapters.testing.memory import ManualClock
from galaxy_jobs.domain import Signer, SigningKey, StoredPart
from galaxy_jobs.domain.errors import (
    BadLink,
    ChecksumMismatch,
    SizeMismatch,
    StorageUnavailable,
)


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """Let others read new files, as long as nothing else says otherwise."""
    before = os.umask(0o022)
    yield
    os.umask(before)


class InFolder:
    @pytest.fixture
    def clock(self) -> ManualClock:
        self.now = ManualClock()
        return self.now

    @pytest.fixture
    def store(self, tmp_path: Path, clock: ManualClock) -> FolderStore:
        signer = Signer([SigningKey(b"k" * 32)])
        return FolderStore(tmp_path / "storage", lambda: signer, clock)

    @pytest.fixture
    def send(self, store: FolderStore) -> Requests:
        """Do what the route of parts does."""

        def send(
            method: str,
            url: str,
            body: bytes = b"",
            headers: Mapping[str, str] | None = None,
        ) -> tuple[int, bytes]:
            parts = urlsplit(url)
            key, _, number = parts.path.strip("/").rpartition("/parts/")
            query = dict(parse_qsl(parts.query))
            try:
                with store.receive(key, int(number), query, len(body)) as writer:
                    for at in range(0, len(body), 2**20):
                        writer.write(body[at : at + 2**20])
                    writer.finish()
            except BadLink:
                return 403, b""
            except (ChecksumMismatch, SizeMismatch):
                return 422, b""
            return 200, b""

        return send


class TestFolder(InFolder, ObjectStoreContract):
    def wait_until_expired(self) -> None:
        self.now.advance(timedelta(seconds=2))


class TestOnlyFolders(InFolder):
    key = "uploads/u1"

    def begun(
        self, store: FolderStore, number: int, body: bytes
    ) -> tuple[str, dict[str, str]]:
        ref = store.begin(self.key, SIZE)
        offset = (number - 1) * PART
        part = StoredPart(number, len(body))
        signed = store.sign_part(self.key, ref, part, offset=offset, lifetime=HOUR)
        return ref, dict(parse_qsl(urlsplit(signed.url).query))

    def test_a_part_whose_client_leaves_is_not_stored(self, store: FolderStore) -> None:
        ref, query = self.begun(store, 2, LAST)
        for _ in range(2):  # the locks are let go of
            with store.receive(self.key, 2, query, len(LAST)) as writer:
                writer.write(LAST[:3])
            assert store.parts(self.key, ref) == []

    def test_a_part_that_is_stored_again_is_missing_meanwhile(
        self, store: FolderStore, send: Requests
    ) -> None:
        ref, query = self.begun(store, 2, LAST)
        _, first = self.begun(store, 1, FIRST)
        for number, signed, body in ((2, query, LAST), (1, first, FIRST)):
            with store.receive(self.key, number, signed, len(body)) as writer:
                writer.write(body)
                writer.finish()
        with store.receive(self.key, 2, query, len(LAST)) as writer:
            assert store.parts(self.key, ref) == [StoredPart(1, PART)]
            with pytest.raises(StorageUnavailable):
                store.finish(self.key, ref, SIZE)
            writer.write(LAST)
            writer.finish()
        store.finish(self.key, ref, SIZE)
        with store.read(self.key) as pieces:
            assert b"".join(pieces) == CONTENT

    def test_the_sha256_of_a_part_is_computed_only_if_it_is_of_use(
        self, store: FolderStore
    ) -> None:
        ref = store.begin(self.key, SIZE)
        digest = hashlib.sha256(LAST).hexdigest()
        stored = []
        for offset, sha256 in ((PART, None), (PART, digest), (0, None)):
            part = StoredPart(1, len(LAST))
            url = store.sign_part(
                self.key, ref, part, offset=offset, sha256=sha256, lifetime=HOUR
            ).url
            query = dict(parse_qsl(urlsplit(url).query))
            with store.receive(self.key, 1, query, len(LAST)) as writer:
                writer.write(LAST)
                writer.finish()
            marker = store.root / self.key / "part-00001"
            stored.append(json.loads(marker.read_text())["sha256"])
        assert stored == [None, digest, digest]

    def test_of_two_that_store_one_part_at_once_one_is_refused(
        self, store: FolderStore
    ) -> None:
        ref, query = self.begun(store, 2, LAST)
        with store.receive(self.key, 2, query, len(LAST)) as writer:
            again = store.receive(self.key, 2, query, len(LAST))
            with pytest.raises(StorageUnavailable, match="another request"), again:
                pass
            writer.write(LAST)
            writer.finish()
        assert store.parts(self.key, ref) == [StoredPart(2, len(LAST))]

    def test_a_part_that_is_written_while_its_file_is_discarded_leaves_nothing(
        self, store: FolderStore
    ) -> None:
        _, query = self.begun(store, 2, LAST)
        with store.receive(self.key, 2, query, len(LAST)) as writer:
            writer.write(LAST)
            store.discard(self.key)
            with pytest.raises(BadLink):
                writer.finish()
        assert list((store.root / "uploads").iterdir()) == []

    def test_a_discard_that_was_cut_short_is_finished_by_the_next(
        self, store: FolderStore
    ) -> None:
        self.begun(store, 2, LAST)
        folder = store.root / self.key
        folder.rename(folder.with_name("u1.discarded"))
        store.discard(self.key)
        assert list((store.root / "uploads").iterdir()) == []

    def test_a_full_disk_is_an_error_that_says_so(
        self, store: FolderStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(StorageUnavailable, match="bytes left"):
            store.begin(self.key, 2**60)
        ref, query = self.begun(store, 2, LAST)

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        receiving = store.receive(self.key, 2, query, len(LAST))
        full_disk = pytest.raises(StorageUnavailable, match="full")
        with receiving as writer, full_disk:
            writer.write(LAST)
        assert store.parts(self.key, ref) == []

    def test_others_on_this_machine_can_read_nothing(
        self, store: FolderStore, usual_umask: None
    ) -> None:
        ref, query = self.begun(store, 1, b"x")
        with store.receive(self.key, 1, query, 1) as writer:
            writer.write(b"x")
            writer.finish()
        assert store.parts(self.key, ref) == [StoredPart(1, 1)]
        made = [store.root, *store.root.rglob("*")]
        readable = [path for path in made if path.stat().st_mode & 0o077]
        assert {path.name for path in made} >= {"uploads", "u1", "part-00001"}
        assert readable == []

    def test_a_root_that_exists_keeps_its_mode(
        self, store: FolderStore, usual_umask: None
    ) -> None:
        store.now()
        assert store.root.stat().st_mode & 0o777 == 0o700
        store.root.chmod(0o750)
        store.now()
        self.begun(store, 1, b"x")
        assert store.root.stat().st_mode & 0o777 == 0o750

    def test_a_folder_that_may_not_be_written_to_is_an_error(
        self, tmp_path: Path, store: FolderStore
    ) -> None:
        (tmp_path / "storage").write_text("a file, where a folder has to be")
        with pytest.raises(StorageUnavailable):
            store.begin(self.key, SIZE)

"""Files in a folder of this machine; the service itself takes their parts.

Each file has a folder of its own. Parts are written into one sparse file, each at its
offset, and have a marker once they are on disk; finishing renames that file. Two locks,
which end with their process, keep apart what must not happen at once: all who write
parts share one, which finishing takes alone, and each part has its own.

Nobody but the user of the service can read what is made here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from errno import EDQUOT, ENOSPC
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from attrs import define, field, frozen

from galaxy_jobs.domain.errors import (
    BadLink,
    ChecksumMismatch,
    ObjectNotFound,
    SizeMismatch,
    StorageUnavailable,
)
from galaxy_jobs.domain.model.signing import Signer
from galaxy_jobs.domain.model.upload import StoredPart
from galaxy_jobs.domain.ports import Clock, ObjectStore, SignedRequest


PART = "part"
"""The purpose that addresses of parts are signed for."""

READ_SIZE = 2**20
"""Bytes of a file that are read at once."""

_REF = "folder"
_PARTIAL, _CONTENT, _LOCK = "content.partial", "content", "lock"


@frozen
class FolderStore(ObjectStore):
    """Keeps files below a folder.

    Attributes:
        root: The folder; it is made when it is first needed. One that exists keeps
            its permissions.
        load_signer: Returns what signs the addresses of parts.
    """

    root: Path
    load_signer: Callable[[], Signer]
    clock: Clock

    def begin(self, key: str, size: int) -> str:
        folder = self._folder(key)
        with _translated():
            self._make(folder)
            if (free := shutil.disk_usage(folder).free) < size:
                raise StorageUnavailable(
                    f"The disk of the store has {free} bytes left, and the file has "
                    f"{size}."
                )
            (folder / _PARTIAL).touch(mode=0o600)
            _sync(folder.parent)
        return _REF

    def sign_part(
        self,
        key: str,
        ref: str,
        part: StoredPart,
        *,
        offset: int,
        sha256: str | None = None,
        lifetime: timedelta,
    ) -> SignedRequest:
        del ref
        expires_at = (self.clock() + lifetime).replace(microsecond=0)
        fields = {"offset": str(offset), "size": str(part.size)}
        if sha256 is not None:
            fields["sha256"] = sha256
        signed = self.load_signer().sign(
            PART, _fields(key, part.number, fields), expires_at
        )
        return SignedRequest(
            url=f"/{key}/parts/{part.number}?{urlencode({**fields, **signed})}",
            expires_at=expires_at,
        )

    def receive(
        self, key: str, number: int, query: Mapping[str, str], length: int | None
    ) -> PartWriter:
        """Return what writes a part that a client sends to a signed address.

        Args:
            key: Of the file.
            number: Of the part.
            query: Of the address.
            length: Of the body, in bytes; None: it was not declared.

        Raises:
            BadLink: The address is not valid, or is for a body of another length, or
                the file takes no parts any more.
            StorageUnavailable: Another request stores this part at the moment.
        """
        self.load_signer().verify(
            PART, _fields(key, number, query), query, self.clock()
        )
        size = int(query["size"])
        if length != size:
            raise BadLink(f"It takes exactly {size} bytes, and got {length}.")
        return PartWriter(
            self._folder(key),
            StoredPart(number, size),
            int(query["offset"]),
            query.get("sha256"),
        )

    def parts(self, key: str, ref: str) -> Sequence[StoredPart]:
        del ref
        return [part for part, _ in _markers(self._folder(key))]

    def finish(self, key: str, ref: str, size: int) -> str | None:
        del ref
        folder = self._folder(key)
        content = folder / _CONTENT
        try:
            with _translated(), _locked(folder / _LOCK, fcntl.LOCK_EX):
                markers = _markers(folder)
                if not content.exists():
                    stored = sum(part.size for part, _ in markers)
                    if {stored, (folder / _PARTIAL).stat().st_size} != {size}:
                        raise SizeMismatch(
                            f"The parts have {stored} bytes; {size} were declared."
                        )
                    (folder / _PARTIAL).rename(content)
                    _sync(folder)
                if content.stat().st_size != size:
                    raise SizeMismatch(
                        f"The file has {content.stat().st_size} bytes; {size} were "
                        "declared."
                    )
        except FileNotFoundError:
            raise SizeMismatch("There is no such file in the store.") from None
        return markers[0][1] if len(markers) == 1 else None

    def size(self, key: str) -> int | None:
        with _translated(), suppress(FileNotFoundError):
            return (self._folder(key) / _CONTENT).stat().st_size
        return None

    @contextmanager
    def read(self, key: str) -> Iterator[Iterator[bytes]]:
        try:
            file = (self._folder(key) / _CONTENT).open("rb", buffering=0)
        except FileNotFoundError:
            raise ObjectNotFound from None
        except OSError as error:
            raise _unavailable(error) from error
        with file:
            yield _pieces(file.fileno())

    def sign_read(self, key: str, name: str, lifetime: timedelta) -> str | None:
        del key, name, lifetime
        return None

    def discard(self, key: str) -> None:
        folder = self._folder(key)
        discarded = folder.with_name(f"{folder.name}.discarded")
        with _translated():
            # Under another name: a part that is being written meanwhile finds no
            # folder for its marker.
            for _ in range(2):
                while discarded.exists():
                    with suppress(FileNotFoundError):  # others discard it, too
                        shutil.rmtree(discarded)
                with suppress(FileNotFoundError):
                    folder.rename(discarded)

    def now(self) -> datetime | None:
        with _translated():
            self._make(self.root)
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise StorageUnavailable(f"{self.root} cannot be written to.")
        return None

    def _make(self, folder: Path) -> None:
        """Make a folder of the store."""
        made = self.root
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One by one: the mode is not that of parents that are made with it.
        for name in folder.relative_to(self.root).parts:
            made /= name
            made.mkdir(mode=0o700, exist_ok=True)

    def _folder(self, key: str) -> Path:
        folder = self.root / key
        if ".." in folder.parts:
            raise ObjectNotFound
        return folder


@define
class PartWriter:
    """Writes one part; a block, at whose end an unfinished part is as if not sent.

    Raises:
        BadLink: The file takes no parts any more.
        StorageUnavailable: Another request stores this part at the moment, or the disk
            is full or fails; also on any call.
    """

    folder: Path
    part: StoredPart
    offset: int
    sha256: str | None
    _written: int = field(default=0, init=False)
    _files: list[int] = field(factory=list, init=False)
    _digest: hashlib._Hash | None = field(init=False)
    """Of a part whose SHA-256 is declared, or that may be the whole file."""

    def __attrs_post_init__(self) -> None:
        needed = self.sha256 is not None or self.offset == 0
        self._digest = hashlib.sha256() if needed else None

    def __enter__(self) -> Self:
        try:
            with _translated():
                self._open(self.folder / _LOCK, fcntl.LOCK_SH)
                self._open(self.folder / f"{self._marker.name}.lock", fcntl.LOCK_EX)
                self._files.append(os.open(self.folder / _PARTIAL, os.O_WRONLY))
                self._marker.unlink(missing_ok=True)
        except FileNotFoundError:
            self._close()
            raise BadLink("The file takes no parts any more.") from None
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def _marker(self) -> Path:
        return self.folder / f"part-{self.part.number:05}"

    def write(self, piece: bytes | memoryview) -> None:
        """Write the next bytes.

        Raises:
            SizeMismatch: There are more than the part has.
        """
        if self._written + len(piece) > self.part.size:
            raise SizeMismatch(f"Part {self.part.number} has too many bytes.")
        if self._digest is not None:
            self._digest.update(piece)
        with _translated(), memoryview(piece) as rest:
            done = 0
            while done < len(rest):
                at = self.offset + self._written + done
                done += os.pwrite(self._files[-1], rest[done:], at)
        self._written += len(piece)

    def finish(self) -> None:
        """Store the part for good.

        Raises:
            SizeMismatch: There were fewer bytes than the part has.
            ChecksumMismatch: They have not the declared SHA-256.
            BadLink: The file takes no parts any more.
        """
        if self._written != self.part.size:
            raise SizeMismatch(
                f"Part {self.part.number} has {self._written} bytes; "
                f"{self.part.size} were declared."
            )
        digest = None if self._digest is None else self._digest.hexdigest()
        if self.sha256 is not None and self.sha256 != digest:
            assert digest is not None
            raise ChecksumMismatch.between(self.sha256, digest)
        marker = self._marker.with_suffix(".new")
        try:
            with _translated():
                os.fsync(self._files[-1])
                with open(marker, "w", opener=_private) as file:
                    json.dump({"size": self.part.size, "sha256": digest}, file)
                    file.flush()
                    os.fsync(file.fileno())
                marker.rename(self._marker)
                _sync(self.folder)
        except FileNotFoundError:
            raise BadLink("The file takes no parts any more.") from None

    def _open(self, path: Path, lock: int) -> None:
        self._files.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            fcntl.flock(self._files[-1], lock | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy() from None

    def _close(self) -> None:
        while self._files:
            os.close(self._files.pop())


def _fields(key: str, number: int, query: Mapping[str, str]) -> Sequence[str]:
    """Return what the address of a part permits, in the order in which it is signed."""
    declared = [query.get(name, "") for name in ("offset", "size", "sha256")]
    return [key, str(number), *declared]


def _markers(folder: Path) -> list[tuple[StoredPart, str | None]]:
    """Return the parts that are stored, by number, each with its SHA-256 if known."""
    found = []
    with _translated():
        for path in sorted(folder.glob("part-[0-9]*")):
            if path.suffix:  # a lock, or not in place yet
                continue
            with suppress(FileNotFoundError):  # it is being stored again
                marker = json.loads(path.read_text())
                part = StoredPart(int(path.name.removeprefix("part-")), marker["size"])
                found.append((part, marker["sha256"]))
    return found


def _pieces(descriptor: int) -> Iterator[bytes]:
    with _translated():
        while piece := os.read(descriptor, READ_SIZE):
            yield piece


@contextmanager
def _locked(path: Path, lock: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise _busy() from None
    finally:
        os.close(descriptor)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the error of the port for one of the disk, but that of a missing file."""
    try:
        yield
    except (FileNotFoundError, BlockingIOError):
        raise
    except OSError as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> StorageUnavailable:
    if error.errno in {ENOSPC, EDQUOT}:
        return StorageUnavailable("The disk of the store is full.")
    return StorageUnavailable(f"The store failed: {error.strerror}.")


def _busy() -> StorageUnavailable:
    return StorageUnavailable("This part is being stored by another request.")

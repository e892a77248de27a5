"""Zips that are written while they are sent, by the standard library.

Rule of the file: the length of a zip is known before its first byte. So nothing in it
is compressed, the size of each file is known, and its date is always the same; a file
of another size is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import IO, Any, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from attrs import define, field, frozen

from galaxy_jobs.domain.errors import RunnerUnavailable
from galaxy_jobs.domain.ports import FileStream


READABLE = 0o100644 << 16
"""The permissions of a file in a zip: all may read it."""


@frozen
class Entry:
    """A file in a zip.

    Attributes:
        name: Its path in the zip.
        size: In bytes.
        open: Opens the file, which has so many bytes.
    """

    name: str
    size: int
    open: Callable[[], FileStream]

    def info(self) -> ZipInfo:
        """Return what the zip says of it."""
        info = ZipInfo(self.name)  # dated 1980, the earliest date of a zip
        info.compress_type = ZIP_STORED
        info.external_attr = READABLE
        info.file_size = self.size
        return info


@define
class _Sink:
    """What a zip is written into, from its beginning to its end."""

    position: int = 0
    parts: list[bytes] = field(factory=list[bytes])

    def write(self, data: bytes) -> int:
        self.parts.append(data)
        self.position += len(data)
        return len(data)

    def tell(self) -> int:
        return self.position

    def flush(self) -> None:
        """There is nothing to flush."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = b"".join(self.parts)
        self.parts.clear()
        return taken


def length(entries: Sequence[Entry]) -> int:
    """Return the bytes of the zip of these files; none of them is opened."""
    sink = _Sink()
    with _archive(sink) as archive:
        for entry in entries:
            with archive.open(entry.info(), "w") as file:
                # As if it was written: the library alone knows the layout around it.
                cast("Any", file)._file_size = entry.size  # noqa: SLF001
                sink.position += entry.size
            sink.take()
    return sink.position


def _archive(sink: _Sink) -> ZipFile:
    return ZipFile(cast("IO[bytes]", sink), "w")


@define(eq=False)
class ZipStream(FileStream):
    """The zip of some files.

    The next file is opened while one is read, so that Galaxy's time to answer is not
    added to the time of each.

    Attributes:
        entries: The files.
        openers: The threads that open them; others than those that read.
    """

    entries: Sequence[Entry]
    openers: Executor
    _files: list[Future[FileStream]] = field(factory=list, init=False)
    _closed: bool = field(default=False, init=False)
    _parts: Iterator[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._parts = self._written()

    def read(self) -> bytes:
        if self._closed:
            raise RunnerUnavailable("The zip is closed.")
        try:
            return next(self._parts, b"")
        except BaseException:
            self.close()  # another read would find an end
            raise

    def close(self) -> None:
        self._closed = True
        for file in [*self._files]:
            if not file.cancel():
                file.add_done_callback(_close)

    def _written(self) -> Iterator[bytes]:
        sink = _Sink()
        archive = _archive(sink)
        self._open(0)
        for number, entry in enumerate(self.entries):
            stream = self._files[0].result()
            self._open(number + 1)
            left = entry.size
            with archive.open(entry.info(), "w") as file:
                while chunk := stream.read():
                    left -= len(chunk)
                    file.write(chunk)
                    yield sink.take()
                if left:
                    raise RunnerUnavailable(
                        f"{entry.name!r} is {-left} bytes longer than was said."
                        if left < 0
                        else f"{entry.name!r} ended {left} bytes before its end."
                    )
            self._files.pop(0)
            stream.close()
        archive.close()
        yield sink.take()

    def _open(self, number: int) -> None:
        if number < len(self.entries):
            self._files.append(self.openers.submit(self.entries[number].open))
        if self._closed:  # meanwhile, by another thread
            self.close()


def _close(opening: Future[FileStream]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()

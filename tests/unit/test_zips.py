"""Zips: their length is known, they are whole, and what is not whole is no zip."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.adapters.zips import Entry, ZipStream, length
from galaxy_jobs.domain.errors import RunnerUnavailable
from galaxy_jobs.domain.ports import FileStream


GIB = 2**30


@define
class Given(FileStream):
    """A file of these parts, behind which it may fail."""

    parts: list[bytes]
    error: Exception | None = None
    closed: bool = False

    def read(self) -> bytes:
        if self.closed:
            raise RunnerUnavailable("closed")
        if not self.parts and self.error:
            raise self.error
        return self.parts.pop(0) if self.parts else b""

    def close(self) -> None:
        self.closed = True


def entry(name: str, content: bytes, size: int | None = None) -> Entry:
    size = len(content) if size is None else size
    return Entry(name, size, lambda: Given([content] if content else []))


def opened(name: str, content: bytes, files: list[Given]) -> Entry:
    """Return an entry of a file that is kept in a list once it is opened."""

    def open_file() -> Given:
        files.append(file := Given([content]))
        return file

    return Entry(name, len(content), open_file)


def zipped(entries: Sequence[Entry]) -> bytes:
    with ThreadPoolExecutor(1) as openers:
        stream, parts = ZipStream(entries, openers), []
        while part := stream.read():
            parts.append(part)
        return b"".join(parts)


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)


@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=8))
def test_a_zip_has_the_length_that_was_said_and_all_files(
    files: dict[str, bytes],
) -> None:
    entries = [entry(name, content) for name, content in files.items()]
    written = zipped(entries)
    assert len(written) == length(entries)
    with ZipFile(BytesIO(written)) as archive:
        assert archive.testzip() is None
        assert [archive.read(info) for info in archive.infolist()] == [*files.values()]


def test_a_zip_is_the_same_each_time() -> None:
    entries = [entry("a/b.txt", b"one"), entry("ä", b"")]
    assert zipped(entries) == zipped(entries)


@pytest.mark.parametrize(
    "sizes",
    [
        [0],
        [2 * GIB - 1],
        [2 * GIB],
        [4 * GIB - 1],
        [4 * GIB],
        [5 * GIB, 1],
        [1.9 * GIB, 1.9 * GIB, 1.9 * GIB, 1],
        [0] * 65_535,
        [0] * 65_536,
    ],
    ids=lambda sizes: f"{len(sizes)} of {max(sizes):.0f}",
)
def test_the_length_of_a_large_zip_is_that_of_the_library(sizes: list[float]) -> None:
    entries = [
        Entry(f"file-{number}", int(size), lambda: Given([]))
        for number, size in enumerate(sizes)
    ]
    # The formats of APPNOTE 4.3, written out.
    total = offset = directory = 0
    for given_entry in entries:
        name, size = len(given_entry.name), given_entry.size
        is_large = size * 1.05 > 2**31 - 1
        local = 30 + name + (20 if is_large else 0)
        descriptor = 24 if is_large else 16
        extra = 16 if size > 2**31 - 1 else 0
        extra += 8 if offset > 2**31 - 1 else 0
        directory += 46 + name + (extra + 4 if extra else 0)
        offset += local + size + descriptor
    total = offset + directory + 22
    if len(entries) > 65_535 or offset > 2**31 - 1:
        total += 56 + 20
    assert length(entries) == total


@pytest.mark.parametrize("size", [2, 4])
def test_a_file_of_another_size_is_an_error(size: int) -> None:
    stream_entries = [entry("a", b"abc", size=size), entry("b", b"b")]
    with pytest.raises(RunnerUnavailable):
        zipped(stream_entries)


def test_a_file_that_fails_is_an_error_and_so_is_all_behind_it() -> None:
    broken = Given([b"ab"], RunnerUnavailable("Galaxy is down."))
    behind: list[Given] = []
    entries = [Entry("a", 3, lambda: broken), opened("b", b"x", behind)]
    with ThreadPoolExecutor(1) as openers:
        stream = ZipStream(entries, openers)
        stream.read()
        for _ in range(3):
            with pytest.raises(RunnerUnavailable):
                stream.read()
    assert broken.closed
    assert all(file.closed for file in behind)


def test_what_is_closed_is_not_read_on() -> None:
    files: list[Given] = []
    entries = [opened(name, b"x", files) for name in "abc"]
    with ThreadPoolExecutor(1) as openers:
        stream = ZipStream(entries, openers)
        stream.read()
        stream.close()
        with pytest.raises(RunnerUnavailable):
            stream.read()
    assert files
    assert all(file.closed for file in files)


def test_a_zip_is_unpacked_by_others(tmp_path: Path) -> None:
    file = tmp_path / "all.zip"
    file.write_bytes(zipped([entry("parts/ä b.txt", b"one"), entry("c", b"")]))
    subprocess.run(
        ["python3", "-m", "zipfile", "-e", file, tmp_path], check=True, timeout=30
    )
    assert (tmp_path / "parts/ä b.txt").read_bytes() == b"one"
    assert (tmp_path / "c").read_bytes() == b""

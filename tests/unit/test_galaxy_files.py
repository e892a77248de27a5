"""Files of a Galaxy, an ordinary one and one that answers with garbage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from attrs import frozen

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.testing.contracts.output_files import (
    CONTENT,
    FileScene,
    OutputFilesContract,
    read,
)
from galaxy_jobs.domain.errors import (
    DataNotFound,
    RunnerRefusedUs,
    RunnerUnavailable,
)
from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.ports import OutputFiles
from galaxy_jobs.domain.ports.output_files import (
    BEGINNING,
    CHUNK_SIZE,
    MAX_CHUNK_SIZE,
)
from tests.support.hostile_galaxy import (
    ANSWERS,
    KEY,
    SLOW,
    Garbage,
    HostileGalaxy,
    hostile_galaxy,
    http,
    without_end,
)


ID = "f00d"
VERSION = FileVersion(len(CONTENT))
TIMEOUT = 1.0


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as galaxy:
        galaxy.files[ID] = CONTENT
        galaxy.garbage["report absent"] = http(
            '{"err_msg": "no such invocation", "err_code": 404001}', 404
        )
        yield galaxy


@pytest.fixture
def galaxy(server: HostileGalaxy) -> Galaxy:
    return Galaxy(server.url, KEY)


@pytest.fixture
def impatient(server: HostileGalaxy) -> Galaxy:
    return Galaxy(server.url, KEY, timeout=TIMEOUT)


@frozen
class Files(FileScene):
    server: HostileGalaxy

    @property
    def absent(self) -> str:
        return "absent"

    def dataset(self, content: bytes) -> str:
        id_ = f"{len(self.server.files):016x}"
        self.server.files[id_] = content
        return id_


class TestFiles(OutputFilesContract):
    @pytest.fixture
    def output_files(self, server: HostileGalaxy) -> OutputFiles:
        return Galaxy(server.url, KEY)

    @pytest.fixture
    def file_scene(self, server: HostileGalaxy) -> FileScene:
        return Files(server)


HEAD: dict[str, Any] = {"Content_Type": "application/octet-stream"}
PART = CONTENT[:1000]


@pytest.mark.parametrize(
    "garbage",
    [
        *(garbage for name, garbage in ANSWERS.items() if name != "a page"),
        http(PART, Content_Length=str(len(CONTENT)), **HEAD),
        http(CONTENT, **HEAD)[:-1],
        http(CONTENT + b"more", **HEAD),
        http(CONTENT, Content_Encoding="br", **HEAD),
        http(PART, 206, Content_Range=f"bytes 0-999/{len(CONTENT)}", **HEAD),
        http(CONTENT, 206, **HEAD),
        http(CONTENT, 206, Content_Range="bytes */1", **HEAD),
        http(b"", 302, Location="http://elsewhere.example/"),
    ],
)
def test_no_garbage_is_taken_for_a_file(
    server: HostileGalaxy, galaxy: Galaxy, garbage: Garbage
) -> None:
    server.garbage["file GET"] = garbage
    with pytest.raises((RunnerUnavailable, RunnerRefusedUs, DataNotFound)):
        read(galaxy.open(ID, VERSION))


@pytest.mark.parametrize("garbage", SLOW.values(), ids=list(SLOW))
def test_garbage_without_end_is_cut_off(
    server: HostileGalaxy, impatient: Galaxy, garbage: Garbage
) -> None:
    server.garbage["file GET"] = garbage
    began = time.monotonic()
    with pytest.raises(RunnerUnavailable):
        read(impatient.open(ID, FileVersion(9999)))
    assert time.monotonic() - began < 8 * TIMEOUT


def test_a_part_that_does_not_come_is_given_up(
    server: HostileGalaxy, impatient: Galaxy
) -> None:
    whole = http(b"", Content_Length=str(len(CONTENT)), **HEAD)
    server.garbage["file GET"] = without_end(whole + CONTENT[:300_000], b"", 0.05)
    stream = impatient.open(ID, VERSION)
    assert stream.read()
    with (
        closing(stream),
        pytest.raises(RunnerUnavailable, match="answer"),
    ):
        stream.read()


def test_the_parts_of_a_file_grow_behind_its_beginning(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    server.files[ID] = content = CONTENT * (BEGINNING // len(CONTENT) + 4)
    stream = galaxy.open(ID, galaxy.version(ID))
    sizes = [len(part) for part in read(stream)]
    assert sum(sizes) == len(content)
    at_first = BEGINNING // CHUNK_SIZE
    assert set(sizes[:at_first]) == {CHUNK_SIZE}
    assert set(sizes[at_first:-1]) == {MAX_CHUNK_SIZE}


def test_a_range_that_a_proxy_drops_is_read_all_the_same(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    server.garbage["file GET"] = http(CONTENT, **HEAD)
    stream = galaxy.open(ID, VERSION, 300_000, 400_000)
    assert b"".join(read(stream)) == CONTENT[300_000:400_000]


def test_a_file_without_a_size_has_no_version(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    server.garbage["file HEAD"] = b"HTTP/1.1 200 OK\r\n\r\n"
    with pytest.raises(RunnerUnavailable, match="without a size"):
        galaxy.version(ID)


def test_a_file_that_changes_after_its_version_was_asked_is_not_opened(
    server: HostileGalaxy, galaxy: Galaxy
) -> None:
    version = galaxy.version(ID)
    server.files[ID] = CONTENT.upper()
    with pytest.raises(RunnerUnavailable, match="another version"):
        galaxy.open(ID, version, 10)


def test_a_read_under_way_ends_when_the_file_is_closed(server: HostileGalaxy) -> None:
    whole = http(b"", Content_Length=str(len(CONTENT)), **HEAD)
    server.garbage["file GET"] = without_end(whole, b"", 0.05)
    stream = Galaxy(server.url, KEY, timeout=60).open(ID, VERSION)
    timer = threading.Timer(0.1, stream.close)
    timer.start()
    with pytest.raises(RunnerUnavailable):
        stream.read()
    timer.join()


def test_all_downloads_end_when_the_service_stops(server: HostileGalaxy) -> None:
    galaxy = Galaxy(server.url, KEY, timeout=60)
    stream = galaxy.open(ID, VERSION)
    galaxy.stop()
    with closing(stream), pytest.raises(RunnerUnavailable):
        stream.read()
    with pytest.raises(RunnerUnavailable):
        galaxy.open(ID, VERSION)


def test_the_key_goes_to_galaxy_alone(galaxy: Galaxy, server: HostileGalaxy) -> None:
    with hostile_galaxy() as other:
        other.files[ID] = CONTENT
        target = f"{other.url}/api/datasets/{ID}/display"
        server.garbage["file GET"] = http(b"", 302, Location=target)
        with pytest.raises(RunnerUnavailable, match="redirect"):
            galaxy.open(ID, VERSION)
        assert not other.requests

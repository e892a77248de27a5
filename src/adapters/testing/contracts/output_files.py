"""The contract of :class:`OutputFiles`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

import pytest

from galaxy_jobs.domain.errors import DataNotFound, RunnerUnavailable, RunNotFound
from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.ports import FileStream, OutputFiles
from galaxy_jobs.domain.ports.output_files import CHUNK_SIZE


CONTENT = b"".join(b"line %06d\n" % number for number in range(50_000))
"""A file of more than two parts; a text, since some engines change others."""


class FileScene(Protocol):
    """The datasets whose files are read."""

    @property
    @abstractmethod
    def absent(self) -> str:
        """A well-formed id that no dataset has."""

    @abstractmethod
    def dataset(self, content: bytes) -> str:
        """Return the id of a new dataset with that file."""


class OutputFilesContract:
    """What :class:`OutputFiles` must do.

    What :meth:`OutputFiles.named` returns is of a run, and so in the contract of
    :class:`WorkflowRunner`.
    """

    @pytest.fixture
    def output_files(self) -> OutputFiles:
        """Return the adapter; to be supplied."""
        raise NotImplementedError

    @pytest.fixture
    def file_scene(self) -> FileScene:
        """Return datasets for it; to be supplied."""
        raise NotImplementedError

    def test_reads_a_file_in_parts(
        self, output_files: OutputFiles, file_scene: FileScene
    ) -> None:
        id_ = file_scene.dataset(CONTENT)
        version = output_files.version(id_)
        assert version.size == len(CONTENT)
        parts = read(output_files.open(id_, version))
        assert b"".join(parts) == CONTENT
        assert max(map(len, parts)) <= CHUNK_SIZE

    @pytest.mark.parametrize(
        ("start", "stop"),
        [
            (0, 1),
            (1, None),
            (CHUNK_SIZE - 1, CHUNK_SIZE + 1),
            (CHUNK_SIZE, 2 * CHUNK_SIZE),
            (len(CONTENT) - 1, len(CONTENT)),
        ],
    )
    def test_reads_a_part_of_a_file(
        self,
        output_files: OutputFiles,
        file_scene: FileScene,
        start: int,
        stop: int | None,
    ) -> None:
        id_ = file_scene.dataset(CONTENT)
        stream = output_files.open(id_, output_files.version(id_), start, stop)
        assert b"".join(read(stream)) == CONTENT[start:stop]

    def test_the_version_stays_as_long_as_the_bytes(
        self, output_files: OutputFiles, file_scene: FileScene
    ) -> None:
        one, other = file_scene.dataset(CONTENT), file_scene.dataset(CONTENT.upper())
        assert output_files.version(one) == output_files.version(one)
        assert output_files.version(one).tag != output_files.version(other).tag

    def test_another_version_is_not_opened(
        self, output_files: OutputFiles, file_scene: FileScene
    ) -> None:
        id_ = file_scene.dataset(CONTENT)
        size = len(CONTENT)
        for version in (FileVersion(size - 1), FileVersion(size + 1)):
            for start in (0, 10):
                with pytest.raises(RunnerUnavailable):
                    output_files.open(id_, version, start)
        with pytest.raises(RunnerUnavailable):
            output_files.open(id_, FileVersion(size, "another"))
        assert b"".join(read(output_files.open(id_, FileVersion(size)))) == CONTENT

    def test_a_file_without_bytes_is_empty(
        self, output_files: OutputFiles, file_scene: FileScene
    ) -> None:
        id_ = file_scene.dataset(b"")
        version = output_files.version(id_)
        assert version.size == 0
        assert read(output_files.open(id_, version)) == []

    def test_what_is_closed_is_not_read_on(
        self, output_files: OutputFiles, file_scene: FileScene
    ) -> None:
        id_ = file_scene.dataset(CONTENT)
        stream = output_files.open(id_, output_files.version(id_))
        assert stream.read()
        stream.close()
        stream.close()
        with pytest.raises(RunnerUnavailable):
            stream.read()

    def test_there_is_no_file_of_what_is_not_there(
        self, output_files: OutputFiles, file_scene: FileScene
    ) -> None:
        for id_ in (file_scene.absent, "no id", "../users/current", "a?b=c", "Ä"):
            with pytest.raises(DataNotFound):
                output_files.version(id_)
            with pytest.raises(DataNotFound):
                output_files.open(id_, FileVersion(1))

    def test_a_run_that_is_not_there_has_no_outputs(
        self, output_files: OutputFiles, file_scene: FileScene
    ) -> None:
        with pytest.raises(RunNotFound):
            output_files.named(InvocationId(file_scene.absent), "lines")


def read(stream: FileStream) -> list[bytes]:
    """Return the parts of a file, which is closed."""
    parts = []
    try:
        while part := stream.read():
            parts.append(part)
    finally:
        stream.close()
    return parts

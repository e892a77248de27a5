"""The contract of :class:`RunExports`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

import pytest

from galaxy_jobs.adapters.testing.contracts.output_files import CONTENT, read
from galaxy_jobs.domain.errors import RunnerUnavailable, RunNotFound, RunRejected
from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.ports import RunExports
from galaxy_jobs.domain.ports.output_files import CHUNK_SIZE


class ExportScene(Protocol):
    """The runs that are exported."""

    @property
    @abstractmethod
    def absent(self) -> InvocationId:
        """A well-formed id that no run has."""

    @abstractmethod
    def run(self) -> InvocationId:
        """Return the id of a run that has ended."""

    @abstractmethod
    def make(self, export_id: str) -> None:
        """Let an export be made, which is not before; its file is :data:`CONTENT`."""

    @abstractmethod
    def remove(self, export_id: str) -> None:
        """Let the engine have an export no longer."""


class RunExportsContract:
    """What :class:`RunExports` must do."""

    @pytest.fixture
    def exports(self) -> RunExports:
        """Return the adapter; to be supplied."""
        raise NotImplementedError

    @pytest.fixture
    def export_scene(self) -> ExportScene:
        """Return runs for it; to be supplied."""
        raise NotImplementedError

    @pytest.fixture
    def export_id(self, exports: RunExports, export_scene: ExportScene) -> str:
        """Return the id of an export that was made."""
        export_id = exports.begin_export(export_scene.run())
        export_scene.make(export_id)
        return export_id

    def test_has_no_version_until_it_is_made(
        self, exports: RunExports, export_scene: ExportScene
    ) -> None:
        export_id = exports.begin_export(export_scene.run())
        assert exports.find_export(export_id) is None
        export_scene.make(export_id)
        version = exports.find_export(export_id)
        assert version is not None
        assert version.size == len(CONTENT)
        assert exports.find_export(export_id) == version

    def test_has_an_id_of_its_own_for_each_run(
        self, exports: RunExports, export_scene: ExportScene, export_id: str
    ) -> None:
        assert exports.begin_export(export_scene.run()) != export_id

    @pytest.mark.parametrize(
        ("start", "stop"),
        [
            (0, len(CONTENT)),
            (0, 1),
            (CHUNK_SIZE - 1, CHUNK_SIZE + 1),
            (len(CONTENT) - 1, len(CONTENT)),
        ],
    )
    def test_is_read_in_parts(
        self, exports: RunExports, export_id: str, start: int, stop: int
    ) -> None:
        version = exports.find_export(export_id)
        assert version is not None
        parts = read(exports.open_export(export_id, version, start, stop))
        assert b"".join(parts) == CONTENT[start:stop]
        assert max(map(len, parts)) <= CHUNK_SIZE

    def test_is_not_opened_in_another_version(
        self, exports: RunExports, export_id: str
    ) -> None:
        size = len(CONTENT)
        for version in (FileVersion(size + 1), FileVersion(size, "another")):
            with pytest.raises(RunnerUnavailable):
                exports.open_export(export_id, version, 0, size)

    def test_is_not_opened_once_it_is_removed(
        self, exports: RunExports, export_scene: ExportScene, export_id: str
    ) -> None:
        version = exports.find_export(export_id)
        assert version is not None
        export_scene.remove(export_id)
        assert exports.find_export(export_id) is None
        with pytest.raises(RunRejected):
            exports.open_export(export_id, version, 0, version.size)

    def test_there_is_none_of_a_run_that_is_not_there(
        self, exports: RunExports, export_scene: ExportScene
    ) -> None:
        with pytest.raises(RunNotFound):
            exports.begin_export(export_scene.absent)

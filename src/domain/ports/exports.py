"""The port to exports of runs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.ports.output_files import FileStream


class RunExports(Protocol):
    """RO-Crates that the engine makes of runs, and keeps for some hours."""

    @abstractmethod
    def begin_export(self, invocation_id: InvocationId) -> str:
        """Have the engine make an RO-Crate of a run; return the id of the export.

        Raises:
            RunNotFound: The engine answers that it has no such invocation.
            RunRejected: It makes none.
        """

    @abstractmethod
    def find_export(self, export_id: str) -> FileVersion | None:
        """Return the version of an export's file; None while it is being made.

        None, too, where the engine no longer has it: engines do not tell the two apart.

        Raises:
            RunRejected: The engine could not make it; another one has to be begun.
        """

    @abstractmethod
    def open_export(
        self, export_id: str, version: FileVersion, start: int, stop: int
    ) -> FileStream:
        """Open a part of an export's file, as :meth:`OutputFiles.open` does.

        Raises:
            RunRejected: The engine no longer has it.
        """

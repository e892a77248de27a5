"""The port to the files of datasets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.model.report import Output
from galaxy_jobs.domain.model.values import InvocationId


CHUNK_SIZE = 256 * 1024
"""Bytes that are read at once, at most, of the beginning of a file."""

BEGINNING = 16 * 2**20
"""Bytes of a file of which small parts are read, so that clients who ask for many and
take none cost little."""

MAX_CHUNK_SIZE = 2**20
"""Bytes that are read at once, at most, of the rest."""


class FileStream(Protocol):
    """A file that is being read, from one thread at a time."""

    @abstractmethod
    def read(self) -> bytes:
        """Return the next bytes; none at the end.

        Up to :data:`CHUNK_SIZE`, and behind the :data:`BEGINNING`, up to
        :data:`MAX_CHUNK_SIZE`.

        Raises:
            RunnerUnavailable: The engine broke off, gave no bytes within the time limit
                of a request, or has fewer bytes than it said. No end was reached.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop reading, from any thread: a :meth:`read` under way ends with an error.

        Closing twice is no error.
        """


class OutputFiles(Protocol):
    """The files of the engine's datasets.

    The engine is asked at each call. What is read passes through in parts, whatever
    the size of the file.
    """

    @abstractmethod
    def named(self, invocation_id: InvocationId, label: str) -> Sequence[Output]:
        """Return the outputs of that label, with all of their elements.

        They are as in :meth:`WorkflowRunner.outputs`; none, one, or one of each kind.

        Raises:
            RunNotFound: The engine answers that it has no such invocation.
        """

    @abstractmethod
    def version(self, dataset_id: str) -> FileVersion:
        """Return the version of a dataset's file, as of now.

        Raises:
            DataNotFound: There is no such dataset, the key may not use it, or it has no
                file.
        """

    @abstractmethod
    def open(
        self,
        dataset_id: str,
        version: FileVersion,
        start: int = 0,
        stop: int | None = None,
    ) -> FileStream:
        """Open a dataset's file.

        Args:
            dataset_id: The dataset.
            version: The version that is wanted; without a tag, any of that size.
            start: The first byte, counting from 0.
            stop: The byte behind the last one; None: the size.

        Raises:
            DataNotFound: As for :meth:`version`.
            RunnerUnavailable: Also where the engine has another version.
        """

"""The port to the runs that a rerun has superseded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Protocol

from attrs import frozen

from galaxy_jobs.domain.model.dataset import GalaxyData
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import Identity, InvocationId


@frozen
class DataUser:
    """A user of data in Galaxy.

    Attributes:
        kind: ``dataset``, ``job``, or ``submission`` for one that is no job yet.
        id: Its id in the store.
        owner: Its owner, or None.
    """

    kind: str
    id: str
    owner: str | None = None


class SupersededRuns(Protocol):
    """The superseded runs whose Galaxy histories are still to be dealt with.

    :meth:`SubmissionRepository.accept` adds a run when it is superseded.
    """

    @abstractmethod
    def due(self, identity: Identity, *, limit: int) -> Sequence[Invocation]:
        """Return at most *limit* runs whose history may be deleted, oldest first.

        Those that have ended with every job settled, that are not :meth:`done`, and
        of whose successors one has *completed*: the run that superseded it
        (`superseded_by`), or the one that superseded that run, and so on.
        """

    @abstractmethod
    def users_of(
        self, identity: Identity, data: Collection[GalaxyData]
    ) -> Sequence[DataUser]:
        """Return the users of some of that data; empty if it has none.

        They are the registered datasets whose source it is; the invocations that have
        not ended, or have jobs left, and were given it; and the submissions that may
        become such ones, items of batches that wait included.
        """

    @abstractmethod
    def collections(self, identity: Identity, *, limit: int) -> Sequence[str]:
        """Return the ids of at most *limit* collections in Galaxy that have users.

        In no particular order, each once.
        """

    @abstractmethod
    def done(self, invocation_id: InvocationId, attention: str | None = None) -> None:
        """Record that the history of a run is dealt with, for good.

        Args:
            invocation_id: One that :meth:`due` returned; twice is no error.
            attention: Its new note for people, or None for no change.
        """

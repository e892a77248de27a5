"""The port to the histories of runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from galaxy_jobs.domain.model.dataset import GalaxyData
from galaxy_jobs.domain.model.report import Invoked
from galaxy_jobs.domain.model.values import HistoryId, InvocationId


class RunHistories(Protocol):
    """The Galaxy histories of runs, one each.

    The id of the submission is in the name, so that a run whose answer was lost
    can be found; and it is the fence: Galaxy cancels whatever is invoked
    into a deleted history. A run that had begun before goes on.
    """

    @abstractmethod
    def create(self, name: str) -> HistoryId:
        """Create a history of that name. The request is sent at most once.

        Raises:
            RunnerUnavailable: Also where the answer was lost; then a history may
                exist, and :meth:`marked` will return it.
        """

    @abstractmethod
    def marked(self, mark: str) -> Mapping[HistoryId, str]:
        """Return the histories whose names contain a text, with these names.

        Deleted ones are included. Lower and upper case differ.
        """

    def name_of(self, history_id: HistoryId) -> str | None:
        """Return the name of a history; None: there is none, or it is not shown."""
        del history_id  # with a body, it need not be overridden
        return None

    @abstractmethod
    def runs_in(self, history_id: HistoryId) -> Sequence[InvocationId]:
        """Return the invocations into a history, oldest first.

        Works for deleted and purged histories as well. Invocations of sub-workflows
        are not among them. Empty where Galaxy has no such history.
        """

    @abstractmethod
    def invoked(self, invocation_id: InvocationId) -> Invoked:
        """Return what an invocation was started with, by us or by others.

        Raises:
            RunNotFound: The engine answers that it has no such invocation.
        """

    @abstractmethod
    def delete(self, history_id: HistoryId, *, purge: bool = False) -> None:
        """Delete a history; with *purge* also its data on disk, for good.

        It is purged where the engine lets its users purge; else it is deleted alone.
        It is no error if it is deleted already, or if Galaxy does not have it.
        """

    @abstractmethod
    def undelete(self, history_id: HistoryId) -> None:
        """Restore a deleted history; it is no error if it is not deleted.

        Raises:
            RunRejected: It was purged.
            RunNotFound: Galaxy has no such history.
        """

    def tag(self, history_id: HistoryId, tags: Collection[str]) -> None:
        """Give a history these tags in the place of those that it has.

        Such as ``dataset:reads-1``. What a tag cannot hold in the engine is replaced.
        An engine without tags leaves this as it is: nothing happens.

        Raises:
            RunRejected: It was purged, or the engine does not allow it.
            RunNotFound: Galaxy has no such history.
        """
        del history_id, tags  # with a body, it need not be overridden

    def retag(
        self, history_id: HistoryId, added: Collection[str], removed: Collection[str]
    ) -> None:
        """Add tags to those of a history, and remove others; the rest stays.

        It is no error if it has those, or has not these. An engine without tags leaves
        this as it is.

        Raises:
            RunRejected: It was purged, or the engine does not allow it.
            RunNotFound: Galaxy has no such history.
        """
        del history_id, added, removed

    @abstractmethod
    def contents(self, history_id: HistoryId) -> Collection[GalaxyData]:
        """Return the datasets and collections that a history holds.

        Works for deleted histories as well. Empty where Galaxy has no such
        history, or it is purged.
        """

    def elements(self, collection: GalaxyData) -> Mapping[str, HistoryId | None]:
        """Return the datasets of a collection, each with the history that it is in.

        Those of the parts of a collection are included. None stands for a history that
        is not known. Empty where Galaxy has no such collection.
        """
        del collection  # with a body, it need not be overridden
        return {}

    def delete_datasets(
        self,
        history_id: HistoryId,
        dataset_ids: Collection[str],
        *,
        purge: bool = False,
    ) -> None:
        """Delete datasets of a history; with *purge* also their files, for good.

        It is no error if some are deleted already. Data that has copies elsewhere
        stays on disk. They are purged where the engine lets its users purge; else they
        are deleted alone. An engine without single datasets leaves this as it is.

        Raises:
            RunRejected: The history was purged, or the engine does not allow it.
            RunNotFound: Galaxy has no such history.
        """
        del history_id, dataset_ids, purge  # with a body, it need not be overridden

    def undelete_datasets(
        self, history_id: HistoryId, dataset_ids: Collection[str]
    ) -> None:
        """Restore deleted datasets of a history; it is no error if they are there.

        Raises:
            RunRejected: The history was purged, or the engine does not allow it.
            RunNotFound: Galaxy has no such history.
        """
        del history_id, dataset_ids

"""The port to the histories that runs are given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Protocol

from galaxy_jobs.domain.model.dataset import GalaxyData
from galaxy_jobs.domain.model.values import HistoryId, InvocationId


class RunHistories(Protocol):
    """The Galaxy histories that runs are given, one each.

    The history carries the submission's id as its name, so that a run whose
    answer was lost can be found; and it is the fence: Galaxy cancels whatever
    is invoked into a deleted history. A run that had begun before goes on.
    """

    @abstractmethod
    def create(self, name: str) -> HistoryId:
        """Make a history of that name. The request is sent at most once.

        Raises:
            RunnerUnavailable: Also where the answer was lost; then one may
                exist, which :meth:`named` will show.
        """

    @abstractmethod
    def named(self, name: str) -> Sequence[HistoryId]:
        """Return the histories of exactly that name, deleted ones included."""

    @abstractmethod
    def runs_in(self, history_id: HistoryId) -> Sequence[InvocationId]:
        """Return what was invoked into a history, oldest first.

        Works for deleted and purged histories, too. Invocations of sub-workflows
        are not among them. Empty where Galaxy has no such history.
        """

    @abstractmethod
    def delete(self, history_id: HistoryId, *, purge: bool = False) -> None:
        """Delete a history; with *purge*, its data on disk too, for good.

        One that is deleted already, or that Galaxy does not have, is no error.
        """

    @abstractmethod
    def undelete(self, history_id: HistoryId) -> None:
        """Bring a deleted history back; one that is not deleted is no error.

        Raises:
            RunRejected: It was purged.
            RunNotFound: Galaxy has no such history.
        """

    @abstractmethod
    def contents(self, history_id: HistoryId) -> Collection[GalaxyData]:
        """Return the datasets and collections that a history holds.

        Works for deleted histories, too. Empty where Galaxy has no such
        history, or it is purged.
        """

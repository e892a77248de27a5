"""The port to the feed of transitions, which can be resumed at any place.

As in the other ports to the store, every method may be called from several
threads at once, and may raise :class:`StoreUnavailable`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Protocol

from attrs import evolve, field, frozen

from galaxy_jobs.domain.model.invocation import Transition
from galaxy_jobs.domain.model.labels import Label, Labels
from galaxy_jobs.domain.model.values import DatasetId, InvocationId
from galaxy_jobs.domain.model.viewer import Viewer


@frozen(kw_only=True)
class JobTransition:
    """A transition, with what the job is.

    Attributes:
        transition: The change of state.
        dataset_id: The dataset that the job runs on.
        workflow_name: The workflow that it runs.
        labels: Its labels now, which may differ from those at the time.
        owner: Its owner, or None.
    """

    transition: Transition
    dataset_id: DatasetId
    workflow_name: str
    labels: Labels = field(factory=dict, hash=False)
    owner: str | None = None

    def shown_to(self, viewer: Viewer) -> JobTransition:
        """Return it with the id of the dataset as a viewer calls it."""
        return evolve(self, dataset_id=viewer.id_of(self.dataset_id))


class TransitionFeed(Protocol):
    """The transitions of all jobs, in the order of their ids.

    They become visible in that order: a reader that has read up to an id has
    missed none before it.
    """

    @abstractmethod
    def latest(self, viewer: Viewer) -> int:
        """Return the id of the last transition of a viewer's jobs; 0: none."""

    @abstractmethod
    def after(
        self,
        place: int,
        viewer: Viewer,
        *,
        limit: int,
        dataset_id: DatasetId | None = None,
        invocation_id: InvocationId | None = None,
        labels: Collection[Label] = (),
    ) -> Sequence[JobTransition]:
        """Return the first *limit* transitions after a place, oldest first.

        Args:
            place: The id of the last transition read; 0: from the beginning.
            limit: The largest number of transitions to return.
            viewer: Only those of their jobs.
            dataset_id: Only those of jobs on this dataset.
            invocation_id: Only those of this job.
            labels: Only those of jobs that have all of these labels now.
        """

    @abstractmethod
    def watch(self, at_least_every: timedelta) -> Iterator[None]:
        """Yield whenever there may be new transitions, without end.

        First as soon as none can be missed any more; then at once when some
        have become visible, and after *at_least_every* in any case, so that the
        caller can also stop.
        """

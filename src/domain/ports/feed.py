"""The port to what changes: transitions as a stream that can be resumed.

As in the other ports to what is kept, every method may be called from several
threads at once, and may raise :class:`StoreUnavailable`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Protocol

from attrs import frozen

from galaxy_jobs.domain.model.invocation import Transition
from galaxy_jobs.domain.model.values import DatasetId, InvocationId


@frozen(kw_only=True)
class JobTransition:
    """A transition, and of which job it is one.

    Attributes:
        transition: What changed.
        dataset_id: What the job runs on.
        workflow_name: What it runs.
    """

    transition: Transition
    dataset_id: DatasetId
    workflow_name: str


class TransitionFeed(Protocol):
    """Tells of transitions in the order of their ids.

    They become visible in that order: whoever has read up to an id has missed
    none before it.
    """

    @abstractmethod
    def latest(self) -> int:
        """Return the id of the last transition; 0 if there is none."""

    @abstractmethod
    def after(
        self,
        place: int,
        *,
        limit: int,
        dataset_id: DatasetId | None = None,
        invocation_id: InvocationId | None = None,
    ) -> Sequence[JobTransition]:
        """Return the first *limit* transitions beyond a place, oldest first.

        Args:
            place: The id of the last one known; 0: from the beginning.
            limit: How many at most.
            dataset_id: Only of jobs on this dataset.
            invocation_id: Only of this job.
        """

    @abstractmethod
    def watch(self, at_least_every: timedelta) -> Iterator[None]:
        """Yield whenever there may be more transitions, for ever.

        First as soon as none can be missed any more; then at once when some
        have become visible, and after *at_least_every* in any case, so that
        whoever waits here can also stop.
        """

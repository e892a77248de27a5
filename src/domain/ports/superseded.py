"""The port to the runs that a rerun has superseded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Protocol

from galaxy_jobs.domain.model.dataset import GalaxyData
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import Identity, InvocationId


class SupersededRuns(Protocol):
    """Keeps account of the Galaxy histories that a rerun has made superfluous.

    :meth:`SubmissionRepository.accept` puts a run in when it is superseded.
    """

    @abstractmethod
    def due(self, identity: Identity, *, limit: int) -> Sequence[Invocation]:
        """Return runs whose history may go now, oldest first.

        Those that have ended, whose successor (`superseded_by`) has *completed*,
        and that are not :meth:`done`.
        """

    @abstractmethod
    def users_of(
        self, identity: Identity, data: Collection[GalaxyData]
    ) -> Sequence[str]:
        """Say who needs some of that data, in words; empty: nobody.

        Registered datasets whose source it is, and invocations that have not
        ended and name it in their parameters; ``dataset 'd1'``, ``job 'f2db'``.
        """

    @abstractmethod
    def done(self, invocation_id: InvocationId, attention: str | None = None) -> None:
        """Record that its history is dealt with, for ever.

        Args:
            invocation_id: One that :meth:`due` returned; again is no error.
            attention: What to say of it from now on, or None for no change.
        """

"""The port to the changes of labels that Galaxy's tags do not show yet."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from attrs import frozen

from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import Identity


MAX_FORMER = 256
"""The most former labels of a job that are kept for their tags to be removed."""


@frozen(kw_only=True)
class TagChange:
    """Changed labels of a job, which are leased.

    Attributes:
        job: The job, with the labels that it has now.
        former: What it had before, as ``key:value``, since its tags were last set.
        number: The number of the last change of its labels.
    """

    job: Invocation
    former: frozenset[str]
    number: int


class TagChanges(Protocol):
    """The jobs whose labels have changed since their history got its tags.

    :meth:`InvocationRepository.save` adds a job in the transaction that changes its
    labels, if it has a history that was made for it.
    """

    @abstractmethod
    def claim(
        self, identity: Identity, *, limit: int, lease: timedelta
    ) -> Sequence[TagChange]:
        """Lease at most *limit* jobs of that Galaxy, those that have waited longest.

        None of them is claimed by others for *lease*; one that is not :meth:`done`
        then can be claimed again.

        Of more than :data:`MAX_FORMER` former labels the rest is forgotten.
        """

    @abstractmethod
    def done(self, change: TagChange) -> None:
        """Forget a change, unless the labels have changed since; twice is no error."""

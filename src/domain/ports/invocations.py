"""The port to the invocations and their transitions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import frozen

from galaxy_jobs.domain.model.invocation import (
    Invocation,
    InvocationState,
    Transition,
)
from galaxy_jobs.domain.model.values import DatasetId, InvocationId
from galaxy_jobs.domain.ports.paging import Cursor, Page


@frozen(kw_only=True)
class JobFilter:
    """Which jobs to list; what is given must all hold.

    Attributes:
        dataset_id: Only those on this dataset.
        workflow_name: Only those of this workflow.
        states: Only those in one of these; empty: in any.
    """

    dataset_id: DatasetId | None = None
    workflow_name: str | None = None
    states: frozenset[InvocationState] = frozenset()


class InvocationRepository(Protocol):
    """Keeps invocations and their transitions."""

    @abstractmethod
    def get(self, invocation_id: InvocationId) -> Invocation:
        """Fetch one.

        Raises:
            JobNotFound: There is none.
        """

    @abstractmethod
    def get_many(
        self, invocation_ids: Collection[InvocationId]
    ) -> Mapping[InvocationId, Invocation]:
        """Fetch those that exist."""

    @abstractmethod
    def page(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> Page[Invocation]:
        """List at most *limit* of those wanted, newest first, beyond *after*.

        Rows added meanwhile do not shift what the next page shows.
        """

    @abstractmethod
    def transitions(self, invocation_id: InvocationId) -> Sequence[Transition]:
        """Return the changes of its state, oldest first; the first is its birth.

        Raises:
            JobNotFound: There is no such invocation.
        """

    @abstractmethod
    def save(self, before: Invocation, after: Invocation) -> None:
        """Replace *before* by *after*, if *before* is still what is stored.

        A change of state is recorded as a transition in the same transaction,
        and makes the invocation due for a poll at once; ended ones leave the
        poll queue.

        Raises:
            StaleVersion: What is stored is not at ``before.version``.
            JobNotFound: There is none.
        """

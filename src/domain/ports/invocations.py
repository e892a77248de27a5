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
    """A filter of jobs: those that match every field that is given.

    Attributes:
        dataset_id: Only jobs on this dataset.
        workflow_name: Only jobs of this workflow.
        states: Only jobs in one of these states; empty: in any.
    """

    dataset_id: DatasetId | None = None
    workflow_name: str | None = None
    states: frozenset[InvocationState] = frozenset()


class InvocationRepository(Protocol):
    """The invocations and their transitions."""

    @abstractmethod
    def get(self, invocation_id: InvocationId) -> Invocation:
        """Return the invocation of that id.

        Raises:
            JobNotFound: There is none.
        """

    @abstractmethod
    def get_many(
        self, invocation_ids: Collection[InvocationId]
    ) -> Mapping[InvocationId, Invocation]:
        """Return those of the invocations that exist, by id."""

    @abstractmethod
    def page(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> Page[Invocation]:
        """Return at most *limit* matching jobs after a place, newest first.

        Jobs that are added meanwhile do not shift the next page.
        """

    @abstractmethod
    def transitions(self, invocation_id: InvocationId) -> Sequence[Transition]:
        """Return the changes of its state, oldest first; the first is its creation.

        Raises:
            JobNotFound: There is no such invocation.
        """

    @abstractmethod
    def save(self, before: Invocation, after: Invocation) -> None:
        """Replace *before* by *after*, if *before* is still what is stored.

        A change of state is recorded as a transition in the same transaction,
        and makes the invocation due for a poll at once; one that has ended leaves
        the poll queue.

        Raises:
            StaleVersion: What is stored is not at ``before.version``.
            JobNotFound: There is none.
        """

"""The port to the invocations and their transitions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from attrs import Attribute, field, frozen

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.invocation import (
    Invocation,
    InvocationState,
    Revision,
    Transition,
)
from galaxy_jobs.domain.model.labels import MAX_LABELS, Label, has_all
from galaxy_jobs.domain.model.values import (
    BatchId,
    DatasetId,
    InvocationId,
    aware,
    check_length,
)
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports.feed import JobTransition
from galaxy_jobs.domain.ports.paging import Cursor, Page


def _short(_: object, attribute: Attribute[Any], values: Collection[str]) -> None:
    for value in values:
        check_length(attribute.name, value)


def _short_or_none(_: object, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None:
        check_length(attribute.name, value)


@frozen(kw_only=True)
class JobFilter:
    """A filter of jobs: those that match every field that is given.

    Attributes:
        dataset_ids: Only jobs on one of these datasets; empty: on any.
        workflow_names: Only jobs of one of these workflows; empty: of any.
        states: Only jobs in one of these states; empty: in any.
        owner: Only jobs of this owner; None: of any.
        labels: Only jobs that have all of these labels; at most
            :data:`~galaxy_jobs.domain.model.labels.MAX_LABELS`.
        created_after: Only jobs created at this time or later; None: at any time.
        created_before: Only jobs created before this time; None: at any time.
        search: Only jobs that have this text, in upper or lower case, within the id or
            name of their dataset, the name of their workflow or the value of a label,
            or whose id begins with it; ``""``: any.
        batch_id: Only jobs of this batch; None: of any, and of none.

    Raises:
        InvalidValue: A name, id or text is too long, a time has no zone, or no job
            could ever match: two labels have the same key, or the times are in the
            wrong order.
    """

    dataset_ids: frozenset[DatasetId] = field(default=frozenset(), validator=_short)
    workflow_names: frozenset[str] = field(default=frozenset(), validator=_short)
    states: frozenset[InvocationState] = frozenset()
    owner: str | None = field(default=None, validator=_short_or_none)
    labels: frozenset[Label] = frozenset()
    created_after: datetime | None = field(default=None, validator=aware)
    created_before: datetime | None = field(default=None, validator=aware)
    search: str = field(default="", validator=_short_or_none)
    batch_id: BatchId | None = None

    def __attrs_post_init__(self) -> None:
        if len(self.labels) > MAX_LABELS:
            raise InvalidValue(
                f"{len(self.labels)} labels are asked for; expected at most "
                f"{MAX_LABELS}."
            )
        keys = [label.key for label in sorted(self.labels)]
        for key in keys:
            if keys.count(key) > 1:
                raise InvalidValue(
                    f"Two values are asked for of the label {key!r}; a job has one."
                )
        after, before = self.created_after, self.created_before
        if after is not None and before is not None and after >= before:
            raise InvalidValue(
                "created_after is not before created_before: no job could match."
            )

    @property
    def is_empty(self) -> bool:
        """Whether it matches every job."""
        return self == JobFilter()

    def moved_by(
        self, change: JobTransition, viewer: Viewer, *, is_first: bool
    ) -> bool:
        """Whether a transition may add a job to a page of the list, or remove one.

        Args:
            change: The transition, as it is stored.
            viewer: Who looks at the list.
            is_first: Whether it is the first page, which new jobs are on.
        """
        if not viewer.sees(change.owner) or self.owner not in {None, change.owner}:
            return False
        change = change.shown_to(viewer)
        if self.dataset_ids and change.dataset_id not in self.dataset_ids:
            return False
        if self.workflow_names and change.workflow_name not in self.workflow_names:
            return False
        if not has_all(change.labels, self.labels):
            return False
        before, after = change.transition.from_state, change.transition.to_state
        if before is None:
            return is_first
        return (before in self.states) != (after in self.states)


class InvocationRepository(Protocol):
    """The invocations and their transitions."""

    @abstractmethod
    def get(self, invocation_id: InvocationId, viewer: Viewer) -> Invocation:
        """Return the invocation of that id.

        Raises:
            JobNotFound: There is none.
        """

    @abstractmethod
    def get_many(
        self, invocation_ids: Collection[InvocationId], viewer: Viewer
    ) -> Mapping[InvocationId, Invocation]:
        """Return those of the invocations that exist, by id."""

    @abstractmethod
    def revisions(
        self, invocation_ids: Collection[InvocationId], viewer: Viewer
    ) -> Mapping[InvocationId, Revision]:
        """Return the revisions of those of the invocations that exist, by id.

        Much cheaper than :meth:`get_many`: to find out which have changed.
        """

    @abstractmethod
    def page(
        self,
        wanted: JobFilter,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
    ) -> Page[Invocation]:
        """Return at most *limit* matching jobs after a place, newest first.

        Jobs that are added meanwhile do not shift the next page. Each is as
        :meth:`Invocation.listed` returns it.

        With a search, and where a label is combined with another one, a dataset or a
        workflow, a page may end before it is full, with a cursor: so many jobs have
        been looked at that the answer would take too long. All pages together have
        every job.
        """

    @abstractmethod
    def counts(
        self, wanted: JobFilter, viewer: Viewer, most: int
    ) -> Mapping[InvocationState, int]:
        """Return the number of matching jobs in each state, whichever states it names.

        Counting stops at *most* for each state, so that it takes no longer with
        millions of jobs. A state in which there are none may be missing. Where a page
        may end before it is full, it counts among the newest jobs only.
        """

    @abstractmethod
    def workflow_names(self, viewer: Viewer, most: int) -> Sequence[str]:
        """Return the names of the workflows that jobs run, at most so many, sorted.

        The order is the store's own.
        """

    @abstractmethod
    def labels(self, viewer: Viewer, most: int) -> Sequence[str]:
        """Return labels that jobs have, as ``key:value``, at most so many, sorted.

        The order is the store's own.
        """

    @abstractmethod
    def transitions(
        self, invocation_id: InvocationId, viewer: Viewer
    ) -> Sequence[Transition]:
        """Return the changes of its state, oldest first; the first is its creation.

        Raises:
            JobNotFound: There is no such invocation.
        """

    @abstractmethod
    def save(self, before: Invocation, after: Invocation) -> None:
        """Replace *before* by *after*, if *before* is still what is stored.

        What a client has given it, its dataset and parameters included, stays as it is
        stored, for *before* is as some viewer sees it.

        A change of state is recorded as a transition in the same transaction,
        and makes the invocation due for a poll at once, as another attention or a
        cancel of its last jobs does; one that is not followed any more leaves the poll
        queue, and one that is reopened enters it again.

        Raises:
            StaleVersion: What is stored is not at ``before.version``.
            JobNotFound: There is none.
        """

"""Batches: many submissions that are recorded at once, and begun a few at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, field, frozen
from attrs.validators import ge

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.labels import Labels, check_labels
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Problem,
    Request,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.model.values import (
    BatchId,
    DatasetId,
    Identity,
    Parameters,
    aware,
    check_length,
    check_not_empty,
)
from galaxy_jobs.domain.model.viewer import Viewer


MAX_ITEMS = 1000
"""The most items of a batch."""

CANCELLED = Problem("cancelled", "Its batch was cancelled before it was begun.")
"""The problem of an item that was never begun, because its batch was cancelled."""

FAILED = frozenset({SubmissionState.REJECTED.value, InvocationState.FAILED.value})
"""The states of items that have failed."""


@frozen(kw_only=True)
class BatchRequest:
    """A request to run a workflow on many datasets.

    Attributes:
        workflow_name: The workflow to run.
        items: What to run, with whatever all of them have in common. A dataset may be
            there several times.
        parameters: Those that all items have in common, for people to see.
        labels: Likewise.
        overwrite: Whether each supersedes earlier runs.
        rerun_of: The batch whose failed items it repeats, or None.

    Raises:
        InvalidValue: There are no items, or more than :data:`MAX_ITEMS`.
    """

    workflow_name: str
    items: Sequence[Request] = field(hash=False)
    parameters: Parameters = field(factory=dict, hash=False)
    labels: Labels = field(factory=dict, hash=False)
    overwrite: bool = False
    rerun_of: BatchId | None = None

    def __attrs_post_init__(self) -> None:
        check_not_empty("workflow_name", self.workflow_name)
        check_length("workflow_name", self.workflow_name)
        check_labels(self.labels)
        if not 0 < len(self.items) <= MAX_ITEMS:
            raise InvalidValue(
                f"The batch has {len(self.items)} items; expected 1 to {MAX_ITEMS}."
            )

    @classmethod
    def of(
        cls,
        items: Iterable[tuple[DatasetId, Parameters, Labels]],
        *,
        workflow_name: str,
        parameters: Parameters,
        labels: Labels,
        **common: Any,
    ) -> BatchRequest:
        """Return a batch whose items have much in common.

        Args:
            items: The dataset, the parameters and the labels of each item. These come
                in the place of the common ones, name by name.
            workflow_name: The workflow to run.
            parameters: The common ones.
            labels: Likewise.
            common: Further fields of each :class:`Request`.
        """
        return cls(
            workflow_name=workflow_name,
            items=[
                Request(
                    dataset_id=dataset_id,
                    workflow_name=workflow_name,
                    parameters={**parameters, **own},
                    labels={**labels, **own_labels},
                    **common,
                )
                for dataset_id, own, own_labels in items
            ],
            parameters=parameters,
            labels=labels,
            overwrite=common.get("overwrite", False),
        )

    @property
    def fingerprint(self) -> str:
        """A digest: equal ones mean equal requests."""
        # A rerun asks for what has failed so far, which may be more the next time.
        items = () if self.rerun_of else self.items
        parts = [item.fingerprint for item in items]
        text = json.dumps([self.workflow_name, str(self.rerun_of), parts])
        return hashlib.sha256(text.encode()).hexdigest()


@frozen(kw_only=True)
class Batch:
    """A batch as it is recorded.

    Attributes:
        batch_id: Its id.
        identity: The Galaxy that its items go to.
        workflow_name: The workflow that they run.
        parameters: Those that all items have in common.
        labels: Likewise.
        overwrite: Whether each supersedes earlier runs.
        size: The number of its items.
        fingerprint: That of the request.
        key: The client's idempotency key, or None.
        rerun_of: The batch whose failed items it repeats, or None.
        owner: The owner that made it, or None.
        private: Whether the owner sees their own objects only.
        created_at: When it was recorded.
        cancelled_at: When its cancel was requested, or None.
        ended_at: When its last item ended, or None. It stays if an item is reopened.
    """

    batch_id: BatchId
    identity: Identity
    workflow_name: str
    parameters: Parameters = field(factory=dict, hash=False)
    labels: Labels = field(factory=dict, hash=False)
    overwrite: bool = False
    size: int = field(validator=ge(1))
    fingerprint: str
    key: IdempotencyKey | None = None
    rerun_of: BatchId | None = None
    owner: str | None = None
    private: bool = False
    created_at: datetime = field(validator=aware)
    cancelled_at: datetime | None = field(default=None, validator=aware)
    ended_at: datetime | None = field(default=None, validator=aware)


@frozen(kw_only=True)
class BatchItem:
    """An item of a batch.

    Attributes:
        position: Its place in the batch, counting from 0.
        submission: What it asked for, and what became of that.
        job: The job that it led to, as lists show it; None: there is none yet.
    """

    position: int
    submission: Submission
    job: Invocation | None = None

    @property
    def state(self) -> str:
        """The state of its job, or else of its submission."""
        if self.job is not None:
            return self.job.state.value
        return self.submission.state.value

    @property
    def has_failed(self) -> bool:
        """Whether it has failed; what was cancelled has not."""
        problem = self.submission.problem
        cancelled = problem is not None and problem.code == CANCELLED.code
        return self.state in FAILED and not cancelled

    @property
    def reason(self) -> str:
        """Why it has failed, as a sentence or a stable name; or the empty text."""
        if self.submission.problem is not None:
            return self.submission.problem.detail
        failure = self.job.failure if self.job is not None else None
        return failure.message or failure.reason if failure is not None else ""

    def again(self, viewer: Viewer) -> Request:
        """Return the request that repeats it, with ids as the viewer calls them."""
        asked = self.submission.request.shown_to(viewer)
        return evolve(asked, rerun_of=self.submission.invocation_id)

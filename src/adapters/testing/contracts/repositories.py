"""Shared by the contracts of the repositories: the adapters, and values to store.

Rule of these contracts: a test states the expected values itself, and reads back
by another method than the one that wrote where there is one, so that the same
mistake in both directions does not go unnoticed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from attrs import frozen

from galaxy_jobs.domain.errors import (
    DomainError,
)
from galaxy_jobs.domain.model.dataset import Dataset, GalaxyData, Source, Src
from galaxy_jobs.domain.model.invocation import (
    Failure,
    Invocation,
    InvocationState,
    Progress,
    Sighting,
    StepSummary,
)
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Request,
    Submission,
)
from galaxy_jobs.domain.model.values import (
    DatasetId,
    HistoryId,
    Identity,
    InvocationId,
    Parameters,
    SubmissionId,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import (
    AuditLog,
    Backlog,
    BatchRepository,
    Claim,
    Cursor,
    DatasetRepository,
    InvocationRepository,
    Look,
    Page,
    PollQueue,
    Retention,
    SessionRepository,
    SigningKeys,
    SubmissionRepository,
    SupersededRuns,
    TagChanges,
    TokenRepository,
    TransitionFeed,
    UploadRepository,
    WebhookRepository,
)


T = TypeVar("T")

S = InvocationState
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
HERE = Identity("https://galaxy.test", "user1")
THERE = Identity("https://elsewhere.test", "user1")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CROWD = 8
UNICODE = "Ü日本 👩‍🔬 \u202e\t\r\n\x01 '\"\\ %s :x \\u0000"

#: Parameters in which every kind of JSON value stands, and its odd spellings.
ODD: Parameters = {
    "": {},
    UNICODE: UNICODE,
    "list": [1, 1.0, -1, True, False, None, [], {"a": {"b": [""]}}],
    "large": [2**70, 1e16, 1e22, 1e300, -1e-300, 0.1, 5e-324],
}


@frozen(kw_only=True)
class Repositories:
    """The adapters under test, over one empty store.

    Attributes:
        pass_time: Advances the store's own clock, or simulates that: all leases,
            due times and expiries are so much nearer.
    """

    datasets: DatasetRepository
    submissions: SubmissionRepository
    batches: BatchRepository
    invocations: InvocationRepository
    queue: PollQueue
    superseded: SupersededRuns
    retention: Retention
    tag_changes: TagChanges
    tokens: TokenRepository
    sessions: SessionRepository
    signing_keys: SigningKeys
    uploads: UploadRepository
    audit: AuditLog
    webhooks: WebhookRepository
    feed: TransitionFeed
    pass_time: Callable[[timedelta], object]

    # --- short ways to what a test is about -----------------------------------

    def overdue(self) -> timedelta | None:
        """Return for how long the most overdue run has been due; None: no runs."""
        here = self.queue.backlog().get(HERE, Backlog())
        return here.overdue if here.active else None

    def register(self, dataset_id: str = "d1") -> Dataset:
        """Register a dataset, if it is not there."""
        return self.datasets.add(a_dataset(dataset_id), SERVICE)

    def opened(self, submission: Submission, deadline: timedelta = HOUR) -> Submission:
        """Open a submission that is to be stored."""
        self.register(submission.request.dataset_id)
        holder = self.submissions.open(submission, deadline=deadline, key_lifetime=DAY)
        assert holder is None
        return submission

    def begun(self, submission: Submission) -> Submission:
        """Open a submission and store its history."""
        before = self.opened(submission)
        after = before.with_history(HistoryId(f"his {before.submission_id}"), NOON)
        self.submissions.save(before, after, look_in=HOUR)
        return after

    def accepted(
        self, name: str, submission: Submission | None = None, at: datetime = NOON
    ) -> Invocation:
        """Have a run accepted, from the beginning."""
        before = self.begun(submission or a_submission())
        run = a_run(before, name, at)
        return self.submissions.accept(
            before, before.accepted(run.invocation_id, at), run
        )

    def moved(self, run: Invocation, *states: InvocationState) -> Invocation:
        """Have a run seen in one state after the other, without the queue."""
        for state in states:
            before = self.invocations.get(run.invocation_id, SERVICE)
            after = before.seen(Sighting(state=state, galaxy_state="x"), LATER)
            self.invocations.save(before, after)
        return self.invocations.get(run.invocation_id, SERVICE)

    def with_jobs_left(
        self, name: str, submission: Submission | None = None
    ) -> Invocation:
        """Have a run accepted and seen to fail while one of its jobs is running."""
        before = self.accepted(name, submission)
        progress = Progress(total=2, ok=1, running=1)
        after = before.seen(sighting(S.FAILED, "failed", progress=progress), LATER)
        self.invocations.save(before, after)
        return self.invocations.get(before.invocation_id, SERVICE)

    def claim(self, limit: int = 100, lease: timedelta = HOUR) -> Sequence[Claim]:
        """Claim what is due here."""
        return self.queue.claim(HERE, limit=limit, lease=lease)

    def written(self, looks: Sequence[Look]) -> int:
        """Write looks back that can be stored; return the number of changes."""
        stored = self.queue.write_back(looks)
        assert not stored.unstorable
        return stored.changes

    def claimed(self) -> list[InvocationId]:
        """Claim what is due here; return its ids."""
        return [claim.invocation_id for claim in self.claim()]


def a_dataset(
    dataset_id: str = "d1",
    name: str = "reads",
    source: Source | None = None,
    at: datetime = NOON,
) -> Dataset:
    """Return a dataset."""
    return Dataset(
        dataset_id=DatasetId(dataset_id),
        name=name,
        source=source or GalaxyData(Src.HDA, f"hda-of-{dataset_id}"),
        created_at=at,
    )


def a_submission(
    dataset_id: str = "d1",
    workflow: str = "w",
    *,
    key: str | None = None,
    overwrite: bool = False,
    parameters: Parameters | None = None,
    identity: Identity = HERE,
) -> Submission:
    """Return a new submission."""
    return Submission(
        submission_id=SubmissionId(uuid4()),
        identity=identity,
        request=Request(
            dataset_id=DatasetId(dataset_id),
            workflow_name=workflow,
            parameters=parameters or {},
            overwrite=overwrite,
        ),
        key=None if key is None else IdempotencyKey("", key),
        created_at=NOON,
        updated_at=NOON,
    )


def a_run(submission: Submission, name: str, at: datetime = NOON) -> Invocation:
    """Return the invocation that a submission leads to."""
    return submission.invocation(InvocationId(name), at)


def sighting(
    state: InvocationState, galaxy_state: str = "scheduled", **fields: Any
) -> Sighting:
    """Return a sighting with every field filled; at an end, all jobs are settled."""
    progress = Progress(total=4, ok=1, running=1, waiting=1, failed=1)
    if state.is_terminal:
        progress = Progress(total=4, ok=1, failed=3)
    full: dict[str, Any] = {
        "progress": progress,
        "steps": (
            StepSummary(
                index=0, label=UNICODE, tool="t/1.0", state="ok", jobs={"ok": 2}
            ),
            StepSummary(index=1, label="b", tool=None, state="waiting", jobs={}),
        ),
        "failure": Failure(
            reason="job-failed",
            step="a",
            step_index=0,
            path=("sub", UNICODE),
            element=f"plate-1/{UNICODE}",
            tool="t/1.0",
            exit_code=-9,
            stderr="x" * 10_000,
            message=UNICODE,
        ),
        "attention": UNICODE,
    }
    return Sighting(state=state, galaxy_state=galaxy_state, **{**full, **fields})


def at_once(*functions: Callable[[], T]) -> list[T | DomainError]:
    """Call functions from as many threads at the same moment.

    Returns:
        What each returned, or the domain error that it raised.
    """
    barrier = threading.Barrier(len(functions))

    def call(function: Callable[[], T]) -> T | DomainError:
        barrier.wait(timeout=30)
        try:
            return function()
        except DomainError as error:
            return error

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call, functions))


def about(expected: timedelta, actual: timedelta | None) -> bool:
    """Return whether a duration is as expected, but for the time of the test."""
    return actual is not None and expected <= actual < expected + timedelta(seconds=50)


def walk(page: Callable[[int, Cursor | None], Page[T]], limit: int) -> list[list[T]]:
    """Fetch every page of a list."""
    pages = []
    after: Cursor | None = None
    while True:
        current = page(limit, after)
        pages.append(list(current.items))
        assert len(current.items) <= limit
        if current.next is None:
            return pages
        after = current.next

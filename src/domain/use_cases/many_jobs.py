"""Cancel or rerun all jobs that match a filter, so many at most."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from attrs import evolve, frozen

from galaxy_jobs.domain.errors import (
    DomainError,
    InvalidValue,
    RunnerRefusedUs,
    RunnerUnavailable,
    StoreUnavailable,
    TooManyJobs,
)
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Problem,
    Request,
)
from galaxy_jobs.domain.model.values import DatasetId, Parameters
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import (
    Clock,
    Cursor,
    InvocationRepository,
    JobFilter,
    SubmissionRepository,
)
from galaxy_jobs.domain.use_cases.cancel import CancelJob
from galaxy_jobs.domain.use_cases.submit import Submitted


MAX_CANCELLED = 1000
"""The most jobs that one request cancels."""

MAX_RERUN = 100
"""The most jobs that one request reruns: Galaxy is asked about each."""

TIME_LIMIT = timedelta(seconds=30)
"""After this, a request begins with no further job."""

PAGE_SIZE = 200

MAX_PAGES = 50
"""Pages of the list that are read to find the jobs, empty ones included."""

_UNDER_WAY = frozenset(state for state in InvocationState if not state.is_terminal)


@frozen(kw_only=True)
class Outcome:
    """The outcome for one of many jobs.

    Attributes:
        job: The job, as it is now.
        done: Whether it was cancelled, or run again.
        submitted: The new run, where it was run again; or None.
        problem: Why it was not done; None also where it was not tried: it was only to
            be counted, or the time was over.
    """

    job: Invocation
    done: bool = False
    submitted: Submitted | None = None
    problem: Problem | None = None


@frozen
class CancelJobs:
    """Requests the cancel of many jobs."""

    invocations: InvocationRepository
    cancel_job: CancelJob
    clock: Clock

    def __call__(
        self, wanted: JobFilter, viewer: Viewer, at_most: int, *, dry_run: bool = False
    ) -> Sequence[Outcome]:
        """Cancel the jobs that match, and return the outcome for each, newest first.

        Those that have ended do not count, unless the filter asks for their state.

        Args:
            wanted: The filter.
            viewer: Who cancels them.
            at_most: How many may match, 1 to :data:`MAX_CANCELLED`.
            dry_run: Whether nothing is to be cancelled.

        Raises:
            TooManyJobs: More match; none was cancelled.
            InvalidValue: *at_most* is out of bounds.
            StoreUnavailable: The jobs could not be found.
        """
        _check(at_most, MAX_CANCELLED)
        if not wanted.states:
            wanted = evolve(wanted, states=_UNDER_WAY)
        jobs = _found(self.invocations, wanted, viewer, at_most)

        def cancel(job: Invocation) -> Outcome:
            return Outcome(job=self.cancel_job(job.invocation_id, viewer), done=True)

        return _each(jobs, cancel, self.clock, dry_run=dry_run)


@frozen
class RerunJobs:
    """Runs many jobs again."""

    invocations: InvocationRepository
    submissions: SubmissionRepository
    rerun: Callable[..., Submitted]
    clock: Clock

    def __call__(
        self,
        wanted: JobFilter,
        viewer: Viewer,
        at_most: int,
        *,
        key: IdempotencyKey | None = None,
        dry_run: bool = False,
        **changes: Any,
    ) -> Sequence[Outcome]:
        """Run the jobs that match again; return the outcome for each, newest first.

        Args:
            wanted: The filter.
            viewer: Who runs them.
            at_most: How many may match, 1 to :data:`MAX_RERUN`.
            key: A request repeated with its key runs none of them twice, and goes on
                with those that were not tried: what it has run itself does not match.
            dry_run: Whether nothing is to be run.
            changes: As for :class:`Rerun`.

        Raises:
            TooManyJobs: More match; none was run.
            InvalidValue: *at_most* is out of bounds, or a name in the changes.
            InvalidParameters: The parameters take too much space.
            StoreUnavailable: The jobs could not be found.
        """
        _check(at_most, MAX_RERUN)
        _check_size(**changes)
        prefix = "" if key is None else f"many-{_digest(key.key)}-"

        def is_own(job: Invocation) -> bool:
            if key is None or job.rerun_of is None:
                return False
            made = self.submissions.get(job.submission_id, viewer).key
            if made is None or made.caller != key.caller:
                return False
            return made.key.startswith(prefix)

        def rerun(job: Invocation) -> Outcome:
            own = None
            if key is not None:
                own = IdempotencyKey(key.caller, prefix + _digest(job.invocation_id))
            submitted = self.rerun(job.invocation_id, viewer, key=own, **changes)
            return Outcome(job=job, done=True, submitted=submitted)

        jobs = _found(self.invocations, wanted, viewer, at_most, is_own)
        return _each(jobs, rerun, self.clock, dry_run=dry_run)


def _check(at_most: int, most: int) -> None:
    if not 1 <= at_most <= most:
        raise InvalidValue(f"at_most is {at_most}; expected 1 to {most}.")


def _check_size(
    parameters: Parameters | None = None,
    dataset_input: str | None = None,
    **_others: object,
) -> None:
    """Check changes as :meth:`Request.check_size` does, also where no job matches."""
    Request(
        dataset_id=DatasetId("any"),
        workflow_name="any",
        parameters=parameters or {},
        dataset_input=dataset_input,
    ).check_size()


def _found(
    invocations: InvocationRepository,
    wanted: JobFilter,
    viewer: Viewer,
    at_most: int,
    is_own: Callable[[Invocation], bool] = lambda _: False,
) -> Sequence[Invocation]:
    """Return the jobs that match.

    Raises:
        TooManyJobs: There are more than *at_most*, or more jobs to look at than can be.
    """
    found: list[Invocation] = []
    after: Cursor | None = None
    for _ in range(MAX_PAGES):
        page = invocations.page(wanted, viewer, PAGE_SIZE, after)
        found += (job for job in page.items if not is_own(job))
        if len(found) > at_most:
            raise TooManyJobs(at_most)
        if page.next is None:
            return found
        after = page.next
    raise TooManyJobs(at_most, "There are too many jobs to look at; narrow the filter.")


def _each(
    jobs: Sequence[Invocation],
    change: Callable[[Invocation], Outcome],
    clock: Clock,
    *,
    dry_run: bool,
) -> Sequence[Outcome]:
    """Change one job after the other, until time is over or nothing can be asked."""
    deadline = clock() + TIME_LIMIT
    outcomes: list[Outcome] = []
    going_on = not dry_run
    for job in jobs:
        outcome = Outcome(job=job)
        going_on = going_on and clock() < deadline
        if going_on:
            try:
                outcome = change(job)
            except DomainError as error:
                outcome = Outcome(job=job, problem=Problem.of(error))
                going_on = not isinstance(
                    error, RunnerUnavailable | RunnerRefusedUs | StoreUnavailable
                )
        outcomes.append(outcome)
    return outcomes


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

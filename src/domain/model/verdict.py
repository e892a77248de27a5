"""The verdict: the state that a runner's report amounts to.

Rule of the file: pure functions of an :class:`InvocationReport`. The first row
of :data:`ROWS` that matches wins. Galaxy's own state is not the verdict: it is
``scheduled`` while jobs fail, and ``completed`` when they have all failed.

A verdict may end an invocation, so it is only as good as the look it is made
from: the report must have been read in the order invocation, sub-invocations,
jobs, or a job created in between could be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from enum import Enum

from attrs import frozen

from galaxy_jobs.domain.errors import shortened
from galaxy_jobs.domain.model.invocation import (
    Failure,
    InvocationState,
    Progress,
    Sighting,
    StepSummary,
)
from galaxy_jobs.domain.model.report import (
    BAD,
    GOOD,
    NOT_STARTED,
    SETTLED,
    UNSCHEDULED,
    GalaxyState,
    InvocationReport,
    JobDetails,
    JobReport,
    JobState,
    StepReport,
)


@frozen
class _Facts:
    """The facts of a report that the rows of the table test."""

    report: InvocationReport
    jobs: AbstractSet[JobState]  #: the states that jobs are in

    @classmethod
    def of(cls, report: InvocationReport) -> _Facts:
        return cls(report, frozenset(report.states))

    @property
    def state(self) -> GalaxyState:
        return self.report.state

    @property
    def failed(self) -> InvocationReport | None:
        """The first invocation of the tree that Galaxy gave up.

        A sub-workflow that was cancelled alone has failed its parent: its
        outputs will never come. After a rejected review, Galaxy will cancel the
        parent as well.
        """
        for _, report in self.report.tree():
            lost = report is not self.report and _Facts.of(report).stopped
            if self.state is GalaxyState.READY and _was_rejected(report):
                continue
            if report.state is GalaxyState.FAILED or lost:
                return report
        return None

    @property
    def rejected(self) -> bool:
        """Whether it is to be cancelled for the rejected review of a sub-workflow."""
        return self.state is GalaxyState.READY and any(
            _was_rejected(report) for _, report in self.report.tree()
        )

    @property
    def blocked(self) -> bool:
        """Whether every step that is left comes after a job that went wrong.

        Galaxy's scheduler has visited the invocation since the last job settled, and
        has left these steps. No review may bring it on.
        """
        parts = [part for _, part in self.report.tree()]
        changes = [
            part.quiet_for for part in parts if any(s.states for s in part.steps)
        ]
        visits = [part.visited_for for part in parts if part.state is GalaxyState.READY]
        return (
            self.settled
            and not any(step.review for _, step in self.report.walk())
            and _is_blocked(self.report)
            and all(
                visited is not None and changed is not None and visited < changed
                for visited in visits
                for changed in changes
            )
        )

    @property
    def stopped(self) -> bool:
        """Whether it was cancelled before its work was done."""
        done = self.scheduled and self.good
        return self.state is GalaxyState.CANCELLED and self.settled and not done

    @property
    def scheduled(self) -> bool:
        """Whether every step has become jobs and none is still expanding.

        An invocation without steps has not been seen by the scheduler yet, which
        then records them; once it is scheduled, its workflow is an empty one.
        """
        return all(
            all(step.scheduled and not step.expanding for step in report.steps)
            and (report.steps or report.state in _SCHEDULED)
            for _, report in self.report.tree()
        )

    @property
    def over(self) -> bool:
        """Whether Galaxy is done with scheduling as well."""
        return self.scheduled and all(
            report.state not in UNSCHEDULED for _, report in self.report.tree()
        )

    @property
    def good(self) -> bool:
        return all(state in GOOD for state in self.jobs)

    @property
    def settled(self) -> bool:
        return all(state in SETTLED for state in self.jobs)

    @property
    def started(self) -> bool:
        return any(state not in NOT_STARTED for state in self.jobs)


def _was_rejected(report: InvocationReport) -> bool:
    """Whether an invocation was cancelled at a review."""
    return report.state is GalaxyState.CANCELLED and REJECTED in report.reasons


def _is_blocked(report: InvocationReport) -> bool:
    """Whether steps are left, and each depends on a job that went wrong."""
    lost = {step.index for step in report.steps if step.all_states.keys() & BAD}
    left = [step for step in report.steps if not step.scheduled]
    behind = set[int]()
    while more := {
        step.index
        for step in left
        if step.index not in behind and (lost | behind).intersection(step.needs or ())
    }:
        behind |= more
    return (
        report.state is GalaxyState.READY
        and bool(left)
        and all(
            not step.expanding
            and (
                step.index in behind or (step.sub is not None and _is_blocked(step.sub))
            )
            for step in left
        )
    )


def reviews(report: InvocationReport) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the place and path of every step that waits for a review.

    One whose data is still being made does not wait yet. The place is as in
    :meth:`InvocationReport.places`.
    """
    return _reviews(report, "", ())


def _reviews(
    report: InvocationReport, above: str, path: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    done = {
        step.index
        for step in report.steps
        if step.scheduled and not step.review and step.all_states.keys() <= SETTLED
    }
    for step in report.steps:
        place, names = f"{above}{step.index}", (*path, step.name)
        if step.review and done.issuperset(step.needs or ()):
            yield place, names
        if step.sub is not None:
            yield from _reviews(step.sub, f"{place}.", names)


REJECTED = "cancelled_on_review"
"""Galaxy's code for an invocation that was cancelled by a rejected review."""

_SCHEDULED = frozenset({GalaxyState.SCHEDULED, GalaxyState.COMPLETED})


class Row(Enum):
    """The rows of the verdict, in their order; the values are their conditions."""

    RUN_WON = "`cancelled`, though every step was scheduled and all jobs are good"
    ENDING = "`cancelled`, some job not settled"
    CANCELLED = "`cancelled`"
    CANCELLING = "`cancelling`"
    GALAXY_FAILED = "`failed`"
    SUB_FAILED = "a sub-workflow's invocation `failed` or stopped, all jobs settled"
    SUB_REJECTED = "`ready`, and a sub-workflow's invocation was cancelled at a review"
    NO_JOBS = "every step scheduled, nothing still expanding, and no job at all"
    NOTHING_STARTED = "no job started, or none made yet"
    UNSETTLED = "some job not settled"
    BLOCKED = (
        "`ready`, visited by the scheduler since the last job settled, no review open, "
        "and each step that is not scheduled depends on a job that went wrong"
    )
    UNSCHEDULED = "some step not scheduled yet, or still expanding"
    ALL_GOOD = "all jobs ok or skipped"
    SOME_BAD = "some job in error, failed, deleted, stopped, or blocked for good"


_S = InvocationState
_G = GalaxyState

ROWS: Mapping[Row, tuple[Callable[[_Facts], bool], InvocationState]] = {
    Row.RUN_WON: (
        lambda f: (
            f.state is _G.CANCELLED and f.scheduled and f.good and f.failed is None
        ),
        _S.COMPLETED,
    ),
    Row.ENDING: (
        lambda f: f.state is _G.CANCELLED and not f.settled,
        _S.CANCELLING,
    ),
    Row.CANCELLED: (lambda f: f.state is _G.CANCELLED, _S.CANCELLED),
    Row.CANCELLING: (lambda f: f.state is _G.CANCELLING, _S.CANCELLING),
    Row.GALAXY_FAILED: (lambda f: f.state is _G.FAILED, _S.FAILED),
    # Not waiting for unscheduled steps: they may never be scheduled.
    Row.SUB_FAILED: (lambda f: f.failed is not None and f.settled, _S.FAILED),
    Row.SUB_REJECTED: (lambda f: f.rejected, _S.CANCELLING),
    Row.NO_JOBS: (lambda f: f.over and not f.jobs, _S.COMPLETED),
    Row.NOTHING_STARTED: (lambda f: not f.started, _S.QUEUED),
    Row.UNSETTLED: (lambda f: not f.settled, _S.IN_PROGRESS),
    Row.BLOCKED: (lambda f: f.blocked, _S.FAILED),
    Row.UNSCHEDULED: (lambda f: not f.over, _S.IN_PROGRESS),
    Row.ALL_GOOD: (lambda f: f.good, _S.COMPLETED),
    Row.SOME_BAD: (lambda _: True, _S.FAILED),
}
"""The verdict: for each row, its condition and its state."""


_RESTS_ON_JOBS = frozenset({Row.RUN_WON, Row.SUB_FAILED, Row.ALL_GOOD, Row.SOME_BAD})
"""The rows whose end would be another one if a job changed once more."""


def row_of(report: InvocationReport) -> Row:
    """Return the first row that matches."""
    facts = _Facts.of(report)
    return next(row for row, (matches, _) in ROWS.items() if matches(facts))


def culprit(report: InvocationReport) -> JobReport | None:
    """Return the job that a failure is explained by, if any has gone wrong.

    That is the first, in the workflow's order, that ended badly by itself; jobs
    that are only blocked by others come after all of those.
    """
    return report.bad_jobs[0][2] if report.bad_jobs else None


def confirmation_time(
    report: InvocationReport, confirm_after: timedelta, blocked_after: timedelta
) -> timedelta:
    """Return the time after which a second look confirms the end that a report shows.

    Galaxy runs some failed jobs again, and releases before 26.0.2 call a job ``ok``
    that turns out to have failed. So an end that rests on jobs is certain only when
    none of them has changed for some time. One that rests on steps that are never
    scheduled always takes a second look.

    Args:
        report: The invocation now.
        confirm_after: That time, if it rests on jobs.
        blocked_after: That time, if it rests on steps that are never scheduled.

    Returns:
        Zero if this look is enough; *confirm_after* if it is not known when the jobs
        last changed.
    """
    row = row_of(report)
    if row is Row.BLOCKED:
        return blocked_after
    if row not in _RESTS_ON_JOBS:
        return timedelta(0)
    times = [
        part.quiet_for
        for _, part in report.tree()
        if any(step.states for step in part.steps)
    ]
    known = [quiet_for for quiet_for in times if quiet_for is not None]
    if len(known) < len(times):
        return confirm_after
    quiet_for = max(min(known, default=confirm_after), timedelta(0))
    return max(confirm_after - quiet_for, timedelta(0))


def judge(report: InvocationReport, details: JobDetails | None = None) -> Sighting:
    """Return the verdict on a report.

    Args:
        report: The invocation now.
        details: Those of the job that :func:`culprit` returns; None where it
            returns none, or they could not be read.
    """
    row = row_of(report)
    state = ROWS[row][1]
    failure = None
    # The jobs of a cancelled run were stopped with it: that is no failure.
    if state in {_S.IN_PROGRESS, _S.QUEUED, _S.FAILED}:
        failure = _failure(report, details)
    return Sighting(
        state=state,
        galaxy_state=report.state.value,
        progress=_progress(report),
        steps=tuple(summary(step, row) for step in report.steps),
        failure=failure,
        attention=_attention(state, report),
    )


def _attention(state: InvocationState, report: InvocationReport) -> str | None:
    if state in {_S.QUEUED, _S.IN_PROGRESS} and (waiting := list(reviews(report))):
        places, paths = zip(*waiting, strict=True)
        index = ", ".join(places[:NAMED_STEPS])
        return f"Waits for a review at {_steps(paths)} in Galaxy (index {index})."
    if state in {_S.CANCELLING, _S.CANCELLED} and (step := _rejected_at(report)):
        return f"Stopped, since the review at {step} was rejected."
    # Why a job is paused is not known of those that are only counted.
    held = any(job.state is JobState.PAUSED for job in report.jobs())
    if held and not state.is_terminal:
        return PAUSED
    if state is _S.COMPLETED and report.states.keys() == {JobState.SKIPPED}:
        return ALL_SKIPPED
    empty = [path for path, step in report.walk() if step.empty]
    if state is _S.COMPLETED and empty:
        return EMPTY_STEPS.format(_steps(empty)) if report.states else ALL_EMPTY
    return None


def _rejected_at(report: InvocationReport) -> str | None:
    """Return the step at which a review was rejected, if one was.

    Galaxy cancels the outer invocations, too, for the same reason and with the same
    index, which is of a step in the innermost.
    """
    rejected = [
        (path, part) for path, part in report.tree() if REJECTED in part.reasons
    ]
    if not rejected:
        return None
    path, part = rejected[-1]
    return _steps([(*path, *part.named.path)]) if part.named else "a step"


def _steps(paths: Sequence[tuple[str, ...]]) -> str:
    """Return steps as a sentence names them: some, and the number of the others."""
    names = [shortened(" > ".join(path)) for path in paths[:NAMED_STEPS]]
    named = [name if name.startswith("step ") else f"step {name!r}" for name in names]
    more = len(paths) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


NAMED_STEPS = 3
"""The number of steps that a sentence names at most."""

PAUSED = (
    "Galaxy has paused jobs of this run, for a quota or on a user's wish. They go "
    "on when resumed in Galaxy."
)

ALL_EMPTY = (
    "Nothing was done: the collections that the steps of this run work on are empty."
)

EMPTY_STEPS = "Nothing was done at {}: the collection to work on is empty."

ALL_SKIPPED = (
    "Nothing was done: all jobs of this run were skipped, since the conditions of "
    "their steps were false."
)


def _failure(report: InvocationReport, details: JobDetails | None) -> Failure | None:
    given_up = _Facts.of(report).failed
    details = details or JobDetails()
    message = details.message
    reason = "job-failed"
    if given_up is not None:
        reason = given_up.reasons[0] if given_up.reasons else given_up.state.value
        message = "; ".join(given_up.messages) or message
        message = message or f"Galaxy says only that it is {given_up.state.value}."
    named = None if given_up is None else given_up.named
    if named is not None and not (named.dependent and report.bad_jobs):
        above = next(path for path, sub in report.tree() if sub is given_up)
        return Failure(
            reason=reason,
            step=named.path[-1],
            step_index=named.index,
            path=(*above, *named.path),
            message=message,
        )
    if report.bad_jobs:
        path, step, job = report.bad_jobs[0]
        if message is None and details.exit_code is None:
            message = f"Galaxy says only that a job is {job.state.value}."
        return Failure(
            reason=reason,
            step=step.name,
            step_index=step.index,
            path=path,
            element=details.element,
            tool=details.tool or job.tool,
            exit_code=details.exit_code,
            stderr=details.stderr,
            message=message,
        )
    if given_up is None:
        return None
    for path, step in report.walk():
        if step.sub is given_up:
            return Failure(
                reason=reason,
                step=step.name,
                step_index=step.index,
                path=path,
                message=message,
            )
    return Failure(reason=reason, message=message)


def _progress(report: InvocationReport) -> Progress:
    counts = report.states
    total = counts.total()
    ok, failed, waiting = (
        sum(counts[state] for state in states) for states in (GOOD, BAD, NOT_STARTED)
    )
    return Progress(
        total=total,
        ok=ok,
        failed=failed,
        waiting=waiting,
        running=total - ok - failed - waiting,
    )


def summary(step: StepReport, row: Row) -> StepSummary:
    """Return a step as it is shown to clients; *row* is that of the whole run."""
    jobs = step.all_states
    never = row is Row.BLOCKED and not step.scheduled and not jobs
    return StepSummary(
        index=step.index,
        label=step.name,
        tool=step.tool,
        state="blocked" if never else _step_state(step, jobs.keys()),
        jobs={
            state.value: jobs[state] for state in sorted(jobs, key=lambda s: s.value)
        },
    )


def _step_state(step: StepReport, states: AbstractSet[JobState]) -> str:
    sub = _Facts.of(step.sub) if step.sub else None
    given_up = sub is not None and (sub.failed is not None or sub.stopped)
    if given_up or states & (BAD - {JobState.BLOCKED}):
        return "failed"
    if states & {JobState.BLOCKED}:
        return "blocked"
    over = step.scheduled and not step.expanding and (sub is None or sub.over)
    if states <= GOOD and over:
        return "ok"
    return "running" if states - NOT_STARTED else "waiting"

"""The verdict: the state that a runner's report amounts to.

Rule of the file: pure functions of an :class:`InvocationReport`. The first row
of :data:`ROWS` that matches wins. Galaxy's own state is not the verdict: it is
``scheduled`` while jobs fail, and ``completed`` when they have all failed.

A verdict may end an invocation, so it is only as good as the look it is made
from: the report must have been read in the order invocation, sub-invocations,
jobs, or a job created in between could be missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum

from attrs import frozen

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
    jobs: tuple[JobReport, ...]

    @classmethod
    def of(cls, report: InvocationReport) -> _Facts:
        return cls(report, tuple(report.jobs()))

    @property
    def state(self) -> GalaxyState:
        return self.report.state

    @property
    def failed(self) -> InvocationReport | None:
        """The first invocation of the tree that Galaxy gave up.

        A sub-workflow that was cancelled alone has failed its parent: its
        outputs will never come.
        """
        for _, report in self.report.tree():
            lost = report is not self.report and _Facts.of(report).stopped
            if report.state is GalaxyState.FAILED or lost:
                return report
        return None

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
            report.state not in _UNSCHEDULED for _, report in self.report.tree()
        )

    @property
    def good(self) -> bool:
        return all(job.state in GOOD for job in self.jobs)

    @property
    def settled(self) -> bool:
        return all(job.state in SETTLED for job in self.jobs)

    @property
    def started(self) -> bool:
        return any(job.state not in NOT_STARTED for job in self.jobs)


_UNSCHEDULED = frozenset(
    {GalaxyState.REQUIRES_MATERIALIZATION, GalaxyState.NEW, GalaxyState.READY}
)
_SCHEDULED = frozenset({GalaxyState.SCHEDULED, GalaxyState.COMPLETED})


class Row(Enum):
    """The rows of the verdict, in their order; the values are their conditions."""

    RUN_WON = "`cancelled`, though every step was scheduled and all jobs are good"
    ENDING = "`cancelled`, some job not settled"
    CANCELLED = "`cancelled`"
    CANCELLING = "`cancelling`"
    GALAXY_FAILED = "`failed`"
    SUB_FAILED = "a sub-workflow's invocation `failed` or stopped, all jobs settled"
    NO_JOBS = "every step scheduled, nothing still expanding, and no job at all"
    NOTHING_STARTED = "no job started, or none made yet"
    UNSETTLED = "some job not settled"
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
    Row.NO_JOBS: (lambda f: f.over and not f.jobs, _S.COMPLETED),
    Row.NOTHING_STARTED: (lambda f: not f.started, _S.QUEUED),
    Row.UNSETTLED: (lambda f: not f.settled, _S.IN_PROGRESS),
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


def confirmation_time(report: InvocationReport, confirm_after: timedelta) -> timedelta:
    """Return the time after which a second look confirms the end that a report shows.

    Galaxy runs some failed jobs again, and releases before 26.0.2 call a job ``ok``
    that turns out to have failed. So an end that rests on jobs is certain only when
    none of them has changed for some time.

    Args:
        report: The invocation now.
        confirm_after: That time.

    Returns:
        Zero if this look is enough; *confirm_after* if it is not known when the jobs
        last changed.
    """
    if row_of(report) not in _RESTS_ON_JOBS:
        return timedelta(0)
    times = [
        part.quiet_for
        for _, part in report.tree()
        if any(step.jobs for step in part.steps)
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
        steps=tuple(_summary(step) for step in report.steps),
        failure=failure,
        attention=_attention(state, {job.state for job in report.jobs()}),
    )


def _attention(state: InvocationState, jobs: set[JobState]) -> str | None:
    if JobState.PAUSED in jobs and not state.is_terminal:
        return PAUSED
    if state is _S.COMPLETED and jobs == {JobState.SKIPPED}:
        return ALL_SKIPPED
    return None


PAUSED = (
    "Galaxy has paused jobs of this run, for a quota or on a user's wish. They go "
    "on when resumed in Galaxy."
)

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
    states = [job.state for job in report.jobs()]
    ok = sum(state in GOOD for state in states)
    failed = sum(state in BAD for state in states)
    waiting = sum(state in NOT_STARTED for state in states)
    return Progress(
        total=len(states),
        ok=ok,
        failed=failed,
        waiting=waiting,
        running=len(states) - ok - failed - waiting,
    )


def _summary(step: StepReport) -> StepSummary:
    jobs = [*step.jobs, *(step.sub.jobs() if step.sub else ())]
    return StepSummary(
        index=step.index,
        label=step.name,
        tool=step.tool,
        state=_step_state(step, jobs),
        jobs=dict(sorted(Counter(job.state.value for job in jobs).items())),
    )


def _step_state(step: StepReport, jobs: list[JobReport]) -> str:
    states = {job.state for job in jobs}
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

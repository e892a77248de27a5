"""Settle the submissions that their submitters left open.

A submitter can die, or be paused for an hour, between any two of its steps, and
its request to Galaxy can still be on the way. Waiting alone proves nothing. So
the history made for the run is the fence: Galaxy cancels whatever is invoked
into a deleted history, with the reason ``history_deleted``. Nothing here ever
invokes: a run is adopted if there is one, and made impossible if there is none.

A reconciler, too, can die or be paused between any two steps. So the fence is
recorded before the history is deleted. From then on its submitter can record no
run, and no reconciler adopts a run that Galaxy has not looked at yet. After
deleting a history, the reconciler checks whether a run in it was adopted
meanwhile.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import Enum, auto

from attrs import evolve, field, frozen

from galaxy_jobs.domain.errors import (
    QUOTED_LENGTH,
    DomainError,
    InvalidValue,
    RunnerError,
    RunNotFound,
    RunRejected,
    StaleVersion,
    StoreUnavailable,
    listed,
)
from galaxy_jobs.domain.model.dataset import GalaxyData, Source, Src
from galaxy_jobs.domain.model.invocation import STALE_AFTER
from galaxy_jobs.domain.model.report import GalaxyState, InvocationReport, Invoked
from galaxy_jobs.domain.model.submission import (
    MAX_ATTEMPTS,
    Problem,
    Submission,
    SubmissionState,
    history_mark,
)
from galaxy_jobs.domain.model.values import (
    HistoryId,
    Identity,
    InvocationId,
    Json,
    SubmissionId,
    positive,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import (
    Clock,
    InvocationRepository,
    RunHistories,
    SubmissionRepository,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases.submit import Check, Plan


FENCED_OFF = "history_deleted"
"""Galaxy's reason for cancelling what was invoked into a deleted history."""

NOTHING_STARTED = Problem(
    "galaxy-unavailable",
    "The request was broken off before Galaxy had started anything, and it will "
    "not start any more. It is safe to submit it again.",
)
"""The problem of a submission that turned out to have no run."""

ATTEMPTS_BROKEN_OFF = Problem(
    "internal-error",
    f"It was begun {MAX_ATTEMPTS} times. The last attempt was broken off before Galaxy "
    "had started anything, because its process ended or the database could not be "
    "reached, and it will not start any more. It is safe to submit it again.",
)
"""The problem of an item of a batch that has no attempts left."""


@frozen(kw_only=True)
class ReconcilePolicy:
    """The waiting times of the reconciler.

    Attributes:
        lease: For how long a submission belongs to one reconciler; one that is killed
            keeps it from others for so long. A pass takes half of it at most.
        batch: How many are claimed at once.
        grace: For how long after it was recorded the run of a submission may
            still turn up before it is fenced off: a Galaxy that took too long to
            answer is most often slow, and not gone.
        fence_wait: Between deleting a history and trusting that it is empty: a
            request that had passed the check must have become visible by then.
        retry_in: Until the next look where Galaxy could not be asked.
        afterwards: Until one more look at a submission that was rejected (a run
            that turns up is adopted all the same), or adopted past its fence.

    Raises:
        InvalidValue: A number or duration is not above zero.
    """

    lease: timedelta = field(default=timedelta(seconds=20), validator=positive)
    batch: int = field(default=20, validator=positive)
    grace: timedelta = field(default=timedelta(minutes=2), validator=positive)
    fence_wait: timedelta = field(default=timedelta(seconds=10), validator=positive)
    retry_in: timedelta = field(default=timedelta(seconds=15), validator=positive)
    afterwards: timedelta = field(default=timedelta(minutes=10), validator=positive)


class Outcome(Enum):
    """The outcome of one look at a submission."""

    ADOPTED = auto()  #: its run was found
    REJECTED = auto()  #: it was open, and has no run and never will
    WAITING = auto()  #: it is open, and is to be looked at again
    SETTLED = auto()  #: it was settled before this look, and still is


@frozen(kw_only=True)
class Reconciled:
    """How many lost submissions had which outcome in one pass.

    Those that Galaxy has refused are looked at too, for what was left behind. They
    are not counted, nor is one that was counted before.

    Attributes:
        adopted: Their run was found.
        rejected: They were open, and have no run and never will.
        waiting: They are open, and are to be looked at again.
        unstorable: Those of which something could not be stored, and the reasons;
            they are looked at again.
    """

    adopted: int = 0
    rejected: int = 0
    waiting: int = 0
    unstorable: Mapping[SubmissionId, str] = field(
        factory=dict[SubmissionId, str], hash=False
    )


@frozen(kw_only=True)
class Reconcile:
    """Settles the submissions that are due, one after the other.

    Attributes:
        stale_after: How long an adopted run may wait for its first look.
    """

    check: Check
    submissions: SubmissionRepository
    invocations: InvocationRepository
    runner: WorkflowRunner
    histories: RunHistories
    clock: Clock
    policy: ReconcilePolicy = ReconcilePolicy()
    stale_after: timedelta = STALE_AFTER

    def __call__(self, identity: Identity) -> Reconciled:
        """Look at the submissions to that Galaxy that are due.

        A pass takes half a lease at most, however slow Galaxy is: a submission
        that is not reached is due again when its lease runs out.

        Safe with any number of others doing the same, and with submitters that
        come back to life: each step is a compare-and-set.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        unstorable: dict[SubmissionId, str] = {}

        def settle(submission: Submission) -> Outcome:
            try:
                return self._settle(submission)
            except InvalidValue as error:  # such as an id that is too long
                unstorable[submission.submission_id] = str(error)
                return self._later(submission)

        outcomes = Counter(map(settle, self._due(identity)))
        return Reconciled(
            unstorable=unstorable,
            adopted=outcomes[Outcome.ADOPTED],
            rejected=outcomes[Outcome.REJECTED],
            waiting=outcomes[Outcome.WAITING],
        )

    def _due(self, identity: Identity) -> Iterator[Submission]:
        """Yield each submission that is due once, for half a lease at most."""
        seen: set[SubmissionId] = set()
        deadline = self.clock() + self.policy.lease / 2
        while batch := self.submissions.claim_due(
            identity, limit=self.policy.batch, lease=self.policy.lease
        ):
            again = [
                submission for submission in batch if submission.submission_id in seen
            ]
            for submission in again:
                # Due again already, in a pass that took long: the next one's.
                self._later(submission)
            if len(again) == len(batch):
                return
            for submission in batch:
                if submission.submission_id in seen:
                    continue
                if self.clock() > deadline:
                    return
                seen.add(submission.submission_id)
                yield submission

    def _settle(self, submission: Submission) -> Outcome:
        outcome = self._look(submission)
        is_news = submission.open or outcome is Outcome.ADOPTED
        return outcome if is_news else Outcome.SETTLED

    def _look(self, submission: Submission) -> Outcome:
        try:
            if submission.state is SubmissionState.ACCEPTED:
                return self._afterwards(submission)
            if submission.history_id is None:
                return self._without_history(submission)
            return self._with_history(submission, submission.history_id)
        except RunnerError:
            return self._later(submission)
        except StaleVersion:
            # Its submitter, or another reconciler, was faster.
            return Outcome.WAITING

    def _without_history(self, submission: Submission) -> Outcome:
        """Reject it: nothing was invoked, and from now on nothing can be.

        The submitter invokes only into a history that it has committed, and it
        can commit none to a submission that is rejected.
        """
        if submission.open:
            is_item = submission.batch_id is not None
            problem = ATTEMPTS_BROKEN_OFF if is_item else NOTHING_STARTED
            after = submission.not_invoked(problem, self.clock())
            waits = after.state is SubmissionState.WAITING
            look_in = None if waits else self.policy.afterwards
            self.submissions.save(submission, after, look_in=look_in)
            if waits:
                # Somebody may be making its next history, by the same name.
                return Outcome.WAITING
            self._tidy(after)
            return Outcome.REJECTED
        # Rejected some time ago: a history that was slow to be made shows by now.
        self._tidy(submission)
        self._close(submission)
        return Outcome.REJECTED

    def _with_history(self, submission: Submission, history_id: HistoryId) -> Outcome:
        reports, _ = self._reports(submission, history_id)
        if run := _genuine(reports, fenced=submission.fenced):
            return self._adopt(submission, history_id, run)
        if not submission.fenced:
            # By our own clock, which may be wrong: only the grace depends on it.
            # Not since it was made: an item of a batch may have waited for hours.
            age = self.clock() - submission.updated_at
            if submission.open and age < self.policy.grace:
                return self._later(submission)
            fenced = submission.fence(self.clock())
            self.submissions.save(submission, fenced, look_in=self.policy.fence_wait)
            self._delete(fenced, history_id)
            return Outcome.WAITING
        # Once more: its recorder may have died before deleting. A run
        # that Galaxy started in spite of it was there before, and shows in this look.
        self._delete(submission, history_id)
        reports, others = self._reports(submission, history_id)
        if not all(report is None or _fenced_off(report) for report in reports):
            # Galaxy has a run that it has not looked at yet. It will cancel it,
            # or has started it just before the fence.
            return self._later(submission)
        if submission.open:
            problem = NOTHING_STARTED
            if others:
                detail = (
                    f"{problem.detail} Galaxy ran something else in its history: "
                    f"{listed(others)}."
                )
                problem = evolve(problem, detail=detail)
            after = submission.rejected(problem, self.clock())
            self.submissions.save(submission, after, look_in=self.policy.afterwards)
            return Outcome.REJECTED
        self._close(submission)
        return Outcome.REJECTED

    def _delete(self, submission: Submission, history_id: HistoryId) -> None:
        """Delete the history, and bring it back if its run is adopted by now.

        A reconciler that was paused before this may be an hour late.
        """
        if not self._is_ours(submission, history_id):
            return
        self.histories.delete(history_id)
        stored = self.submissions.get(submission.submission_id, SERVICE)
        if stored.state is SubmissionState.ACCEPTED:
            self._undelete(history_id)

    def _is_ours(self, submission: Submission, history_id: HistoryId) -> bool:
        """Whether the history still has the id of the submission in its name.

        A Galaxy that was restored from a backup has given its id to another history,
        such as a later submission's. Or a user has taken it over by another name.
        """
        mark = history_mark(submission.submission_id)
        return history_id in self.histories.marked(mark)

    def _undelete(self, history_id: HistoryId) -> None:
        # If it cannot be brought back, the run in it is a fact all the same.
        with suppress(RunRejected, RunNotFound):
            self.histories.undelete(history_id)

    def _adopt(
        self, submission: Submission, history_id: HistoryId, run: InvocationId
    ) -> Outcome:
        now = self.clock()
        after = submission.accepted(run, now)
        invocation = submission.invocation(run, now, self.stale_after)
        if not submission.fenced:
            self.submissions.accept(submission, after, invocation)
            return Outcome.ADOPTED
        # First the history: in the other order, a crash in between would leave a
        # recorded run whose results are thrown away. And once more afterwards, for
        # a reconciler that deletes it just now and has not seen the adoption.
        self._undelete(history_id)
        self.submissions.accept(submission, after, invocation)
        self.submissions.save(after, after.touch(), look_in=self.policy.afterwards)
        self._undelete(history_id)
        return Outcome.ADOPTED

    def _afterwards(self, submission: Submission) -> Outcome:
        """Look once more at the history of a run that slipped past its fence.

        A request to delete it can arrive after its sender gave up, or died.
        """
        assert submission.invocation_id is not None
        assert submission.history_id is not None
        run = self.invocations.get(submission.invocation_id, SERVICE)
        # If it is superseded, it may be deleted for a reason.
        if run.superseded_by is None and self._is_ours(
            submission, submission.history_id
        ):
            self._undelete(submission.history_id)
        self._close(submission)
        return Outcome.SETTLED

    def _reports(
        self, submission: Submission, history_id: HistoryId
    ) -> tuple[list[InvocationReport | None], list[InvocationId]]:
        """Return the reports of runs that may be the submission's, and other runs."""
        reports, others = [], []
        for run in self.histories.runs_in(history_id):
            report = self._report(run)
            if report is None or _fenced_off(report) or self._may_be(submission, run):
                reports.append(report)
            else:
                others.append(run)
        return reports, others

    def _may_be(self, submission: Submission, run: InvocationId) -> bool:
        """Whether a run in its history does not differ from what it asked for.

        Somebody may have run something else into that history by hand. What cannot
        be compared any more, such as with a workflow that is gone, does not differ:
        a run that is not adopted would be lost.
        """
        if self._is_anothers(submission, run):
            return False
        invoked = self.histories.invoked(run)
        workflow_id = submission.workflow_id
        if workflow_id is not None and invoked.workflow_id not in {None, workflow_id}:
            return False
        try:
            plan = self.check.plan(submission.request, SERVICE)
        except (RunnerError, StoreUnavailable):
            raise
        except DomainError:
            return True
        if workflow_id is None and _has_another_workflow(plan, invoked):
            return False
        return not _has_other_inputs(plan, invoked)

    def _is_anothers(self, submission: Submission, run: InvocationId) -> bool:
        """Whether it is recorded as the run of another submission, and rightly.

        After Galaxy was restored from a backup, the history of a later submission may
        have the id that this one's had.
        """
        recorded = self.invocations.get_many([run], SERVICE).get(run)
        if recorded is None or recorded.identity != submission.identity:
            return False
        assert submission.history_id is not None
        return recorded.submission_id != submission.submission_id and not self._is_ours(
            submission, submission.history_id
        )

    def _report(self, run: InvocationId) -> InvocationReport | None:
        try:
            return self.runner.report(run)
        except RunNotFound:
            return None

    def _tidy(self, submission: Submission) -> None:
        mark = history_mark(submission.submission_id)
        for history_id in self.histories.marked(mark):
            self.histories.delete(history_id)

    def _later(self, submission: Submission) -> Outcome:
        with suppress(StaleVersion):  # another process was faster
            self.submissions.save(
                submission, submission.touch(), look_in=self.policy.retry_in
            )
        return Outcome.WAITING

    def _close(self, submission: Submission) -> None:
        """Take it out of the queue."""
        self.submissions.save(submission, submission.touch(), look_in=None)


def _genuine(
    reports: Sequence[InvocationReport | None], *, fenced: bool
) -> InvocationId | None:
    """Return the oldest run that Galaxy really runs, or has run.

    One that Galaxy cancelled because of the fence does not count, and behind a
    fence one that Galaxy has not looked at yet does not count yet.
    """
    for report in reports:
        if report is None or _fenced_off(report) or (fenced and _undecided(report)):
            continue
        return report.invocation_id
    return None


def _has_another_workflow(plan: Plan, invoked: Invoked) -> bool:
    """Whether a run has another workflow than a plan of now.

    By its name as well as its id: a workflow may have been replaced meanwhile.
    """
    workflow = plan.workflow
    return invoked.workflow_id not in {None, workflow.workflow_id} and (
        invoked.workflow_name != workflow.name
    )


def _has_other_inputs(plan: Plan, invoked: Invoked) -> bool:
    return any(
        _is_other(value, invoked.inputs[name])
        for name, value in plan.inputs.items()
        if name in invoked.inputs
    )


def _is_other(planned: Source | Json, given: GalaxyData | Json) -> bool:
    if isinstance(planned, GalaxyData) and isinstance(given, GalaxyData):
        # Of a dataset in a library, a run has a copy with another id.
        return planned.src is not Src.LDDA and planned != given
    if isinstance(planned, _PLAIN) and isinstance(given, _PLAIN):
        return _comparable(planned) != _comparable(given)
    return False


_PLAIN = (bool, int, float, str)


def _comparable(value: bool | float | str) -> float | str:  # noqa: FBT001
    """Return a value that is equal for 1, 1.0 and "1", as for True and "true".

    Of a long text that is its beginning: more may not be shown.
    """
    text = " ".join(str(value).lower()[:QUOTED_LENGTH].split())
    with suppress(ValueError):
        if math.isfinite(number := float(text)):
            return number
    return text


def _fenced_off(report: InvocationReport) -> bool:
    stopped = report.state in {GalaxyState.CANCELLED, GalaxyState.CANCELLING}
    return stopped and FENCED_OFF in report.reasons


def _undecided(report: InvocationReport) -> bool:
    return not report.steps and report.state in {
        GalaxyState.NEW,
        GalaxyState.REQUIRES_MATERIALIZATION,
        GalaxyState.READY,
    }

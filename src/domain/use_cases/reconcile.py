"""Find out what became of submissions that nobody settled.

A submitter can die, or be paused for an hour, between any two of its steps, and
its request to Galaxy can still be on the way. Waiting alone proves nothing. So
the history made for the run is the fence: Galaxy cancels whatever is invoked
into a deleted history, and says so (``history_deleted``). Nothing here ever
invokes: a run is adopted if there is one, and made impossible if there is none.

A reconciler, too, can die or be paused between any two steps. So that a history
will be deleted is noted before it is: from then on its submitter cannot record a
run any more, and nobody takes one for good that Galaxy has not looked at yet. And
whoever has deleted one looks whether a run in it was adopted meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from attrs import frozen

from galaxy_jobs.domain.errors import (
    RunnerError,
    RunNotFound,
    RunRejected,
    StaleVersion,
)
from galaxy_jobs.domain.model.report import GalaxyState, InvocationReport
from galaxy_jobs.domain.model.submission import (
    Problem,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.model.values import (
    HistoryId,
    Identity,
    InvocationId,
    SubmissionId,
)
from galaxy_jobs.domain.ports import (
    Clock,
    InvocationRepository,
    RunHistories,
    SubmissionRepository,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases.submit import born


FENCED_OFF = "history_deleted"
"""Galaxy's reason for cancelling what was invoked into a deleted history."""

NOTHING_STARTED = Problem(
    "galaxy-unavailable",
    "The request was broken off before Galaxy had started anything, and it will "
    "not start any more. It is safe to submit it again.",
)
"""Why a submission is rejected that nothing was found of."""


@frozen(kw_only=True)
class ReconcilePolicy:
    """How long to wait, and how often to look again.

    Attributes:
        lease: How long a submission is one reconciler's own.
        batch: How many are taken at once.
        grace: For how long after it was recorded the run of a submission may
            still turn up before it is fenced off: a Galaxy that took too long to
            answer is most often slow, and not gone.
        fence_wait: Between deleting a history and trusting that it is empty: a
            request that had passed the check must have become visible by then.
        retry_in: Until the next look where Galaxy could not be asked.
        afterwards: When to look once more after it was rejected (a run that
            turns up is adopted all the same), or was adopted past its fence.
    """

    lease: timedelta = timedelta(minutes=2)
    batch: int = 20
    grace: timedelta = timedelta(minutes=2)
    fence_wait: timedelta = timedelta(seconds=10)
    retry_in: timedelta = timedelta(seconds=15)
    afterwards: timedelta = timedelta(minutes=10)


@frozen(kw_only=True)
class Reconciled:
    """What came of one pass.

    Attributes:
        adopted: Submissions whose run was found, or was made sure of.
        rejected: Submissions that have none and never will.
        waiting: Submissions to be looked at again.
    """

    adopted: int = 0
    rejected: int = 0
    waiting: int = 0


@frozen(kw_only=True)
class Reconcile:
    """Looks into the submissions that are due, one after the other."""

    submissions: SubmissionRepository
    invocations: InvocationRepository
    runner: WorkflowRunner
    histories: RunHistories
    clock: Clock
    policy: ReconcilePolicy = ReconcilePolicy()

    def __call__(self, identity: Identity) -> Reconciled:
        """Look into the submissions of that Galaxy that are due.

        A Galaxy that is slow does not keep the caller for ever: what is not
        reached within half a lease is due again when its lease runs out.

        Safe with any number of others doing the same, and with submitters that
        come back to life: each step is a compare-and-set.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        count = {"adopted": 0, "rejected": 0, "waiting": 0}
        seen: set[SubmissionId] = set()
        until = self.clock() + self.policy.lease / 2
        while True:
            batch = [
                one
                for one in self.submissions.claim_due(
                    identity, limit=self.policy.batch, lease=self.policy.lease
                )
                if one.submission_id not in seen
            ]
            if not batch:  # all done, or come round again in a slow pass
                return Reconciled(**count)
            for submission in batch:
                if self.clock() > until:
                    return Reconciled(**count)
                seen.add(submission.submission_id)
                count[self._settle(submission)] += 1

    def _settle(self, submission: Submission) -> str:
        try:
            if submission.state is SubmissionState.ACCEPTED:
                return self._afterwards(submission)
            if submission.history_id is None:
                return self._without_history(submission)
            return self._with_history(submission, submission.history_id)
        except RunnerError:
            return self._later(submission)
        except StaleVersion:
            return "waiting"  # its submitter, or another reconciler, was faster

    def _without_history(self, submission: Submission) -> str:
        """Nothing was invoked, and once this is written nothing can be.

        The submitter invokes only into a history that it has committed, and it
        can commit none to a submission that is rejected.
        """
        if submission.open:
            after = submission.rejected(NOTHING_STARTED, self.clock())
            self.submissions.save(submission, after, look_in=self.policy.afterwards)
            submission = after
            self._tidy(submission)
            return "rejected"
        # Rejected some time ago: a history whose making was slow shows by now.
        self._tidy(submission)
        self._close(submission)
        return "rejected"

    def _with_history(self, submission: Submission, history_id: HistoryId) -> str:
        reports = self._reports(history_id)
        if run := _genuine(reports, fenced=submission.fenced):
            return self._adopt(submission, history_id, run)
        if not submission.fenced:
            # By a clock of ours, which may be wrong: only patience hangs on it.
            age = self.clock() - submission.created_at
            if submission.open and age < self.policy.grace:
                return self._later(submission)
            fenced = submission.fence(self.clock())
            self.submissions.save(submission, fenced, look_in=self.policy.fence_wait)
            self._delete(fenced, history_id)
            return "waiting"
        # Again: who noted the fence may have died before it was up. Whatever Galaxy
        # has started in spite of it was there before, and so shows in this look.
        self._delete(submission, history_id)
        if not all(
            one is None or _fenced_off(one) for one in self._reports(history_id)
        ):
            # Galaxy has taken it in and not looked at it yet; when it does, it
            # will cancel it, or has started it just before the fence.
            return self._later(submission)
        if submission.open:
            after = submission.rejected(NOTHING_STARTED, self.clock())
            self.submissions.save(submission, after, look_in=self.policy.afterwards)
            return "rejected"
        self._close(submission)
        return "rejected"

    def _delete(self, submission: Submission, history_id: HistoryId) -> None:
        """Put up the fence, unless there is a run behind it by now.

        Whoever was paused just before may come an hour too late.
        """
        self.histories.delete(history_id)
        stored = self.submissions.get(submission.submission_id)
        if stored.state is SubmissionState.ACCEPTED:
            self._undelete(history_id)

    def _undelete(self, history_id: HistoryId) -> None:
        # If it cannot be brought back, the run in it is a fact all the same.
        with suppress(RunRejected, RunNotFound):
            self.histories.undelete(history_id)

    def _adopt(
        self, submission: Submission, history_id: HistoryId, run: InvocationId
    ) -> str:
        now = self.clock()
        after = submission.accepted(run, now)
        if not submission.fenced:
            self.submissions.accept(submission, after, born(submission, run, now))
            return "adopted"
        # First the history: were it the other way round only, a crash in between
        # would leave a recorded run whose results are thrown away. And once more,
        # for one who deletes it just now and has not seen that it is adopted.
        self._undelete(history_id)
        self.submissions.accept(submission, after, born(submission, run, now))
        self.submissions.save(after, after.touch(), look_in=self.policy.afterwards)
        self._undelete(history_id)
        return "adopted"

    def _afterwards(self, submission: Submission) -> str:
        """Look once more at the history of a run that slipped past its fence.

        A request to delete it can have been under way for longer than whoever
        sent it has waited, or lived.
        """
        assert submission.invocation_id is not None
        assert submission.history_id is not None
        run = self.invocations.get(submission.invocation_id)
        if run.superseded_by is None:  # else it may be deleted for a reason
            self._undelete(submission.history_id)
        self._close(submission)
        return "adopted"

    def _reports(self, history_id: HistoryId) -> list[InvocationReport | None]:
        return [self._report(one) for one in self.histories.runs_in(history_id)]

    def _report(self, run: InvocationId) -> InvocationReport | None:
        try:
            return self.runner.report(run)
        except RunNotFound:
            return None

    def _tidy(self, submission: Submission) -> None:
        for history_id in self.histories.named(submission.history_name):
            self.histories.delete(history_id)

    def _later(self, submission: Submission) -> str:
        with suppress(StaleVersion):  # somebody else is at it: all the better
            self.submissions.save(
                submission, submission.touch(), look_in=self.policy.retry_in
            )
        return "waiting"

    def _close(self, submission: Submission) -> None:
        """Nothing has turned up: look no more."""
        self.submissions.save(submission, submission.touch(), look_in=None)


def _genuine(
    reports: Sequence[InvocationReport | None], *, fenced: bool
) -> InvocationId | None:
    """Return the oldest run that Galaxy really runs, or has run.

    One that Galaxy cancelled because of the fence does not count, and behind a
    fence one that Galaxy has not looked at yet does not count yet.
    """
    for one in reports:
        if one is None or _fenced_off(one) or (fenced and _undecided(one)):
            continue
        return one.invocation_id
    return None


def _fenced_off(one: InvocationReport) -> bool:
    stopped = one.state in {GalaxyState.CANCELLED, GalaxyState.CANCELLING}
    return stopped and FENCED_OFF in one.reasons


def _undecided(one: InvocationReport) -> bool:
    return not one.steps and one.state in {
        GalaxyState.NEW,
        GalaxyState.REQUIRES_MATERIALIZATION,
        GalaxyState.READY,
    }

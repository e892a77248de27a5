"""Delete what is not kept any longer: results, intermediates and jobs.

Rule 1: the history of a job is deleted only if it was created for this job alone, and
nothing needs its data: no registered dataset, and no job that is followed.
Rule 2: what is begun is ended. Before a history is deleted, it is recorded that it
will be, and once it is purged, that it was; each step can be repeated.
Rule 3: nothing waits for it. It is bounded in time, and begins anything only before
that time is over; a Galaxy in trouble is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from attrs import asdict, evolve, field, frozen

from galaxy_jobs.domain.errors import (
    JobNotFound,
    NotEnded,
    ResultsInUse,
    RunnerError,
    RunNotFound,
    RunRejected,
)
from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.dataset import GalaxyData, Src
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.report import ELEMENTS_LIMIT, Output
from galaxy_jobs.domain.model.retention import Kept, RetentionPolicy
from galaxy_jobs.domain.model.submission import history_mark, history_name
from galaxy_jobs.domain.model.values import (
    DatasetId,
    HistoryId,
    Identity,
    InvocationId,
)
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.ports import (
    Clock,
    DataUser,
    Deletion,
    InvocationRepository,
    PollQueue,
    Retention,
    RunHistories,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record
from galaxy_jobs.domain.use_cases.data_users import DataUsers
from galaxy_jobs.domain.use_cases.saving import save_changed


LEASE = timedelta(minutes=5)
"""For how long a deletion is left to the process that claimed it."""

IN_USE_PAUSE = timedelta(days=1)
"""The time after which results that were in use are looked at again."""

MIN_PAUSE = timedelta(minutes=1)
"""The time until the next attempt after the first that failed; it doubles."""

MAX_PAUSE = timedelta(hours=6)

FAILURES_IN_A_ROW = 3
"""After so many failures one after the other, Galaxy is left alone until the next
sweep."""

PRUNED_AT_ONCE = 500
"""Jobs that are removed in one transaction."""


@frozen(kw_only=True)
class Cleaner:
    """Deletes the results of single jobs, under all guards.

    Attributes:
        users: Finds what needs data.
    """

    invocations: InvocationRepository
    retention: Retention
    users: DataUsers
    runner: WorkflowRunner
    histories: RunHistories
    clock: Clock

    def delete_results(
        self, identity: Identity, job: Invocation, *, begun: bool = False
    ) -> None:
        """Delete and purge the history of a job, and record it.

        A history that is deleted or purged already counts as done.

        Args:
            identity: Of Galaxy.
            job: Of that Galaxy; as the service sees it.
            begun: Whether that was begun before: then it may be deleted by us already.

        Raises:
            NotEnded: It is still followed.
            ResultsInUse: Something needs them; nothing is deleted.
            RunnerUnavailable, RunnerRefusedUs, RunRejected: Galaxy could not be asked,
                or refuses: to be repeated.
        """
        # It may have changed since it was claimed.
        job = self.invocations.get(job.invocation_id, SERVICE)
        id_, history_id = job.invocation_id, job.history_id
        if job.is_followed:
            if begun and history_id is not None:
                self._restore(history_id)
            raise NotEnded(id_, job.state.value)
        if job.adopted or history_id is None:
            raise ResultsInUse(id_, "its history was not made for it.")
        name = self._name(job, history_id)
        contents = self.histories.contents(history_id)
        if name is None and contents:
            if begun:
                self._restore(history_id)
            raise ResultsInUse(id_, "somebody has renamed its history in Galaxy.")
        users = self.users(identity, history_id, contents)
        if not users:
            self.retention.begin(id_, lease=LEASE)
            if name is not None:
                self.histories.delete(history_id)
            # A new user may have appeared while it was being deleted, or it goes on.
            users = self.users(identity, history_id, contents)
            job = self.invocations.get(id_, SERVICE)
        if users or job.is_followed:
            # It may have been deleted before a crash, too.
            self._put_off(id_, history_id)
            raise _in_use(job, users) if users else NotEnded(id_, job.state.value)
        if name is not None:
            self.histories.delete(history_id, purge=True)
        self._record(job, Invocation.without_results)

    def _put_off(self, id_: InvocationId, history_id: HistoryId) -> None:
        self._restore(history_id)
        self.retention.put_off(id_, IN_USE_PAUSE, failed=False)

    def _restore(self, history_id: HistoryId) -> None:
        with suppress(RunRejected, RunNotFound):
            self.histories.undelete(history_id)

    def delete_intermediates(self, identity: Identity, job: Invocation) -> None:
        """Delete and purge the datasets of a job that are no workflow outputs.

        All are kept if the outputs are not known to the last.

        Raises:
            NotEnded: It has not completed, or is followed again; nothing is deleted.
            ResultsInUse: Something needs one of them; nothing is deleted.
            RunnerUnavailable, RunnerRefusedUs, RunRejected: As for
                :meth:`delete_results`.
        """
        # It may have changed since it was claimed.
        job = self._completed(job.invocation_id)
        history_id = job.history_id
        if history_id is not None and self._name(job, history_id) is not None:
            data = self._intermediates(identity, job, history_id)
            ids = [each.id for each in data]
            users = self.users(identity, history_id, data)
            if ids and not users:
                self.histories.delete_datasets(history_id, ids)
                users = self.users(identity, history_id, data)
            try:
                if users:
                    raise _in_use(job, users)
                self._completed(job.invocation_id)
            except (ResultsInUse, NotEnded):
                with suppress(RunRejected, RunNotFound):
                    self.histories.undelete_datasets(history_id, ids)
                raise
            if ids:
                self.histories.delete_datasets(history_id, ids, purge=True)
        self._record(job, Invocation.without_intermediates)

    def _completed(self, id_: InvocationId) -> Invocation:
        job = self.invocations.get(id_, SERVICE)
        if job.is_followed or job.state is not InvocationState.COMPLETED:
            raise NotEnded(id_, job.state.value)
        return job

    def _intermediates(
        self, identity: Identity, job: Invocation, history_id: HistoryId
    ) -> Sequence[GalaxyData]:
        try:
            outputs = self.runner.outputs(job.id_on(identity))
        except RunNotFound:
            return ()
        kept = _ids(outputs)
        return [
            data
            for data in self.histories.contents(history_id)
            if kept and data.src is Src.HDA and data.id not in kept
        ]

    def _record(
        self, job: Invocation, change: Callable[[Invocation, datetime], Invocation]
    ) -> None:
        with suppress(JobNotFound):  # pruned meanwhile
            at = self.clock()
            save_changed(
                self.invocations, job, SERVICE, lambda before: change(before, at)
            )
        self.retention.end(job.invocation_id)

    def _name(self, job: Invocation, history_id: HistoryId) -> str | None:
        """Return the name that we gave its history; None: Galaxy has none so called.

        A user who renamed it has taken it over, and may want to keep it.
        """
        mark = history_mark(job.submission_id)
        given = history_name(job.submission_id, job.workflow_name, job.dataset_id)
        name = self.histories.marked(mark).get(history_id)
        return name if name in {given, mark} else None


def _ids(outputs: Sequence[Output]) -> Collection[str]:
    """Return the ids of all datasets of outputs; empty where some may be missing."""
    for output in outputs:
        unknown = output.src == Src.HDCA.value and output.state is None
        if unknown or len(output.elements) >= ELEMENTS_LIMIT:
            return ()
    ids = [output.id for output in outputs]
    ids += [element.id for output in outputs for element in output.elements]
    return {id_ for id_ in ids if id_ is not None}


def _in_use(job: Invocation, users: Sequence[DataUser]) -> ResultsInUse:
    """Return the error that names the users which the owner of a job sees."""
    viewer = Viewer(owner=job.owner, sees_all=not job.private)
    seen = [
        (user.kind, viewer.id_of(DatasetId(user.id)))
        for user in users
        if viewer.sees(user.owner)
    ]
    named = ", ".join(f"{kind} {id_!r}" for kind, id_ in seen[:20])
    return ResultsInUse(
        job.invocation_id, f"{named or 'something of another owner'} needs them.", seen
    )


@frozen(kw_only=True)
class DeleteResults:
    """Deletes the results of a job on request. Galaxy is asked."""

    invocations: InvocationRepository
    cleaner: Cleaner
    identity: Callable[[], Identity]
    record: Recorder = no_record

    def __call__(self, invocation_id: InvocationId, viewer: Viewer) -> Invocation:
        """Return the job, whose results are deleted. Twice is no error.

        Raises:
            JobNotFound: There is none.
            NotEnded: It has not ended.
            ResultsInUse: Something needs them; nothing is deleted.
            RunNotFound: It ran on another Galaxy, or as another user of it.
            RunnerUnavailable, RunnerRefusedUs, RunRejected: Galaxy could not be asked.
                What was begun is ended by the sweeps.
        """
        self.invocations.get(invocation_id, viewer)
        job = self.invocations.get(invocation_id, SERVICE)
        if job.results_deleted_at is None:
            identity = self.identity()
            if job.identity != identity:
                job.id_on(identity)  # raises
            try:
                self.cleaner.delete_results(identity, job)
            except RunnerError:
                self.cleaner.retention.release(invocation_id)  # to the sweeps
                raise
            self.record(viewer, Action.DELETE_RESULTS, Kind.JOB, invocation_id)
        return self.invocations.get(invocation_id, viewer)


@frozen(kw_only=True)
class Cleaned:
    """What a sweep of retention did, in numbers.

    Attributes:
        results_deleted: Jobs whose results were deleted.
        results_in_use: Jobs whose results, or intermediates, something needs.
        intermediates_deleted: Jobs whose intermediates were deleted.
        not_deleted: Attempts that failed; they are repeated.
        pruned: Jobs that were removed.
        problem: The last failure, or None.
    """

    results_deleted: int = 0
    results_in_use: int = 0
    intermediates_deleted: int = 0
    not_deleted: int = 0
    pruned: int = 0
    problem: RunnerError | None = None

    def counts(self) -> dict[str, int]:
        """Return the numbers by name."""
        return {k: n for k, n in asdict(self, recurse=False).items() if k != "problem"}


@frozen(kw_only=True)
class Clean:
    """Deletes a part of what is not kept any longer.

    Attributes:
        queue: Counts what is done.
        batch: How many jobs are claimed at once.
    """

    cleaner: Cleaner
    retention: Retention
    identity: Callable[[], Identity]
    queue: PollQueue
    clock: Clock
    policy: RetentionPolicy = field(factory=RetentionPolicy)
    batch: int = 20

    def __call__(self, at_most: timedelta) -> Cleaned:
        """Delete what is due, and begin nothing after some time.

        Any number of pollers may do so at once. A crash at any point is repaired by a
        later call.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        deadline = self.clock() + at_most
        try:
            identity = self.identity()
        except RunnerError as error:
            return Cleaned(problem=error)
        cleaned, failures = Cleaned(), 0
        for kept, begun, deletion in self._claimed(identity, deadline):
            if self.clock() > deadline or failures >= FAILURES_IN_A_ROW:
                self.retention.release(deletion.job.invocation_id)
                continue
            before = cleaned.not_deleted
            cleaned = self._carry_out(identity, kept, begun, deletion, cleaned)
            failures = failures + 1 if cleaned.not_deleted > before else 0
            if failures >= FAILURES_IN_A_ROW:
                deadline = self.clock()
        age, pruned = self.policy.jobs, PRUNED_AT_ONCE
        # Not before their results: see the rules.
        while age and pruned and not cleaned.problem and self.clock() <= deadline:
            pruned = self.retention.prune(identity, age, limit=PRUNED_AT_ONCE)
            cleaned = evolve(cleaned, pruned=cleaned.pruned + pruned)
        self.queue.tally(identity, cleaned.counts())
        return cleaned

    def _claimed(
        self, identity: Identity, deadline: datetime
    ) -> Iterator[tuple[Kept, bool, Deletion]]:
        claim: Callable[..., Sequence[Deletion]]
        for rule in (None, *self.policy.rules()):
            kept = Kept.RESULTS if rule is None else rule.kept
            claim = self.retention.claim_begun
            if rule is not None:
                claim = partial(self.retention.claim, rule=rule)
            while self.clock() <= deadline:
                claimed = claim(identity, limit=self.batch, lease=LEASE)
                for deletion in claimed:
                    yield kept, rule is None, deletion
                if len(claimed) < self.batch:
                    break

    def _carry_out(
        self,
        identity: Identity,
        kept: Kept,
        begun: bool,  # noqa: FBT001
        deletion: Deletion,
        cleaned: Cleaned,
    ) -> Cleaned:
        job = deletion.job
        try:
            if kept is Kept.INTERMEDIATES:
                self.cleaner.delete_intermediates(identity, job)
                count = cleaned.intermediates_deleted + 1
                return evolve(cleaned, intermediates_deleted=count)
            self.cleaner.delete_results(identity, job, begun=begun)
        except (ResultsInUse, NotEnded):
            self.retention.put_off(job.invocation_id, IN_USE_PAUSE, failed=False)
            return evolve(cleaned, results_in_use=cleaned.results_in_use + 1)
        except RunnerError as error:
            pause = min(MIN_PAUSE * 2 ** min(deletion.failures, 20), MAX_PAUSE)
            self.retention.put_off(job.invocation_id, pause, failed=True)
            return evolve(cleaned, not_deleted=cleaned.not_deleted + 1, problem=error)
        return evolve(cleaned, results_deleted=cleaned.results_deleted + 1)

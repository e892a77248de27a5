"""One sweep: ask Galaxy about every invocation that is due, and store the changes.

Rule 1: a poll that failed changes no state. A Galaxy that is down, slow, rate-
limiting or answering garbage says nothing about a run.
Rule 2: no transaction is open while Galaxy is asked: invocations are leased, and
the results are stored only under the fence of that lease. Leases are short and
renewed while Galaxy is asked, so that those of a poller that died soon run out.

Galaxy is first asked in bulk. Where the bulk answer is the same as last time and
shows that the run cannot have ended, nothing more is needed. A full look is
taken at whatever moved or may have ended, and at everything once in a while.
Only a full look changes a state: the bulk answer does not hold all that the
verdict needs.

Full looks take time, above all where Galaxy is slow or has no bulk answer. So
they are begun only within a look budget. The other claims are given back, and
the next claim takes the most urgent invocations first, those that have become
due meanwhile included. A look that takes far longer than others is not waited for:
its result is stored when it comes, and from then on outlines replace full looks at
that run, apart from all others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any, Protocol, TypeAlias, TypeVar

from attrs import Factory, evolve, field, frozen

from galaxy_jobs.domain.errors import (
    IllegalTransition,
    ReportUnavailable,
    RunnerError,
    RunnerUnavailable,
    RunNotFound,
    shortened,
)
from galaxy_jobs.domain.model.invocation import (
    REPLACED,
    Invocation,
    InvocationState,
    Sighting,
)
from galaxy_jobs.domain.model.report import (
    UNSCHEDULED,
    GalaxyState,
    InvocationReport,
    JobDetails,
    JobsSummary,
)
from galaxy_jobs.domain.model.values import HistoryId, Identity, InvocationId
from galaxy_jobs.domain.model.verdict import confirmation_time, culprit, judge
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import (
    Claim,
    Clock,
    InvocationRepository,
    Look,
    PollQueue,
    RunHistories,
    Stored,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases.clear_superseded import ClearSuperseded
from galaxy_jobs.domain.use_cases.poll.breaker import Breaker
from galaxy_jobs.domain.use_cases.poll.counts import Sweep
from galaxy_jobs.domain.use_cases.poll.schedule import PollPolicy
from galaxy_jobs.domain.use_cases.poll.slow import SlowRuns
from galaxy_jobs.domain.use_cases.reconcile import Reconcile


T = TypeVar("T")
R = TypeVar("R")

MIN_RENEWAL_INTERVAL = timedelta(seconds=1)
"""The shortest time between two renewals of a lease."""

IDLE_LOOK_INTERVAL = timedelta(seconds=15)
"""The shortest time between full looks while no job is open and steps are left."""

SLOW_FACTOR = 10
"""A look is slow only if it takes so many times as long as a plain question."""

DETAILS_ATTEMPTS = 5
"""Failed looks in a row after which a failure is recorded without its details."""


Late: TypeAlias = Callable[[T], Callable[[Callable[[], R]], None]]
"""Called for an item whose result is no longer waited for. What it returns is called in
another thread once the function has ended, with what returns or raises as that did."""


class Mapper(Protocol):
    """Applies a function to each item, maybe to several at once: like ``map``."""

    def __call__(
        self,
        function: Callable[[T], R],
        items: Iterable[T],
        *,
        timeout: timedelta | None = None,
        late: Late[T, R] | None = None,
    ) -> Iterator[R]:
        """Return the results as they come.

        Args:
            function: The function. What it raises, this raises.
            items: The items, begun in their order.
            timeout: For how long the result for one item is waited for, from when
                its turn comes; None: to the end. With zero, no result is returned.
            late: Takes over the item then; given with *timeout*.
        """


def one_by_one(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    timeout: timedelta | None = None,  # noqa: ARG001 - nothing can be late
    late: Late[T, R] | None = None,  # noqa: ARG001
) -> Iterator[R]:
    """Apply a function to one item after the other: the simplest :class:`Mapper`."""
    return map(function, items)


class Heartbeat(Protocol):
    """Repeats a call, at the same time as what the block does."""

    def __call__(
        self, beat: Callable[[], None], *, every: timedelta, at_most: timedelta
    ) -> AbstractContextManager[None]:
        """Return a block during which *beat* is called.

        Args:
            beat: The call; that it fails with a :class:`DomainError` ends nothing.
            every: The time before each call.
            at_most: The time after which there are no more calls.
        """


@contextmanager
def no_heartbeat(
    beat: Callable[[], None],  # noqa: ARG001 - the others use it
    *,
    every: timedelta,  # noqa: ARG001
    at_most: timedelta,  # noqa: ARG001
) -> Iterator[None]:
    """Call nothing: for batches that take less than a lease."""
    yield


def one_pipeline(pipeline: Callable[[], None]) -> None:
    """Run one pipeline, in this thread; see :attr:`Poll.pipelines`."""
    pipeline()


@frozen
class _Answer:
    """The result of a full look; neither sighting nor error if it was put off.

    Attributes:
        confirm_in: The time after which a second look confirms an end, or zero.
        jobs: The number of jobs that a bulk answer must count to be trusted.
        history_id: The history of what was looked at; None: not known.
    """

    claim: Claim
    sighting: Sighting | None = None
    missing: bool = False
    error: RunnerError | None = None
    confirm_in: timedelta = timedelta(0)
    jobs: float = 0
    history_id: HistoryId | None = None


@frozen
class _Batch:
    """What all looks of a batch have in common.

    Attributes:
        identity: The Galaxy.
        at: When the batch began.
        slow_after: For how long a look is waited for.
        summaries: The bulk answers.
    """

    identity: Identity
    at: datetime
    slow_after: timedelta
    summaries: Mapping[InvocationId, JobsSummary]


def _breaker(poll: Any) -> Breaker:
    return Breaker(poll.policy, poll.clock)


def _no_tags(_: Identity) -> int:
    return 0


def _slow(poll: Any) -> SlowRuns:
    return SlowRuns(poll.policy, poll.clock)


@frozen(kw_only=True)
class Poll:
    """Sweeps once over all invocations that are due.

    Attributes:
        mapper: Sends several requests to Galaxy at once.
        pipelines: Runs the function it is given, maybe several times at once, and
            returns when all runs have: Galaxy is asked about one batch while
            another is stored. As with several pollers, each run claims its share.
        heartbeat: Renews the leases of a batch for as long as it takes.
        random: Returns a random number from 0 to 1, for the jitter.
        breaker: Keeps its state from sweep to sweep.
        slow: So do the runs that are slow to look at.
        histories: Get the tags of their runs; None: they get none.
        update_tags: Changes these tags where labels have changed, a few at a time.
    """

    queue: PollQueue
    invocations: InvocationRepository
    runner: WorkflowRunner
    reconcile: Reconcile
    clear: ClearSuperseded
    clock: Clock
    policy: PollPolicy = field(factory=PollPolicy)
    mapper: Mapper = one_by_one
    pipelines: Callable[[Callable[[], None]], None] = one_pipeline
    heartbeat: Heartbeat = no_heartbeat
    random: Callable[[], float] = random.random
    breaker: Breaker = field(default=Factory(_breaker, takes_self=True))
    slow: SlowRuns = field(default=Factory(_slow, takes_self=True))
    histories: RunHistories | None = None
    update_tags: Callable[[Identity], int] = _no_tags

    def __call__(
        self,
        at_most: timedelta | None = None,
        progress: Callable[[Sweep], None] = lambda _: None,
    ) -> Sweep:
        """Ask about all invocations of this Galaxy that are due.

        Any number of pollers may sweep at the same time: each takes its share.
        An invocation that is not reached is due again when its lease runs out.

        Args:
            at_most: Begin no further batch after that time, for a loop: what
                becomes due during a sweep is for the next one.
            progress: Called after each batch with the counts so far.

        Returns:
            The counts. ``problem`` is set where Galaxy could not be asked at
            all, and then nothing was claimed, or not to the end.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        began = self.clock()
        if pause := self.breaker.retry_after():
            return Sweep(problem=self.breaker.problem, retry_after=pause)
        try:
            identity = self.runner.identity()
        except RunnerError as error:
            self.breaker.trip(_kept(error))
            return self._with_problem(Sweep())
        slow_after = max(self.policy.slow_look, SLOW_FACTOR * (self.clock() - began))
        sweep = Sweep(reconciled=self.reconcile(identity)) + self.slow.collect()
        counting = Lock()

        def pipeline() -> None:
            nonlocal sweep
            for batch in self._batches(identity, began, at_most, slow_after):
                with counting:
                    sweep += batch
                    progress(sweep)

        self.pipelines(pipeline)
        if at_most is None:
            self.slow.wait()
            sweep += self.slow.collect()
        # Last, so that the runs that this sweep saw complete are included.
        if self.breaker.problem is None:
            sweep = evolve(sweep, cleared=self.clear(identity))
            self.update_tags(identity)
        seconds = (self.clock() - began).total_seconds()
        self.queue.tally(
            identity, {"sweeps": 1, "seconds": max(seconds, 0.0), **sweep.counts()}
        )
        return self._with_problem(sweep)

    def _with_problem(self, sweep: Sweep) -> Sweep:
        problem = self.breaker.problem
        return evolve(sweep, problem=problem, retry_after=self.breaker.retry_after())

    def _batches(
        self,
        identity: Identity,
        began: datetime,
        at_most: timedelta | None,
        slow_after: timedelta,
    ) -> Iterator[Sweep]:
        """Claim and ask, batch by batch, until nothing is due."""
        while self.breaker.problem is None:
            claims = self.queue.claim(
                identity,
                limit=self.policy.batch,
                lease=self.policy.lease,
                due_for=max(self.clock() - began, timedelta(0)),
            )
            if not claims:
                break
            with self._renewed(claims):
                sweep = self._batch(identity, claims, slow_after)
            yield sweep
            if at_most is not None and self.clock() - began >= at_most:
                break

    def _renewed(self, claims: Sequence[Claim]) -> AbstractContextManager[None]:
        policy = self.policy
        return self.heartbeat(
            partial(self.queue.renew, claims, lease=policy.lease),
            # Not more often: a shorter lease is wanted for what it is.
            every=max(policy.lease / 3, MIN_RENEWAL_INTERVAL),
            at_most=policy.renew_for,
        )

    def _batch(
        self, identity: Identity, claims: Sequence[Claim], slow_after: timedelta
    ) -> Sweep:
        at = self.clock()
        # One that may be gone could spoil the answer for all: it gets a full look.
        bulk = [
            claim
            for claim in claims
            if claim.missing_for is None and not claim.failures
        ]
        size = self.policy.bulk
        chunks = [bulk[i : i + size] for i in range(0, len(bulk), size)]
        summaries: dict[InvocationId, JobsSummary] = {}
        for answer in self.mapper(self._summaries, chunks):
            summaries.update(answer)
        batch = _Batch(identity, at, slow_after, summaries)
        looks = []
        moved = []
        routine: set[InvocationId] = set()
        for claim in claims:
            summary = summaries.get(claim.galaxy_id)
            if summary is None or not self._is_quiet(claim, summary):
                moved.append(claim)
            elif claim.unlooked_for >= self._full_look_every(claim, summary):
                moved.append(claim)
                routine.add(claim.invocation_id)
            else:
                looks.append(self._quiet(claim))
        apart, now, postponed = self._sorted(moved)
        looks += map(self._failed, postponed)
        look = partial(self._full_look, self.clock() + self.policy.look_budget)
        late = partial(self._late, batch)
        answers = [
            *self.mapper(look, apart, timeout=timedelta(0), late=late),
            *self.mapper(look, now, timeout=slow_after, late=late),
        ]
        done = self._done(batch, answers, looks)
        return evolve(
            done,
            due=len(claims),
            bulk=len(chunks),
            bulk_misses=sum(claim.galaxy_id not in summaries for claim in bulk),
            routine=sum(
                answer.claim.invocation_id in routine and answer.sighting is not None
                for answer in answers
            ),
        )

    def _sorted(
        self, claims: Iterable[Claim]
    ) -> tuple[Sequence[Claim], Sequence[Claim], Sequence[Claim]]:
        """Return which to look at apart from the others, which now, and which not yet.

        Those to cancel come first.
        """
        free = self.slow.free
        apart, now, postponed = list[Claim](), list[Claim](), list[Claim]()
        for claim in sorted(claims, key=lambda claim: not claim.cancelling):
            if claim.invocation_id not in self.slow:
                now.append(claim)
            elif len(apart) < free:
                apart.append(claim)
            else:
                # An outline takes little time, as a rule; but not the last time.
                (postponed if claim.failures else now).append(claim)
        return apart, now, postponed

    def _late(
        self, batch: _Batch, claim: Claim
    ) -> Callable[[Callable[[], _Answer]], None]:
        """Keep a claim beyond its batch, whose look others must not wait for.

        Returns:
            What stores the answer about it.
        """
        if claim.invocation_id not in self.slow:
            self.slow.add(claim.invocation_id)
        self.slow.begin()
        renewed = ExitStack()
        renewed.enter_context(self._renewed([claim]))

        def store(answer: Callable[[], _Answer]) -> None:
            sweep, problem = None, None
            try:
                with renewed:
                    sweep = self._done(batch, [answer()], [])
            except Exception as error:  # noqa: BLE001 - raised by the next sweep
                problem = error
            self.slow.end(sweep, problem)

        return store

    def _done(
        self, batch: _Batch, answers: Sequence[_Answer], looks: Sequence[Look]
    ) -> Sweep:
        """Store looks, and those that answers amount to."""
        looks = [*looks, *self._looks(batch, answers)]
        stored = self._stored(looks)
        self._tag(looks)
        errors = [answer.error for answer in answers if answer.error is not None]
        return Sweep(
            asked=sum(look.answered for look in looks),
            looks=sum(answer.sighting is not None for answer in answers),
            put_off=sum(not look.asked for look in looks),
            changed=stored.changes,
            ended=sum(map(_is_end, looks)),
            failed=len(errors),
            missing=sum(look.missing for look in looks),
            given_again=sum(map(_is_replaced, looks)),
            failure=errors[-1] if errors else None,
            unstorable=stored.unstorable,
        )

    def _tag(self, looks: Iterable[Look]) -> None:
        """Tag the histories of runs that were looked at for the first time.

        Here, where no submission waits for it: tags only help people to find runs. It
        is tried once, and within the look budget; what Galaxy does not take then
        has no tags.
        """
        deadline = self.clock() + self.policy.look_budget

        def tag(run: Invocation) -> None:
            late = self.breaker.problem is not None or self.clock() > deadline
            ours = run.history_id if not run.adopted else None
            if self.histories and ours and not late:
                with suppress(RunnerError):
                    self.histories.tag(ours, run.tags)

        new = [look.before for look in looks if look.full and look.before]
        for _ in self.mapper(tag, [run for run in new if run.is_new]):
            pass

    def _stored(self, looks: Sequence[Look]) -> Stored:
        """Store looks; one that cannot be stored counts as a failure to ask."""
        stored = self.queue.write_back(looks)
        self.queue.write_back(
            [
                self._failed(look.claim)
                for look in looks
                if look.claim.invocation_id in stored.unstorable
            ]
        )
        return stored

    def _summaries(self, claims: Sequence[Claim]) -> Mapping[InvocationId, JobsSummary]:
        """Ask in bulk; an invocation that is not in the answer gets a full look."""
        if self.breaker.problem is not None:
            return {}
        try:
            summaries = self.runner.summaries([claim.galaxy_id for claim in claims])
        except RunnerError as error:
            self._record_failure(error, claims[0].invocation_id)
            return {}
        if summaries:
            self.breaker.record_success()
        return summaries

    def _is_quiet(self, claim: Claim, summary: JobsSummary) -> bool:
        """Whether the bulk answer shows that there is no news."""
        return (
            summary.fingerprint == claim.summary
            and summary.moving
            and not claim.cancelling
        )

    def _full_look_every(self, claim: Claim, summary: JobsSummary) -> timedelta:
        every = self.policy.full_look_every
        if summary.idle:
            # The bulk answer does not show what it waits for, nor that it never ends.
            every = min(every, max(IDLE_LOOK_INTERVAL, claim.quiet_for / 4))
        # Varied, so that what came together is not looked at together for ever.
        return every * (1 - self.policy.jitter * self.random())

    def _looks(self, batch: _Batch, answers: Sequence[_Answer]) -> list[Look]:
        """Return what to store after full looks."""
        invocations = self.invocations.get_many(
            [
                answer.claim.invocation_id
                for answer in answers
                if answer.sighting or answer.missing
            ],
            SERVICE,
        )
        replaced = {
            answer.claim.invocation_id
            for answer in answers
            if (before := invocations.get(answer.claim.invocation_id))
            and not before.may_be_in(answer.history_id)
        }
        # A 404 counts only from the Galaxy, and as the user, that had the run.
        reliable = (
            not replaced and not any(answer.missing for answer in answers)
        ) or self._has_same_identity(batch.identity)
        looks = []
        for answer in answers:
            before = invocations.get(answer.claim.invocation_id)
            summary = batch.summaries.get(answer.claim.galaxy_id)
            if before is not None and answer.claim.invocation_id in replaced:
                look = self._failed(answer.claim)
                if reliable:
                    look = self._replaced(answer.claim, before, batch.at)
            elif answer.sighting is not None and before is not None:
                look = self._seen(answer, answer.sighting, before, batch.at)
                # The bulk answer came first: if anything moved in between, the
                # next one will differ, and nothing is missed.
                if summary is not None:
                    # Older releases of Galaxy leave out the jobs of sub-workflows.
                    complete = sum(summary.states.values()) >= answer.jobs
                    look = evolve(
                        look, summary=summary.fingerprint if complete else _UNTRUSTED
                    )
            elif answer.missing and reliable and before is not None:
                look = self._missing(answer.claim, before, batch.at)
            elif answer.error is not None or answer.missing:
                look = self._failed(answer.claim)
            else:
                look = Look(claim=answer.claim, asked=False)
            looks.append(look)
        return looks

    def _full_look(self, deadline: datetime, claim: Claim) -> _Answer:
        """Look at one invocation in full; runs in one of several threads."""
        if self.breaker.problem is not None or self.clock() > deadline:
            return _Answer(claim)
        answer = self._ask(claim)
        if answer.error is not None:
            # What is slow for one run says nothing about Galaxy.
            if claim.invocation_id not in self.slow:
                self._record_failure(answer.error, claim.invocation_id)
        else:
            self.breaker.record_success()
        return answer

    def _record_failure(self, error: RunnerError, about: object) -> None:
        """Count a failure; after several, check whether it is Galaxy that fails.

        A Galaxy that answers with its identity has trouble with these invocations
        only, and the others are still asked about; unless it goes on like that.
        """
        if self.breaker.record_failure(_kept(error), about):
            try:
                self.runner.identity()
            except RunnerError as trouble:
                self.breaker.trip(_kept(trouble))

    def _ask(self, claim: Claim) -> _Answer:
        try:
            report = self._report(claim)
            sighting = judge(report, self._details(report, claim))
        except RunNotFound:
            return _Answer(claim, missing=True)
        except RunnerError as error:
            return _Answer(claim, error=_kept(error))
        except Exception as error:  # noqa: BLE001 - one oddity must not end all sweeps
            return _Answer(claim, error=_unreadable(claim.galaxy_id, error))
        sighting = self._marked_if_stuck(claim, sighting)
        policy = self.policy
        confirm_in = confirmation_time(
            report, policy.confirm_after, policy.blocked_after
        )
        if (
            claim.cancelling
            and _needs_cancel(report, sighting)
            and self._is_own(claim, report)
        ):
            if report.state is GalaxyState.READY:
                # Whatever its jobs show, it ends by the cancel.
                sighting = evolve(sighting, state=InvocationState.CANCELLING)
            try:
                self.runner.cancel(claim.galaxy_id)
            except RunnerError as error:  # the sighting holds all the same
                return _Answer(
                    claim, sighting, error=_kept(error), history_id=report.history_id
                )
        return _Answer(
            claim,
            sighting,
            confirm_in=confirm_in,
            jobs=_jobs_to_count(report),
            history_id=report.history_id,
        )

    def _is_own(self, claim: Claim, report: InvocationReport) -> bool:
        """Whether what Galaxy shows is our run, and not another one with its id."""
        found = self.invocations.get_many([claim.invocation_id], SERVICE)
        job = found.get(claim.invocation_id)
        return job is not None and job.may_be_in(report.history_id)

    def _report(self, claim: Claim) -> InvocationReport:
        if claim.invocation_id in self.slow:
            return self.runner.outline(claim.galaxy_id)
        # The error is gone before the next question: its frames hold a large answer.
        with suppress(ReportUnavailable):
            return self.runner.report(claim.galaxy_id)
        report = self.runner.outline(claim.galaxy_id)
        self.slow.add(claim.invocation_id)
        return report

    def _details(self, report: InvocationReport, claim: Claim) -> JobDetails | None:
        try:
            return details_of_culprit(self.runner, report)
        except RunnerUnavailable:
            # What only explains a failure must not hide it for ever.
            if claim.failures < DETAILS_ATTEMPTS:
                raise
            return None

    def _marked_if_stuck(self, claim: Claim, sighting: Sighting) -> Sighting:
        waits = sighting.galaxy_state in _UNSCHEDULED and not sighting.state.is_terminal
        if sighting.attention or not waits or claim.age < self.policy.stuck_after:
            return sighting
        # Not the exact time: that would be news at each look.
        hours = self.policy.stuck_after / timedelta(hours=1)
        return evolve(
            sighting,
            attention=f"Galaxy has had this run for over {hours:g} h and it is still "
            f"{sighting.galaxy_state!r}: its workflow scheduler may be stuck.",
        )

    def _has_same_identity(self, identity: Identity) -> bool:
        try:
            return self.runner.identity() == identity
        except RunnerError:
            return False

    def _quiet(self, claim: Claim) -> Look:
        return Look(
            claim=claim,
            answered=True,
            next_in=self._next_in(claim.quiet_for),
            stale_in=self.policy.stale_in(claim.quiet_for),
        )

    def _failed(self, claim: Claim) -> Look:
        # The interval doubles with every failure.
        failing_for = self.policy.min_interval * 2 ** min(claim.failures, 20)
        quiet_for = max(failing_for / self.policy.backoff_ratio, claim.quiet_for)
        return Look(claim=claim, next_in=self._next_in(quiet_for))

    def _seen(
        self, answer: _Answer, sighting: Sighting, before: Invocation, at: datetime
    ) -> Look:
        claim, next_in = answer.claim, None
        try:
            after = before.seen(sighting, at)
            if sighting.state.is_terminal and answer.confirm_in:
                # Until the second look, all but the end of it is stored.
                open_ = evolve(sighting, state=InvocationState.IN_PROGRESS)
                waiting = before.seen(open_, at)
                moved = waiting.version != before.version
                # By our own clock as well: Galaxy's may be wrong for ever.
                certain_after = max(self.policy.confirm_after, answer.confirm_in)
                if moved or claim.quiet_for < certain_after:
                    after, next_in = waiting, answer.confirm_in
        except IllegalTransition:  # another poller saw it end
            after = before
        moved = after.version != before.version
        quiet_for = timedelta(0) if moved else claim.quiet_for
        return Look(
            claim=claim,
            before=before,
            after=after if moved else None,
            answered=True,
            full=True,
            next_in=self._next_in(quiet_for) if next_in is None else next_in,
            stale_in=self.policy.stale_in(quiet_for),
        )

    def _missing(self, claim: Claim, before: Invocation, at: datetime) -> Look:
        gone = (
            claim.missing_for is not None
            and claim.missing_for >= self.policy.gone_after
            and claim.misses + 1 >= self.policy.gone_misses
            and before.is_followed
        )
        return Look(
            claim=claim,
            before=before,
            after=before.lost(at) if gone else None,
            missing=True,
            next_in=self._next_in(claim.missing_for or timedelta(0)),
        )

    def _replaced(self, claim: Claim, before: Invocation, at: datetime) -> Look:
        """Another run has its id; more than one answer has to say so."""
        certain = claim.misses + 1 >= self.policy.gone_misses
        return Look(
            claim=claim,
            before=before,
            after=before.replaced(at) if certain else None,
            missing=True,
            next_in=self._next_in(claim.missing_for or timedelta(0)),
        )

    def _next_in(self, quiet_for: timedelta) -> timedelta:
        return self.policy.interval(quiet_for, self.random())


_UNSCHEDULED = frozenset(state.value for state in UNSCHEDULED)


_UNTRUSTED = ""
"""What no bulk answer has as its fingerprint: each is followed by a full look."""


def _jobs_to_count(report: InvocationReport) -> float:
    """Return how many jobs a bulk answer must count to be trusted.

    While a sub-workflow may still begin, or get more jobs, no number shows that the
    bulk answer will count them.
    """
    nested = report.has_sub_workflows or any(step.sub for step in report.steps)
    return math.inf if nested and report.is_expanding else report.states.total()


def _is_end(look: Look) -> bool:
    before, after = look.before, look.after
    if before is None or after is None or before.state.is_terminal:
        return False
    return after.state.is_terminal


def _is_replaced(look: Look) -> bool:
    return look.after is not None and look.after.galaxy_id is None


def _kept(error: RunnerError) -> RunnerError:
    """Return an error that is kept for a while, without its tracebacks.

    Their frames would keep Galaxy's answers in memory.
    """
    errors: list[BaseException | None] = [error]
    while errors:
        if (each := errors.pop()) is not None and each.__traceback__ is not None:
            each.__traceback__ = None
            errors += [each.__cause__, each.__context__]
    return error


def report_or_outline(
    runner: WorkflowRunner, invocation_id: InvocationId
) -> InvocationReport:
    """Return a report, or an outline where the jobs cannot be listed.

    Raises:
        RunNotFound: The engine has no such invocation.
        RunnerUnavailable, RunnerRefusedUs: The engine could not be asked.
    """
    with suppress(ReportUnavailable):
        return runner.report(invocation_id)
    return runner.outline(invocation_id)


def own_report(
    runner: WorkflowRunner, job: Invocation, galaxy_id: InvocationId
) -> InvocationReport:
    """Return a report, or an outline where the jobs cannot be listed, on a job.

    Raises:
        RunNotFound: The engine has no such invocation, or the id is another run's now.
        RunnerUnavailable, RunnerRefusedUs: The engine could not be asked.
    """
    report = report_or_outline(runner, galaxy_id)
    if not job.may_be_in(report.history_id):
        raise RunNotFound(REPLACED)
    return report


def details_of_culprit(
    runner: WorkflowRunner, report: InvocationReport
) -> JobDetails | None:
    """Return the details of the job that a failure is explained by, if there is one.

    None, too, where the engine no longer has that job.

    Raises:
        RunnerUnavailable, RunnerRefusedUs: The engine could not be asked.
    """
    job = culprit(report)
    if job is None:
        return None
    try:
        return runner.details(job.job_id)
    except RunNotFound:
        return None


def _unreadable(invocation_id: InvocationId, error: Exception) -> RunnerError:
    return RunnerUnavailable(
        f"Galaxy's answer about invocation {invocation_id!r} could not be read "
        f"({type(error).__name__}: {shortened(str(error), 200)})."
    )


def _needs_cancel(report: InvocationReport, sighting: Sighting) -> bool:
    """Whether to ask Galaxy to cancel: never for a run that has nothing left to do."""
    asked = report.state in {GalaxyState.CANCELLING, GalaxyState.CANCELLED}
    # Also one whose last steps Galaxy never schedules has an end only for us.
    open_ = (
        report.state is GalaxyState.READY
        or sighting.progress.running
        or sighting.progress.waiting
    )
    failed = sighting.state is InvocationState.FAILED
    return not asked and bool(not sighting.state.is_terminal or (failed and open_))

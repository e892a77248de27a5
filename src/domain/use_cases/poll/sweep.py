"""Ask Galaxy about every invocation that has not ended, and write what changed.

Rule 1: a poll that failed changes no state. Galaxy being down, slow, rate-
limiting or talking garbage says nothing about a run.
Rule 2: no transaction is open while Galaxy is asked: what is asked about is
leased, and what is written back is checked against the lease.

Galaxy is first asked in bulk. Where the bulk answer is the same as last time and
shows that the run cannot have ended, that is all; what moved, what may have
ended, and now and then everything, gets a full look. Only a full look changes a
state: the bulk answer does not tell all that the verdict needs.

Full looks take their time, above all where Galaxy is slow or cannot be asked in
bulk. So no more are begun than fit into a turn; the rest is given back, and the
next claim brings the most urgent first, whatever has become due meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Protocol, TypeVar

from attrs import evolve, field, frozen

from galaxy_jobs.domain.errors import (
    IllegalTransition,
    RunnerError,
    RunnerUnavailable,
    RunNotFound,
)
from galaxy_jobs.domain.model.invocation import Invocation, Sighting
from galaxy_jobs.domain.model.report import (
    GalaxyState,
    InvocationReport,
    JobDetails,
    JobsSummary,
)
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.model.verdict import culprit, judge
from galaxy_jobs.domain.ports import (
    Claim,
    Clock,
    InvocationRepository,
    Look,
    PollQueue,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases.clear import ClearSuperseded
from galaxy_jobs.domain.use_cases.poll.breaker import Breaker
from galaxy_jobs.domain.use_cases.poll.counts import Sweep
from galaxy_jobs.domain.use_cases.poll.schedule import PollPolicy
from galaxy_jobs.domain.use_cases.reconcile import Reconcile


T = TypeVar("T")
R = TypeVar("R")


class Mapper(Protocol):
    """Applies a function to each item, maybe to several at once: like ``map``."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Return the results in the order of the items."""


def one_by_one(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Apply a function to each item in turn: the simplest :class:`Mapper`."""
    return map(function, items)


def in_one_lane(lane: Callable[[], None]) -> None:
    """Do it once. Who has threads does it in several at a time: see `Poll.lanes`."""
    lane()


@frozen
class _Answer:
    """What a full look at one claim brought; nothing, if Galaxy was left alone."""

    claim: Claim
    sighting: Sighting | None = None
    missing: bool = False
    error: RunnerError | None = None


@frozen(kw_only=True)
class Poll:
    """Sweeps once over everything that is due.

    Attributes:
        mapper: How Galaxy is asked about several things at once.
        lanes: Calls what it is given, maybe several times at once, and returns when
            all calls have: while one batch is written down, Galaxy is asked about
            another. As with several pollers, each claims its share.
        chance: Gives a random number from 0 to 1, for the jitter.
        breaker: What is remembered from sweep to sweep.
    """

    queue: PollQueue
    invocations: InvocationRepository
    runner: WorkflowRunner
    reconcile: Reconcile
    clear: ClearSuperseded
    clock: Clock
    policy: PollPolicy = field(factory=PollPolicy)
    mapper: Mapper = one_by_one
    lanes: Callable[[Callable[[], None]], None] = in_one_lane
    chance: Callable[[], float] = random.random
    breaker: Breaker = field(factory=Breaker)

    def __call__(
        self,
        at_most: timedelta | None = None,
        progress: Callable[[Sweep], None] = lambda _: None,
    ) -> Sweep:
        """Ask about all invocations of this Galaxy that are due.

        Any number of pollers may sweep at the same time: each takes its share.
        What is not reached is due again when its lease runs out.

        Args:
            at_most: Begin no further batch after that time, for a loop: what
                becomes due while a sweep goes on is for the next one.
            progress: Told after each batch how far it got.

        Returns:
            The numbers; ``problem`` is set where Galaxy could not be asked at
            all, and then nothing was claimed, or not to the end.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        began = self.clock()
        if rest := self.breaker.rest(began):
            return Sweep(problem=self.breaker.problem, rest=rest)
        try:
            identity = self.runner.identity()
        except RunnerError as error:
            self._give_up(error)
            return self._told(Sweep())
        sweep = Sweep(reconciled=self.reconcile(identity))
        told = Lock()

        def lane() -> None:
            nonlocal sweep
            for batch in self._batches(identity, began, at_most):
                with told:
                    sweep += batch
                    progress(sweep)

        self.lanes(lane)
        # Last, so that what this sweep saw complete is dealt with at once.
        if self.breaker.problem is None:
            sweep = evolve(sweep, cleared=self.clear(identity))
        seconds = (self.clock() - began).total_seconds()
        self.queue.tally(
            identity, {"sweeps": 1, "seconds": max(seconds, 0.0), **sweep.counts()}
        )
        return self._told(sweep)

    def _told(self, sweep: Sweep) -> Sweep:
        problem = self.breaker.problem
        return evolve(sweep, problem=problem, rest=self.breaker.rest(self.clock()))

    def _batches(
        self, identity: Identity, began: datetime, at_most: timedelta | None
    ) -> Iterator[Sweep]:
        """Claim and ask, batch by batch, until there is nothing left to do."""
        while self.breaker.problem is None:
            claims = self.queue.claim(
                identity,
                limit=self.policy.batch,
                lease=self.policy.lease,
                due_for=max(self.clock() - began, timedelta(0)),
            )
            if not claims:
                break
            yield self._batch(identity, claims)
            if at_most is not None and self.clock() - began >= at_most:
                break

    def _batch(self, identity: Identity, claims: Sequence[Claim]) -> Sweep:
        at = self.clock()
        # What may be gone, and would spoil the answer for all, is asked by itself.
        sound = [one for one in claims if one.missing_for is None and not one.failures]
        chunks = [
            sound[i : i + self.policy.bulk]
            for i in range(0, len(sound), self.policy.bulk)
        ]
        summaries: dict[InvocationId, JobsSummary] = {}
        for told in self.mapper(self._in_bulk, chunks):
            summaries.update(told)
        looks = []
        moved = []
        routine: set[InvocationId] = set()
        for claim in claims:
            summary = summaries.get(claim.invocation_id)
            if summary is None or not self._is_quiet(claim, summary):
                moved.append(claim)
            elif claim.unlooked_for >= self._full_look_every():
                moved.append(claim)
                routine.add(claim.invocation_id)
            else:
                looks.append(self._quiet(claim))
        # However long a turn is, what was claimed is to be written back in time.
        turn_over = self.clock() + min(self.policy.turn, self.policy.lease / 4)
        answers = list(self.mapper(partial(self._ask, turn_over), moved))
        looks += self._looks(identity, answers, summaries, at)
        changed = self.queue.write_back(looks)
        full = [one.claim.invocation_id for one in answers if one.sighting is not None]
        errors = [one.error for one in answers if one.error is not None]
        return Sweep(
            due=len(claims),
            asked=sum(look.answered for look in looks),
            bulk=len(chunks),
            untold=sum(one.invocation_id not in summaries for one in sound),
            looks=len(full),
            routine=len(routine.intersection(full)),
            put_off=sum(not look.asked for look in looks),
            changed=changed,
            ended=sum(
                bool(look.after and look.after.state.is_terminal) for look in looks
            ),
            failed=len(errors),
            missing=sum(look.missing for look in looks),
            failure=errors[-1] if errors else None,
        )

    def _in_bulk(self, claims: Sequence[Claim]) -> Mapping[InvocationId, JobsSummary]:
        """Ask in bulk; what could not be told of gets a full look."""
        if self.breaker.problem is not None:
            return {}
        try:
            told = self.runner.summaries([one.invocation_id for one in claims])
        except RunnerError as error:
            self._note(error)
            return {}
        if told:
            self.breaker.succeeded()
        return told

    def _is_quiet(self, claim: Claim, summary: JobsSummary) -> bool:
        """Whether the bulk answer says all there is to say."""
        return (
            summary.fingerprint == claim.summary
            and summary.moving
            and not claim.cancelling
        )

    def _full_look_every(self) -> timedelta:
        # Varied, so that what came together is not looked at together for ever.
        return self.policy.full_look_every * (1 - self.policy.jitter * self.chance())

    def _quiet(self, claim: Claim) -> Look:
        return Look(claim=claim, answered=True, next_in=self._next_in(claim.quiet_for))

    def _looks(
        self,
        identity: Identity,
        answers: Sequence[_Answer],
        summaries: Mapping[InvocationId, JobsSummary],
        at: datetime,
    ) -> list[Look]:
        """Say what came of full looks."""
        invocations = self.invocations.get_many(
            [one.claim.invocation_id for one in answers if one.sighting or one.missing]
        )
        # A 404 counts only from the Galaxy, and as the user, that had the run.
        known = not any(one.missing for one in answers) or self._is_still(identity)
        looks = []
        for one in answers:
            before = invocations.get(one.claim.invocation_id)
            summary = summaries.get(one.claim.invocation_id)
            if one.sighting is not None and before is not None:
                look = self._seen(one.claim, before, one.sighting, at)
                # The bulk answer came first: if anything moved in between, the
                # next one will differ, and nothing is missed.
                look = evolve(look, summary=summary.fingerprint if summary else None)
            elif one.missing and known and before is not None:
                look = self._missing(one.claim, before, at)
            elif one.error is not None or one.missing:
                look = self._failed(one.claim)
            else:
                look = Look(claim=one.claim, asked=False)
            looks.append(look)
        return looks

    def _ask(self, turn_over: datetime, claim: Claim) -> _Answer:
        """Look at one invocation in full; runs in one of several threads."""
        if self.breaker.problem is not None or self.clock() > turn_over:
            return _Answer(claim)
        answer = self._ask_now(claim)
        if answer.error is not None:
            self._note(answer.error)
        else:
            self.breaker.succeeded()
        return answer

    def _note(self, error: RunnerError) -> None:
        """Count a failure; after several, ask whether it is Galaxy that fails.

        A Galaxy that answers to its name has trouble with these invocations
        only, and the others need not suffer; unless it goes on like that.
        """
        if self.breaker.failed(error, self.policy, self.clock()):
            try:
                self.runner.identity()
            except RunnerError as trouble:
                self._give_up(trouble)

    def _give_up(self, error: RunnerError) -> None:
        self.breaker.give_up(error, self.policy, self.clock())

    def _ask_now(self, claim: Claim) -> _Answer:
        try:
            report = self.runner.report(claim.invocation_id)
            sighting = judge(report, self._details(report))
        except RunNotFound:
            return _Answer(claim, missing=True)
        except RunnerError as error:
            return _Answer(claim, error=error)
        except Exception as error:  # noqa: BLE001 - one oddity must not end all sweeps
            return _Answer(claim, error=_beyond_us(claim.invocation_id, error))
        sighting = self._stuck(claim, sighting)
        if claim.cancelling and _stoppable(report, sighting):
            try:
                self.runner.cancel(claim.invocation_id)
            except RunnerError as error:  # what was seen holds all the same
                return _Answer(claim, sighting, error=error)
        return _Answer(claim, sighting)

    def _details(self, report: InvocationReport) -> JobDetails | None:
        job = culprit(report)
        if job is None:
            return None
        try:
            return self.runner.details(job.job_id)
        except RunNotFound:
            return None

    def _stuck(self, claim: Claim, sighting: Sighting) -> Sighting:
        waits = sighting.galaxy_state in _UNSEEN and not sighting.state.is_terminal
        if sighting.attention or not waits or claim.age < self.policy.stuck_after:
            return sighting
        # Not how long exactly: that would be news again and again.
        hours = self.policy.stuck_after / timedelta(hours=1)
        return evolve(
            sighting,
            attention=f"Galaxy has had this run for over {hours:g} h and it is still "
            f"{sighting.galaxy_state!r}: its workflow scheduler may be stuck.",
        )

    def _is_still(self, identity: Identity) -> bool:
        try:
            return self.runner.identity() == identity
        except RunnerError:
            return False

    def _failed(self, claim: Claim) -> Look:
        # Doubled with every failure: what cannot be asked about is left alone.
        failing_for = self.policy.least * 2 ** min(claim.failures, 20)
        quiet_for = max(failing_for / self.policy.patience, claim.quiet_for)
        return Look(claim=claim, next_in=self._next_in(quiet_for))

    def _seen(
        self, claim: Claim, before: Invocation, sighting: Sighting, at: datetime
    ) -> Look:
        try:
            after = before.seen(sighting, at)
        except IllegalTransition:  # another poller saw it end
            after = before
        moved = after.version != before.version
        return Look(
            claim=claim,
            before=before,
            after=after if moved else None,
            answered=True,
            full=True,
            next_in=self._next_in(timedelta(0) if moved else claim.quiet_for),
        )

    def _missing(self, claim: Claim, before: Invocation, at: datetime) -> Look:
        gone = (
            claim.missing_for is not None
            and claim.missing_for >= self.policy.gone_after
            and claim.misses + 1 >= self.policy.gone_misses
            and not before.state.is_terminal
        )
        return Look(
            claim=claim,
            before=before,
            after=before.lost(at) if gone else None,
            missing=True,
            next_in=self._next_in(claim.missing_for or timedelta(0)),
        )

    def _next_in(self, quiet_for: timedelta) -> timedelta:
        return self.policy.interval(quiet_for, self.chance())


_UNSEEN = frozenset(
    state.value
    for state in (
        GalaxyState.NEW,
        GalaxyState.READY,
        GalaxyState.REQUIRES_MATERIALIZATION,
    )
)


def _beyond_us(invocation_id: InvocationId, error: Exception) -> RunnerError:
    return RunnerUnavailable(
        f"What Galaxy says of invocation {invocation_id!r} is beyond this program "
        f"({type(error).__name__}: {error})."
    )


def _stoppable(report: InvocationReport, sighting: Sighting) -> bool:
    """Whether Galaxy is still to be told to stop: never for one that has ended."""
    told = report.state in {GalaxyState.CANCELLING, GalaxyState.CANCELLED}
    return not told and not sighting.state.is_terminal

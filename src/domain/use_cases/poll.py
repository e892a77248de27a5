"""Ask Galaxy about every invocation that has not ended, and write what changed.

Rule 1: a poll that failed changes no state. Galaxy being down, slow, rate-
limiting or talking garbage says nothing about a run.
Rule 2: no transaction is open while Galaxy is asked: what is asked about is
leased, and what is written back is checked against the lease.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from attrs import evolve, field, frozen

from galaxy_jobs.domain.errors import (
    IllegalTransition,
    RunnerError,
    RunNotFound,
)
from galaxy_jobs.domain.model.invocation import Invocation, Sighting
from galaxy_jobs.domain.model.report import GalaxyState, InvocationReport, JobDetails
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.model.verdict import culprit, judge
from galaxy_jobs.domain.ports import (
    Claim,
    Clock,
    InvocationRepository,
    Look,
    PollQueue,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases.reconcile import Reconcile, Reconciled


T = TypeVar("T")
R = TypeVar("R")


class Mapper(Protocol):
    """Applies a function to each item, maybe to several at once: like ``map``."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Return the results in the order of the items."""


def one_by_one(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Apply a function to each item in turn: the simplest :class:`Mapper`."""
    return map(function, items)


@frozen(kw_only=True)
class PollPolicy:
    """How often to ask, and when to worry.

    Attributes:
        batch: How many invocations are claimed at once.
        lease: How long a claim is one poller's own: longer than a batch takes.
        least: The shortest time between two looks at one invocation.
        most: The longest.
        patience: An invocation is asked about again after this part of the time
            for which it has been quiet: 0.1 notices a change with a delay of a
            tenth of the time that it took.
        jitter: Every interval is varied by up to this part, up or down, so that
            what was submitted together is not asked about together for ever.
        gone_after: For how long Galaxy must have answered that it does not know
            an invocation before it is given up.
        gone_misses: How often it must have answered that.
        stuck_after: How long an invocation may be waiting for Galaxy's
            scheduler before somebody is told.
        stale_after: A job is shown as stale if it was not observed for three of
            its intervals and this time on top.
    """

    batch: int = 200
    lease: timedelta = timedelta(minutes=5)
    least: timedelta = timedelta(seconds=1)
    most: timedelta = timedelta(minutes=5)
    patience: float = 0.1
    jitter: float = 0.1
    gone_after: timedelta = timedelta(hours=1)
    gone_misses: int = 3
    stuck_after: timedelta = timedelta(hours=1)
    stale_after: timedelta = timedelta(minutes=2)

    def interval(self, quiet_for: timedelta, chance: float = 0.5) -> timedelta:
        """Return the time until the next look.

        Args:
            quiet_for: How long nothing has changed.
            chance: A random number from 0 to 1, for the jitter.
        """
        wanted = min(max(quiet_for * self.patience, self.least), self.most)
        return wanted * (1 + self.jitter * (2 * chance - 1))

    def stale(self, invocation: Invocation, now: datetime) -> bool:
        """Say whether what is known of an invocation may be out of date.

        One that has ended never is.

        Args:
            invocation: As it is recorded.
            now: Time-zone aware.
        """
        if invocation.state.is_terminal:
            return False
        usual = self.interval(invocation.observed_at - invocation.updated_at)
        return now - invocation.observed_at > 3 * usual + self.stale_after


@frozen(kw_only=True)
class Sweep:
    """What one sweep did, in numbers.

    Attributes:
        due: Invocations that were claimed.
        asked: Of these, those that Galaxy told about.
        changed: Changes that were written.
        ended: Of these, the ends.
        failed: Invocations that could not be asked about.
        missing: Invocations that Galaxy says it does not know.
        reconciled: What became of submissions that were left open.
        problem: Why Galaxy could not be asked at all, or None.
    """

    due: int = 0
    asked: int = 0
    changed: int = 0
    ended: int = 0
    failed: int = 0
    missing: int = 0
    reconciled: Reconciled = field(factory=Reconciled)
    problem: RunnerError | None = None


@frozen
class _Answer:
    """What asking about one claim brought."""

    claim: Claim
    sighting: Sighting | None = None
    missing: bool = False
    error: RunnerError | None = None


@frozen(kw_only=True)
class Poll:
    """Sweeps once over everything that is due."""

    queue: PollQueue
    invocations: InvocationRepository
    runner: WorkflowRunner
    reconcile: Reconcile
    clock: Clock
    policy: PollPolicy = PollPolicy()
    mapper: Mapper = one_by_one
    chance: Callable[[], float] = random.random

    def __call__(self) -> Sweep:
        """Ask about all invocations of this Galaxy that are due.

        Any number of pollers may sweep at the same time: each takes its share.
        What is not reached is due again when its lease runs out.

        Returns:
            The numbers; ``problem`` is set where Galaxy could not be asked at
            all, and then nothing was claimed.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        try:
            identity = self.runner.identity()
        except RunnerError as error:
            return Sweep(problem=error)
        began = self.clock()
        sweep = Sweep(reconciled=self.reconcile(identity))
        while sweep.problem is None:
            claims = self.queue.claim(
                identity,
                limit=self.policy.batch,
                lease=self.policy.lease,
                due_for=max(self.clock() - began, timedelta(0)),
            )
            if not claims:
                break
            sweep = self._batch(sweep, identity, claims)
        return sweep

    def _batch(
        self, sweep: Sweep, identity: Identity, claims: Sequence[Claim]
    ) -> Sweep:
        at = self.clock()
        answers = list(self.mapper(self._ask, claims))
        told = [one for one in answers if one.error is None]
        invocations = self.invocations.get_many(
            [one.claim.invocation_id for one in told]
        )
        # A 404 counts only from the Galaxy, and as the user, that had the run.
        known = not any(one.missing for one in told) or self._is_still(identity)
        looks = [
            self._look(one, invocations.get(one.claim.invocation_id), at, known=known)
            for one in answers
        ]
        changed = self.queue.write_back(looks)
        errors = [one.error for one in answers if one.error is not None]
        return evolve(
            sweep,
            due=sweep.due + len(claims),
            asked=sweep.asked + sum(look.answered for look in looks),
            changed=sweep.changed + changed,
            ended=sweep.ended
            + sum(bool(look.after and look.after.state.is_terminal) for look in looks),
            failed=sweep.failed + len(errors),
            missing=sweep.missing + sum(look.missing for look in looks),
            # Not one answer in a whole batch: leave Galaxy alone until later.
            problem=errors[-1] if len(errors) == len(claims) else None,
        )

    def _ask(self, claim: Claim) -> _Answer:
        """Look at one invocation in full; runs in one of several threads."""
        try:
            report = self.runner.report(claim.invocation_id)
            sighting = judge(report, self._details(report))
            if claim.cancelling and _stoppable(report, sighting):
                self.runner.cancel(claim.invocation_id)
        except RunNotFound:
            return _Answer(claim, missing=True)
        except RunnerError as error:
            return _Answer(claim, error=error)
        return _Answer(claim, self._stuck(claim, sighting))

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
        hours = claim.age / timedelta(hours=1)
        return evolve(
            sighting,
            attention=f"Galaxy has had this run for {hours:.0f} h and it is still "
            f"{sighting.galaxy_state!r}: its workflow scheduler may be stuck.",
        )

    def _is_still(self, identity: Identity) -> bool:
        try:
            return self.runner.identity() == identity
        except RunnerError:
            return False

    def _look(
        self, answer: _Answer, before: Invocation | None, at: datetime, *, known: bool
    ) -> Look:
        claim = answer.claim
        if answer.sighting is not None and before is not None:
            return self._seen(claim, before, answer.sighting, at)
        if answer.missing and known and before is not None:
            return self._missing(claim, before, at)
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


def _stoppable(report: InvocationReport, sighting: Sighting) -> bool:
    """Whether Galaxy is still to be told to stop: never for one that has ended."""
    told = report.state in {GalaxyState.CANCELLING, GalaxyState.CANCELLED}
    return not told and not sighting.state.is_terminal

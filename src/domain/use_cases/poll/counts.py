"""The counts of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import evolve, field, fields, frozen

from galaxy_jobs.domain.errors import RunnerError
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.use_cases.reconcile import Reconciled


@frozen(kw_only=True)
class Sweep:
    """What one sweep did, in numbers.

    Attributes:
        due: Claims; one that was given back and claimed again counts twice.
        asked: Claims that Galaxy gave an answer about.
        bulk: Bulk requests.
        bulk_misses: Invocations that a bulk answer should have covered and did
            not; all of them, where this Galaxy has no bulk answer.
        looks: Full looks that brought an answer.
        routine: Full looks at invocations that had not moved, since the last
            full look was too long ago.
        put_off: Claims given back because the look budget was used up, or the
            breaker had tripped.
        changed: Changes that were written.
        ended: Changes to a final state.
        failed: Invocations that could not be asked about, or not be cancelled.
        missing: Invocations that Galaxy answers it does not have.
        given_again: Invocations whose id Galaxy has given to another run.
        unstorable: Invocations whose news could not be stored, and the reasons.
        reconciled: The outcomes of submissions that were left open.
        cleared: Histories of superseded runs that were dealt with.
        problem: Why Galaxy could not be asked, or not to the end; or None.
        failure: The last error about one of the *failed*, or None.
        retry_after: For how long from now on Galaxy is not asked; zero if it may
            be asked.
    """

    due: int = 0
    asked: int = 0
    bulk: int = 0
    bulk_misses: int = 0
    looks: int = 0
    routine: int = 0
    put_off: int = 0
    changed: int = 0
    ended: int = 0
    failed: int = 0
    missing: int = 0
    given_again: int = 0
    unstorable: Mapping[InvocationId, str] = field(
        factory=dict[InvocationId, str], hash=False
    )
    reconciled: Reconciled = field(factory=Reconciled)
    cleared: int = 0
    problem: RunnerError | None = None
    failure: RunnerError | None = None
    retry_after: timedelta = timedelta(0)

    def __add__(self, later: Sweep) -> Sweep:
        """Return the sums of both counts, with the errors of the later one."""
        mine, theirs = self._numbers(), later._numbers()
        return evolve(
            self,
            **{name: n + theirs[name] for name, n in mine.items()},
            unstorable={**self.unstorable, **later.unstorable},
            problem=later.problem or self.problem,
            failure=later.failure or self.failure,
        )

    def _numbers(self) -> dict[str, Any]:
        names = (attribute.name for attribute in fields(Sweep))
        return {name: n for name in names if isinstance(n := getattr(self, name), int)}

    def counts(self) -> Mapping[str, int]:
        """Return the numbers by name, in the order in which they are shown."""
        return {
            "due": self.due,
            "asked": self.asked,
            "bulk": self.bulk,
            "bulk_misses": self.bulk_misses,
            "looks": self.looks,
            "routine": self.routine,
            "put_off": self.put_off,
            "changed": self.changed,
            "ended": self.ended,
            "failed": self.failed,
            "missing": self.missing,
            "given_again": self.given_again,
            "unstorable": len(self.unstorable) + len(self.reconciled.unstorable),
            "adopted": self.reconciled.adopted,
            "rejected": self.reconciled.rejected,
            "open": self.reconciled.waiting,
            "cleared": self.cleared,
        }

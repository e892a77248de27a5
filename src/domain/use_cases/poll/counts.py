"""What a sweep did, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from attrs import evolve, field, fields, frozen

from galaxy_jobs.domain.errors import RunnerError
from galaxy_jobs.domain.use_cases.reconcile import Reconciled


@frozen(kw_only=True)
class Sweep:
    """What one sweep did, in numbers.

    Attributes:
        due: Claims; what was given back and claimed again counts again.
        asked: Of these, those that Galaxy told about.
        bulk: Bulk questions.
        untold: Invocations that were asked about in bulk in vain; all of them,
            where this Galaxy cannot be asked so.
        looks: Full looks that brought an answer.
        routine: Of these, those at what had not moved, since the last one was
            too long ago.
        put_off: Claims given back since the turn was over, or Galaxy in trouble.
        changed: Changes that were written.
        ended: Of these, the ends.
        failed: Invocations that could not be asked about, or told to stop.
        missing: Invocations that Galaxy says it does not know.
        reconciled: What became of submissions that were left open.
        cleared: Histories of superseded runs that were dealt with.
        problem: Why Galaxy could not be asked, or not to the end; or None.
        failure: What went wrong with one of the *failed*, or None.
        rest: For how long from now on Galaxy is left alone; zero if it is not.
    """

    due: int = 0
    asked: int = 0
    bulk: int = 0
    untold: int = 0
    looks: int = 0
    routine: int = 0
    put_off: int = 0
    changed: int = 0
    ended: int = 0
    failed: int = 0
    missing: int = 0
    reconciled: Reconciled = field(factory=Reconciled)
    cleared: int = 0
    problem: RunnerError | None = None
    failure: RunnerError | None = None
    rest: timedelta = timedelta(0)

    def __add__(self, more: Sweep) -> Sweep:
        """Return the numbers of both; what else is said, of the later one."""
        mine, theirs = self._numbers(), more._numbers()
        return evolve(
            self,
            **{name: n + theirs[name] for name, n in mine.items()},
            problem=more.problem or self.problem,
            failure=more.failure or self.failure,
        )

    def _numbers(self) -> dict[str, Any]:
        names = (one.name for one in fields(Sweep))
        return {name: n for name in names if isinstance(n := getattr(self, name), int)}

    def counts(self) -> Mapping[str, int]:
        """Return the numbers by their names, in the order in which they are told."""
        return {
            "due": self.due,
            "asked": self.asked,
            "bulk": self.bulk,
            "untold": self.untold,
            "looks": self.looks,
            "routine": self.routine,
            "put_off": self.put_off,
            "changed": self.changed,
            "ended": self.ended,
            "failed": self.failed,
            "missing": self.missing,
            "adopted": self.reconciled.adopted,
            "rejected": self.reconciled.rejected,
            "open": self.reconciled.waiting,
            "cleared": self.cleared,
        }

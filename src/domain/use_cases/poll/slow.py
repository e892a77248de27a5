"""The runs whose looks take so long that others must not wait for them."""

from __future__ import annotations

from datetime import datetime
from threading import Condition

from attrs import define, field

from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.ports import Clock
from galaxy_jobs.domain.use_cases.poll.counts import Sweep
from galaxy_jobs.domain.use_cases.poll.schedule import PollPolicy


SLOW_LOOKS = 4
"""Looks at slow runs that are under way at once, apart from all others."""

MAX_SLOW_RUNS = 10_000
"""Runs that are remembered as slow; beyond that, the oldest is forgotten."""


@define
class SlowRuns:
    """Remembers runs that are slow to look at, and keeps what became of late looks.

    It outlives the sweep. Safe to use from several threads.

    Attributes:
        policy: For how long full looks at such a run are replaced by outlines.
        clock: What that is measured by.
    """

    policy: PollPolicy
    clock: Clock
    _until: dict[InvocationId, datetime] = field(factory=dict, init=False)
    _under_way: int = field(default=0, init=False)
    _sweeps: list[Sweep] = field(factory=list, init=False)
    _errors: list[Exception] = field(factory=list, init=False)
    _changed: Condition = field(factory=Condition, init=False)

    def __contains__(self, invocation_id: InvocationId) -> bool:
        """Whether an outline of that run is to be asked for, and no full look."""
        with self._changed:
            until = self._until.get(invocation_id)
            return until is not None and self.clock() < until

    def add(self, invocation_id: InvocationId) -> None:
        """Remember that a full look at that run took long, or failed."""
        with self._changed:
            self._until.pop(invocation_id, None)
            self._until[invocation_id] = self.clock() + self.policy.full_look_every
            if len(self._until) > MAX_SLOW_RUNS:
                del self._until[next(iter(self._until))]

    @property
    def free(self) -> int:
        """How many more looks may be begun apart from the others now."""
        with self._changed:
            return max(SLOW_LOOKS - self._under_way, 0)

    def begin(self) -> None:
        """Count a look that nobody waits for; it calls :meth:`end` once."""
        with self._changed:
            self._under_way += 1

    def end(self, sweep: Sweep | None, error: Exception | None) -> None:
        """Keep what became of such a look until :meth:`collect`."""
        with self._changed:
            self._under_way -= 1
            if sweep is not None:
                self._sweeps.append(sweep)
            if error is not None:
                self._errors.append(error)
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until all such looks have ended."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way)

    def collect(self) -> Sweep:
        """Return the counts of those that have ended since the last call.

        Raises:
            Exception: What ended one of them.
        """
        with self._changed:
            sweeps, self._sweeps = self._sweeps, []
            errors, self._errors = self._errors, []
        if errors:
            raise errors[-1]
        return sum(sweeps, Sweep())

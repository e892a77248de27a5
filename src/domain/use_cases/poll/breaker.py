"""The circuit breaker between the poller and Galaxy."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from attrs import define, field

from galaxy_jobs.domain.errors import RunnerError, RunnerUnavailable
from galaxy_jobs.domain.ports import Clock
from galaxy_jobs.domain.use_cases.poll.schedule import PollPolicy


@define
class Breaker:
    """Stops requests to a Galaxy that is in trouble, or that asks for a pause.

    It outlives the sweep: a Galaxy that asked for a minute is not asked by the
    next sweep, a second later. After the pause a sweep begins with one request;
    if that fails, the breaker trips again and the pause is twice as long.

    Safe to use from several threads.

    Attributes:
        policy: After how many failures it trips, and for how long.
        clock: What pauses are measured by.
    """

    policy: PollPolicy
    clock: Clock
    _problem: RunnerError | None = field(default=None, init=False)
    _until: datetime | None = field(default=None, init=False)
    _failures: set[object] = field(factory=set, init=False)
    _trips: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    @property
    def problem(self) -> RunnerError | None:
        """Why it has tripped, or None while requests may be sent."""
        return self._problem

    def retry_after(self) -> timedelta:
        """Return what is left of the pause; zero, and reset, once it is over."""
        with self._lock:
            left = self._until - self.clock() if self._until else timedelta(0)
            if left <= timedelta(0):
                self._problem = self._until = None
                left = timedelta(0)
            return left

    def record_success(self) -> None:
        """Count an answer about invocations: the failures before it are forgotten."""
        with self._lock:
            self._failures.clear()
            self._trips = 0

    def record_failure(self, error: RunnerError, about: object) -> bool:
        """Count a failure; trip where Galaxy asks for a pause, or after too many.

        Args:
            error: The failure.
            about: What was asked about: one that fails repeatedly counts once.

        Returns:
            Whether to check now that Galaxy answers at all: on reaching the
            threshold. On reaching it twice over, it trips in any case.
        """
        with self._lock:
            if self._problem is not None:  # the request was sent before it tripped
                return False
            before = len(self._failures)
            self._failures.add(about)
            threshold = self.policy.failure_threshold
            if _requested_pause(error) or len(self._failures) >= 2 * threshold:
                self._trip(error)
                return False
            return before < len(self._failures) == threshold

    def trip(self, error: RunnerError) -> None:
        """Stop requests from now on, because of that error."""
        with self._lock:
            self._trip(error)

    def _trip(self, error: RunnerError) -> None:
        policy = self.policy
        pause = min(policy.min_pause * 2 ** min(self._trips, 20), policy.max_pause)
        pause = max(pause, _requested_pause(error))
        self._problem = error
        self._until = self.clock() + pause
        self._failures.clear()
        self._trips += 1


def _requested_pause(error: RunnerError) -> timedelta:
    """Return the pause that Galaxy itself asks for; zero if it does not."""
    seconds = error.retry_after if isinstance(error, RunnerUnavailable) else None
    return timedelta(seconds=seconds or 0)

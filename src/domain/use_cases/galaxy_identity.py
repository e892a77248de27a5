"""The identity of our Galaxy, cached."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import datetime, timedelta
from threading import Lock

from attrs import define, field, frozen

from galaxy_jobs.domain.errors import RunnerError
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.ports import Clock, WorkflowRunner


@frozen(kw_only=True)
class GalaxyNews:
    """The last answer of Galaxy about our identity.

    Attributes:
        identity: Our identity there; None if it could not be asked.
        problem: Why it could not be asked, in a sentence; or None.
        at: When it was asked; time-zone aware.
    """

    identity: Identity | None
    problem: str | None
    at: datetime

    @property
    def ok(self) -> bool:
        """Whether Galaxy answered."""
        return self.identity is not None


@define
class WhoAmI:
    """Returns our identity on Galaxy, cached for a while.

    Every submission needs it, and one more request to Galaxy for each would slow
    it down. Within one process the address and the key do not change, so the
    cache can be wrong only where a server was replaced by another one within the
    lifetime.

    Attributes:
        lifetime: For how long an answer is cached.
        last: The last answer, or None; reading it sends no request.
    """

    runner: WorkflowRunner
    clock: Clock
    lifetime: timedelta = timedelta(minutes=1)
    last: GalaxyNews | None = field(default=None, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _asking: Future[Identity] | None = field(default=None, init=False)

    def __call__(self) -> Identity:
        """Return our identity; threads that need it at once share one request.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        with self._lock:
            last = self.last
            if last and last.identity and self.clock() - last.at < self.lifetime:
                return last.identity
            others = self._asking
            answer = self._asking = others or Future()
        if others is None:
            try:
                answer.set_result(self.ask())
            except BaseException as error:  # noqa: BLE001 - it is raised below
                answer.set_exception(error)
            finally:
                self._asking = None
        return answer.result()

    def ask(self) -> Identity:
        """Ask Galaxy, whatever is cached, and return our identity.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        try:
            identity = self.runner.identity()
        except RunnerError as error:
            self.last = GalaxyNews(identity=None, problem=str(error), at=self.clock())
            raise
        self.last = GalaxyNews(identity=identity, problem=None, at=self.clock())
        return identity

"""Know which Galaxy we talk to without asking it again and again."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from attrs import define, field, frozen

from galaxy_jobs.domain.errors import RunnerError
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.ports import Clock, WorkflowRunner


@frozen(kw_only=True)
class GalaxyNews:
    """What was last heard of Galaxy.

    Attributes:
        identity: Who we are there; None if it did not say.
        problem: Why it did not say, in a sentence.
        at: When it was asked.
    """

    identity: Identity | None
    problem: str | None
    at: datetime


@define
class WhoAmI:
    """Tells who we are on Galaxy, remembering it for a while.

    A submission needs to know, and one more request to Galaxy for each would
    make it a good deal slower. Within one process the address and the key do
    not change, so what may be remembered wrongly is only that a server was
    replaced by another one in the last minute.

    Attributes:
        last: What was last heard, or None; never asks.
    """

    runner: WorkflowRunner
    clock: Clock
    lifetime: timedelta = timedelta(minutes=1)
    last: GalaxyNews | None = field(default=None, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __call__(self) -> Identity:
        """Return it.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        with self._lock:
            known = self.last
            if known and known.identity and self.clock() - known.at < self.lifetime:
                return known.identity
        return self.ask()

    def ask(self) -> Identity:
        """Ask anew, whatever is remembered.

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

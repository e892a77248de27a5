"""Whether Galaxy can be asked about many runs at once, and about how many.

Rule of the file: that is found out by asking, and believed for a while only:
servers are upgraded, and a slow one gets fast again. Whatever cannot be told in
bulk is asked about singly by whoever wanted to know; nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from threading import Lock

from attrs import define, field

from galaxy_jobs.adapters.galaxy.client import NoAnswer, Refused
from galaxy_jobs.domain.model.report import JobsSummary
from galaxy_jobs.domain.model.values import InvocationId


Ids = Sequence[InvocationId]

BULK = 200
"""Invocations in one bulk question, at most."""

ADDRESS = 7600
"""Characters that the question may have; web servers commonly take 8 kB."""

LEAST = 25
"""Where fewer than that are too many for one question, asking singly is as good."""

SLOW = 5.0
"""Seconds that one question may take. Servers before 26.0 look up the jobs of each
invocation with queries of its own, and keep one of their workers busy with it."""

FAILURES = 40
"""How many failures are borne to find the ids that spoil a question."""

AGAIN = 300.0
"""Seconds until a Galaxy that cannot answer in bulk, or only about few, is tried
again as if nothing was known."""


@define(kw_only=True)
class Bulk:
    """What is known of one Galaxy; safe with any number of threads.

    Attributes:
        most: How many one question may be about, at best.
        patience: Seconds after which it is no longer tried to find the ids that
            spoil a question.
        monotonic: Tells seconds.
        supported: Whether the last question was answered; None if none was.
        problem: Why Galaxy is not asked in bulk just now, or about fewer; None if
            it is.
    """

    most: int
    patience: float
    monotonic: Callable[[], float]
    supported: bool | None = field(default=None, init=False)
    problem: str | None = field(default=None, init=False)
    _size: int = field(init=False)
    _until: float = field(default=-float("inf"), init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._size = self.most

    def ask(
        self, ids: Ids, question: Callable[[Ids], Mapping[InvocationId, JobsSummary]]
    ) -> Mapping[InvocationId, JobsSummary]:
        """Return what Galaxy tells of these, in as many questions as it takes.

        Args:
            ids: About which.
            question: Asks about some, in one request.

        Raises:
            RunnerError: Galaxy is in trouble; it is no matter of asking in bulk.
        """
        found: dict[InvocationId, JobsSummary] = {}
        waiting = [ids] if ids else []
        fit = ADDRESS // (len(",WorkflowInvocation,") + max(map(len, ids), default=1))
        began, failures = self.monotonic(), 0
        while waiting and failures < FAILURES:
            batch, size = waiting.pop(), min(self._now(), fit)
            if len(batch) > size:
                waiting += [batch[size:], batch[:size]] if size else []
                continue
            asked = self.monotonic()
            try:
                found |= question(batch)
                self._answered(len(batch), self.monotonic() - asked)
            except Refused as no:
                self._off(no.message)
            except NoAnswer as error:
                waiting += self._instead(batch, error, self.monotonic() - asked)
                failures += 1
                if self.monotonic() - began > self.patience:
                    break
        if failures >= FAILURES and not found:
            self._off("it failed for each of them")
        return found

    def _instead(self, batch: Ids, error: NoAnswer, seconds: float) -> list[Ids]:
        """Return what to ask instead of what was not answered."""
        if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            # One id that Galaxy does not know spoils the whole answer.
            middle = len(batch) // 2
            return [batch[middle:], batch[:middle]] if middle else []
        if error.status in _TOO_LONG or (error.status is None and seconds > SLOW):
            self._fewer(len(batch), str(error))
            return [batch]
        if error.status == HTTPStatus.NOT_FOUND:
            self._off(str(error))
            return []
        raise error

    def _now(self) -> int:
        """Return how many the next question may be about; 0: ask singly."""
        with self._lock:
            if self.problem is not None and self.monotonic() >= self._until:
                self._size, self.problem = self.most, None
            return self._size

    def _answered(self, count: int, seconds: float) -> None:
        self.supported = True
        if seconds > SLOW:
            self._fewer(count, f"it took {seconds:.1f} s to tell of {count}")

    def _fewer(self, count: int, why: str) -> None:
        half = count // 2
        if half < min(LEAST, self.most):
            self._off(why)
        elif half < self._size:
            self._set(half, why)

    def _off(self, why: str) -> None:
        self.supported = False
        self._set(0, why)

    def _set(self, size: int, why: str) -> None:
        with self._lock:
            self._size, self.problem = size, why
            self._until = self.monotonic() + AGAIN


_TOO_LONG = frozenset(
    {
        HTTPStatus.BAD_REQUEST,  # as some web servers put it
        HTTPStatus.REQUEST_URI_TOO_LONG,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    }
)
"""What a web server in front of Galaxy says of an address that is too long."""

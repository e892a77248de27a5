"""Whether Galaxy answers requests about many invocations at once, and about how many.

Rule of the file: the limit is learned from the answers and kept for a while only:
servers are upgraded, and slow ones become fast again. An invocation that the bulk
answer leaves out is asked about singly by the caller; nothing is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from threading import Lock

from attrs import define, field

from galaxy_jobs.adapters.galaxy.client import NoAnswer, Refused
from galaxy_jobs.domain.model.report import JobsSummary
from galaxy_jobs.domain.model.values import InvocationId


logger = logging.getLogger(__name__)

Ids = Sequence[InvocationId]

MAX_BATCH = 200
"""Invocations in one request, at most."""

MIN_BATCH = 25
"""Where fewer than that are too many for one request, single requests do as well."""

MAX_QUERY_LENGTH = 7600
"""Characters of the query; web servers commonly accept addresses of 8 kB."""

SLOW_ANSWER = 5.0
"""Seconds that one answer may take. Servers before 26.0 look up the jobs of each
invocation with queries of its own, and keep one of their workers busy with it."""

MAX_FAILURES = 40
"""Failed requests after which the search for the ids that cause them ends."""

MALFORMED_ID = 400009
"""Galaxy's code for an id that it did not make: older releases answer so for the one
id in a request that is malformed, newer ones with a plain 500."""

RETRY_INTERVAL = 300.0
"""Seconds until a Galaxy with a smaller limit, or none, is asked for the most again."""


@define(kw_only=True)
class Bulk:
    """The limit that one Galaxy has; safe with any number of threads.

    Attributes:
        search_limit: Seconds after which the search for ids that cause a failure ends.
        monotonic: Clock in seconds.
    """

    search_limit: float
    monotonic: Callable[[], float]
    _size: int = field(default=MAX_BATCH, init=False)
    _retry_at: float = field(default=float("inf"), init=False)
    _lock: Lock = field(factory=Lock, init=False)

    @property
    def batch_size(self) -> int:
        """Invocations in the next request; 0: Galaxy is asked about each singly."""
        with self._lock:
            if self.monotonic() >= self._retry_at:
                self._size, self._retry_at = MAX_BATCH, float("inf")
            return self._size

    def ask(
        self, ids: Ids, request: Callable[[Ids], Mapping[InvocationId, JobsSummary]]
    ) -> Mapping[InvocationId, JobsSummary]:
        """Return the summaries of these invocations, in as many requests as it takes.

        Args:
            ids: The invocations. Those that Galaxy does not answer are left out.
            request: Asks about some of them in one request.

        Raises:
            RunnerError: Galaxy is in trouble that has nothing to do with bulk requests.
        """
        summaries: dict[InvocationId, JobsSummary] = {}
        batches = [ids] if ids else []
        longest = max(map(len, ids), default=1)
        fit = MAX_QUERY_LENGTH // (len(",WorkflowInvocation,") + longest)
        began, failures = self.monotonic(), 0
        while batches and failures < MAX_FAILURES:
            batch, size = batches.pop(), min(self.batch_size, fit)
            if len(batch) > size:
                batches += [batch[size:], batch[:size]] if size else []
                continue
            sent = self.monotonic()
            try:
                summaries |= request(batch)
                seconds = self.monotonic() - sent
                if seconds > SLOW_ANSWER:
                    self._halve(len(batch), f"the answer took {seconds:.1f} s")
            except Refused as refusal:
                if refusal.code == MALFORMED_ID:
                    batches += _halves(batch)
                    failures += 1
                else:
                    self._disable(refusal.message)
            except NoAnswer as error:
                batches += self._smaller(batch, error, self.monotonic() - sent)
                failures += 1
                if self.monotonic() - began > self.search_limit:
                    break
        if failures >= MAX_FAILURES and not summaries:
            self._disable("the request failed for each of them")
        return summaries

    def _smaller(self, batch: Ids, error: NoAnswer, seconds: float) -> list[Ids]:
        """Return the batches to ask about instead of one that failed."""
        if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            # One id that Galaxy does not know fails the whole request.
            return _halves(batch)
        if error.status in _TOO_LONG or (
            error.status is None and seconds > SLOW_ANSWER
        ):
            self._halve(len(batch), str(error))
            return [batch]
        if error.status == HTTPStatus.NOT_FOUND:
            self._disable(str(error))
            return []
        raise error

    def _halve(self, count: int, reason: str) -> None:
        half = count // 2
        if half < MIN_BATCH:
            self._disable(reason)
        elif half < self._size:
            self._limit(half)
            logger.warning(
                "Galaxy is asked about %d jobs at once at most: about %d, %s",
                half,
                count,
                reason,
            )

    def _disable(self, reason: str) -> None:
        self._limit(0)
        logger.warning(
            "Galaxy is asked about each job singly for %g s: %s", RETRY_INTERVAL, reason
        )

    def _limit(self, size: int) -> None:
        with self._lock:
            self._size = size
            self._retry_at = self.monotonic() + RETRY_INTERVAL


def _halves(batch: Ids) -> list[Ids]:
    middle = len(batch) // 2
    return [batch[middle:], batch[:middle]] if middle else []


_TOO_LONG = frozenset(
    {
        HTTPStatus.BAD_REQUEST,  # sent by some web servers
        HTTPStatus.REQUEST_URI_TOO_LONG,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    }
)
"""Answers of a web server in front of Galaxy to an address that is too long."""

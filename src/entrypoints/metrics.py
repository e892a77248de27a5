"""Prometheus metrics of the API and of the pollers.

Rule of the file: every metric stands here once. The totals of all processes (sweeps,
the backlog) are read from the database at each scrape: a poller that cron started is
gone by then. They are the same wherever they are read, so take the `max` over
replicas, not the sum. Requests are counted in the process that answers them.

The number to alert on is ``galaxy_jobs_overdue_seconds``, the time for which the most
overdue job has been due. It grows when no poller runs, when Galaxy is down, and when
the pollers do not keep up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Generic, ParamSpec

from attrs import frozen
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from galaxy_jobs.domain.errors import DomainError, StoreUnavailable
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.ports import Backlog
from galaxy_jobs.domain.use_cases import Submitted


CONTENT_TYPE = CONTENT_TYPE_LATEST.partition("; charset")[0]
"""Of :meth:`Metrics.text`, which is UTF-8."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds."""

P = ParamSpec("P")


class PortTaken(DomainError):
    """The port for metrics is in use, or may not be used."""


class Metrics:
    """The metrics of one process.

    Args:
        backlog: Returns the backlog of each user of Galaxy.
    """

    def __init__(self, backlog: Callable[[], Mapping[Identity, Backlog]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Polling(backlog))
        self._requests = self._counter(
            "http_requests", "Requests answered.", "method", "route", "status"
        )
        self._request_seconds = self._histogram(
            "http_request_seconds", "Duration of requests."
        )
        self._submissions = self._counter(
            "submissions",
            "Submissions by outcome: accepted, replayed, or the code of the problem.",
            "outcome",
        )
        self._galaxy = self._counter(
            "galaxy_requests",
            "Requests to Galaxy; status none: there was no answer.",
            *("method", "route", "status"),
        )
        self._galaxy_seconds = self._histogram(
            "galaxy_request_seconds", "Duration of requests to Galaxy."
        )
        # Prometheus' own look-up of labels is slow, and done for every request.
        self._of_route = cache(
            lambda method, route, status: (
                self._requests.labels(method, route, str(status)),
                self._request_seconds.labels(method, route),
            )
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"galaxy_jobs_{name}", meaning, labels, registry=self._registry)

    def _histogram(self, name: str, meaning: str) -> Histogram:
        return Histogram(
            f"galaxy_jobs_{name}",
            meaning,
            ["method", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus' format."""
        return generate_latest(self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that we answered.

        Args:
            method: Of the request.
            route: The path with names for its variable parts, of which there are few.
            status: Of the answer.
            seconds: Until the answer was sent.
        """
        requests, duration = self._of_route(method, route, status)
        requests.inc()
        duration.observe(seconds)

    def asked_galaxy(
        self, method: str, route: str, status: int | None, seconds: float
    ) -> None:
        """Count a request to Galaxy.

        Args:
            method: Of the request.
            route: As for :meth:`answered`.
            status: Of the answer; None: there was none.
            seconds: Until the answer came.
        """
        self._galaxy.labels(method, route, str(status or "none")).inc()
        self._galaxy_seconds.labels(method, route).observe(seconds)

    def submitting(self, use_case: Callable[P, Submitted]) -> Callable[P, Submitted]:
        """Return the use case with its outcomes counted."""
        return _Counted(use_case, self._submissions)

    @contextmanager
    def served(self, port: int, host: str = "127.0.0.1") -> Iterator[int]:
        """Serve the metrics over HTTP, in a thread, and give the port.

        Args:
            port: 0 takes a free one.
            host: The address to listen on.

        Raises:
            PortTaken: It cannot be listened on.
        """
        try:
            server, _ = start_http_server(port, host, self._registry)
        except OSError as error:
            raise PortTaken(
                f"--metrics-port {port}: cannot listen on {host}:{port} "
                f"({error.strerror}). Choose another port; 0 takes a free one."
            ) from None
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()


@frozen
class _Counted(Generic[P]):
    """A use case that submits, and the counter of its outcomes."""

    use_case: Callable[P, Submitted]
    counter: Counter

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Submitted:
        try:
            submitted = self.use_case(*args, **kwargs)
        except DomainError as error:
            self.counter.labels(error.code).inc()
            raise
        self.counter.labels("replayed" if submitted.replayed else "accepted").inc()
        return submitted


@frozen
class _Polling(Collector):
    """The backlog and the totals of polling, read at each scrape."""

    backlog: Callable[[], Mapping[Identity, Backlog]]

    def describe(self) -> Iterator[Metric]:
        """Return nothing: else the registry would read the database at once."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; only that the database is away, if it is."""
        up = GaugeMetricFamily(
            "galaxy_jobs_database_up", "Whether the database answers."
        )
        try:
            backlogs = self.backlog()
        except StoreUnavailable:
            backlogs = None
        up.add_metric([], 0 if backlogs is None else 1)
        yield up
        if backlogs is None:
            return
        for name, (meaning, value) in GAUGES.items():
            gauge = GaugeMetricFamily(f"galaxy_jobs_{name}", meaning, labels=_LABELS)
            for identity, backlog in backlogs.items():
                gauge.add_metric([identity.url, identity.user_id], value(backlog))
            yield gauge
        for suffix, meaning in SWEEP_COUNTERS.items():
            counter = CounterMetricFamily(
                f"galaxy_jobs_sweep{suffix}", meaning, labels=_LABELS
            )
            for identity, backlog in backlogs.items():
                total = backlog.totals.get(_TOTALS.get(suffix, suffix[1:]), 0)
                counter.add_metric([identity.url, identity.user_id], total)
            yield counter


_LABELS = ["galaxy", "user"]

GAUGES: Mapping[str, tuple[str, Callable[[Backlog], float]]] = {
    "active_jobs": ("Jobs that have not ended.", lambda backlog: backlog.active),
    "due_jobs": ("Jobs that are due to be polled.", lambda backlog: backlog.due),
    "overdue_seconds": (
        "Time for which the most overdue job has been due: alert on this.",
        lambda backlog: backlog.overdue.total_seconds(),
    ),
}

SWEEP_COUNTERS: Mapping[str, str] = {
    "s": "Sweeps of all pollers.",
    "_seconds": "Duration of sweeps.",
    "_due": "Jobs that were claimed.",
    "_asked": "Jobs that Galaxy answered about.",
    "_bulk": "Bulk requests to Galaxy.",
    "_bulk_misses": "Jobs that were missing from the bulk answers.",
    "_looks": "Full looks at a job.",
    "_routine": "Full looks that only the time since the last one called for.",
    "_put_off": "Claims given back: others were more urgent, or Galaxy in trouble.",
    "_changed": "Changes that were written.",
    "_ended": "Jobs that were seen to end.",
    "_failed": "Jobs that could not be asked about.",
    "_missing": "Jobs that Galaxy does not know.",
    "_adopted": "Lost submissions whose run was found.",
    "_rejected": "Lost submissions that have no run.",
    "_open": "Looks at submissions that left them open.",
    "_cleared": "Histories of superseded runs that were deleted or purged.",
}
"""The counters of sweeps, behind ``galaxy_jobs_sweep``; a test compares them with
:meth:`Sweep.counts`."""

_TOTALS = {"s": "sweeps", "_seconds": "seconds"}

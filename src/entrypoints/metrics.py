"""What is told to Prometheus, by the API and by a poller.

Rule of the file: every metric stands here once. What all processes did together
(sweeps, the backlog) is read from the database when it is asked for: a poller that
cron started is gone by then. It is the same wherever it is read, so take the `max`
over replicas, not the sum. What one process did (requests) is counted in it.

The number to alert on is ``galaxy_jobs_overdue_seconds``: for how long the most
overdue job has been waiting to be asked about. It grows when no poller runs, when
Galaxy is down, and when the pollers do not keep up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, ParamSpec, TypeVar
from wsgiref.simple_server import WSGIServer

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
"""In seconds."""

P = ParamSpec("P")
T = TypeVar("T")


class PortTaken(DomainError):
    """The port for metrics could not be had."""


class Metrics:
    """The metrics of one process.

    Args:
        backlog: Says how polling stands, for each Galaxy.
    """

    def __init__(self, backlog: Callable[[], Mapping[Identity, Backlog]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Polling(backlog))
        self._requests = Counter(
            "galaxy_jobs_http_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "galaxy_jobs_http_request_seconds",
            "How long answering took.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._submissions = Counter(
            "galaxy_jobs_submissions",
            "Submissions, by what came of them: accepted, replayed, or why not.",
            ["outcome"],
            registry=self._registry,
        )
        self._galaxy = Counter(
            "galaxy_jobs_galaxy_requests",
            "Requests to Galaxy, by what was asked; status none: no answer came.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._galaxy_seconds = Histogram(
            "galaxy_jobs_galaxy_request_seconds",
            "How long Galaxy took.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that we answered.

        Args:
            method: Its method.
            route: The path with names for its variable parts: there are few.
            status: What was answered.
            seconds: How long it took.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def asked_galaxy(
        self, method: str, route: str, status: int | None, seconds: float
    ) -> None:
        """Count a request that we made; likewise. ``None``: no answer came."""
        self._galaxy.labels(method, route, str(status or "none")).inc()
        self._galaxy_seconds.labels(method, route).observe(seconds)

    def submitting(self, use_case: Callable[P, Submitted]) -> Callable[P, Submitted]:
        """Return the use case with its outcomes counted."""
        return _Counted(use_case, self._submissions)

    def serve(self, port: int, host: str = "127.0.0.1") -> tuple[WSGIServer, int]:
        """Serve them over HTTP, in a thread; return the server and its port.

        Args:
            port: 0 takes a free one.
            host: The address to listen on.

        Raises:
            PortTaken: It could not be had.
        """
        try:
            server, _ = start_http_server(port, host, self._registry)
        except OSError as error:
            raise PortTaken(
                f"--metrics-port {port}: cannot listen on {host}:{port} "
                f"({error.strerror}). Choose another port; 0 takes a free one."
            ) from None
        return server, server.server_port


@frozen
class _Counted(Generic[P]):
    """A use case that submits, and a count of what comes of it."""

    use_case: Callable[P, Submitted]
    count: Counter

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Submitted:
        try:
            submitted = self.use_case(*args, **kwargs)
        except DomainError as error:
            self.count.labels(error.code).inc()
            raise
        self.count.labels("replayed" if submitted.replayed else "accepted").inc()
        return submitted


@frozen
class _Polling(Collector):
    """How polling stands, read when it is asked for."""

    backlog: Callable[[], Mapping[Identity, Backlog]]

    def describe(self) -> Iterator[Metric]:
        """Return what there is to come: without this, registering would ask."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; of the database being away, if it is."""
        up = GaugeMetricFamily(
            "galaxy_jobs_database_up", "Whether the database could be asked just now."
        )
        try:
            found = self.backlog()
        except StoreUnavailable:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        gauges: list[tuple[str, str, Callable[[Backlog], float]]] = [
            ("active_jobs", "Jobs that have not ended.", lambda one: one.active),
            ("due_jobs", "Jobs that are due to be asked about.", lambda one: one.due),
            (
                "overdue_seconds",
                "For how long the most overdue job has been due: alert on this.",
                lambda one: one.overdue.total_seconds(),
            ),
        ]
        for name, meaning, value in gauges:
            gauge = GaugeMetricFamily(f"galaxy_jobs_{name}", meaning, labels=_LABELS)
            for identity, one in found.items():
                gauge.add_metric(_named(identity), value(one))
            yield gauge
        for name, meaning in SWEPT.items():
            counter = CounterMetricFamily(
                f"galaxy_jobs_sweep{name}", meaning, labels=_LABELS
            )
            for identity, one in found.items():
                total = one.totals.get(_TOTAL.get(name, name[1:]), 0)
                counter.add_metric(_named(identity), total)
            yield counter


_LABELS = ["galaxy", "user"]


def _named(identity: Identity) -> list[str]:
    return [identity.url, identity.user_id]


SWEPT: Mapping[str, str] = {
    "s": "Sweeps of all pollers.",
    "_seconds": "How long they took.",
    "_due": "Jobs that were claimed.",
    "_asked": "Jobs that Galaxy told about.",
    "_bulk": "Bulk questions to Galaxy.",
    "_bulk_misses": "Jobs that were missing from the bulk answers.",
    "_looks": "Full looks at a job.",
    "_routine": "Full looks that only the time since the last one called for.",
    "_put_off": "Claims given back: others were more urgent, or Galaxy in trouble.",
    "_changed": "Changes that were written.",
    "_ended": "Jobs that were seen to end.",
    "_failed": "Jobs that could not be asked about.",
    "_missing": "Jobs that Galaxy said it does not know.",
    "_adopted": "Lost submissions whose run was found.",
    "_rejected": "Lost submissions that have no run.",
    "_open": "Looks at submissions that left them open.",
    "_cleared": "Histories of superseded runs that were dealt with.",
}
"""What is told of sweeps, behind ``galaxy_jobs_sweep``; a test holds it to
:meth:`Sweep.counts`."""

_TOTAL = {"s": "sweeps", "_seconds": "seconds"}

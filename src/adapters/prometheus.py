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
from typing import Generic, ParamSpec, Protocol, TypeVar

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
from galaxy_jobs.domain.ports import Backlog, DeliveryBacklog


CONTENT_TYPE = CONTENT_TYPE_LATEST.partition("; charset")[0]
"""Of :meth:`Metrics.text`, which is UTF-8."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds."""

P = ParamSpec("P")


class Submitted(Protocol):
    """The result of a use case that submits."""

    @property
    def replayed(self) -> bool:
        """Whether it was submitted before."""


S = TypeVar("S", bound=Submitted)


class PortTaken(DomainError):
    """The port for metrics is in use, or may not be used."""


class Metrics:
    """The metrics of one process.

    Args:
        backlog: Returns the backlog of each user of Galaxy.
        deliveries: Returns the deliveries to webhooks.
    """

    def __init__(
        self,
        backlog: Callable[[], Mapping[Identity, Backlog]],
        deliveries: Callable[[], DeliveryBacklog] = DeliveryBacklog,
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Polling(backlog, deliveries))
        self.answered = _Requests(self._registry, "http", "Requests answered.")
        self.asked_galaxy = _Requests(
            self._registry,
            "galaxy",
            "Requests to Galaxy; status none: there was no answer.",
        )
        self._submissions = Counter(
            "galaxy_jobs_submissions",
            "Submissions by outcome: accepted, replayed, or the code of the problem.",
            ["outcome"],
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus' format."""
        return generate_latest(self._registry)

    def submitting(self, use_case: Callable[P, S]) -> Callable[P, S]:
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


class _Requests:
    """Counts requests of one kind, with their durations."""

    def __init__(self, registry: CollectorRegistry, kind: str, meaning: str) -> None:
        name, labels = f"galaxy_jobs_{kind}_request", ["method", "route"]
        count = Counter(f"{name}s", meaning, [*labels, "status"], registry=registry)
        duration = Histogram(
            f"{name}_seconds",
            "Duration of these requests.",
            labels,
            buckets=BUCKETS,
            registry=registry,
        )
        # Prometheus' own look-up of labels is slow, and done for every request.
        self._of_route = cache(
            lambda method, route, status: (
                count.labels(method, route, "none" if status is None else status),
                duration.labels(method, route),
            )
        )

    def __call__(
        self, method: str, route: str, status: int | None, seconds: float
    ) -> None:
        """Count a request.

        Args:
            method: Of the request.
            route: The path with names for its variable parts, of which there are few.
            status: Of the answer; None: there was none.
            seconds: Until the answer was there.
        """
        count, duration = self._of_route(method, route, status)
        count.inc()
        duration.observe(seconds)


@frozen
class _Counted(Generic[P, S]):
    """A use case that submits, and the counter of its outcomes."""

    use_case: Callable[P, S]
    counter: Counter

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> S:
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
    deliveries: Callable[[], DeliveryBacklog]

    def describe(self) -> Iterator[Metric]:
        """Return nothing: else the registry would read the database at once."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; only that the database is away, if it is."""
        up = "galaxy_jobs_database_up", "Whether the database answers."
        try:
            backlogs, deliveries = self.backlog(), self.deliveries()
        except StoreUnavailable:
            yield GaugeMetricFamily(*up, value=0)
            return
        yield GaugeMetricFamily(*up, value=1)
        for name, (meaning, value) in GAUGES.items():
            gauge = GaugeMetricFamily(name, meaning, labels=["galaxy", "user"])
            for identity, backlog in backlogs.items():
                gauge.add_metric([identity.url, identity.user_id], value(backlog))
            yield gauge
        for total, meaning in {**SWEEP_COUNTERS, **CLEANING_COUNTERS}.items():
            name = f"galaxy_jobs_sweep_{total}".replace("_sweep_sweeps", "_sweeps")
            counter = CounterMetricFamily(name, meaning, labels=["galaxy", "user"])
            for identity, backlog in backlogs.items():
                count = backlog.totals.get(total, 0)
                counter.add_metric([identity.url, identity.user_id], count)
            yield counter
        name = "galaxy_jobs_deliveries"
        pending, overdue = deliveries.pending, deliveries.overdue.total_seconds()
        yield GaugeMetricFamily(f"{name}_pending", "Events to be sent.", pending)
        yield GaugeMetricFamily(
            f"{name}_overdue_seconds", "Time for which the first is due.", overdue
        )
        ended = CounterMetricFamily(name, "Events that were sent.", labels=["outcome"])
        ended.add_metric(["delivered"], deliveries.delivered)
        ended.add_metric(["dead"], deliveries.dead)
        yield ended


GAUGES: Mapping[str, tuple[str, Callable[[Backlog], float]]] = {
    "galaxy_jobs_active_jobs": (
        "Jobs that have not ended.",
        lambda backlog: backlog.active,
    ),
    "galaxy_jobs_due_jobs": (
        "Jobs that are due to be polled.",
        lambda backlog: backlog.due,
    ),
    "galaxy_jobs_overdue_seconds": (
        "Time for which the most overdue job has been due: alert on this.",
        lambda backlog: backlog.overdue.total_seconds(),
    ),
}

SWEEP_COUNTERS: Mapping[str, str] = {
    "sweeps": "Sweeps of all pollers.",
    "seconds": "Duration of sweeps.",
    "due": "Jobs that were claimed.",
    "asked": "Jobs that Galaxy answered about.",
    "bulk": "Bulk requests to Galaxy.",
    "bulk_misses": "Jobs that were missing from the bulk answers.",
    "looks": "Full looks at a job.",
    "routine": "Full looks that only the time since the last one called for.",
    "put_off": "Claims given back: others were more urgent, or Galaxy in trouble.",
    "changed": "Changes that were written.",
    "ended": "Jobs that were seen to end.",
    "failed": "Jobs that could not be asked about.",
    "missing": "Jobs that Galaxy does not know.",
    "given_again": "Jobs whose id Galaxy has given to another run: was it restored?",
    "unstorable": "Jobs and submissions whose news could not be stored: alert on this.",
    "adopted": "Lost submissions whose run was found.",
    "rejected": "Lost submissions that turned out to have no run.",
    "open": "Looks at submissions that left them open.",
    "cleared": "Histories of superseded runs that were deleted or purged.",
}

CLEANING_COUNTERS: Mapping[str, str] = {
    "results_deleted": "Jobs whose results were deleted after the time they are kept.",
    "results_in_use": "Looks at results that something needs, which are kept.",
    "intermediates_deleted": "Jobs of which all but the outputs was deleted.",
    "not_deleted": "Attempts to delete something in Galaxy that failed.",
    "pruned": "Jobs that were removed.",
}
"""The totals of :meth:`Cleaned.counts`."""
"""The totals of sweeps (see :class:`Backlog`) that are counters; a test compares them
with :meth:`Sweep.counts`."""

"""What Prometheus is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from galaxy_jobs.adapters.prometheus import (
    CONTENT_TYPE,
    SWEEP_COUNTERS,
    Metrics,
    PortTaken,
)
from galaxy_jobs.domain import Identity, InvocationId
from galaxy_jobs.domain.errors import DatasetNotFound, StoreUnavailable
from galaxy_jobs.domain.ports import Backlog
from galaxy_jobs.domain.use_cases import Submitted, Sweep
from tests.support.api import StandIn, an_api


HERE = Identity("https://galaxy.test", "u1")
BACKLOG = {
    HERE: Backlog(
        active=7,
        due=3,
        overdue=timedelta(seconds=12.5),
        totals={"sweeps": 4, "seconds": 1.5, "failed": 2},
    )
}


def samples(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the samples by name, and by the values of their labels."""
    return read(metrics.text().decode())


def read(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    values: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels.values())
            values.setdefault(sample.name, {})[labels] = sample.value
    return values


def test_how_polling_stands_is_told() -> None:
    values = samples(Metrics(lambda: BACKLOG))
    here = ("https://galaxy.test", "u1")
    assert values["galaxy_jobs_database_up"] == {(): 1}
    assert values["galaxy_jobs_active_jobs"] == {here: 7}
    assert values["galaxy_jobs_due_jobs"] == {here: 3}
    assert values["galaxy_jobs_overdue_seconds"] == {here: 12.5}
    assert values["galaxy_jobs_sweeps_total"] == {here: 4}
    assert values["galaxy_jobs_sweep_seconds_total"] == {here: 1.5}
    assert values["galaxy_jobs_sweep_failed_total"] == {here: 2}
    assert values["galaxy_jobs_sweep_changed_total"] == {here: 0}


def test_every_count_of_a_sweep_is_told() -> None:
    assert {"sweeps", "seconds", *Sweep().counts()} == set(SWEEP_COUNTERS)


def test_that_the_database_is_away_is_told_and_no_more() -> None:
    def away() -> Any:
        raise StoreUnavailable("The database is down.")

    values = samples(Metrics(away))
    assert values["galaxy_jobs_database_up"] == {(): 0}
    assert "galaxy_jobs_overdue_seconds" not in values


def test_requests_to_galaxy_are_counted_by_what_was_asked() -> None:
    metrics = Metrics(dict)
    metrics.asked_galaxy("GET", "invocations/{id}", 200, 0.02)
    metrics.asked_galaxy("GET", "invocations/{id}", None, 30)
    values = samples(metrics)
    assert values["galaxy_jobs_galaxy_requests_total"] == {
        ("GET", "invocations/{id}", "200"): 1,
        ("GET", "invocations/{id}", "none"): 1,
    }
    assert values["galaxy_jobs_galaxy_request_seconds_sum"] == {
        ("GET", "invocations/{id}"): 30.02
    }


def test_the_api_tells_what_it_did() -> None:
    submit = StandIn(Submitted(invocation_id=InvocationId("i1")))
    with an_api(
        submit=submit, metrics=Metrics(lambda: BACKLOG), job_history=StandIn([])
    ) as client:
        body = {"dataset_id": "d1", "workflow_name": "w"}
        client.post("/jobs", json=body)
        submit.answer = Submitted(invocation_id=InvocationId("i1"), replayed=True)
        client.post("/jobs", json=body)
        submit.answer = DatasetNotFound("d1")
        client.post("/jobs", json=body)
        client.get("/jobs/i1/history")
        client.get("/no/such/thing/as/secret")
        client.request("BREW", "/jobs")
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{CONTENT_TYPE}; charset=utf-8"
    assert "secret" not in answer.text
    values = read(answer.text)
    requests_ = values["galaxy_jobs_http_requests_total"]
    assert requests_["POST", "/jobs", "201"] == 2
    assert requests_["POST", "/jobs", "422"] == 1
    assert requests_["GET", "/jobs/{invocation_id}/history", "200"] == 1
    assert requests_["GET", "none", "404"] == 1
    assert {labels[0] for labels in requests_} == {"GET", "POST", "other"}
    assert values["galaxy_jobs_http_request_seconds_count"]["POST", "/jobs"] == 3
    assert values["galaxy_jobs_submissions_total"] == {
        ("accepted",): 1,
        ("replayed",): 1,
        ("dataset-not-found",): 1,
    }
    assert values["galaxy_jobs_overdue_seconds"] == {
        ("https://galaxy.test", "u1"): 12.5
    }


def test_they_are_served_on_a_port_of_this_machine() -> None:
    metrics = Metrics(lambda: BACKLOG)
    with metrics.served(0) as port:
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
        assert read(answer.text)["galaxy_jobs_active_jobs"]
        taken = pytest.raises(PortTaken, match=f"127.0.0.1:{port} .* Choose another")
        with taken, metrics.served(port):
            pass
    with metrics.served(port):  # it was closed
        pass

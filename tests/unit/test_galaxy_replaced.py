"""Failed jobs that were run again in their place, in Galaxy itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import InvocationId, InvocationState, JobState, judge
from tests.support.hostile_galaxy import HostileGalaxy, hostile_galaxy, http, recorded


RUN = InvocationId("f0f1")
NEW = "b0b9"
OLD_OUTPUT, NEW_OUTPUT = "d0d1", "d0d2"


@pytest.fixture
def server() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as server:
        yield server


def adapter(server: HostileGalaxy) -> Galaxy:
    return Galaxy(server.url, "key", timeout=5)


def show_repaired(server: HostileGalaxy, state: str, **changes: Any) -> None:
    """Show a run whose first tool failed, and was run again in its place."""
    shown = {**recorded("run_first_fails"), "id": RUN}
    bad, *others = (step["jobs"][0] for step in shown["steps"] if step["jobs"])
    for job in others:
        job["state"] = "ok"
    old = {
        "id": OLD_OUTPUT,
        "hid": 2,
        "creating_job": bad["id"],
        "create_time": "2026-11-24T06:38:56.900000",
    }
    new = {
        "id": NEW_OUTPUT,
        "hid": 2,
        "creating_job": NEW,
        "create_time": "2026-11-24T07:00:00.000000",
        **changes,
    }
    server.garbage |= {
        f"report {RUN}": http(json.dumps(shown)),
        "datasets": http(json.dumps([old, new])),
        f"details {NEW}": http(
            json.dumps({**recorded("job_failed"), "id": NEW, "state": state})
        ),
    }


def states(server: HostileGalaxy) -> list[JobState]:
    return [job.state for job in adapter(server).report(RUN).jobs()]


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("ok", InvocationState.COMPLETED),
        ("running", InvocationState.IN_PROGRESS),
        ("error", InvocationState.FAILED),
    ],
)
def test_the_job_in_the_place_of_a_failed_one_counts(
    server: HostileGalaxy, state: str, verdict: InvocationState
) -> None:
    show_repaired(server, state)
    report = adapter(server).report(RUN)
    assert next(iter(report.jobs())).job_id == NEW
    assert judge(report).state is verdict


@pytest.mark.parametrize(
    "changes",
    [
        {"hid": 3},
        {"hid": None},
        {"creating_job": None},
        {"create_time": "2026-11-24T06:00:00.000000"},
    ],
    ids=str,
)
def test_a_dataset_that_did_not_take_the_place_of_the_output_repairs_nothing(
    server: HostileGalaxy, changes: dict[str, Any]
) -> None:
    show_repaired(server, "ok", **changes)
    assert JobState.ERROR in states(server)


def test_a_run_without_failed_jobs_costs_no_request(server: HostileGalaxy) -> None:
    shown = {**recorded("run_success"), "id": RUN}
    server.garbage[f"report {RUN}"] = http(json.dumps(shown))
    adapter(server).report(RUN)
    assert server.requests["datasets"] == 0


def test_a_replacement_that_galaxy_does_not_show_repairs_nothing(
    server: HostileGalaxy,
) -> None:
    show_repaired(server, "ok")
    refusal = json.dumps({"err_msg": "not yours", "err_code": 403002})
    server.garbage[f"details {NEW}"] = http(refusal, 403)
    assert JobState.ERROR in states(server)


# --- the outputs of a run ----------------------------------------------------------


def show_output(server: HostileGalaxy, **fields: Any) -> None:
    shown = {
        **recorded("run_success"),
        "id": RUN,
        "outputs": {"result": {"id": OLD_OUTPUT, "src": "hda"}},
    }
    old = {"id": OLD_OUTPUT, "state": "ok", "hid": 2, "history_id": "a0a1", **fields}
    new = {"id": NEW_OUTPUT, "state": "ok", "hid": 2, "name": "repaired"}
    listed = [
        {**old, "create_time": "2026-11-24T06:38:56.900000"},
        {**new, "create_time": "2026-11-24T07:00:00.000000"},
    ]
    server.garbage |= {
        f"report {RUN}": http(json.dumps(shown)),
        f"dataset {OLD_OUTPUT}": http(json.dumps(old)),
        f"dataset {NEW_OUTPUT}": http(json.dumps(new)),
        "datasets": http(json.dumps(listed)),
    }


def test_the_output_of_a_repaired_job_is_that_of_the_new_job(
    server: HostileGalaxy,
) -> None:
    show_output(server, state="error", visible=False)
    (output,) = adapter(server).outputs(RUN)
    assert (output.id, output.name, output.state) == (NEW_OUTPUT, "repaired", "ok")


@pytest.mark.parametrize(
    "fields",
    [{"visible": True, "state": "error"}, {"visible": False}, {"state": "error"}],
    ids=str,
)
def test_an_output_that_galaxy_did_not_hide_for_another_stays(
    server: HostileGalaxy, fields: dict[str, Any]
) -> None:
    show_output(server, **fields)
    (output,) = adapter(server).outputs(RUN)
    assert output.id == OLD_OUTPUT


@pytest.mark.parametrize("purged", [False, True])
def test_an_output_that_was_deleted_is_deleted(
    server: HostileGalaxy, *, purged: bool
) -> None:
    show_output(server, deleted=True, purged=purged)
    (output,) = adapter(server).outputs(RUN)
    state = "purged" if purged else "deleted"
    assert (output.id, output.state) == (OLD_OUTPUT, state)

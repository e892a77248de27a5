"""How soon what happens in a sub-workflow is known, and by which requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import InvocationId, Sighting, judge
from tests.support.galaxy import Lab
from tests.support.service import Service, service
from tests.support.wait import until
from tests.support.workflows import data, sub, tool, workflow


MAX_DELAY = 10.0
"""Seconds from the failure of a job in Galaxy until it is shown."""


@pytest.fixture
def jobs(lab: Lab, database_url: str, tmp_path: Path) -> Iterator[Service]:
    with service(
        tmp_path, database=database_url, galaxy=lab.url, key=lab.key
    ) as running:
        running.serve()
        running.poll(every=1)
        yield running


def test_a_failure_in_a_sub_workflow_is_seen_soon(
    jobs: Service, lab: Lab, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """While a job of the run itself goes on, and not everything is scheduled yet."""
    inner = workflow("inner", data("text"), tool("bad", "text", exit_code=5))
    name = "sub fails meanwhile"
    lab.add(
        workflow(
            name,
            data("text"),
            tool("first", "text", sleep_s=5),
            tool("long", "text", sleep_s=60),
            sub("nested", inner, text="first"),
            tool("last", "text", after="long"),
        )
    )
    run = jobs.submit(jobs.dataset("hda", lab.text), name)
    failure = until(lambda: jobs.job(run)["failure"], 60, every=0.1)
    seen = datetime.now(UTC)
    job = jobs.job(run)
    failed = galaxy_jobs_of(lab, run, "error")
    assert len(failed) == 1
    at = datetime.fromisoformat(failed[0]["update_time"]).replace(tzinfo=UTC)
    delay = (seen - at).total_seconds()
    record_testsuite_property("seconds until a failure inside was seen", delay)
    assert (failure["path"], failure["exit_code"]) == (["nested", "bad"], 5)
    assert job["state"] == "in_progress"
    assert job["progress"]["running"], "the long job goes on"
    assert delay < MAX_DELAY
    jobs.post(f"/jobs/{run}/cancel", None)


def galaxy_jobs_of(lab: Lab, run: str, state: str) -> list[dict[str, Any]]:
    """Return what Galaxy shows of the jobs of sub-workflows in that state."""
    shown = lab.call("GET", f"invocations/{run}")
    subs = [step["subworkflow_invocation_id"] for step in shown["steps"]]
    return [
        job
        for sub_id in filter(None, subs)
        for job in lab.call("GET", f"jobs?invocation_id={sub_id}&state={state}")
    ]


def without_tools(sighting: Sighting) -> Sighting:
    return evolve(
        sighting, steps=tuple(evolve(step, tool=None) for step in sighting.steps)
    )


@pytest.mark.parametrize(
    "scenario",
    ["sub fails", "sub works", "mapped", "mapped, one fails", "first fails", "skipped"],
)
def test_an_outline_shows_what_a_full_look_does(
    jobs: Service, lab: Lab, scenario: str
) -> None:
    src, id_ = ("hdca", lab.texts) if "mapped" in scenario else ("hda", lab.text)
    run = InvocationId(jobs.submit(jobs.dataset(src, id_), scenario))
    jobs.wait(run)
    galaxy = Galaxy(lab.url, lab.key)
    full, outline = judge(galaxy.report(run)), judge(galaxy.outline(run))
    assert full.progress.total
    if full.failure is not None:
        assert outline.failure is not None
        outline = evolve(
            outline, failure=evolve(outline.failure, tool=full.failure.tool)
        )
    assert without_tools(outline) == without_tools(full)

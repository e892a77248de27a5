"""What we say of all that can become of a run, beside what a real Galaxy says.

All scenarios run at once, followed by one poller. What was seen is written down, and
the page docs/scenarios.md is made of it.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import requests

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.galaxy import releases
from tests.integration.scenarios import (
    LIMIT,
    SCENARIOS,
    Run,
    Scenario,
    Stock,
    differences,
)
from tests.support.galaxy import GALAXY, Lab
from tests.support.scenario_table import recorded_file
from tests.support.service import ENDED, Service, service
from tests.support.wait import until


AT_ONCE = 16
"""Scenarios that are played at the same time: Galaxy has two processors."""

Seen = dict[str, Any]


@pytest.fixture(scope="module")
def jobs(
    lab: Lab, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with service(
        folder, database=module_database_url, galaxy=lab.url, key=lab.key
    ) as one:
        one.serve()
        one.poll(1)
        yield one


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, lab: Lab, jobs: Service, address: str
) -> Iterator[Mapping[str, Future[Seen]]]:
    """What was seen of each scenario that is asked for."""
    names = {
        item.callspec.id
        for item in request.session.items
        if isinstance(item, pytest.Function) and "scenario" in item.fixturenames
    }
    stock = Stock(lab, address)
    wanted = [one for one in SCENARIOS if one.name in names]
    stored = {one.name: lab.add(one.workflow) for one in wanted}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield {
            one.name: threads.submit(play, one, lab, jobs, stock, stored[one.name])
            for one in wanted
        }


@pytest.fixture(scope="module")
def record(galaxy: LocalGalaxy) -> Iterator[dict[str, Seen]]:
    """Keep what was seen; with RECORD=1, write down what went as expected."""
    file = recorded_file(galaxy.release)
    before = json.loads(file.read_text()) if file.exists() else {}
    seen: dict[str, Seen] = {}
    yield seen
    if not os.environ.get("RECORD"):
        return
    rows = {
        one.name: {"kind": one.kind, **(seen.get(one.name) or before[one.name])}
        for one in SCENARIOS
        if one.name in seen or one.name in before
    }
    file.write_text(json.dumps(rows, indent=1) + "\n")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(
    scenario: Scenario,
    played: Mapping[str, Future[Seen]],
    record: dict[str, Seen],
) -> None:
    seen = played[scenario.name].result(2 * LIMIT)
    wrong = differences(scenario.expected(GALAXY.release), seen["ours"])
    assert not wrong, json.dumps(seen, indent=1)
    if seen["galaxy"] is not None:
        counted = sum(seen["ours"]["jobs"].values())
        counted -= seen["ours"]["jobs"].get("blocked", 0)
        assert counted == sum(seen["galaxy"]["jobs"].values())
    record[scenario.name] = seen


def test_names_are_unique() -> None:
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)


def play(scenario: Scenario, lab: Lab, jobs: Service, stock: Stock, id_: str) -> Seen:
    """Bring a scenario about, and return what Galaxy says and what we say."""
    given = scenario.given(stock)
    body = {"name": scenario.name, "source": given}
    dataset = jobs.post("/datasets?check=false", body)["dataset_id"]
    scenario.before(lab, id_)
    wish = {
        "dataset_id": dataset,
        "workflow_name": scenario.name,
        "parameters": scenario.parameters,
    }
    (answer,) = until(partial(answered, jobs, wish), 60, every=1)
    if answer.status_code != 201:
        return {"galaxy": None, "ours": refusal(answer.json())}
    run = Run(lab, jobs, given, answer.json()["invocation_id"])
    scenario.act(run)
    if scenario.ends:
        run.end()
        if scenario.done:
            run.settle()
            if not releases.COMPLETED.affects(GALAXY.release):
                until(lambda: run.shown()["state"] != "scheduled", 60, every=0.3)
    else:
        until(lambda: run.job()["attention"], LIMIT, every=0.3)
    scenario.after(run)
    return {"galaxy": of_galaxy(run), "ours": ours(run)}


def answered(jobs: Service, wish: object) -> list[requests.Response]:
    """Submit; nothing where Galaxy was too busy, and nothing was started."""
    answer = jobs.request("POST", "/jobs", wish)
    return [] if answer.status_code == 503 else [answer]


def of_galaxy(run: Run) -> Seen:
    """Return what Galaxy itself says of a run, its sub-workflows included."""
    invocations = run.tree()
    whole, *inside = invocations
    states = Counter(
        job["state"]
        for invocation in invocations
        for step in invocation["steps"]
        for job in step["jobs"]
    )
    reasons = [
        message["reason"]
        for invocation in invocations
        for message in invocation.get("messages") or ()
    ]
    return {
        "state": whole["state"],
        "inside": sorted({invocation["state"] for invocation in inside}),
        "jobs": dict(sorted(states.items())),
        "reasons": sorted(set(reasons)),
    }


def ours(run: Run) -> Seen:
    # First, since that notices what was changed in Galaxy after the end.
    shown = run.jobs.request("GET", f"/jobs/{run.id}/outputs")
    items = shown.json()["items"] if shown.ok else []
    job = run.job()
    failure = job["failure"] or {}
    counts = job["progress"]
    past = run.jobs.get(f"/jobs/{run.id}/history")["items"]
    return {
        "state": job["state"],
        "jobs": {
            name: counts[name]
            for name in ("ok", "running", "waiting", "failed", "blocked")
            if counts[name]
        },
        "reason": failure.get("reason"),
        "path": " > ".join(failure["path"]) if failure.get("path") else None,
        "element": failure.get("element"),
        "exit_code": failure.get("exit_code"),
        "message": constant(failure.get("message")),
        "attention": job["attention"],
        "outputs": {item["label"]: item["state"] for item in items},
        "states": [one["to_state"] for one in past if one["to_state"] in ENDED],
        "reopened": any(one["reopened"] for one in past),
    }


def refusal(problem: Mapping[str, Any]) -> Seen:
    detail = problem.get("galaxy_message") or problem["detail"]
    return {
        "state": "refused",
        "jobs": {},
        "reason": problem["type"].rpartition(":")[2],
        "message": constant(detail),
        "states": ["refused"],
    }


def constant(text: str | None) -> str | None:
    """Return a text without what is another in each run."""
    if text is None:
        return None
    text = re.sub(r"\b[0-9a-f]{16,}\b|[0-9a-f]{8}(-[0-9a-f]{4,}){4}", "...", text)
    return re.sub(r"127\.0\.0\.1:\d{2,}", "127.0.0.1:...", text)

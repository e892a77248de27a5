"""The Galaxy that is measured with says what a real one says."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from bench.galaxy import KEY, id_of, simulated

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain import AllowedWorkflow, HistoryId, InvocationId
from galaxy_jobs.domain.model.dataset import GalaxyData, Src
from tests.support.galaxy import Lab
from tests.support.ids import absent_id
from tests.support.truth import has_ended
from tests.support.wait import until


def shape(thing: Any) -> Any:
    """Return what a JSON value is made of: names and types."""
    if isinstance(thing, dict):
        return {name: shape(value) for name, value in thing.items()}
    if isinstance(thing, list):
        return [shape(one) for one in thing]
    return None if thing is None else type(thing).__name__


def ask(url: str, key: str, path: str) -> Any:
    answer = requests.get(url + path, headers={"x-api-key": key}, timeout=30)
    try:
        return answer.status_code, answer.json()
    except ValueError:
        return answer.status_code, answer.text


@pytest.fixture(scope="module")
def done(lab: Lab) -> InvocationId:
    """A run on the real Galaxy that has ended well."""
    real = Galaxy(lab.url, lab.key)
    history = real.create("measured with")
    id_ = real.invoke(
        real.find(AllowedWorkflow(name="success")).workflow_id,
        {"text": GalaxyData(Src.HDA, lab.text)},
        HistoryId(history),
    )
    path = "invocations/{}?step_details=true"
    until(lambda: has_ended(lambda id_: lab.call("GET", path.format(id_)), id_), 90)
    return id_


def test_its_answers_are_shaped_as_a_real_ones(lab: Lab, done: InvocationId) -> None:
    with simulated(10) as galaxy:
        galaxy.move([id_of(3)])
        for path in (
            "/api/invocations/{}?step_details=true",
            "/api/histories/{0}/jobs_summary?ids={0}&types=WorkflowInvocation",
            "/api/users/current",
        ):
            ours = ask(galaxy.url, KEY, path.format(id_of(3)))
            theirs = ask(lab.url, lab.key, path.format(done))
            assert ours[0] == theirs[0] == 200
            assert isinstance(ours[1], type(theirs[1]))
            if "users" in path:  # has a user's own settings in it
                assert isinstance(ours[1]["id"], str)
            elif "jobs_summary" in path:
                (one,), (other,) = ours[1], theirs[1]
                assert shape(one) == shape(other)
                assert one["states"] == other["states"] == {"ok": 1}
            else:
                assert shape(ours[1]) == shape(theirs[1])


def test_an_absent_run_is_answered_as_by_a_real_one(
    lab: Lab, galaxy: LocalGalaxy, done: InvocationId
) -> None:
    absent = absent_id(galaxy)
    with simulated(10) as ours:
        for url, key, known in ((ours.url, KEY, id_of(3)), (lab.url, lab.key, done)):
            bulk = (
                f"/api/histories/{known}/jobs_summary?ids={known},{absent}"
                "&types=WorkflowInvocation,WorkflowInvocation"
            )
            assert ask(url, key, bulk) == (500, "Internal Server Error")


def test_a_poller_reads_both_alike(lab: Lab, done: InvocationId) -> None:
    with simulated(10) as galaxy:
        galaxy.move([id_of(3)])
        ours, theirs = Galaxy(galaxy.url, KEY), Galaxy(lab.url, lab.key)
        mine = InvocationId(id_of(3))
        assert ours.summaries([mine])[mine] == theirs.summaries([done])[done]
        assert [one.name for one in ours.report(mine).steps] == [
            one.name for one in theirs.report(done).steps
        ]

"""The tag of a list: when it stays and when it does not, and who has it already."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from galaxy_jobs.domain import Invocation, InvocationId
from galaxy_jobs.domain.model.invocation import InvocationState, Sighting
from galaxy_jobs.domain.ports import Cursor, Page
from galaxy_jobs.entrypoints.api.job_pages import matches
from tests.support.api import StandIn, an_api
from tests.support.build import LATER, NOON, an_invocation


def answered(*jobs: Invocation, following: Cursor | None = None) -> str:
    with an_api(list_jobs=StandIn(Page(jobs, following))) as api:
        answer = api.get("/jobs")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["vary"] == "Authorization, Cookie"
    assert answer.headers["content-type"] == "application/json"
    return answer.headers["etag"]


JOB = an_invocation()
ANOTHER = evolve(JOB, invocation_id=InvocationId("inv2"))


def test_the_tag_is_weak_and_stays_while_nothing_changes() -> None:
    tag = answered(JOB)
    assert tag.startswith('W/"')
    observed = JOB.seen(Sighting(state=JOB.state, galaxy_state=JOB.galaxy_state), LATER)
    assert observed.observed_at == LATER
    assert answered(observed) == tag


def test_the_tag_goes_with_whatever_changes() -> None:
    sighting = Sighting(state=InvocationState.IN_PROGRESS, galaxy_state="scheduled")
    stale = evolve(JOB, stale_at=NOON - timedelta(seconds=1))
    tags = [
        answered(),
        answered(JOB),
        answered(JOB.seen(sighting, LATER)),
        answered(JOB.request_cancel(LATER)),
        answered(stale),
        answered(ANOTHER),
        answered(JOB, ANOTHER),
        answered(ANOTHER, JOB),
        answered(JOB, following=Cursor(NOON, "inv1")),
    ]
    # What is cancelling and what is in progress: one change each of the same job.
    del tags[3]
    assert len(set(tags)) == len(tags)


def test_who_has_it_gets_no_body() -> None:
    with an_api(list_jobs=StandIn(Page((JOB,), None))) as api:
        tag = api.get("/jobs").headers["etag"]
        answer = api.get("/jobs", headers={"If-None-Match": tag})
        assert answer.status_code == 304
        assert answer.content == b""
        assert answer.headers["etag"] == tag
        assert answer.headers["cache-control"] == "private, no-cache"
        assert "content-type" not in answer.headers
        other = api.get("/jobs", headers={"If-None-Match": 'W/"other"'})
        assert other.status_code == 200


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, False),
        ("", False),
        ('W/"a"', True),
        ('"a"', True),  # a weak comparison
        ('"b"', False),
        ('"b", W/"a"', True),
        ('W/"b","c" , "a"', True),
        ('"b, a"', False),
        ("*", True),
        (" * ", True),
        ("a", False),
        ('"*"', False),
        ('W/"a', False),
        ('w/"b"', False),
    ],
)
def test_weak_tags_lists_and_a_star(said: str | None, expected: bool) -> None:  # noqa: FBT001 - a table
    assert matches(said, 'W/"a"') is expected

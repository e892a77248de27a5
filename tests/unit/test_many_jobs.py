"""Cancelling and rerunning many jobs: what matches, so many at most, each once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.memory import MemoryInvocations, MemorySubmissions
from galaxy_jobs.domain import (
    IdempotencyKey,
    Invocation,
    InvocationId,
    InvocationState,
    JobFilter,
    Label,
)
from galaxy_jobs.domain.errors import (
    InvalidParameters,
    InvalidValue,
    RunnerUnavailable,
    TooManyJobs,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import CancelJobs, RerunJobs, Submitted
from galaxy_jobs.domain.use_cases.many_jobs import TIME_LIMIT
from tests.support.world import REQUEST, World


PLATE = JobFilter(labels=frozenset([Label("plate", "7")]))
NEVER = JobFilter(labels=frozenset([Label("plate", "8")]))
MANY_KEY = IdempotencyKey("token", "many")


@pytest.fixture
def world() -> World:
    return World.made()


def submitted(world: World, number: int) -> list[InvocationId]:
    request = evolve(REQUEST, labels={"plate": "7"})
    ids = []
    for _ in range(number):
        world.clock.advance(timedelta(seconds=1))
        ids.append(world.submit(request, SERVICE).invocation_id)
    world.submit(REQUEST, SERVICE)  # another one
    return ids[::-1]


def cancels(world: World) -> CancelJobs:
    return CancelJobs(MemoryInvocations(world.store), world.cancel, world.clock)


def reruns(world: World) -> RerunJobs:
    return RerunJobs(
        MemoryInvocations(world.store),
        MemorySubmissions(world.store),
        world.rerun,
        world.clock,
    )


def test_refuses_changes_that_no_job_could_have(world: World) -> None:
    rerun = reruns(world)
    with pytest.raises(InvalidValue):
        rerun(NEVER, SERVICE, 1, dataset_input="x" * 256)
    with pytest.raises(InvalidParameters):
        rerun(NEVER, SERVICE, 1, parameters={"text": "x" * 70_000})


def test_cancels_what_matches_and_nothing_else(world: World) -> None:
    ids = submitted(world, 3)
    cancel = cancels(world)
    dry = cancel(PLATE, SERVICE, 3, dry_run=True)
    assert [(each.job.invocation_id, each.done) for each in dry] == [
        (id_, False) for id_ in ids
    ]
    assert all(job.state is InvocationState.QUEUED for job in jobs(world))
    outcomes = cancel(PLATE, SERVICE, 3)
    assert [each.job.invocation_id for each in outcomes] == ids
    assert all(each.done for each in outcomes)
    cancelling = [job for job in jobs(world) if job.state.value == "cancelling"]
    assert {job.invocation_id for job in cancelling} == {*ids}
    # What is cancelled counts still, until it has ended; then it does not.
    assert all(each.done for each in cancel(PLATE, SERVICE, 3))
    world.settle()
    assert cancel(PLATE, SERVICE, 1) == []
    ended = evolve(PLATE, states=frozenset([InvocationState.CANCELLED]))
    assert all(each.done for each in cancel(ended, SERVICE, 3))
    assert cancel(NEVER, SERVICE, 1) == []


def test_what_has_ended_is_not_cancelled_and_the_others_are(world: World) -> None:
    ids = submitted(world, 2)
    world.settle()
    states = frozenset(InvocationState)
    outcomes = cancels(world)(evolve(PLATE, states=states), SERVICE, 2)
    assert [each.done for each in outcomes] == [False, False]
    problems = [each.problem and each.problem.code for each in outcomes]
    assert problems == ["already-ended"] * len(ids)


@pytest.mark.parametrize("rerun", [False, True])
def test_one_more_than_allowed_changes_nothing(world: World, rerun: bool) -> None:  # noqa: FBT001
    submitted(world, 3)
    before = jobs(world)
    many = reruns(world) if rerun else cancels(world)
    for dry_run in (False, True):
        with pytest.raises(TooManyJobs, match="More than 2 jobs match") as refused:
            many(PLATE, SERVICE, 2, dry_run=dry_run)
        assert refused.value.extra() == {"at_most": 2}
    assert jobs(world) == before
    for wrong in (0, -1, 1001):
        with pytest.raises(InvalidValue, match="at_most"):
            many(PLATE, SERVICE, wrong)


def test_reruns_each_once_however_often_it_is_repeated(world: World) -> None:
    ids = submitted(world, 3)
    rerun = reruns(world)
    assert not any(o.done for o in rerun(PLATE, SERVICE, 3, key=MANY_KEY, dry_run=True))
    first = rerun(PLATE, SERVICE, 3, key=MANY_KEY)
    assert [each.job.invocation_id for each in first] == ids
    made = [each.submitted and each.submitted.invocation_id for each in first]
    assert {job.rerun_of for job in jobs(world) if job.rerun_of} == {*ids}
    # The new jobs match, too; of a repeated request they are no part.
    again = rerun(PLATE, SERVICE, 3, key=MANY_KEY)
    assert [each.submitted and each.submitted.invocation_id for each in again] == made
    assert all(each.submitted and each.submitted.replayed for each in again)
    with pytest.raises(TooManyJobs):
        rerun(PLATE, SERVICE, 3, key=IdempotencyKey("token", "another"))
    # Nor are they those of another caller, who has the same key by chance.
    others = IdempotencyKey("another token", MANY_KEY.key)
    assert len(rerun(PLATE, SERVICE, 6, key=others, dry_run=True)) == 6
    assert len(rerun(PLATE, SERVICE, 6)) == 6


def test_goes_on_where_it_stopped(world: World) -> None:
    ids = submitted(world, 3)
    rerun = reruns(world)
    world.galaxy.fail_next("create", RunnerUnavailable("down"))
    outcomes = rerun(PLATE, SERVICE, 3, key=MANY_KEY)
    problems = [each.problem and each.problem.code for each in outcomes]
    assert problems == ["galaxy-unavailable", None, None]
    assert not any(each.done for each in outcomes)
    outcomes = rerun(PLATE, SERVICE, 3, key=MANY_KEY)
    assert all(each.done for each in outcomes)
    assert {job.rerun_of for job in jobs(world) if job.rerun_of} == {*ids}


def test_begins_with_no_further_job_once_the_time_is_over(world: World) -> None:
    submitted(world, 3)

    def slow(*args: Any, **kwargs: Any) -> Submitted:
        world.clock.advance(TIME_LIMIT / 2)
        return world.rerun(*args, **kwargs)

    outcomes = evolve(reruns(world), rerun=slow)(PLATE, SERVICE, 3, key=MANY_KEY)
    assert [each.done for each in outcomes] == [True, True, False]


def jobs(world: World) -> list[Invocation]:
    page = MemoryInvocations(world.store).page(JobFilter(), SERVICE, 200)
    return list(page.items)

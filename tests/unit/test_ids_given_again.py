"""A run of somebody else that has the id of one of our jobs is not taken for it."""

from __future__ import annotations

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.memory.galaxy import SimulatedRun
from galaxy_jobs.domain import HistoryId, Invocation, InvocationId, InvocationState
from galaxy_jobs.domain.errors import RunNotFound
from galaxy_jobs.domain.model.invocation import REPLACED
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import AnswerReview, PollPolicy, RefreshJob
from tests.support.build import HERE
from tests.support.world import REQUEST, World


FOREIGN = HistoryId("history of somebody else")


@pytest.fixture
def world() -> World:
    return World.made()


def replace(world: World, job: Invocation) -> SimulatedRun:
    """Have Galaxy give the id of a job to a run in another history."""
    (run,) = (r for r in world.galaxy.runs if r.invocation_id == job.invocation_id)
    world.galaxy.histories[FOREIGN] = evolve(world.galaxy.histories[run.history_id])
    run.history_id = FOREIGN
    return run


def submitted(world: World) -> Invocation:
    done = world.submit(REQUEST, SERVICE)
    world.round()
    job = world.job(done.invocation_id)
    assert not job.state.is_terminal
    return job


def given_again(world: World) -> float:
    totals: float = world.poll.queue.backlog()[world.galaxy.who].totals["given_again"]
    return totals


def test_a_run_in_another_history_is_not_ours(world: World) -> None:
    job = submitted(world)
    replace(world, job)
    world.settle()
    after = world.job(job.invocation_id)
    assert (after.state, after.galaxy_state) == (InvocationState.FAILED, "gone")
    assert after.failure is not None
    assert after.failure.reason == "gone"
    assert after.galaxy_id is None
    assert f"its id, {job.invocation_id}, to another" in (after.attention or "")
    assert after.steps == job.steps
    assert given_again(world) == 1


def test_one_odd_answer_is_not_believed(world: World) -> None:
    job = submitted(world)
    own = next(r for r in world.galaxy.runs).history_id
    run = replace(world, job)
    world.poll()
    assert not world.job(job.invocation_id).state.is_terminal
    run.history_id = own
    world.settle()
    after = world.job(job.invocation_id)
    assert after.state is InvocationState.COMPLETED
    assert (
        world.poll.queue.backlog()[world.galaxy.who].totals.get("given_again") is None
    )


def test_it_is_not_cancelled_in_the_place_of_ours(world: World) -> None:
    job = submitted(world)
    world.cancel(job.invocation_id, SERVICE)
    replace(world, job)
    world.settle()
    assert world.galaxy.calls["cancel"] == 0
    after = world.job(job.invocation_id)
    assert after.state is InvocationState.FAILED


def test_a_job_that_has_failed_while_jobs_of_it_go_on_is_left_alone_then(
    world: World,
) -> None:
    job = submitted(world)
    replaced = job.replaced(job.updated_at)
    assert replaced.version == job.version + 1
    assert replaced.replaced(job.updated_at) is replaced
    ended = evolve(job, state=InvocationState.COMPLETED)
    after = ended.replaced(job.updated_at)
    assert (after.state, after.failure) == (InvocationState.COMPLETED, None)


def test_that_is_believed_only_of_our_own_galaxy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(world)
    replace(world, job)
    who = iter([HERE, evolve(HERE, user_id="another")])
    world.galaxy.who = HERE
    monkeypatch.setattr(
        type(world.galaxy), "identity", lambda self: next(who, self.who)
    )
    store = world.store.invocations
    store[job.invocation_id] = evolve(store[job.invocation_id], identity=HERE)
    sweep = world.poll()
    assert sweep.given_again == 0
    assert not world.job(job.invocation_id).state.is_terminal


def test_a_later_run_of_ours_gets_the_id(world: World) -> None:
    job = submitted(world)
    replace(world, job)
    for _ in range(3):
        world.round()
    world.wipe()
    done = world.submit(REQUEST, SERVICE)
    assert done.invocation_id == job.invocation_id
    world.settle()
    assert world.job(done.invocation_id).state is InvocationState.COMPLETED
    (key,) = world.store.invocations.keys() - {done.invocation_id}
    earlier = world.job(InvocationId(key))
    assert key == f"{job.invocation_id},{job.submission_id.hex[:8]}"
    assert (earlier.submission_id, earlier.galaxy_id) == (job.submission_id, None)
    assert given_again(world) == 1


def test_an_id_that_a_later_run_of_ours_takes_is_counted(world: World) -> None:
    submitted(world)
    world.wipe()
    world.submit(REQUEST, SERVICE)
    assert given_again(world) == 1


def test_neither_refreshed_nor_reviewed(world: World) -> None:
    job = submitted(world)
    replace(world, job)
    refresh = RefreshJob(
        world.reconcile.invocations, world.galaxy, world.clock, PollPolicy()
    )
    review = AnswerReview(world.reconcile.invocations, world.galaxy, refresh)
    with pytest.raises(RunNotFound, match=REPLACED):
        refresh(job.invocation_id, SERVICE)
    with pytest.raises(RunNotFound, match=REPLACED):
        review(job.invocation_id, SERVICE, "0", approve=True)
    assert world.galaxy.calls["review"] == 0

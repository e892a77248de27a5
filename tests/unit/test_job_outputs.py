"""Changes in Galaxy after the end of a job show where its outputs are read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from attrs import evolve

from galaxy_jobs.adapters.testing.memory import MemoryInvocations
from galaxy_jobs.adapters.testing.memory.galaxy import FAILURE, SUCCESS, TEXT, Moment
from galaxy_jobs.domain import (
    Identity,
    Invocation,
    InvocationId,
    InvocationState,
    Output,
    Sighting,
)
from galaxy_jobs.domain.errors import RunnerUnavailable, RunNotFound, StoreUnavailable
from galaxy_jobs.domain.model.invocation import CHANGED_AFTER_END
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import CancelJob, JobOutputs, PollPolicy, RefreshJob
from tests.support.faults import When
from tests.support.world import REQUEST, World


S = InvocationState
DOWN = RunnerUnavailable("Galaxy is down.")
REPAIRED = Moment("completed", {"text": "", "sort": "ok", "count": "ok"})
BROKEN = Moment("completed", {"text": "", "sort": "error"})
RUNS_AGAIN = Moment("completed", {"text": "", "sort": "running", "count": "paused"})


@pytest.fixture
def world() -> World:
    return World.made()


def outputs_of(world: World) -> JobOutputs:
    """Return the use case, every call of which goes through the faults."""
    submit = world.submit
    invocations = world.faults.around("invocations", MemoryInvocations(world.store))
    return JobOutputs(invocations, submit.runner, submit.identity, world.clock)


def with_states(*states: str | None) -> list[Output]:
    return [
        Output(label=f"o{n}", src="hda", id=f"o{n}", state=state)
        for n, state in enumerate(states)
    ]


def ended(
    world: World, plan: Sequence[Moment], *states: str | None, now: Moment
) -> Invocation:
    """Have a job end, and Galaxy show another moment and other outputs since."""
    name = f"w{len(world.galaxy.workflows)}"
    world.galaxy.add_workflow(name, TEXT, plan=plan, outputs=with_states(*states))
    submitted = world.submit(evolve(REQUEST, workflow_name=name), SERVICE)
    for _ in range(5):
        world.round()
    job = world.job(submitted.invocation_id)
    assert job.state.is_terminal
    world.galaxy.runs[-1].moment = now
    world.clock.advance(timedelta(minutes=1))
    return job


CHANGED = [
    (FAILURE, ["ok", "ok"], REPAIRED),
    (FAILURE, ["ok", "empty", None], REPAIRED),
    (FAILURE, ["ok"], RUNS_AGAIN),
    (SUCCESS, ["ok", "error"], BROKEN),
    (SUCCESS, ["running"], RUNS_AGAIN),
]
UNCHANGED = [
    (FAILURE, ["ok", "ok"], FAILURE[-1]),  # no output is of the step that failed
    (FAILURE, ["error"], FAILURE[-1]),
    (FAILURE, [], FAILURE[-1]),
    (SUCCESS, ["ok", "error"], SUCCESS[-1]),  # the input had it in error already
    (SUCCESS, ["ok", None], SUCCESS[-1]),
    (SUCCESS, [], SUCCESS[-1]),
]


@pytest.mark.parametrize(("plan", "states", "now"), CHANGED)
def test_a_job_that_was_changed_after_its_end_says_so_until_it_is_refreshed(
    world: World, plan: Sequence[Moment], states: list[str], now: Moment
) -> None:
    before = ended(world, plan, *states, now=now)
    outputs = outputs_of(world)
    assert list(outputs(before.invocation_id, SERVICE)) == with_states(*states)
    after = world.job(before.invocation_id)
    assert after == evolve(
        before,
        attention=CHANGED_AFTER_END,
        version=before.version + 1,
        updated_at=world.clock(),
    )
    world.clock.advance(timedelta(minutes=1))
    outputs(before.invocation_id, SERVICE)
    assert world.job(before.invocation_id) == after, "told once"
    refresh = RefreshJob(outputs.invocations, outputs.runner, world.clock, PollPolicy())
    refreshed = refresh(before.invocation_id, SERVICE)
    assert refreshed.state is not before.state
    assert refreshed.attention != CHANGED_AFTER_END


@pytest.mark.parametrize(("plan", "states", "now"), UNCHANGED)
def test_a_job_that_has_the_same_end_stays_as_it_is(
    world: World, plan: Sequence[Moment], states: list[str], now: Moment
) -> None:
    before = ended(world, plan, *states, now=now)
    outputs_of(world)(before.invocation_id, SERVICE)
    assert world.job(before.invocation_id) == before


@pytest.mark.parametrize(
    ("plan", "states"),
    [(SUCCESS, ["ok"]), (SUCCESS, ["deleted"]), (FAILURE, ["error"]), (FAILURE, [])],
)
def test_the_whole_run_is_looked_at_only_if_the_outputs_do_not_fit_its_end(
    world: World, plan: Sequence[Moment], states: list[str]
) -> None:
    before = ended(world, plan, *states, now=plan[-1])
    reports = world.galaxy.calls["report"]
    outputs_of(world)(before.invocation_id, SERVICE)
    assert world.galaxy.calls["report"] == reports


@pytest.mark.parametrize("state", ["deleted", "purged"])
def test_outputs_that_were_deleted_after_the_end_are_named(
    world: World, state: str
) -> None:
    before = ended(world, SUCCESS, "ok", state, now=SUCCESS[-1])
    outputs_of(world)(before.invocation_id, SERVICE)
    after = world.job(before.invocation_id)
    assert after.state is S.COMPLETED
    assert after.attention == "Changed in Galaxy after the end: deleted 'o1'."


def test_what_a_run_may_have_failed_for_is_not_said_to_be_deleted_after_the_end(
    world: World,
) -> None:
    before = ended(world, FAILURE, "deleted", now=FAILURE[-1])
    outputs_of(world)(before.invocation_id, SERVICE)
    after = world.job(before.invocation_id)
    assert (after.state, after.attention) == (S.FAILED, "Deleted in Galaxy: 'o0'.")


def test_outputs_that_this_service_deleted_are_no_news(world: World) -> None:
    before = ended(world, SUCCESS, "purged", now=SUCCESS[-1])
    superseded = evolve(before, superseded_by=InvocationId("later"))
    world.store.invocations[before.invocation_id] = superseded
    outputs_of(world)(before.invocation_id, SERVICE)
    assert world.job(before.invocation_id) == superseded


def test_a_job_that_is_followed_is_left_to_the_poller(world: World) -> None:
    world.galaxy.add_workflow("long", TEXT, outputs=with_states("error", "deleted"))
    submitted = world.submit(evolve(REQUEST, workflow_name="long"), SERVICE)
    world.galaxy.tick()
    before = world.job(submitted.invocation_id)
    outputs_of(world)(submitted.invocation_id, SERVICE)
    assert world.job(submitted.invocation_id) == before


def test_the_outputs_are_listed_though_the_run_cannot_be_looked_at(
    world: World,
) -> None:
    before = ended(world, FAILURE, "ok", now=REPAIRED)
    world.galaxy.fail_next("report", DOWN)
    assert list(outputs_of(world)(before.invocation_id, SERVICE)) == with_states("ok")
    assert world.job(before.invocation_id) == before


def test_another_galaxy_is_not_asked_for_the_outputs(world: World) -> None:
    before = ended(world, SUCCESS, "ok", now=SUCCESS[-1])
    world.galaxy.who = Identity("http://other.simulated", "user")
    asked = world.galaxy.calls["outputs"]
    with pytest.raises(RunNotFound, match="another Galaxy"):
        outputs_of(world)(before.invocation_id, SERVICE)
    assert world.galaxy.calls["outputs"] == asked


# --- others change the job at the same time -----------------------------------


def busy(world: World, id_: InvocationId, times: int) -> None:
    """Have a poller store a change before each of some saves."""

    def change() -> None:
        nonlocal times
        job = world.job(id_)
        world.store.invocations[id_] = evolve(job, version=job.version + 1)
        times -= 1
        if times:
            world.faults.strikes["invocations.save", When.BEFORE] = change

    world.faults.strikes["invocations.save", When.BEFORE] = change


@pytest.mark.parametrize("times", [1, 9])
def test_a_job_is_refreshed_while_others_change_it(world: World, times: int) -> None:
    job = ended(world, FAILURE, "ok", now=REPAIRED)
    busy(world, job.invocation_id, times)
    outputs = outputs_of(world)
    refresh = RefreshJob(outputs.invocations, outputs.runner, world.clock, PollPolicy())
    assert refresh(job.invocation_id, SERVICE).state is S.COMPLETED


def test_a_refresh_and_a_cancel_give_up_after_ten_attempts(world: World) -> None:
    job = ended(world, FAILURE, "ok", now=REPAIRED)
    outputs = outputs_of(world)
    refresh = RefreshJob(outputs.invocations, outputs.runner, world.clock, PollPolicy())
    busy(world, job.invocation_id, 1000)
    with pytest.raises(StoreUnavailable, match="Try again later"):
        refresh(job.invocation_id, SERVICE)
    assert world.faults.calls.count("invocations.save") == 10
    running = evolve(
        job,
        state=S.IN_PROGRESS,
        failure=None,
        version=world.job(job.invocation_id).version,
    ).seen(Sighting(state=S.IN_PROGRESS, galaxy_state="scheduled"), world.clock())
    world.store.invocations[job.invocation_id] = running
    busy(world, job.invocation_id, 1000)
    with pytest.raises(StoreUnavailable):
        CancelJob(outputs.invocations, world.clock)(job.invocation_id, SERVICE)

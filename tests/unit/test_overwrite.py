"""Runs that take the place of others: stopped, cleared away, and never too early."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from galaxy_jobs.adapters.testing.memory import MemoryDatasets
from galaxy_jobs.adapters.testing.memory.galaxy import FAILURE, SUCCESS
from galaxy_jobs.domain import (
    Dataset,
    DatasetId,
    GalaxyData,
    HistoryId,
    IdempotencyKey,
    InvocationId,
    InvocationState,
    Output,
    Src,
)
from galaxy_jobs.domain.errors import (
    AlreadyEnded,
    DomainError,
    OutcomeUnknown,
    RunnerUnavailable,
)
from galaxy_jobs.domain.model.submission import history_mark
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from tests.support.faults import Killed, Paused, When
from tests.support.world import HDA, REQUEST, World


OVERWRITE = evolve(REQUEST, overwrite=True)
LOST = OutcomeUnknown("No answer came.")
DOWN = RunnerUnavailable("Galaxy is down.")
OUTPUT = GalaxyData(Src.HDA, "output1")


@pytest.fixture
def world() -> World:
    return World.made()


def history_of(world: World, invocation_id: InvocationId) -> HistoryId:
    found = world.job(invocation_id).history_id
    assert found is not None
    return found


def deleted(world: World, invocation_id: InvocationId) -> bool:
    return world.galaxy.histories[history_of(world, invocation_id)].deleted


def makes_an_output(world: World) -> None:
    """Let every run have the same dataset in its history."""
    workflow = world.galaxy.workflows[world.workflow_id]
    workflow.outputs = (
        Output(label="out", src="hda", id=OUTPUT.id, name="out", state="ok"),
    )


def register(world: World, source: GalaxyData) -> None:
    MemoryDatasets(world.store).add(
        Dataset(
            dataset_id=DatasetId("d2"),
            name="drawn",
            source=source,
            created_at=world.clock(),
        ),
        SERVICE,
    )


def test_what_was_superseded_is_cleared_once_the_later_one_has_completed(
    world: World,
) -> None:
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    second = world.submit(OVERWRITE, SERVICE).invocation_id
    assert world.job(first).superseded_by == second
    world.galaxy.tick(2)
    world.clock.advance(timedelta(minutes=5))
    world.poll()
    assert world.job(second).state is InvocationState.IN_PROGRESS
    assert not deleted(world, first)
    world.settle()
    assert deleted(world, first)
    assert not deleted(world, second)
    assert world.job(first).state is InvocationState.COMPLETED, "it did complete"


@pytest.mark.parametrize("purge", [True, False])
def test_results_that_are_purged_are_shown_as_deleted(
    world: World,
    purge: bool,  # noqa: FBT001
) -> None:
    clear = evolve(world.poll.clear, purge=purge)
    world = evolve(world, poll=evolve(world.poll, clear=clear))
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    world.submit(OVERWRITE, SERVICE)
    world.settle()
    assert deleted(world, first)
    after = world.job(first)
    assert after.results == ("deleted" if purge else "kept")
    assert (after.results_deleted_at is not None) == purge
    assert after.state is InvocationState.COMPLETED


def test_the_history_of_an_adopted_one_is_kept(world: World) -> None:
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    run = world.job(first)
    world.store.invocations[first] = evolve(run, adopted=True)
    world.submit(OVERWRITE, SERVICE)
    world.settle()
    assert not deleted(world, first)


def test_a_running_one_is_stopped_first(world: World) -> None:
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.galaxy.tick()
    world.submit(OVERWRITE, SERVICE)
    assert world.job(first).state is InvocationState.CANCELLING
    world.settle()
    assert world.job(first).state is InvocationState.CANCELLED
    assert deleted(world, first)


def test_if_the_later_one_fails_no_history_is_touched(world: World) -> None:
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    world.galaxy.workflows[world.workflow_id].plan = FAILURE
    second = world.submit(OVERWRITE, SERVICE).invocation_id
    world.settle()
    assert world.job(second).state is InvocationState.FAILED
    assert not deleted(world, first)


def test_what_failed_to_replace_them_gives_way_to_what_does(world: World) -> None:
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    workflow = world.galaxy.workflows[world.workflow_id]
    workflow.plan = FAILURE
    failed = [world.submit(OVERWRITE, SERVICE).invocation_id for _ in range(3)]
    world.settle()
    assert not deleted(world, first)
    workflow.plan = SUCCESS
    last = world.submit(OVERWRITE, SERVICE).invocation_id
    world.settle()
    assert world.job(first).superseded_by == failed[0]
    assert world.job(failed[2]).superseded_by == last
    assert all(deleted(world, id_) for id_ in [first, *failed])
    assert not deleted(world, last)


def test_another_datasets_runs_and_other_workflows_are_left_alone(
    world: World,
) -> None:
    register(world, HDA)
    other = world.submit(
        evolve(REQUEST, dataset_id=DatasetId("d2")), SERVICE
    ).invocation_id
    world.submit(OVERWRITE, SERVICE)
    world.settle()
    assert world.job(other).superseded_by is None
    assert world.job(other).state is InvocationState.COMPLETED
    assert not deleted(world, other)


def test_a_history_that_a_dataset_is_drawn_from_is_kept_and_that_is_said(
    world: World,
) -> None:
    makes_an_output(world)
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    register(world, OUTPUT)
    world.submit(OVERWRITE, SERVICE)
    world.settle()
    assert not deleted(world, first)
    assert "'d2'" in (world.job(first).attention or "")


def test_a_note_about_a_history_names_nothing_of_another_owner(world: World) -> None:
    makes_an_output(world)
    lab_a, lab_b = (Viewer(owner=name, sees_all=False) for name in ("a", "b"))
    datasets = MemoryDatasets(world.store)
    for viewer, id_, source in (
        (lab_a, REQUEST.dataset_id, HDA),
        (lab_b, DatasetId("d2"), OUTPUT),
    ):
        dataset = Dataset(
            dataset_id=id_, name="drawn", source=source, created_at=world.clock()
        )
        datasets.add(dataset, viewer)
    first = world.submit(REQUEST, lab_a).invocation_id
    world.settle()
    second = world.submit(OVERWRITE, lab_a).invocation_id
    world.settle()
    assert not deleted(world, first)
    assert world.job(first).superseded_by == second
    assert world.job(first).attention is None
    # Of its own it does.
    own = Dataset(
        dataset_id=DatasetId("mine"),
        name="drawn",
        source=OUTPUT,
        created_at=world.clock(),
    )
    datasets.add(own, lab_a)
    world.submit(OVERWRITE, lab_a)
    world.settle()
    note = world.job(second).attention or ""
    assert "dataset 'mine' needs it" in note
    assert "d2" not in note


def test_a_history_that_an_active_run_draws_from_is_kept_and_that_is_said(
    world: World,
) -> None:
    makes_an_output(world)
    extra = evolve(
        REQUEST,
        workflow_name="w2",
        parameters={"more": {"src": "hda", "id": OUTPUT.id}},
    )
    world.galaxy.add_workflow(
        "w2",
        *world.galaxy.workflows[world.workflow_id].workflow.inputs[:1],
        evolve(
            world.galaxy.workflows[world.workflow_id].workflow.inputs[0], name="more"
        ),
        plan=[*SUCCESS[:3]],
    )
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    user = world.submit(
        evolve(extra, dataset_id=REQUEST.dataset_id), SERVICE
    ).invocation_id
    world.submit(OVERWRITE, SERVICE)
    world.settle()
    assert not deleted(world, first)
    assert user in (world.job(first).attention or "")


@pytest.mark.parametrize("when", When)
def test_whoever_names_it_while_it_is_deleted_still_finds_it(
    world: World, when: When
) -> None:
    makes_an_output(world)
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    world.submit(OVERWRITE, SERVICE)
    world.faults.strikes["histories.delete", when] = lambda: register(world, OUTPUT)
    world.settle()
    assert not deleted(world, first)
    assert "'d2'" in (world.job(first).attention or "")


def test_one_that_is_named_after_the_deleter_died_is_brought_back(
    world: World,
) -> None:
    makes_an_output(world)
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    world.submit(OVERWRITE, SERVICE)
    world.faults.kills("histories.delete", When.AFTER)
    with pytest.raises(Killed):
        world.settle()
    register(world, OUTPUT)
    world.settle()
    assert not deleted(world, first)


@pytest.mark.parametrize("name", ["my favourite", "my favourite {}", "w on d2 ({})"])
def test_a_history_that_somebody_has_renamed_is_theirs_now(
    world: World, name: str
) -> None:
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    mark = history_mark(world.job(first).submission_id)
    world.galaxy.histories[history_of(world, first)].name = name.format(mark)
    world.submit(OVERWRITE, SERVICE)
    world.settle()
    assert not deleted(world, first)


def test_a_history_with_the_name_of_the_version_before_is_ours(world: World) -> None:
    first = world.submit(REQUEST, SERVICE).invocation_id
    world.settle()
    mark = history_mark(world.job(first).submission_id)
    assert mark == f"galaxy-jobs {world.job(first).submission_id}"
    world.galaxy.histories[history_of(world, first)].name = mark
    world.submit(OVERWRITE, SERVICE)
    world.settle()
    assert deleted(world, first)


def test_of_two_that_overwrite_the_later_accepted_one_stays(world: World) -> None:
    slow = Paused(lambda: world.submit(OVERWRITE, SERVICE))
    world.faults.strikes["submissions.accept", When.BEFORE] = slow.pause
    slow.start()
    first = world.submit(OVERWRITE, SERVICE).invocation_id
    slow.go_on()
    assert slow.result is not None
    world.settle()
    assert world.job(first).superseded_by == slow.result.invocation_id
    assert world.job(slow.result.invocation_id).superseded_by is None
    assert not deleted(world, slow.result.invocation_id)


@pytest.mark.parametrize("when", When)
def test_a_poller_killed_at_any_call_clears_all_the_same(when: When) -> None:
    def scene() -> tuple[World, InvocationId, InvocationId, int]:
        world = World.made()
        done = world.submit(REQUEST, SERVICE).invocation_id
        world.settle()
        running = world.submit(REQUEST, SERVICE).invocation_id
        world.galaxy.tick()
        world.submit(OVERWRITE, SERVICE)
        return world, done, running, len(world.faults.calls)

    rehearsal, _, _, begun = scene()
    for _ in range(8):
        rehearsal.round()
    for number in range(begun, len(rehearsal.faults.calls)):
        world, done, running, _ = scene()
        world.faults.kills(number, when)
        with pytest.raises(Killed):
            world.settle()
        world.settle()
        assert deleted(world, done), number
        assert deleted(world, running), number
        assert world.job(running).state in {
            InvocationState.CANCELLED,
            InvocationState.COMPLETED,  # it came to its end before another poll
        }


# --- everything at once -------------------------------------------------------

KEYS = st.sampled_from([None, IdempotencyKey("", "a"), IdempotencyKey("", "b")])


class Jobs(RuleBasedStateMachine):
    """Submit, overwrite, rerun, cancel, poll and die, in any order.

    What ran, ended and was stopped is what the simulated Galaxy says.
    """

    @initialize()
    def begin(self) -> None:
        self.world = World.made()
        self.slow: list[Paused[Any]] = []
        self.cancelled: set[InvocationId] = set()
        # Somebody else's run, of the same workflow.
        galaxy = self.world.galaxy
        history = galaxy.create("mine")
        self.foreign = galaxy.invoke(self.world.workflow_id, {"text": HDA}, history)

    def quietly(self, do: Any) -> Any:
        try:
            return do()
        except (DomainError, Killed) as error:
            note(repr(error))
        finally:
            self.world.faults.strikes.clear()
        return None

    @rule(key=KEYS, overwrite=st.booleans())
    def submit(self, key: IdempotencyKey | None, *, overwrite: bool) -> None:
        wanted = evolve(REQUEST, overwrite=overwrite)
        self.quietly(lambda: self.world.submit(wanted, SERVICE, key))

    @rule(
        key=KEYS,
        call=st.sampled_from(["runner.invoke", "submissions.accept"]),
        when=st.sampled_from(When),
    )
    def overwrite_and_die(
        self, key: IdempotencyKey | None, call: str, when: When
    ) -> None:
        self.world.faults.kills(call, when)
        self.quietly(lambda: self.world.submit(OVERWRITE, SERVICE, key))

    @rule(key=KEYS)
    def overwrite_and_hear_nothing(self, key: IdempotencyKey | None) -> None:
        self.world.galaxy.fail_next("invoke", LOST, after=True)
        self.quietly(lambda: self.world.submit(OVERWRITE, SERVICE, key))

    @precondition(lambda self: self.world.store.invocations)
    @rule(data=st.data(), key=KEYS, overwrite=st.sampled_from([None, True, False]))
    def rerun(
        self, data: st.DataObject, key: IdempotencyKey | None, *, overwrite: bool | None
    ) -> None:
        invocation_id = data.draw(st.sampled_from(sorted(self.world.store.invocations)))
        answer = self.quietly(
            lambda: self.world.rerun(
                invocation_id, SERVICE, overwrite=overwrite, key=key
            )
        )
        if answer is not None:
            assert self.world.job(answer.invocation_id).rerun_of == invocation_id

    @precondition(lambda self: self.world.store.invocations)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        invocation_id = data.draw(st.sampled_from(sorted(self.world.store.invocations)))
        before = self.world.job(invocation_id).state
        try:
            self.world.cancel(invocation_id, SERVICE)
            self.cancelled.add(invocation_id)
        except AlreadyEnded:
            assert before in {InvocationState.COMPLETED, InvocationState.FAILED}

    @rule(bad=st.booleans())
    def runs_begun_from_now_on_go(self, *, bad: bool) -> None:
        workflow = self.world.galaxy.workflows[self.world.workflow_id]
        workflow.plan = FAILURE if bad else SUCCESS

    @rule(seconds=st.sampled_from([1, 31, 121, 700]))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    @rule(times=st.integers(1, 3))
    def galaxy_goes_on(self, times: int) -> None:
        self.world.galaxy.tick(times)

    @rule()
    def poll(self) -> None:
        self.world.poll()

    @rule(ahead=st.integers(0, 25), when=st.sampled_from(When))
    def poll_and_die(self, ahead: int, when: When) -> None:
        self.world.faults.kills(len(self.world.faults.calls) + ahead, when)
        self.quietly(self.world.poll)

    @rule(ahead=st.integers(0, 25), when=st.sampled_from(When))
    def poll_and_stop_in_the_middle(self, ahead: int, when: When) -> None:
        slow = Paused(self.world.poll)
        place = len(self.world.faults.calls) + ahead
        self.world.faults.strikes[place, when] = slow.pause
        slow.start()
        self.world.faults.strikes.clear()
        self.slow.append(slow)

    @precondition(lambda self: self.slow)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.slow) - 1))
        self.slow.pop(place).go_on()

    @rule(
        call=st.sampled_from(["contents", "marked", "delete", "cancel", "report"]),
        after=st.booleans(),
    )
    def poll_while_galaxy_fails(self, call: str, *, after: bool) -> None:
        self.world.galaxy.fail_next(call, DOWN, after=after)
        self.world.poll()

    def teardown(self) -> None:
        for slow in self.slow:
            slow.go_on()
        self.world.settle()
        store, galaxy = self.world.store, self.world.galaxy
        assert not store.active, "stuck"
        assert not [
            submission for submission in self.world.submissions() if submission.open
        ], "stuck"
        self.check_keys()
        for run in galaxy.runs:
            if run.invocation_id == self.foreign:
                assert run.moment.state == "completed", "a run that is not ours"
                assert not galaxy.histories[run.history_id].deleted
            elif run.at_work or run.invocation_id in store.invocations:
                self.check_run(run.invocation_id)
        self.check_order()

    def check_keys(self) -> None:
        held: dict[Any, int] = {}
        for submission in self.world.submissions():
            ran = len(self.world.ran(submission))
            assert ran <= 1, "doubled"
            if submission.key is not None:
                request = (submission.key, submission.created_at.date())
                held[request] = held.get(request, 0) + ran
        assert all(n <= 1 for n in held.values()), f"doubled: {held}"

    def check_run(self, id_: InvocationId) -> None:
        galaxy = self.world.galaxy
        (run,) = [run for run in galaxy.runs if run.invocation_id == id_]
        job = self.world.job(id_)
        jobs = [state for state in run.moment.steps.values() if state]
        if jobs and set(jobs) == {"ok"}:
            assert job.state is InvocationState.COMPLETED, "it did all it should"
        elif run.moment.state == "completed":
            assert job.state is InvocationState.FAILED
        else:
            assert run.moment.state == job.state.value
        if job.state is InvocationState.CANCELLED:
            assert id_ in self.cancelled or job.superseded_by, "nobody wanted that"
        successor, may_go = job, False
        while successor.superseded_by is not None:
            successor = self.world.job(successor.superseded_by)
            may_go = may_go or successor.state is InvocationState.COMPLETED
        assert galaxy.histories[run.history_id].deleted == may_go

    def check_order(self) -> None:
        births = [
            transition.invocation_id
            for transition in self.world.store.transitions
            if transition.from_state is None
        ]
        later = False
        for id_ in reversed(births):
            job = self.world.job(id_)
            assert bool(job.superseded_by) == later
            later = later or job.overwrite


TestJobs = Jobs.TestCase
TestJobs.settings = settings(max_examples=100, stateful_step_count=30)

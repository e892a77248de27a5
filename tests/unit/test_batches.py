"""Batches: each item runs once, a few at a time, whatever fails and whoever dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from galaxy_jobs.adapters.testing.memory.galaxy import TEXT
from galaxy_jobs.adapters.threads import BatchWorker
from galaxy_jobs.domain import (
    Batch,
    BatchRequest,
    DatasetId,
    InvocationState,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.errors import (
    BatchEnded,
    DataNotMade,
    DomainError,
    InvalidItems,
    InvalidValue,
    KeyReused,
    NothingFailed,
    OutcomeUnknown,
    RunnerError,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunRejected,
    StoreUnavailable,
    WorkflowNotFound,
)
from galaxy_jobs.domain.model.batch import CANCELLED
from galaxy_jobs.domain.model.submission import MAX_ATTEMPTS
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import InvokeNext, RerunBatch, SubmitPolicy
from galaxy_jobs.domain.use_cases.reconcile import ATTEMPTS_BROKEN_OFF
from galaxy_jobs.domain.use_cases.submit import UNEXPECTED
from tests.support.faults import Killed, When
from tests.support.world import HDA, KEY, REQUEST, World


DOWN = RunnerUnavailable("Galaxy is down.")

#: Every call of an item from when it is begun, in order.
CALLS = [
    "runner.identity",
    "batches.begin",
    "datasets.get",
    "catalog.find",
    "histories.create",
    "submissions.save",
    "runner.invoke",
    "submissions.accept",
]


@pytest.fixture
def world() -> World:
    return World.made()


def a_request(size: int = 3) -> BatchRequest:
    return BatchRequest(workflow_name="w", items=[REQUEST] * size)


def recorded(world: World, size: int = 3) -> Batch:
    return world.create_batch(a_request(size), SERVICE).batch


def limited(world: World, **limits: int) -> InvokeNext:
    """Return what invokes items under other limits."""
    submit = evolve(world.submit, policy=SubmitPolicy(**limits))  # type: ignore[arg-type]
    return InvokeNext(world.batches, submit)


def drain(world: World) -> None:
    """Invoke whatever may be begun."""
    while world.invoke_next():
        pass


def settle(world: World) -> None:
    """Let everything that was left be found, begun again, and come to its end."""
    world.galaxy.land()
    for _ in range(20):
        world.round()
        drain(world)


def states(world: World) -> list[str]:
    return [submission.state.value for submission in world.submissions()]


# --- recording ------------------------------------------------------------------


def test_it_is_recorded_without_a_word_to_galaxy_but_about_the_workflow(
    world: World,
) -> None:
    recorded(world, 500)
    assert world.faults.calls == [
        "catalog.find",
        "datasets.get_many",
        "runner.identity",
        "batches.open",
    ]
    assert states(world) == ["waiting"] * 500
    assert not world.galaxy.histories


def test_it_is_recorded_whole_or_not_at_all(world: World) -> None:
    items = [REQUEST, evolve(REQUEST, dataset_id=DatasetId("gone"))]
    items.append(evolve(REQUEST, parameters={"nothing": 1}))
    with pytest.raises(InvalidItems) as refusal:
        world.create_batch(BatchRequest(workflow_name="w", items=items), SERVICE)
    assert list(refusal.value.errors) == [1, 2]
    assert not world.submissions()
    another = evolve(REQUEST, workflow_name="W")
    request = BatchRequest(workflow_name="W", items=[another])
    with pytest.raises(WorkflowNotFound):
        world.create_batch(request, SERVICE)


@pytest.mark.parametrize("size", [0, 1001])
def test_the_number_of_items_has_bounds(size: int) -> None:
    with pytest.raises(InvalidValue, match=f"has {size} items"):
        a_request(size)


def test_a_key_replays_and_belongs_to_one_request(world: World) -> None:
    first = world.create_batch(a_request(), SERVICE, KEY)
    drain(world)
    again = world.create_batch(a_request(), SERVICE, KEY)
    assert again.replayed
    ids = [item.submission.submission_id for item in first.items]
    assert [item.submission.submission_id for item in again.items] == ids
    with pytest.raises(KeyReused):
        world.create_batch(a_request(4), SERVICE, KEY)
    assert len(world.galaxy.runs) == 3


# --- invoking -----------------------------------------------------------------


def test_each_item_runs_once_and_the_last_one_ends_the_batch(world: World) -> None:
    batch = recorded(world)
    world.faults.calls.clear()
    assert world.invoke_next()
    assert world.faults.calls == CALLS
    settle(world)
    world.check()
    assert states(world) == ["accepted"] * 3
    counts = world.batches.counts([batch.batch_id])
    assert counts == {batch.batch_id: {"completed": 3}}
    assert world.batches.get(batch.batch_id, SERVICE).ended_at is not None


def test_a_job_of_its_own_is_never_behind_a_batch(world: World) -> None:
    recorded(world, 50)
    invoke_next = limited(world, at_once=1, max_active=1)
    assert invoke_next()
    assert not invoke_next()
    world.submit(REQUEST, SERVICE)
    assert len(world.galaxy.runs) == 2


@pytest.mark.parametrize("error", [DOWN, RunnerRefusedUs("The key is bad.")])
@pytest.mark.parametrize("call", ["catalog.find", "histories.create", "runner.invoke"])
def test_items_wait_for_as_long_as_galaxy_is_down(
    world: World, call: str, error: RunnerError
) -> None:
    recorded(world)
    for _ in range(60):
        world.faults.raises(call, When.BEFORE, error)
        with pytest.raises(type(error)):
            world.invoke_next()
        assert states(world) == ["waiting"] * 3
        world.clock.advance(timedelta(minutes=1))
        world.galaxy.tick()
        world.poll()
    settle(world)
    world.check()
    assert states(world) == ["accepted"] * 3


def test_an_item_that_galaxy_refuses_keeps_no_other_back(world: World) -> None:
    batch = recorded(world)
    world.faults.raises("runner.invoke", When.BEFORE, RunRejected("No.", 400))
    drain(world)
    assert states(world) == ["rejected", "accepted", "accepted"]
    problem = world.submissions()[0].problem
    assert problem is not None
    assert problem.code == "galaxy-rejected"
    settle(world)
    world.check()
    assert world.batches.get(batch.batch_id, SERVICE).ended_at is not None


def test_an_item_is_refused_whose_dataset_is_gone_by_then(world: World) -> None:
    recorded(world)
    world.store.datasets.clear()
    drain(world)
    problems = [submission.problem for submission in world.submissions()]
    assert [problem and problem.code for problem in problems] == [
        "dataset-not-found"
    ] * 3
    assert not world.galaxy.histories


def test_all_items_run_the_version_that_was_checked(world: World) -> None:
    recorded(world, 2)
    world.invoke_next()
    world.galaxy.workflows[world.workflow_id] = evolve(
        world.galaxy.workflows[world.workflow_id]
    )
    drain(world)
    versions = {run.workflow_version for run in world.store.invocations.values()}
    assert len(versions) == 1


def test_an_item_whose_answer_is_lost_is_looked_for_as_any_other(world: World) -> None:
    recorded(world, 2)
    world.faults.raises("runner.invoke", When.AFTER, OutcomeUnknown("No answer."))
    drain(world)
    assert states(world) == ["unknown", "accepted"]
    settle(world)
    world.check()
    assert states(world) == ["accepted", "accepted"]


def test_an_item_whose_run_turns_up_after_the_end_is_adopted(world: World) -> None:
    batch = recorded(world, 2)
    world.faults.kills("runner.invoke", When.BEFORE)
    with pytest.raises(Killed):
        world.invoke_next()
    drain(world)
    while (ended_at := world.batches.get(batch.batch_id, SERVICE).ended_at) is None:
        world.round()
    counts = world.batches.counts([batch.batch_id])[batch.batch_id]
    assert counts == {"completed": 1, "rejected": 1}
    # Galaxy had taken it in before the fence, and was slow to show it.
    lost, _ = world.submissions()
    (history_id,) = world.galaxy.marked(lost.history_name)
    world.galaxy.undelete(history_id)
    world.galaxy.invoke(world.workflow_id, {TEXT.name: HDA}, history_id)
    settle(world)
    world.check()
    counts = world.batches.counts([batch.batch_id])[batch.batch_id]
    assert counts == {"completed": 2}
    assert world.batches.get(batch.batch_id, SERVICE).ended_at == ended_at
    with pytest.raises(NothingFailed):
        RerunBatch(world.batches, world.create_batch)(batch.batch_id, SERVICE)


@pytest.mark.parametrize(
    "call", ["catalog.find", "datasets.get", "histories.create", "submissions.save"]
)
def test_an_item_with_unexpected_errors_is_begun_a_few_times_only(
    world: World, call: str
) -> None:
    batch = recorded(world, 1)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert states(world) == ["waiting"]  # without a look by the reconciler
        world.faults.raises(call, When.BEFORE, KeyError("name"))
        with pytest.raises(KeyError):
            world.invoke_next()
        assert world.submissions()[0].attempts == attempt
        world.clock.advance(timedelta(minutes=1))  # no workflow is remembered
    assert not world.invoke_next()
    assert world.submissions()[0].problem == UNEXPECTED
    settle(world)
    world.check()
    assert states(world) == ["rejected"]
    assert world.batches.get(batch.batch_id, SERVICE).ended_at is not None


@pytest.mark.parametrize(
    ("call", "when"),
    [
        ("datasets.get", When.BEFORE),
        ("catalog.find", When.BEFORE),
        ("histories.create", When.AFTER),
        ("submissions.save", When.BEFORE),
    ],
)
def test_an_item_that_ends_its_process_is_begun_a_few_times_only(
    world: World, call: str, when: When
) -> None:
    batch = recorded(world)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        world.faults.kills(call, when)
        with pytest.raises(Killed):
            world.invoke_next()
        assert world.submissions()[0].attempts == attempt
        assert states(world) == ["submitting", "waiting", "waiting"]
        world.clock.advance(timedelta(minutes=10))
        world.poll()
    assert states(world) == ["rejected", "waiting", "waiting"]
    assert world.submissions()[0].problem == ATTEMPTS_BROKEN_OFF
    settle(world)
    world.check()
    assert states(world) == ["rejected", "accepted", "accepted"]
    counts = world.batches.counts([batch.batch_id])[batch.batch_id]
    assert counts == {"completed": 2, "rejected": 1}


def test_an_outage_of_galaxy_takes_no_attempts(world: World) -> None:
    recorded(world, 1)
    world.faults.kills("datasets.get", When.BEFORE)
    with pytest.raises(Killed):
        world.invoke_next()
    world.clock.advance(timedelta(minutes=10))
    world.poll()
    for _ in range(2 * MAX_ATTEMPTS):
        world.faults.raises("runner.invoke", When.BEFORE, DOWN)
        with pytest.raises(RunnerUnavailable):
            world.invoke_next()
    assert world.submissions()[0].attempts == 1
    settle(world)
    assert states(world) == ["accepted"]


def test_an_unexpected_error_keeps_no_other_batch_back(world: World) -> None:
    recorded(world, 1)
    world.clock.advance(timedelta(seconds=1))
    recorded(world, 1)
    invoke_next = limited(world, at_once=1)
    world.faults.raises("datasets.get", When.BEFORE, KeyError("name"))
    with pytest.raises(KeyError):
        invoke_next()
    assert invoke_next()
    assert states(world) == ["waiting", "accepted"]
    assert invoke_next()
    settle(world)
    world.check()
    assert states(world) == ["accepted", "accepted"]


def test_an_item_that_has_waited_long_has_time_to_turn_up(world: World) -> None:
    recorded(world, 1)
    world.clock.advance(timedelta(hours=3))
    world.galaxy.fail_next("invoke", OutcomeUnknown("A time-out."), later=True)
    world.invoke_next()
    world.reconcile(world.galaxy.who)
    world.galaxy.land()
    world.clock.advance(world.reconcile.policy.retry_in)
    assert world.reconcile(world.galaxy.who).adopted == 1
    assert states(world) == ["accepted"]


def test_an_item_whose_data_cannot_be_made_is_given_up(world: World) -> None:
    recorded(world, 2)
    for _ in range(MAX_ATTEMPTS):
        world.faults.raises("runner.invoke", When.BEFORE, DataNotMade("Too large."))
        with pytest.raises(DataNotMade):
            world.invoke_next()
    drain(world)
    settle(world)
    world.check()
    assert sorted(states(world)) == ["accepted", "rejected"]


def test_a_history_whose_id_cannot_be_stored_is_not_left(world: World) -> None:
    recorded(world, 1)
    error = InvalidValue("The id is too long.")
    world.faults.raises("submissions.save", When.BEFORE, error)
    assert world.invoke_next()
    assert states(world) == ["rejected"]
    settle(world)
    world.check()


def test_after_an_unexpected_error_in_a_pass_the_other_threads_go_on() -> None:
    errors: list[Exception] = []
    outcomes: Iterator[bool | Exception] = iter([KeyError("name"), True, True])

    def invoke_next() -> bool:
        outcome = next(outcomes, False)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    BatchWorker(invoke_next, 2, failed=errors.append).run_out(5)
    assert [type(error) for error in errors] == [KeyError]
    assert next(outcomes, None) is None


# --- cancelling and repeating ----------------------------------------------------


def test_a_cancelled_batch_begins_nothing_and_what_runs_is_stopped(
    world: World,
) -> None:
    batch = recorded(world)
    world.invoke_next()
    world.cancel_batch(batch.batch_id, SERVICE)
    drain(world)
    assert states(world) == ["accepted", "rejected", "rejected"]
    assert world.submissions()[1].problem == CANCELLED
    settle(world)
    (job,) = world.store.invocations.values()
    assert job.state is InvocationState.CANCELLED
    ended = world.batches.get(batch.batch_id, SERVICE)
    assert ended.ended_at is not None
    assert world.cancel_batch(batch.batch_id, SERVICE) == ended


def test_what_has_ended_is_not_cancelled(world: World) -> None:
    batch = recorded(world, 1)
    settle(world)
    with pytest.raises(BatchEnded):
        world.cancel_batch(batch.batch_id, SERVICE)


def test_what_has_failed_is_run_again(world: World) -> None:
    batch = recorded(world)
    rerun = RerunBatch(world.batches, world.create_batch)
    with pytest.raises(NothingFailed):
        rerun(batch.batch_id, SERVICE)
    world.faults.raises("runner.invoke", When.BEFORE, RunRejected("No.", 400))
    drain(world)
    again = rerun(batch.batch_id, SERVICE, KEY)
    assert again.batch.rerun_of == batch.batch_id
    assert again.batch.size == 1
    assert rerun(batch.batch_id, SERVICE, KEY).replayed


def test_a_rerun_that_is_repeated_is_the_same_whatever_failed_since(
    world: World,
) -> None:
    batch = recorded(world)
    rerun = RerunBatch(world.batches, world.create_batch)
    world.faults.raises("runner.invoke", When.BEFORE, RunRejected("No.", 400))
    world.invoke_next()
    first = rerun(batch.batch_id, SERVICE, KEY)
    world.faults.raises("runner.invoke", When.BEFORE, RunRejected("No.", 400))
    drain(world)
    again = rerun(batch.batch_id, SERVICE, KEY)
    assert (again.batch.batch_id, again.replayed) == (first.batch.batch_id, True)
    with pytest.raises(KeyReused):
        world.create_batch(a_request(1), SERVICE, KEY)


# --- dying ------------------------------------------------------------------------


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("call", CALLS[1:])
def test_killed_at_any_call_no_item_is_lost_or_doubled(
    world: World, call: str, when: When
) -> None:
    recorded(world)
    world.faults.kills(call, when)
    with pytest.raises(Killed):
        world.invoke_next()
    drain(world)
    settle(world)
    world.check()
    # Between the history and the answer nothing is known: what is not found there is
    # made impossible, and refused with that reason.
    fenced = (call, when) in {
        ("submissions.save", When.AFTER),
        ("runner.invoke", When.BEFORE),
    }
    refused = [item for item in world.submissions() if item.problem is not None]
    assert len(refused) == fenced


@pytest.mark.parametrize("call", CALLS[1:])
def test_without_a_database_for_a_moment_no_item_is_lost_or_doubled(
    world: World, call: str
) -> None:
    if not call.startswith(("batches", "datasets", "submissions")):
        return
    recorded(world)
    world.faults.raises(call, When.AFTER, StoreUnavailable("It is down."))
    with suppress(DomainError):
        world.invoke_next()
    settle(world)
    world.check()


# --- everything at once --------------------------------------------------------------

AT_ONCE, MAX_ACTIVE = 2, 4


class Machine(RuleBasedStateMachine):
    """Batches, single jobs, faults, kills and cancels, against a plain account.

    The account is kept by the test: which items were recorded, which batch should have
    the next turn, and what Galaxy really runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World.made()
        self.invoke_next = limited(self.world, at_once=AT_ONCE, max_active=MAX_ACTIVE)
        self.asked = 0
        self.turns: list[object] = []
        self.batches: list[Batch] = []

    @rule(size=st.integers(1, 4))
    def record(self, size: int) -> None:
        self.batches.append(recorded(self.world, size))
        self.asked += size
        self.world.clock.advance(timedelta(seconds=1))

    def waiting(self) -> dict[object, list[Submission]]:
        found: dict[object, list[Submission]] = {}
        for submission in self.world.submissions():
            if submission.state is SubmissionState.WAITING:
                found.setdefault(submission.batch_id, []).append(submission)
        return found

    def busy(self) -> tuple[int, int]:
        items = [item for item in self.world.submissions() if item.batch_id]
        submitting = [i for i in items if i.state is SubmissionState.SUBMITTING]
        unknown = [i for i in items if i.state is SubmissionState.UNKNOWN]
        active = [
            job for job in self.world.store.invocations.values() if job.is_followed
        ]
        return len(submitting), len(submitting) + len(unknown) + len(active)

    @rule(
        fault=st.none()
        | st.tuples(
            st.sampled_from(CALLS[2:]),
            st.sampled_from(When),
            st.sampled_from(
                [DOWN, RunRejected("No.", 400), OutcomeUnknown("Lost."), Killed()]
            ),
        )
    )
    def invoke(self, fault: tuple[str, When, BaseException] | None) -> None:
        world = self.world
        waiting, (submitting, pending) = self.waiting(), self.busy()
        may = bool(waiting) and submitting < AT_ONCE and pending < MAX_ACTIVE
        # Whose turn it is: who never had one first, then who had it longest ago.
        order = [batch.batch_id for batch in self.batches if batch.batch_id in waiting]
        latest = {id_: place for place, id_ in enumerate(self.turns)}
        turn = min(order, key=lambda id_: latest.get(id_, -1)) if order else None
        if fault:
            call, when, error = fault
            sensible = call.startswith(("runner", "histories", "catalog"))
            if sensible or isinstance(error, Killed):
                world.faults.raises(call, when, error)
        before = {item.submission_id: item for item in world.submissions()}
        with suppress(Killed, DomainError):
            assert self.invoke_next() == may
        world.faults.strikes.clear()
        moved = [
            item
            for item in world.submissions()
            if item.version != before[item.submission_id].version
        ]
        assert len(moved) == may
        if may:
            assert turn is not None
            assert moved[0].submission_id == waiting[turn][0].submission_id
            self.turns.append(turn)

    @rule()
    def submit(self) -> None:
        self.world.submit(REQUEST, SERVICE)

    @rule()
    def round(self) -> None:
        self.world.round()

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches))
        with suppress(BatchEnded):
            self.world.cancel_batch(batch.batch_id, SERVICE)
        assert batch.batch_id not in self.waiting()

    @invariant()
    def limits_hold(self) -> None:
        assert self.busy()[0] <= AT_ONCE

    def teardown(self) -> None:
        world = self.world
        settle(world)
        items = [item for item in world.submissions() if item.batch_id]
        assert len(items) == self.asked, "lost"
        assert not any(item.open for item in items), "stuck"
        for item in items:
            assert len(world.ran(item)) <= 1, "doubled"
            if item.state is SubmissionState.REJECTED:
                assert not world.ran(item), "wrong"
        for batch in self.batches:
            stored = world.batches.get(batch.batch_id, SERVICE)
            assert stored.ended_at is not None, "it has not ended"


TestMachine = Machine.TestCase

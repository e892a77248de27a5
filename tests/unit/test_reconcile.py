"""Finding out what became of submissions, whoever dies at it, and however late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from galaxy_jobs.adapters.testing.memory.galaxy import TEXT
from galaxy_jobs.domain import (
    GalaxyData,
    IdempotencyKey,
    Identity,
    InputKind,
    InvocationState,
    Json,
    Source,
    Src,
    Submission,
    SubmissionState,
    Workflow,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import (
    DomainError,
    InvalidValue,
    OutcomeUnknown,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunRejected,
    StoreUnavailable,
)
from galaxy_jobs.domain.model.submission import history_mark
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import Reconciled, Sweep
from tests.support.faults import Killed, Paused, When
from tests.support.world import HDA, KEY, REQUEST, P, World


LOST = OutcomeUnknown("No answer came.")
DOWN = RunnerUnavailable("Galaxy is down.")
GONE = StoreUnavailable("The database is gone.")


@pytest.fixture
def world() -> World:
    return World.made()


# --- ways to leave a submission behind ----------------------------------------


def died_before_its_history(world: World) -> None:
    world.faults.kills("histories.create", When.BEFORE)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE, KEY)


def died_before_its_history_was_noted(world: World) -> None:
    world.faults.kills("histories.create", When.AFTER)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE, KEY)


def died_before_the_invoke(world: World) -> None:
    world.faults.kills("runner.invoke", When.BEFORE)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE, KEY)


def died_after_the_invoke(world: World) -> None:
    world.faults.kills("runner.invoke", When.AFTER)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE, KEY)


def died_and_the_run_is_under_way(world: World) -> None:
    died_after_the_invoke(world)
    world.galaxy.tick(2)


def died_and_the_run_has_ended(world: World) -> None:
    died_after_the_invoke(world)
    world.galaxy.tick(10)


def sent_an_invoke_that_arrives_late(world: World) -> None:
    world.galaxy.fail_next("invoke", LOST, later=True)
    with pytest.raises(OutcomeUnknown):
        world.submit(REQUEST, SERVICE, KEY)


WAYS = [
    died_before_its_history,
    died_before_its_history_was_noted,
    died_before_the_invoke,
    died_after_the_invoke,
    died_and_the_run_is_under_way,
    died_and_the_run_has_ended,
    sent_an_invoke_that_arrives_late,
]
every_way = pytest.mark.parametrize("leave", WAYS, ids=lambda one: one.__name__)


# --- what it comes to ---------------------------------------------------------


def only(world: World) -> Submission:
    (submission,) = world.submissions()
    return submission


def test_one_that_is_due_again_within_a_slow_pass_waits_for_no_lease(
    world: World,
) -> None:
    died_before_the_invoke(world)
    world.clock.advance(timedelta(seconds=1))
    world.faults.kills("runner.invoke", When.BEFORE)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE)
    world.clock.advance(world.submit.policy.deadline)
    policy = evolve(world.reconcile.policy, lease=timedelta(minutes=2))
    reconcile = evolve(world.reconcile, policy=policy)

    def galaxy_is_slow() -> None:
        world.clock.advance(policy.fence_wait * 2)

    # It takes longer over the second than the first waits behind its fence.
    world.faults.strikes["submissions.get", When.AFTER] = galaxy_is_slow
    reconcile(world.galaxy.who)
    world.clock.advance(max(policy.fence_wait, policy.retry_in))
    assert reconcile(world.galaxy.who).rejected == 2


def test_nothing_is_looked_into_before_its_deadline(world: World) -> None:
    died_after_the_invoke(world)
    world.clock.advance(world.submit.policy.deadline - timedelta(seconds=1))
    assert world.reconcile(world.galaxy.who).adopted == 0
    world.clock.advance(timedelta(seconds=2))
    assert world.reconcile(world.galaxy.who).adopted == 1


def test_a_run_that_is_found_is_adopted_as_it_was_asked_for(world: World) -> None:
    died_after_the_invoke(world)
    world.settle()
    (run,) = world.galaxy.runs
    job = world.job(run.invocation_id)
    assert (job.dataset_id, job.workflow_name) == ("d1", "w")
    assert job.submission_id == only(world).submission_id
    assert job.state is InvocationState.COMPLETED
    assert only(world).state is SubmissionState.ACCEPTED


def test_without_a_run_it_is_fenced_first_and_rejected_only_after_a_wait(
    world: World,
) -> None:
    died_before_the_invoke(world)
    world.clock.advance(world.submit.policy.deadline)
    assert world.reconcile(world.galaxy.who).waiting == 1
    assert only(world).fenced
    assert only(world).open
    (history,) = world.galaxy.histories.values()
    assert history.deleted
    assert not history.purged, "a purge would break a run that slipped in"
    world.clock.advance(world.reconcile.policy.fence_wait - timedelta(seconds=1))
    assert world.reconcile(world.galaxy.who).rejected == 0
    world.clock.advance(timedelta(seconds=1))
    assert world.reconcile(world.galaxy.who).rejected == 1
    assert only(world).problem is not None


def test_only_what_was_lost_is_counted(world: World) -> None:
    world.galaxy.fail_next("create", RunnerRefusedUs("Bad key."))
    with pytest.raises(RunnerRefusedUs):
        world.submit(REQUEST, SERVICE)
    world.galaxy.fail_next("invoke", RunRejected("Tool 'x' is missing.", 400))
    with pytest.raises(RunRejected):
        world.submit(REQUEST, SERVICE)
    for _ in range(5):  # what they left behind is looked for, until nothing is due
        world.clock.advance(timedelta(minutes=30))
        assert world.reconcile(world.galaxy.who) == Reconciled()
    died_before_the_invoke(world)
    counted = []
    for _ in range(5):
        world.clock.advance(timedelta(minutes=30))
        counted.append(world.reconcile(world.galaxy.who))
    nothing = [Reconciled()] * 3
    assert counted == [Reconciled(waiting=1), Reconciled(rejected=1), *nothing]


def test_a_run_whose_answer_was_lost_has_time_to_turn_up(world: World) -> None:
    sent_an_invoke_that_arrives_late(world)
    world.reconcile(world.galaxy.who)
    world.clock.advance(world.reconcile.policy.grace - timedelta(seconds=1))
    world.reconcile(world.galaxy.who)
    assert not only(world).fenced, "Galaxy may be slow, and not gone"
    world.galaxy.land()
    world.clock.advance(world.reconcile.policy.retry_in)
    assert world.reconcile(world.galaxy.who).adopted == 1


def test_a_run_that_slipped_in_before_the_fence_is_adopted_with_its_history(
    world: World,
) -> None:
    sent_an_invoke_that_arrives_late(world)

    def it_arrives_and_starts() -> None:
        world.galaxy.land()
        world.galaxy.tick()

    world.faults.strikes["histories.delete", When.BEFORE] = it_arrives_and_starts
    world.settle()
    (run,) = world.galaxy.at_work
    assert world.job(run.invocation_id).state is InvocationState.COMPLETED
    assert not world.galaxy.histories[run.history_id].deleted


def test_a_run_behind_the_fence_that_galaxy_has_not_looked_at_is_waited_for(
    world: World,
) -> None:
    sent_an_invoke_that_arrives_late(world)
    world.clock.advance(world.reconcile.policy.grace)
    world.reconcile(world.galaxy.who)
    world.galaxy.land()
    for _ in range(5):
        world.clock.advance(timedelta(minutes=1))
        assert world.reconcile(world.galaxy.who).waiting == 1
    world.galaxy.tick()
    world.clock.advance(timedelta(minutes=1))
    assert world.reconcile(world.galaxy.who).rejected == 1


def test_a_history_with_the_name_of_the_version_before_is_found(world: World) -> None:
    died_before_its_history_was_noted(world)
    (history,) = world.galaxy.histories.values()
    history.name = history_mark(only(world).submission_id)
    world.settle()
    assert only(world).state is SubmissionState.REJECTED
    assert history.deleted


def test_a_run_that_turns_up_after_all_is_adopted_though_it_was_rejected(
    world: World,
) -> None:
    died_before_the_invoke(world)
    submission = only(world)
    while only(world).open:
        world.clock.advance(timedelta(minutes=1))
        world.reconcile(world.galaxy.who)
    # Galaxy had taken it in before the fence, and was slow to show it.
    (history_id,) = world.galaxy.marked(submission.history_name)
    world.galaxy.undelete(history_id)
    world.galaxy.invoke(world.workflow_id, {"text": HDA}, history_id)
    world.galaxy.tick()
    world.clock.advance(world.reconcile.policy.afterwards)
    assert world.reconcile(world.galaxy.who).adopted == 1
    assert only(world).state is SubmissionState.ACCEPTED


def test_a_run_is_adopted_though_its_history_was_purged_meanwhile(
    world: World,
) -> None:
    died_and_the_run_is_under_way(world)
    (run,) = world.galaxy.runs
    world.galaxy.delete(run.history_id, purge=True)
    world.settle()
    assert only(world).state is SubmissionState.ACCEPTED


def run_by_hand(world: World, workflow: str, data: GalaxyData, **values: Json) -> None:
    """Run something into the history of a submission that was never invoked."""
    world.faults.kills("runner.invoke", When.BEFORE)
    with pytest.raises(Killed):
        world.submit(evolve(REQUEST, parameters={"p": "wanted"}), SERVICE)
    workflow_id = world.workflow_id
    inputs: dict[str, Source | Json] = {"text": data, **values}
    if workflow != "w":
        workflow_id = world.galaxy.add_workflow(workflow, TEXT, P)
    (history_id,) = world.galaxy.marked(only(world).history_name)
    world.galaxy.invoke(workflow_id, inputs, history_id)


@pytest.mark.parametrize(
    ("workflow", "data", "values"),
    [
        ("another", HDA, {}),
        ("w", GalaxyData(Src.HDA, "hda2"), {}),
        ("w", HDA, {"p": "another"}),
    ],
    ids=["workflow", "data", "parameter"],
)
def test_what_somebody_ran_into_the_history_by_hand_is_not_adopted(
    world: World, workflow: str, data: GalaxyData, values: dict[str, Json]
) -> None:
    run_by_hand(world, workflow, data, **values)
    world.settle()
    assert only(world).state is SubmissionState.REJECTED
    problem = only(world).problem
    assert problem is not None
    (run,) = world.galaxy.runs
    assert run.invocation_id in problem.detail
    assert not world.store.invocations


def test_the_run_beside_what_somebody_ran_by_hand_is_adopted(world: World) -> None:
    run_by_hand(world, "another", HDA)
    (history_id,) = world.galaxy.marked(only(world).history_name)
    inputs: dict[str, Source | Json] = {"text": HDA, "p": "wanted"}
    run = world.galaxy.invoke(world.workflow_id, inputs, history_id)
    world.settle()
    assert list(world.store.invocations) == [run]


def rename(world: World) -> None:
    stored = world.galaxy.workflows[world.workflow_id]
    stored.workflow = evolve(stored.workflow, name="renamed")


def replace(world: World) -> None:
    world.galaxy.delete_workflow(world.workflow_id)
    world.galaxy.add_workflow("w", TEXT)


@pytest.mark.parametrize("change", [rename, replace])
def test_a_run_is_adopted_though_its_workflow_changed_meanwhile(
    world: World, change: Callable[[World], None]
) -> None:
    died_after_the_invoke(world)
    change(world)
    world.settle()
    (run,) = world.galaxy.runs
    assert only(world).invocation_id == run.invocation_id


def rename_and_replace(world: World) -> None:
    rename(world)
    world.galaxy.add_workflow("w", TEXT)


def test_a_run_is_of_the_workflow_that_was_submitted_whatever_its_name_means_now(
    world: World,
) -> None:
    died_after_the_invoke(world)
    rename_and_replace(world)
    world.settle()
    (run,) = world.galaxy.runs
    assert only(world).invocation_id == run.invocation_id


def test_a_run_of_a_later_workflow_by_that_name_is_not_adopted(world: World) -> None:
    died_before_the_invoke(world)
    world.galaxy.delete_workflow(world.workflow_id)
    later = world.galaxy.add_workflow("w", TEXT)
    (history_id,) = world.galaxy.marked(only(world).history_name)
    world.galaxy.invoke(later, {"text": HDA}, history_id)
    world.settle()
    assert only(world).state is SubmissionState.REJECTED
    assert not world.store.invocations


@pytest.mark.parametrize(("workflow", "adopted"), [("w", 1), ("another", 0)])
def test_submissions_of_the_version_before_are_compared_with_the_workflow_of_now(
    world: World, workflow: str, adopted: int
) -> None:
    run_by_hand(world, workflow, HDA, p="wanted")
    (opened,) = world.store.submissions.values()
    opened.submission = evolve(opened.submission, workflow_id=None)
    world.settle()
    assert len(world.store.invocations) == adopted


# --- Galaxy was restored from a backup, and gives out the same ids ------------


@pytest.mark.parametrize("name", ["mine ({})", "mine"], ids=["marked", "taken over"])
def test_a_renamed_history_is_the_fence_as_long_as_its_name_has_the_mark(
    world: World, name: str
) -> None:
    died_before_the_invoke(world)
    (history,) = world.galaxy.histories.values()
    history.name = name.format(history_mark(only(world).submission_id))
    world.settle()
    assert only(world).state is SubmissionState.REJECTED
    assert history.deleted == ("{}" in name)


@pytest.mark.parametrize("fenced", [False, True], ids=["open", "fenced"])
@pytest.mark.parametrize("recorded", [False, True], ids=["lost again", "recorded"])
def test_the_history_of_a_later_submission_is_not_that_of_an_earlier_one(
    world: World, *, fenced: bool, recorded: bool
) -> None:
    died_before_the_invoke(world)
    if fenced:
        world.clock.advance(world.reconcile.policy.grace)
        world.reconcile(world.galaxy.who)
    world.wipe()
    if recorded:
        world.submit(REQUEST, SERVICE)
    else:
        world.faults.kills("runner.invoke", When.AFTER)
        with pytest.raises(Killed):
            world.submit(REQUEST, SERVICE)
    earlier, later = world.submissions()
    assert earlier.history_id == later.history_id
    world.settle()
    world.check()
    (run,) = world.galaxy.at_work
    assert world.job(run.invocation_id).submission_id == later.submission_id
    if recorded:
        assert world.submission(earlier.submission_id).state is SubmissionState.REJECTED


def test_the_fence_of_a_later_submission_stays_where_an_earlier_one_was_adopted(
    world: World,
) -> None:
    sent_an_invoke_that_arrives_late(world)

    def it_arrives_and_starts() -> None:
        world.galaxy.land()
        world.galaxy.tick()

    world.faults.strikes["histories.delete", When.BEFORE] = it_arrives_and_starts
    while only(world).open:
        world.clock.advance(timedelta(minutes=1))
        world.reconcile(world.galaxy.who)
    world.faults.strikes.clear()
    world.wipe()
    world.faults.kills("runner.invoke", When.BEFORE)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE)
    (history,) = world.galaxy.histories.values()
    history.deleted = True
    world.clock.advance(world.reconcile.policy.afterwards)
    world.faults.raises("histories.runs_in", When.BEFORE, DOWN)
    world.reconcile(world.galaxy.who)
    assert history.deleted


def test_a_run_of_before_that_is_looked_for_is_not_that_of_a_later_submission(
    world: World,
) -> None:
    world.submit(REQUEST, SERVICE)
    world.wipe()
    world.faults.kills("runner.invoke", When.AFTER)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE)
    world.settle()
    world.check()
    earlier, later = (world.submission(s.submission_id) for s in world.submissions())
    assert later.invocation_id == "invocation-1"
    assert earlier.invocation_id not in {None, later.invocation_id}


@pytest.mark.parametrize(
    ("asked", "shown"),
    [(5, "5"), (1.0, 1), ("nan", "nan"), (True, "true"), ("x" * 9_000, "x" * 4_000)],
)
def test_a_parameter_may_be_shown_in_another_form(
    world: World, asked: Json, shown: Json
) -> None:
    world.galaxy.workflows[world.workflow_id].workflow = Workflow(
        workflow_id=world.workflow_id,
        name="w",
        inputs=(TEXT, WorkflowInput(name="p", kind=InputKind.OTHER, optional=True)),
    )
    world.faults.kills("runner.invoke", When.AFTER)
    with pytest.raises(Killed):
        world.submit(evolve(REQUEST, parameters={"p": asked}), SERVICE)
    (run,) = world.galaxy.runs
    run.inputs = {**run.inputs, "p": shown}
    world.settle()
    assert only(world).invocation_id == run.invocation_id


def test_another_galaxys_submissions_are_not_looked_into(world: World) -> None:
    died_after_the_invoke(world)
    world.clock.advance(timedelta(hours=1))
    calls = len(world.faults.calls)
    world.reconcile(Identity("http://other.test", "user1"))
    assert world.faults.calls[calls:] == ["submissions.claim_due"]
    assert only(world).open


@every_way
def test_while_galaxy_is_down_nothing_is_decided_that_galaxy_must_know(
    world: World, leave: Callable[[World], None]
) -> None:
    leave(world)
    runs = list(world.galaxy.runs)
    world.galaxy.outage = DOWN
    for _ in range(5):
        world.clock.advance(timedelta(hours=1))
        world.reconcile(world.galaxy.who)
    if only(world).history_id is not None:
        assert only(world).open
    world.galaxy.outage = None
    world.settle()
    world.check()
    # One that was on its way may arrive once Galaxy is back, and before the fence.
    assert len(world.galaxy.at_work) >= len(runs)


def test_one_that_galaxy_will_not_speak_of_holds_up_no_other(world: World) -> None:
    died_after_the_invoke(world)
    world.faults.kills("runner.invoke", When.AFTER)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE)
    world.clock.advance(timedelta(hours=1))
    world.galaxy.fail_next("report", RunnerUnavailable("Garbage."))
    done = world.reconcile(world.galaxy.who)
    assert (done.adopted, done.waiting) == (1, 1)
    world.clock.advance(world.reconcile.policy.retry_in)
    assert world.reconcile(world.galaxy.who).adopted == 1


def test_a_run_with_an_id_that_cannot_be_stored_holds_up_no_other(world: World) -> None:
    died_after_the_invoke(world)
    world.faults.kills("runner.invoke", When.AFTER)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE)
    world.clock.advance(timedelta(hours=1))
    world.faults.raises("submissions.accept", When.BEFORE, InvalidValue("Too long."))
    done = world.reconcile(world.galaxy.who)
    assert (done.adopted, done.waiting) == (1, 1)
    assert list(done.unstorable.values()) == ["Too long."]
    assert Sweep(reconciled=done).counts()["unstorable"] == 1
    world.clock.advance(world.reconcile.policy.retry_in)
    assert world.reconcile(world.galaxy.who).adopted == 1


def test_a_slow_galaxy_does_not_keep_a_sweep_for_ever(world: World) -> None:
    for _ in range(5):
        world.faults.kills("runner.invoke", When.AFTER)
        with pytest.raises(Killed):
            world.submit(REQUEST, SERVICE)
    world.clock.advance(timedelta(hours=1))

    def takes_its_time() -> None:
        world.clock.advance(world.reconcile.policy.lease / 3)
        world.faults.strikes["histories.runs_in", When.BEFORE] = takes_its_time

    takes_its_time()
    assert world.reconcile(world.galaxy.who).adopted == 2
    world.faults.strikes.clear()
    world.clock.advance(world.reconcile.policy.lease)
    assert world.reconcile(world.galaxy.who).adopted == 3


# --- killed, and slow ---------------------------------------------------------


def rounds(world: World, times: int = 12) -> None:
    for _ in range(times):
        world.round()


@every_way
def test_a_reconciler_killed_at_any_call_leaves_nothing_undone(
    leave: Callable[[World], None],
) -> None:
    rehearsal = World.made()
    leave(rehearsal)
    begun = len(rehearsal.faults.calls)
    rounds(rehearsal)
    for number in range(begun, len(rehearsal.faults.calls)):
        for when in When:
            world = World.made()
            leave(world)
            world.faults.kills(number, when)
            with pytest.raises(Killed):
                rounds(world)
            world.settle()
            world.check()
            # Not always as in the rehearsal: an invoke that is on its way may
            # come before the fence in the one and behind it in the other.
            assert not only(world).open, (number, when)


@every_way
def test_a_reconciler_paused_at_any_call_undoes_nothing_when_it_goes_on(
    leave: Callable[[World], None],
) -> None:
    rehearsal = World.made()
    leave(rehearsal)
    begun = len(rehearsal.faults.calls)
    rounds(rehearsal)
    for number in range(begun, len(rehearsal.faults.calls)):
        for when in When:
            world = World.made()
            leave(world)
            slow = Paused(partial(rounds, world))
            world.faults.strikes[number, when] = slow.pause
            slow.start()
            world.settle()
            decided = only(world).state
            slow.go_on()
            assert slow.error is None
            world.settle()
            world.check()
            assert only(world).state is decided, (number, when)


def test_a_reconciler_paused_before_its_fence_does_not_stop_a_run_that_came_of_it(
    world: World,
) -> None:
    submitter = Paused(lambda: world.submit(REQUEST, SERVICE, KEY))
    world.faults.strikes["runner.invoke", When.BEFORE] = submitter.pause
    submitter.start()
    world.clock.advance(world.reconcile.policy.grace)
    reconciler = Paused(lambda: world.reconcile(world.galaxy.who))
    world.faults.strikes["histories.runs_in", When.AFTER] = reconciler.pause
    reconciler.start()
    submitter.go_on()
    assert submitter.result is not None
    reconciler.go_on()
    world.settle()
    world.check()
    assert [run.invocation_id for run in world.galaxy.at_work] == [
        submitter.result.invocation_id
    ]


def test_a_fence_that_was_noted_and_not_put_up_stops_nobody_unseen(
    world: World,
) -> None:
    submitter = Paused(lambda: world.submit(REQUEST, SERVICE, KEY))
    world.faults.strikes["runner.invoke", When.BEFORE] = submitter.pause
    submitter.start()
    world.clock.advance(world.reconcile.policy.grace)
    world.faults.kills("histories.delete", When.BEFORE)
    with pytest.raises(Killed):
        world.reconcile(world.galaxy.who)
    submitter.go_on()
    assert isinstance(submitter.error, OutcomeUnknown)
    world.settle()
    world.check()
    answer = world.submit(REQUEST, SERVICE, KEY)
    assert answer.replayed, "it slipped through and was adopted"


def test_a_fence_that_is_late_on_its_way_throws_no_results_away(world: World) -> None:
    sent_an_invoke_that_arrives_late(world)

    def it_arrives_and_starts() -> None:
        world.galaxy.land()
        world.galaxy.tick()
        world.galaxy.fail_next("delete", DOWN, later=True)

    world.faults.strikes["histories.delete", When.BEFORE] = it_arrives_and_starts
    while only(world).open:
        world.clock.advance(timedelta(minutes=1))
        world.reconcile(world.galaxy.who)
    (run,) = world.galaxy.at_work
    world.galaxy.land()
    assert world.galaxy.histories[run.history_id].deleted
    world.settle()
    world.check()


# --- everything at once -------------------------------------------------------

#: What may go wrong at a call: the other side fails, or the process dies.
AT_GALAXY = ["histories.create", "runner.identity", "catalog.find"]
AT_STORE = ["submissions.open", "submissions.save", "submissions.accept"]
FAULTS: list[tuple[str, When, BaseException]] = [
    *((call, when, Killed()) for call in [*AT_GALAXY, *AT_STORE] for when in When),
    *((call, when, DOWN) for call in AT_GALAXY for when in When),
    *((call, when, GONE) for call in AT_STORE for when in When),
    ("runner.invoke", When.BEFORE, Killed()),
    ("runner.invoke", When.AFTER, Killed()),
    ("runner.invoke", When.BEFORE, DOWN),
    ("runner.invoke", When.BEFORE, LOST),
    ("runner.invoke", When.AFTER, LOST),
]
PAUSES = [*AT_GALAXY, *AT_STORE, "runner.invoke"]
KEYS = st.sampled_from([IdempotencyKey("", key) for key in "ab"])


class Submissions(RuleBasedStateMachine):
    """Submit, fail, die, wait and look, in any order; then see what is true.

    What Galaxy really ran is what the simulation says, not what we recorded.
    """

    @initialize()
    def begin(self) -> None:
        self.world = World.made()
        self.slow: list[Paused[Any]] = []

    @rule(key=KEYS)
    def submit(self, key: IdempotencyKey) -> None:
        try:
            self.world.submit(REQUEST, SERVICE, key)
        except (DomainError, Killed) as error:
            note(repr(error))
        finally:
            self.world.faults.strikes.clear()

    @rule(key=KEYS, fault=st.sampled_from(FAULTS))
    def submit_badly(
        self, key: IdempotencyKey, fault: tuple[str, When, BaseException]
    ) -> None:
        self.world.faults.raises(*fault)
        self.submit(key)

    @rule(key=KEYS)
    def submit_and_have_the_invoke_arrive_late(self, key: IdempotencyKey) -> None:
        self.world.faults.strikes["runner.invoke", When.BEFORE] = lambda: (
            self.world.galaxy.fail_next("invoke", LOST, later=True)
        )
        self.submit(key)

    @rule(key=KEYS, call=st.sampled_from(PAUSES), when=st.sampled_from(When))
    def submit_and_stop_in_the_middle(
        self, key: IdempotencyKey, call: str, when: When
    ) -> None:
        slow = Paused(lambda: self.world.submit(REQUEST, SERVICE, key))
        self.world.faults.strikes[call, when] = slow.pause
        slow.start()
        self.world.faults.strikes.clear()
        self.slow.append(slow)

    @precondition(lambda self: self.slow)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.slow) - 1))
        self.slow.pop(place).go_on()

    @rule(seconds=st.sampled_from([1, 11, 31, 121, 700]))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    @rule()
    def galaxy_goes_on(self) -> None:
        self.world.galaxy.tick()

    @rule()
    def requests_arrive(self) -> None:
        self.world.galaxy.land()

    @rule()
    def reconcile(self) -> None:
        self.world.reconcile(self.world.galaxy.who)

    @rule(ahead=st.integers(0, 12), when=st.sampled_from(When))
    def reconcile_and_die(self, ahead: int, when: When) -> None:
        self.world.faults.kills(len(self.world.faults.calls) + ahead, when)
        try:
            self.reconcile()
        except Killed:
            note("killed")
        finally:
            self.world.faults.strikes.clear()

    @rule(ahead=st.integers(0, 12), when=st.sampled_from(When))
    def reconcile_and_stop_in_the_middle(self, ahead: int, when: When) -> None:
        slow = Paused(lambda: self.world.reconcile(self.world.galaxy.who))
        self.world.faults.strikes[len(self.world.faults.calls) + ahead, when] = (
            slow.pause
        )
        slow.start()
        self.world.faults.strikes.clear()
        self.slow.append(slow)

    @rule(
        call=st.sampled_from(
            ["runs_in", "invoked", "find", "delete", "undelete", "report", "marked"]
        ),
        after=st.booleans(),
    )
    def reconcile_while_galaxy_fails(self, call: str, *, after: bool) -> None:
        self.world.galaxy.fail_next(call, DOWN, after=after)
        self.reconcile()

    @rule()
    def poll(self) -> None:
        self.world.poll()

    @rule()
    def galaxy_is_restored_from_a_backup(self) -> None:
        while self.slow:  # their requests have failed by the time it is back
            self.slow.pop().go_on()
        self.world.wipe()

    def teardown(self) -> None:
        for slow in self.slow:
            slow.go_on()
        self.world.settle()
        self.world.check()


TestSubmissions = Submissions.TestCase
TestSubmissions.settings = settings(max_examples=150, stateful_step_count=25)

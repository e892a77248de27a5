"""Submitting: once, whatever fails, and whoever dies, at whichever call."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from galaxy_jobs.domain import (
    DataDescription,
    DatasetId,
    GalaxyData,
    IdempotencyKey,
    InputKind,
    InvocationState,
    Request,
    Src,
    SubmissionState,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import (
    DatasetNotFound,
    DomainError,
    InvalidParameters,
    InvalidValue,
    JobNotFound,
    KeyInProgress,
    KeyReused,
    OutcomeUnknown,
    RunnerError,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunRejected,
    StoreUnavailable,
    WorkflowNotAllowed,
    WorkflowNotFound,
)
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases.submit import LOOKS_TIMEOUT, MAX_LOOKS
from tests.support.faults import Killed, Paused, When
from tests.support.world import HDA, KEY, REQUEST, World


#: Every call that a submission makes to the world outside, in order.
CALLS = [
    "submissions.holder",
    "datasets.get",
    "catalog.find",
    "data.describe",
    "runner.identity",
    "submissions.open",
    "histories.create",
    "submissions.save",
    "runner.invoke",
    "submissions.accept",
]
DOWN = RunnerUnavailable("Galaxy is down.")
LOST = OutcomeUnknown("No answer came.")


@pytest.fixture
def world() -> World:
    return World.made()


def test_a_run_is_recorded_as_it_was_asked_for(world: World) -> None:
    answer = world.submit(REQUEST, SERVICE)
    (run,) = world.galaxy.runs
    assert answer.invocation_id == run.invocation_id
    assert (answer.state, answer.replayed) == (InvocationState.QUEUED, False)
    assert run.inputs == {"text": HDA, "p": None, "q": None}
    invocation = world.job(run.invocation_id)
    assert invocation.state is InvocationState.QUEUED
    assert (invocation.dataset_id, invocation.workflow_name) == ("d1", "w")
    assert invocation.history_id == run.history_id
    submission = world.submission(invocation.submission_id)
    assert submission.state is SubmissionState.ACCEPTED
    assert submission.invocation_id == run.invocation_id
    assert world.galaxy.histories[run.history_id].name == submission.history_name


def test_it_is_recorded_before_galaxy_is_asked_and_no_call_comes_twice(
    world: World,
) -> None:
    world.submit(REQUEST, SERVICE, KEY)
    assert world.faults.calls == CALLS


# --- what is refused before anything is done ----------------------------------


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (evolve(REQUEST, dataset_id=DatasetId("d9")), DatasetNotFound),
        (evolve(REQUEST, workflow_name="W"), WorkflowNotFound),
        (evolve(REQUEST, parameters={"nothing": 1}), InvalidParameters),
        (evolve(REQUEST, parameters={"text": "d1"}), InvalidParameters),
    ],
)
def test_what_cannot_run_is_refused_and_leaves_no_trace(
    world: World, request_: Request, error: type[DomainError]
) -> None:
    with pytest.raises(error):
        world.submit(request_, SERVICE, KEY)
    assert "submissions.open" not in world.faults.calls
    assert not world.galaxy.histories


def test_a_workflow_that_is_not_on_the_list_is_not_even_looked_up() -> None:
    world = World.made(allowed=["other"])
    with pytest.raises(WorkflowNotAllowed):
        world.submit(REQUEST, SERVICE)
    assert "catalog.find" not in world.faults.calls


# --- the look at data ----------------------------------------------------------

MORE = WorkflowInput(name="more", kind=InputKind.DATA, optional=True)
IN_WORLD = "Input 'text' was given dataset 'd1' (hda 'hda1')"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("error", "is in error in Galaxy"),
        ("discarded", "is discarded in Galaxy"),
        ("deleted", "is deleted in Galaxy"),
        ("purged", "is deleted in Galaxy for good"),
    ],
)
def test_data_that_no_job_can_run_on_is_refused_before_anything_is_done(
    world: World, state: str, reason: str
) -> None:
    world.galaxy.data[HDA] = DataDescription(state=state)
    with pytest.raises(InvalidParameters) as refusal:
        world.submit(REQUEST, SERVICE)
    assert refusal.value.problems["text"].startswith(f"{IN_WORLD}, which {reason}")
    assert "submissions.open" not in world.faults.calls
    assert not world.galaxy.histories


@pytest.mark.parametrize("state", ["deferred", "upload", "queued", "ok", "new word"])
def test_data_that_is_there_or_will_be_is_run_on(world: World, state: str) -> None:
    described = DataDescription(state=state)
    world.galaxy.data[HDA] = described
    assert world.submit.check(REQUEST, SERVICE).data == {"text": described}
    world.submit(REQUEST, SERVICE)
    assert len(world.galaxy.runs) == 1


def test_each_data_that_cannot_be_used_is_named() -> None:
    world = World.made(MORE)
    lost = GalaxyData(Src.LDDA, "lost")
    world.galaxy.data |= {HDA: DataDescription(state="deleted"), lost: None}
    request = evolve(REQUEST, parameters={"more": {"src": "ldda", "id": "lost"}})
    with pytest.raises(InvalidParameters) as refusal:
        world.submit.check(request, SERVICE)
    assert refusal.value.problems == {
        "text": f"{IN_WORLD}, which is deleted in Galaxy; restore it there to run on "
        "it.",
        "more": "Input 'more' was given ldda 'lost'. Galaxy has no ldda 'lost' that "
        "the configured key may use.",
    }


@pytest.mark.parametrize("error", [DOWN, RunnerRefusedUs("Bad key.")])
def test_where_galaxy_cannot_tell_it_decides_when_it_is_invoked(
    world: World, error: RunnerError
) -> None:
    world.faults.raises("data.describe", When.BEFORE, error)
    world.submit(REQUEST, SERVICE)
    assert len(world.galaxy.runs) == 1


def test_the_same_data_is_asked_about_once_and_no_more_than_so_many() -> None:
    names = [f"more {n}" for n in range(MAX_LOOKS + 5)]
    world = World.made(*(evolve(MORE, name=name) for name in names))
    same = {name: {"src": "hda", "id": HDA.id} for name in names}
    world.submit.check(evolve(REQUEST, parameters=same), SERVICE)
    assert world.galaxy.calls["describe"] == 1
    other = {name: {"src": "hda", "id": f"d{n}"} for n, name in enumerate(names)}
    plan = world.submit.check(evolve(REQUEST, parameters=other), SERVICE)
    assert world.galaxy.calls["describe"] == 1 + MAX_LOOKS == 1 + len(plan.data)


def test_a_slow_galaxy_is_not_asked_about_all_data() -> None:
    world = World.made(MORE)

    def take_time() -> None:
        world.clock.advance(LOOKS_TIMEOUT + timedelta(seconds=1))

    world.faults.strikes["data.describe", When.AFTER] = take_time
    request = evolve(REQUEST, parameters={"more": {"src": "hda", "id": "d2"}})
    assert set(world.submit.check(request, SERVICE).data) == {"text"}


def test_a_lost_run_is_found_though_its_data_is_deleted_meanwhile(
    world: World,
) -> None:
    world.galaxy.fail_next("invoke", LOST, after=True)
    with pytest.raises(OutcomeUnknown):
        world.submit(REQUEST, SERVICE)
    world.galaxy.data[HDA] = DataDescription(state="deleted")
    calls = world.galaxy.calls["describe"]
    world.settle()
    (submission,) = world.submissions()
    assert submission.state is SubmissionState.ACCEPTED
    assert world.galaxy.calls["describe"] == calls


# --- when Galaxy does not do it -----------------------------------------------


@pytest.mark.parametrize("error", [DOWN, RunnerRefusedUs("Bad key.")])
@pytest.mark.parametrize("call", ["histories.create", "runner.invoke"])
def test_where_nothing_was_started_the_key_is_free_again(
    world: World, call: str, error: RunnerError
) -> None:
    world.faults.raises(call, When.BEFORE, error)
    with pytest.raises(type(error)):
        world.submit(REQUEST, SERVICE, KEY)
    (submission,) = world.submissions()
    assert submission.state is SubmissionState.REJECTED
    assert submission.problem is not None
    assert submission.problem.code == error.code
    assert not world.galaxy.runs
    assert all(history.deleted for history in world.galaxy.histories.values())
    assert not world.submit(REQUEST, SERVICE, KEY).replayed
    assert len(world.galaxy.runs) == 1


def test_what_galaxy_declines_is_told_in_its_own_words(world: World) -> None:
    world.galaxy.fail_next("invoke", RunRejected("Tool 'x' is missing.", 400))
    with pytest.raises(RunRejected, match="Tool 'x' is missing"):
        world.submit(REQUEST, SERVICE, KEY)
    (submission,) = world.submissions()
    assert submission.state is SubmissionState.REJECTED
    assert submission.problem is not None
    assert submission.problem.extra["galaxy_code"] == 400


def test_data_that_galaxy_declines_is_told_by_the_name_of_its_dataset(
    world: World,
) -> None:
    no = "Wrong  id ( {} ) specified, unable to decode."
    world.galaxy.fail_next("invoke", RunRejected(no.format(HDA.id), 400009))
    with pytest.raises(RunRejected) as caught:
        world.submit(REQUEST, SERVICE, KEY)
    assert f"Dataset 'd1' is hda {HDA.id}: " in str(caught.value)
    assert "register what it has under another dataset_id" in str(caught.value)
    # Galaxy's own words stay as they were, for programs.
    assert caught.value.galaxy_message == no.format(HDA.id)
    (submission,) = world.submissions()
    assert submission.problem is not None
    assert submission.problem.detail == str(caught.value)


@pytest.mark.parametrize("when", When)
def test_an_answer_that_was_lost_is_neither_a_yes_nor_a_no(
    world: World, when: When
) -> None:
    world.faults.raises("runner.invoke", when, LOST)
    with pytest.raises(OutcomeUnknown) as caught:
        world.submit(REQUEST, SERVICE, KEY)
    (submission,) = world.submissions()
    assert submission.state is SubmissionState.UNKNOWN
    assert caught.value.submission_id == submission.submission_id
    with pytest.raises(KeyInProgress) as held:
        world.submit(REQUEST, SERVICE, KEY)
    assert held.value.submission_id == submission.submission_id


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("runner.invoke", RecursionError()),
        ("runner.invoke", MemoryError()),
        ("runner.invoke", ValueError("Exceeds the limit")),
        ("submissions.accept", InvalidValue("A value cannot be stored.")),
    ],
    ids=repr,
)
def test_an_answer_that_cannot_be_read_or_stored_is_of_unknown_outcome(
    world: World, call: str, error: Exception, when: When
) -> None:
    world.faults.raises(call, when, error)
    with pytest.raises(OutcomeUnknown, match="could not be understood") as caught:
        world.submit(REQUEST, SERVICE, KEY)
    (submission,) = world.submissions()
    assert caught.value.submission_id == submission.submission_id
    world.settle()
    was_invoked = bool(world.galaxy.runs)
    assert world.submit(REQUEST, SERVICE, KEY).replayed == was_invoked
    assert len(world.galaxy.runs) == 1


def test_a_lost_answer_is_looked_into_at_once(world: World) -> None:
    world.faults.raises("runner.invoke", When.AFTER, LOST)
    with pytest.raises(OutcomeUnknown):
        world.submit(REQUEST, SERVICE, KEY)
    assert world.reconcile(world.galaxy.who).adopted == 1
    assert world.submit(REQUEST, SERVICE, KEY).replayed


def test_a_history_whose_making_was_lost_is_removed_in_the_end(world: World) -> None:
    world.galaxy.fail_next("create", DOWN, after=True)
    with pytest.raises(RunnerUnavailable):
        world.submit(REQUEST, SERVICE)
    world.settle()
    assert [history.deleted for history in world.galaxy.histories.values()] == [True]


# --- idempotency keys ---------------------------------------------------------


def test_a_key_replays_the_first_answer_and_runs_nothing(world: World) -> None:
    first = world.submit(REQUEST, SERVICE, KEY)
    again = world.submit(evolve(REQUEST), SERVICE, KEY)
    assert again == evolve(first, replayed=True)
    assert len(world.galaxy.runs) == 1


def test_a_replay_says_what_the_first_answer_said_though_the_run_has_ended(
    world: World,
) -> None:
    world.submit(REQUEST, SERVICE, KEY)
    world.settle()
    assert world.submit(REQUEST, SERVICE, KEY).state is InvocationState.QUEUED


def test_a_replay_needs_no_galaxy(world: World) -> None:
    first = world.submit(REQUEST, SERVICE, KEY)
    world.galaxy.outage = DOWN
    assert world.submit(REQUEST, SERVICE, KEY).invocation_id == first.invocation_id


def test_a_key_is_for_one_request_only(world: World) -> None:
    world.submit(REQUEST, SERVICE, KEY)
    with pytest.raises(KeyReused):
        world.submit(evolve(REQUEST, overwrite=True), SERVICE, KEY)
    assert len(world.galaxy.runs) == 1


def test_a_key_belongs_to_its_caller(world: World) -> None:
    world.submit(REQUEST, SERVICE, KEY)
    assert not world.submit(
        REQUEST, SERVICE, IdempotencyKey("somebody else", KEY.key)
    ).replayed
    assert len(world.galaxy.runs) == 2


def test_without_a_key_every_submission_is_a_new_run(world: World) -> None:
    assert (
        world.submit(REQUEST, SERVICE).invocation_id
        != world.submit(REQUEST, SERVICE).invocation_id
    )


def test_a_key_is_forgotten_after_its_lifetime(world: World) -> None:
    world.submit(REQUEST, SERVICE, KEY)
    world.clock.advance(world.submit.policy.key_lifetime - timedelta(seconds=1))
    assert world.submit(REQUEST, SERVICE, KEY).replayed
    world.clock.advance(timedelta(seconds=2))
    assert not world.submit(REQUEST, SERVICE, KEY).replayed


def test_of_two_with_one_key_at_the_same_time_one_runs(world: World) -> None:
    first = Paused(lambda: world.submit(REQUEST, SERVICE, KEY))
    world.faults.strikes["submissions.open", When.BEFORE] = first.pause
    first.start()
    second = world.submit(REQUEST, SERVICE, KEY)
    first.go_on()
    assert first.result == evolve(second, replayed=True)
    assert len(world.galaxy.runs) == 1


# --- a submitter that is overtaken --------------------------------------------


def test_who_was_given_up_before_the_invoke_does_not_invoke(world: World) -> None:
    slow = Paused(lambda: world.submit(REQUEST, SERVICE, KEY))
    world.faults.strikes["submissions.save", When.BEFORE] = slow.pause
    slow.start()
    world.settle()
    slow.go_on()
    assert isinstance(slow.error, RunnerUnavailable)
    assert not world.galaxy.runs
    assert all(history.deleted for history in world.galaxy.histories.values())
    assert not world.submit(REQUEST, SERVICE, KEY).replayed


def test_who_invokes_behind_the_fence_runs_nothing(world: World) -> None:
    slow = Paused(lambda: world.submit(REQUEST, SERVICE, KEY))
    world.faults.strikes["runner.invoke", When.BEFORE] = slow.pause
    slow.start()
    world.settle()
    slow.go_on()
    assert isinstance(slow.error, OutcomeUnknown)
    assert not world.submit(REQUEST, SERVICE, KEY).replayed
    world.settle()
    assert len(world.galaxy.at_work) == 1


def test_who_comes_late_with_a_run_that_was_adopted_answers_with_it(
    world: World,
) -> None:
    slow = Paused(lambda: world.submit(REQUEST, SERVICE, KEY))
    world.faults.strikes["submissions.accept", When.BEFORE] = slow.pause
    slow.start()
    world.settle()
    slow.go_on()
    assert slow.result is not None
    (run,) = world.galaxy.runs
    assert slow.result.invocation_id == run.invocation_id


# --- when the database goes away ----------------------------------------------

GONE = StoreUnavailable("The database is gone.")


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("call", ["submissions.open", "submissions.save"])
def test_without_a_database_nothing_is_invoked(
    world: World, call: str, when: When
) -> None:
    world.faults.raises(call, when, GONE)
    with pytest.raises(StoreUnavailable):
        world.submit(REQUEST, SERVICE, KEY)
    assert not world.galaxy.runs
    world.settle()
    assert not world.submit(REQUEST, SERVICE, KEY).replayed
    assert len(world.galaxy.runs) == 1


def test_a_run_that_could_not_be_recorded_is_not_said_to_have_failed(
    world: World,
) -> None:
    world.faults.raises("submissions.accept", When.BEFORE, GONE)
    with pytest.raises(OutcomeUnknown):
        world.submit(REQUEST, SERVICE, KEY)
    world.settle()
    assert world.submit(REQUEST, SERVICE, KEY).replayed


def test_a_run_that_was_recorded_though_nobody_heard_is_answered_with(
    world: World,
) -> None:
    world.faults.raises("submissions.accept", When.AFTER, GONE)
    answer = world.submit(REQUEST, SERVICE, KEY)
    assert [run.invocation_id for run in world.galaxy.runs] == [answer.invocation_id]


@pytest.mark.parametrize("error", [LOST, DOWN, RunRejected("No.")])
def test_galaxys_answer_is_told_though_it_could_not_be_written_down(
    world: World, error: RunnerError
) -> None:
    def galaxy_fails_and_then_the_database() -> None:
        world.faults.raises("submissions.save", When.BEFORE, GONE)
        raise error

    world.faults.strikes["runner.invoke", When.BEFORE] = (
        galaxy_fails_and_then_the_database
    )
    with pytest.raises(type(error)):
        world.submit(REQUEST, SERVICE, KEY)
    world.settle()
    assert not world.submit(REQUEST, SERVICE, KEY).replayed, (
        "the reconciler freed the key"
    )


# --- killed -------------------------------------------------------------------


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_any_call_it_is_neither_lost_nor_doubled(
    world: World, call: str, when: When
) -> None:
    world.faults.kills(call, when)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE, KEY)
    world.settle()
    assert not [submission for submission in world.submissions() if submission.open]
    ran_already = len(world.galaxy.at_work)
    answer = world.submit(REQUEST, SERVICE, KEY)
    assert answer.replayed == bool(ran_already), "a run is replayed, else made"
    world.settle()
    (run,) = world.galaxy.at_work
    assert run.invocation_id == answer.invocation_id
    assert world.job(run.invocation_id).state is InvocationState.COMPLETED


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("call", CALLS)
def test_paused_at_any_call_past_every_deadline_it_doubles_nothing(
    world: World, call: str, when: When
) -> None:
    slow = Paused(lambda: world.submit(REQUEST, SERVICE, KEY))
    world.faults.strikes[call, when] = slow.pause
    slow.start()
    world.settle()
    assert not [submission for submission in world.submissions() if submission.open]
    answer = world.submit(REQUEST, SERVICE, KEY)
    slow.go_on()
    world.settle()
    world.check()
    (run,) = world.galaxy.at_work
    assert run.invocation_id == answer.invocation_id
    if slow.result is not None:
        assert slow.result.invocation_id == answer.invocation_id
    else:
        assert isinstance(slow.error, KeyInProgress | OutcomeUnknown | RunnerError)


# --- again --------------------------------------------------------------------


def test_a_rerun_repeats_a_job_with_what_is_said_anew(world: World) -> None:
    first = world.submit(
        evolve(REQUEST, parameters={"p": "1", "q": "2"}, overwrite=True), SERVICE
    )
    again = world.rerun(
        first.invocation_id, SERVICE, parameters={"q": "3"}, overwrite=False
    )
    assert not again.replayed
    job = world.job(again.invocation_id)
    assert job.parameters == {"p": "1", "q": "3"}
    assert (job.rerun_of, job.overwrite) == (first.invocation_id, False)
    same = world.job(world.rerun(first.invocation_id, SERVICE).invocation_id)
    assert (same.parameters, same.overwrite) == ({"p": "1", "q": "2"}, True)


def test_a_rerun_of_what_never_ran_is_refused(world: World) -> None:
    with pytest.raises(JobNotFound):
        world.rerun(InvocationId("nothing"), SERVICE)

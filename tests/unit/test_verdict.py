"""The verdict: row by row, against an oracle of its own, and what it never does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import event, given, settings

from galaxy_jobs.adapters.testing.memory.galaxy import outlined
from galaxy_jobs.domain import (
    GalaxyState,
    InvocationReport,
    InvocationState,
    JobDetails,
    JobsSummary,
    JobState,
    Sighting,
    StepReport,
    culprit,
    judge,
)
from galaxy_jobs.domain.model.report import NamedStep
from galaxy_jobs.domain.model.verdict import (
    ALL_EMPTY,
    ALL_SKIPPED,
    EMPTY_STEPS,
    PAUSED,
    ROWS,
    Row,
    confirmation_time,
    reviews,
    row_of,
)
from tests.support import oracle
from tests.support.build import a_report, a_step
from tests.support.reports import LEFT_REPORTS, REPORTS


G = GalaxyState
J = JobState
S = InvocationState

STALLED = [G.NEW, G.READY, G.REQUIRES_MATERIALIZATION]


# --- row by row ---------------------------------------------------------------


def check(report: InvocationReport, row: Row, state: InvocationState) -> None:
    assert row_of(report) is row
    assert judge(report).state is state
    assert oracle.judge(report).state == state.value, "the oracle sees it otherwise"


def test_the_rows_come_in_the_order_in_which_they_are_told() -> None:
    assert list(ROWS) == list(Row)
    assert [row.name for row in ROWS] == [
        "RUN_WON",
        "ENDING",
        "CANCELLED",
        "CANCELLING",
        "GALAXY_FAILED",
        "SUB_FAILED",
        "SUB_REJECTED",
        "NO_JOBS",
        "NOTHING_STARTED",
        "UNSETTLED",
        "BLOCKED",
        "UNSCHEDULED",
        "ALL_GOOD",
        "SOME_BAD",
    ]


@pytest.mark.parametrize("state", [J.OK, J.SKIPPED])
def test_a_cancel_that_came_too_late_changes_nothing(state: JobState) -> None:
    report = a_report(a_step(), a_step(J.OK, state), state=G.CANCELLED)
    check(report, Row.RUN_WON, S.COMPLETED)


def test_run_won_is_not_for_a_run_whose_steps_are_not_all_scheduled() -> None:
    steps = [a_step(J.OK), a_step(scheduled=False)]
    check(a_report(*steps, state=G.CANCELLED), Row.CANCELLED, S.CANCELLED)


def test_run_won_is_not_for_a_run_that_was_still_expanding() -> None:
    report = a_report(a_step(J.OK, expanding=True), state=G.CANCELLED)
    check(report, Row.CANCELLED, S.CANCELLED)


def test_run_won_is_not_for_a_run_of_which_a_sub_workflow_failed() -> None:
    sub = a_report(a_step(J.OK), state=G.FAILED)
    report = a_report(a_step(sub=sub), state=G.CANCELLED)
    check(report, Row.CANCELLED, S.CANCELLED)


def test_run_won_is_for_sub_workflows_that_were_cancelled_with_it_too_late() -> None:
    sub = a_report(a_step(J.OK), state=G.CANCELLED)
    report = a_report(a_step(sub=sub), state=G.CANCELLED)
    check(report, Row.RUN_WON, S.COMPLETED)


@pytest.mark.parametrize("state", [J.RUNNING, J.DELETING, J.STOPPING, J.PAUSED, J.NEW])
def test_cancelled_is_not_the_end_while_jobs_are(state: JobState) -> None:
    report = a_report(a_step(J.DELETED, state, J.OK), state=G.CANCELLED)
    check(report, Row.ENDING, S.CANCELLING)


@pytest.mark.parametrize("state", [J.DELETED, J.ERROR, J.STOPPED, J.BLOCKED])
def test_cancelled_with_every_job_settled_is_the_end(state: JobState) -> None:
    report = a_report(a_step(J.OK, state), state=G.CANCELLED)
    check(report, Row.CANCELLED, S.CANCELLED)


def test_a_run_cancelled_before_it_had_steps_is_cancelled() -> None:
    check(a_report(state=G.CANCELLED), Row.CANCELLED, S.CANCELLED)


def test_galaxy_is_at_stopping_it() -> None:
    for report in [
        a_report(state=G.CANCELLING),
        a_report(a_step(J.OK), state=G.CANCELLING),
        a_report(a_step(J.ERROR), state=G.CANCELLING),
    ]:
        check(report, Row.CANCELLING, S.CANCELLING)


def test_galaxy_gave_it_up_whatever_its_jobs_do() -> None:
    for report in [
        a_report(state=G.FAILED),
        a_report(a_step(J.OK), state=G.FAILED),
        a_report(a_step(J.RUNNING), a_step(scheduled=False), state=G.FAILED),
    ]:
        check(report, Row.GALAXY_FAILED, S.FAILED)


@pytest.mark.parametrize("state", [G.FAILED, G.CANCELLED])
def test_a_sub_workflow_that_galaxy_gave_up_has_failed_the_run(
    state: GalaxyState,
) -> None:
    sub = a_report(a_step(J.OK), a_step(scheduled=False), state=state)
    for parent in [G.SCHEDULED, G.COMPLETED, G.READY]:
        report = a_report(a_step(J.OK), a_step(sub=sub), state=parent)
        check(report, Row.SUB_FAILED, S.FAILED)


@pytest.mark.parametrize("state", [G.FAILED, G.CANCELLED])
def test_other_jobs_may_end_before_a_failed_sub_workflow_ends_the_run(
    state: GalaxyState,
) -> None:
    sub = a_report(a_step(J.OK), a_step(scheduled=False), state=state)
    report = a_report(a_step(J.RUNNING), a_step(sub=sub))
    check(report, Row.UNSETTLED, S.IN_PROGRESS)
    assert judge(report).failure is not None, "but it is shown already"


def test_a_cancelled_sub_workflow_is_not_over_while_its_jobs_are_not() -> None:
    sub = a_report(a_step(J.OK, J.DELETING), state=G.CANCELLED)
    check(a_report(a_step(sub=sub)), Row.UNSETTLED, S.IN_PROGRESS)
    assert judge(a_report(a_step(sub=sub))).failure is None, "it may yet win"


def test_a_sub_workflow_cancelled_too_late_has_failed_nothing() -> None:
    sub = a_report(a_step(J.OK), state=G.CANCELLED)
    check(a_report(a_step(sub=sub)), Row.ALL_GOOD, S.COMPLETED)


@pytest.mark.parametrize("state", [G.SCHEDULED, G.COMPLETED])
def test_where_there_is_nothing_to_do_it_is_done(state: GalaxyState) -> None:
    sub = a_report(a_step(), state=state)
    for steps in [[a_step()], [a_step(), a_step(sub=sub)], []]:
        check(a_report(*steps, state=state), Row.NO_JOBS, S.COMPLETED)


def test_an_empty_sub_workflow_holds_nothing_up() -> None:
    report = a_report(a_step(J.OK), a_step(sub=a_report()), state=G.COMPLETED)
    check(report, Row.ALL_GOOD, S.COMPLETED)


@pytest.mark.parametrize("state", STALLED)
def test_what_the_scheduler_has_not_looked_at_is_queued(
    state: GalaxyState,
) -> None:
    for steps in [[], [a_step()], [a_step(scheduled=False)]]:
        check(a_report(*steps, state=state), Row.NOTHING_STARTED, S.QUEUED)


def test_no_job_yet_is_not_no_job() -> None:
    late = a_report(a_step(), a_step(scheduled=False))
    growing = a_report(a_step(), a_step(expanding=True))
    below = a_report(a_step(sub=a_report(a_step(), state=G.NEW)))
    for report in [late, growing, below]:
        check(report, Row.NOTHING_STARTED, S.QUEUED)


@pytest.mark.parametrize("state", [J.NEW, J.QUEUED, J.WAITING, J.RESUBMITTED, J.PAUSED])
def test_jobs_that_wait_are_queued(state: JobState) -> None:
    check(a_report(a_step(J.NEW, state)), Row.NOTHING_STARTED, S.QUEUED)


@pytest.mark.parametrize(
    "state",
    [J.NEW, J.RUNNING, J.UPLOAD, J.PAUSED, J.DELETING, J.STOPPING, J.UNKNOWN],
)
@pytest.mark.parametrize("other", [J.OK, J.ERROR])
def test_a_job_that_is_not_settled_keeps_it_in_progress(
    state: JobState, other: JobState
) -> None:
    report = a_report(a_step(other), a_step(state), state=G.COMPLETED)
    check(report, Row.UNSETTLED, S.IN_PROGRESS)


@pytest.mark.parametrize("state", [J.OK, J.ERROR, J.BLOCKED])
def test_more_is_to_come(state: JobState) -> None:
    for steps in [
        [a_step(state), a_step(scheduled=False)],
        [a_step(state, expanding=True)],
        [a_step(state), a_step(sub=a_report(state=G.NEW))],
        [a_step(state), a_step(sub=a_report(a_step(scheduled=False)))],
    ]:
        check(a_report(*steps), Row.UNSCHEDULED, S.IN_PROGRESS)


# --- steps that are never scheduled ---


MINUTE = timedelta(minutes=1)


def left_behind(
    *steps: StepReport,
    state: GalaxyState = G.READY,
    quiet_for: timedelta | None = 2 * MINUTE,
    visited_for: timedelta | None = MINUTE,
) -> InvocationReport:
    """A run with a failed job, and a step that Galaxy has not scheduled behind it."""
    failed = [a_step(needs=[]), a_step(J.ERROR, needs=[0])]
    behind = a_step(scheduled=False, needs=[1])
    return a_report(
        *failed,
        *(steps or [behind]),
        state=state,
        quiet_for=quiet_for,
        visited_for=visited_for,
    )


BLOCKED = a_step(J.BLOCKED, needs=[1])
NEVER = a_step(scheduled=False, needs=[2])


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [BLOCKED, NEVER],
        [BLOCKED, NEVER, a_step(scheduled=False, needs=[3, 0])],
        [BLOCKED, a_step(scheduled=False, needs=[0, 2])],
        [a_step(scheduled=False, needs=[1], sub=a_report(state=G.NEW))],
        [a_step(J.OK, needs=[0]), a_step(scheduled=False, needs=[1, 2])],
    ],
    ids=["one", "behind a blocked one", "two", "two inputs", "a sub-workflow", "mixed"],
)
def test_steps_that_are_never_scheduled_behind_a_failed_one_fail_the_run(
    steps: list[StepReport],
) -> None:
    report = left_behind(*steps)
    check(report, Row.BLOCKED, S.FAILED)
    sighting = judge(report)
    assert sighting.failure is not None
    assert sighting.failure.step_index == 1
    assert [s.state for s in sighting.steps][-1] == "blocked"


def test_steps_are_never_scheduled_in_a_sub_workflow_either() -> None:
    report = a_report(
        a_step(needs=[]),
        a_step(scheduled=False, needs=[0], sub=left_behind()),
        state=G.READY,
        visited_for=MINUTE,
    )
    check(report, Row.BLOCKED, S.FAILED)
    late = evolve(report, visited_for=3 * MINUTE)
    check(late, Row.UNSCHEDULED, S.IN_PROGRESS)


@pytest.mark.parametrize(
    "report",
    [
        left_behind(visited_for=2 * MINUTE),
        left_behind(visited_for=None),
        left_behind(quiet_for=None),
        left_behind(state=G.NEW),
        left_behind(state=G.REQUIRES_MATERIALIZATION),
        left_behind(a_step(scheduled=False)),
        left_behind(a_step(scheduled=False, needs=[0])),
        left_behind(a_step(scheduled=False, needs=[1], expanding=True)),
        left_behind(BLOCKED, NEVER, a_step(scheduled=False, needs=[0])),
        left_behind(BLOCKED, NEVER, a_step(review=True, needs=[0])),
        left_behind(a_step(review=True, needs=[1]), NEVER),
        left_behind(a_step(scheduled=False, needs=[0], sub=a_report(state=G.NEW))),
        left_behind(BLOCKED),
        a_report(
            a_step(J.OK, needs=[]),
            a_step(scheduled=False, needs=[0]),
            state=G.READY,
            visited_for=MINUTE,
        ),
    ],
    ids=[
        "not visited since",
        "visits not known",
        "changes not known",
        "not visited yet",
        "waits for data",
        "connections not known",
        "depends on what went well",
        "expands",
        "another step is left that can run",
        "another review is open",
        "the review comes first",
        "a sub-workflow that can run",
        "no step is left",
        "nothing failed",
    ],
)
def test_a_scheduler_that_is_slow_fails_no_run(report: InvocationReport) -> None:
    check(report, Row.UNSCHEDULED, S.IN_PROGRESS)


@pytest.mark.parametrize("state", [J.RUNNING, J.PAUSED, J.NEW, J.DELETING, J.UNKNOWN])
def test_no_step_is_given_up_while_a_job_may_go_on(state: JobState) -> None:
    report = left_behind(a_step(state, needs=[0]), NEVER)
    check(report, Row.UNSETTLED, S.IN_PROGRESS)


def test_steps_that_are_never_scheduled_take_a_second_look() -> None:
    times = {"confirm_after": 5 * MINUTE, "blocked_after": 7 * MINUTE}
    assert confirmation_time(left_behind(), **times) == 7 * MINUTE
    done = a_report(a_step(J.OK))
    assert confirmation_time(done, **times) == timedelta(0)


# --- reviews ---


def reviewed(*steps: StepReport, state: GalaxyState = G.READY) -> InvocationReport:
    behind = a_step(scheduled=False, needs=[2])
    check = a_step(label="check", review=True, needs=[1])
    return a_report(a_step(needs=[]), *(steps or [a_step(J.OK)]), check, behind)


def test_a_run_waits_for_its_review() -> None:
    sighting = judge(reviewed())
    assert sighting.state is S.IN_PROGRESS
    assert sighting.attention == (
        "Waits for a review at step 'check' in Galaxy (index 2)."
    )
    assert list(reviews(reviewed())) == [("2", ("check",))]


@pytest.mark.parametrize("state", [J.RUNNING, J.NEW, J.PAUSED])
def test_a_review_of_data_that_is_being_made_does_not_wait(state: JobState) -> None:
    report = reviewed(a_step(state))
    assert list(reviews(report)) == []
    attention = judge(report).attention
    assert attention == (PAUSED if state is J.PAUSED else None)


def test_a_review_behind_another_one_does_not_wait() -> None:
    first = a_step(review=True, needs=[0])
    assert list(reviews(reviewed(first))) == [("1", ("step 2",))]
    assert judge(reviewed(first)).state is S.QUEUED
    attention = "Waits for a review at step 2 in Galaxy (index 1)."
    assert judge(reviewed(first)).attention == attention


def test_the_review_of_what_has_failed_waits_too() -> None:
    sighting = judge(reviewed(a_step(J.ERROR)))
    assert sighting.state is S.IN_PROGRESS
    assert sighting.failure is not None
    assert sighting.attention
    assert "review" in sighting.attention


def test_a_review_comes_before_paused_jobs() -> None:
    sighting = judge(reviewed(a_step(J.OK), a_step(J.PAUSED)))
    assert sighting.attention
    assert "review" in sighting.attention


def test_a_review_waits_in_a_sub_workflow() -> None:
    inner = a_report(a_step(label="nested", scheduled=False, sub=reviewed()))
    report = a_report(a_step(), a_step(label="outer", scheduled=False, sub=inner))
    assert list(reviews(report)) == [("1.0.2", ("outer", "nested", "check"))]
    attention = judge(report).attention
    assert attention == (
        "Waits for a review at step 'outer > nested > check' in Galaxy (index 1.0.2)."
    )
    places = dict(report.places())
    assert places["1.0.2"].label == "check"
    assert [step for step, _ in report.walk()][3:5] == [
        ("outer", "nested", "step 1"),
        ("outer", "nested", "step 2"),
    ]


def test_many_reviews_are_named_in_part() -> None:
    report = a_report(
        *[a_step(review=True, label="x" * 1000, needs=[])] * 50, state=G.READY
    )
    attention = judge(report).attention
    assert attention
    assert attention.endswith("and 47 more in Galaxy (index 0, 1, 2).")
    assert len(attention) < 1000


def rejected(state: GalaxyState, **facts: object) -> InvocationReport:
    return a_report(
        a_step(J.OK),
        a_step(label="check"),
        a_step(scheduled=False),
        state=state,
        reasons=["cancelled_on_review"],
        named=NamedStep(1, ("check",)),
    )


REJECTED = "Stopped, since the review at step {!r} was rejected."


def test_a_rejected_review_is_a_cancel_that_says_so() -> None:
    report = rejected(G.CANCELLED)
    check(report, Row.CANCELLED, S.CANCELLED)
    sighting = judge(report)
    assert (sighting.attention, sighting.failure) == (REJECTED.format("check"), None)
    assert judge(rejected(G.CANCELLING)).attention == REJECTED.format("check")


def test_a_review_rejected_in_a_sub_workflow_stops_the_run() -> None:
    sub = rejected(G.CANCELLED)
    report = a_report(a_step(J.RUNNING), a_step(label="nested", sub=sub), state=G.READY)
    check(report, Row.SUB_REJECTED, S.CANCELLING)
    sighting = judge(report)
    assert sighting.attention == REJECTED.format("nested > check")
    assert sighting.failure is None
    # Galaxy names the step of the sub-workflow for the outer invocation as well.
    after = evolve(
        report,
        state=G.CANCELLED,
        steps=(a_report(a_step(J.DELETED)).steps[0], report.steps[1]),
        reasons=("cancelled_on_review",),
        named=NamedStep(1, ("step 2",)),
    )
    check(after, Row.CANCELLED, S.CANCELLED)
    assert judge(after).attention == REJECTED.format("nested > check")


def test_a_sub_workflow_that_failed_is_not_hidden_by_a_rejected_review() -> None:
    failed = a_report(a_step(J.OK), state=G.FAILED)
    steps = [a_step(sub=rejected(G.CANCELLED)), a_step(sub=failed)]
    check(a_report(*steps, state=G.READY), Row.SUB_FAILED, S.FAILED)


# --- where nothing was done ---


@pytest.mark.parametrize("state", STALLED)
def test_galaxy_says_that_it_is_not_done_with_scheduling(
    state: GalaxyState,
) -> None:
    check(a_report(a_step(J.OK), state=state), Row.UNSCHEDULED, S.IN_PROGRESS)


@pytest.mark.parametrize("state", [G.SCHEDULED, G.COMPLETED])
def test_every_job_ended_well(state: GalaxyState) -> None:
    sub = a_report(a_step(J.OK, J.OK), state=state)
    report = a_report(a_step(), a_step(J.SKIPPED), a_step(sub=sub), state=state)
    check(report, Row.ALL_GOOD, S.COMPLETED)


@pytest.mark.parametrize("state", [G.SCHEDULED, G.COMPLETED])
@pytest.mark.parametrize("bad", [J.ERROR, J.FAILED, J.DELETED, J.STOPPED, J.BLOCKED])
def test_one_bad_job_fails_the_run_though_galaxy_is_content(
    bad: JobState, state: GalaxyState
) -> None:
    flat = a_report(a_step(J.OK), a_step(J.OK, bad, J.OK), state=state)
    deep = a_report(a_step(sub=a_report(a_step(sub=flat), state=state)), state=state)
    for report in [flat, deep]:
        check(report, Row.SOME_BAD, S.FAILED)


def test_an_input_that_failed_leaves_its_job_paused_and_the_run_failed() -> None:
    check(a_report(a_step(), a_step(J.BLOCKED)), Row.SOME_BAD, S.FAILED)


# --- against the oracle, and what never happens -------------------------------


@settings(max_examples=300)
@given(REPORTS)
def test_it_agrees_with_the_prose(report: InvocationReport) -> None:
    agrees_with_the_prose(report)


@settings(max_examples=300)
@given(LEFT_REPORTS)
def test_it_agrees_with_the_prose_on_steps_that_are_left(
    report: InvocationReport,
) -> None:
    agrees_with_the_prose(report)


def agrees_with_the_prose(report: InvocationReport) -> None:
    wanted = oracle.judge(report)
    sighting = judge(report)
    event(sighting.state.value)
    assert sighting.state.value == wanted.state
    assert (sighting.failure is not None) == wanted.failed
    waits = next(reviews(report), None) is not None
    assert waits == oracle.waits_for_reviewer(report)


@given(REPORTS)
def test_completed_means_that_everything_was_done_and_done_well(
    report: InvocationReport,
) -> None:
    if judge(report).state is S.COMPLETED:
        for step in oracle.steps_of(report):
            assert step.scheduled
            assert not step.expanding
            assert {job.state for job in step.jobs} <= {J.OK, J.SKIPPED}
        states = {invocation.state for invocation in [report, *oracle.subs_of(report)]}
        assert G.FAILED not in states


@given(REPORTS)
def test_nothing_ends_while_a_job_goes_on_unless_galaxy_gave_it_up(
    report: InvocationReport,
) -> None:
    words = set(oracle.words_of(report))
    goes_on = words & {"new", "queued", "running", "paused", "deleting", "stop"}
    if goes_on and report.state is not G.FAILED:
        assert judge(report).state in {S.QUEUED, S.IN_PROGRESS, S.CANCELLING}


@given(REPORTS)
def test_the_counts_add_up_and_count_every_job(report: InvocationReport) -> None:
    sighting = judge(report)
    progress = sighting.progress
    words = oracle.words_of(report)
    assert progress.total == len(words)
    assert (
        progress.ok + progress.running + progress.waiting + progress.failed
        == progress.total
    )
    assert min(progress.ok, progress.running, progress.waiting, progress.failed) >= 0
    assert progress.ok == sum(map(oracle.is_well, words))
    assert progress.failed == sum(map(oracle.is_bad, words))
    by_step = [n for step in sighting.steps for n in step.jobs.values()]
    assert sum(by_step) == progress.total


@given(REPORTS)
def test_a_failure_is_told_of_a_step_where_a_job_is_to_blame(
    report: InvocationReport,
) -> None:
    sighting = judge(report)
    blamed = culprit(report)
    assert (blamed.job_id if blamed else None) == oracle.blamed(report)
    if sighting.state is S.FAILED:
        assert sighting.failure is not None
        assert sighting.failure.message
    if sighting.failure is not None and blamed is not None:
        assert blamed in step_at(report, sighting.failure.path).jobs
        assert sighting.failure.step == sighting.failure.path[-1]
        assert sighting.failure.step == f"step {1 + (sighting.failure.step_index or 0)}"
        assert sighting.failure.tool == blamed.tool


def step_at(report: InvocationReport, path: tuple[str, ...]) -> StepReport:
    """The step that the names lead to."""
    number, *below = path
    step = report.steps[int(number.removeprefix("step ")) - 1]
    if not below:
        return step
    assert step.sub is not None
    return step_at(step.sub, tuple(below))


@given(REPORTS)
def test_attention_is_asked_for_held_jobs_reviews_and_what_did_nothing(
    report: InvocationReport,
) -> None:
    sighting = judge(report)
    held = "paused" in oracle.words_of(report)
    ended = sighting.state in {S.COMPLETED, S.FAILED, S.CANCELLED}
    did_nothing = sighting.state is S.COMPLETED and (
        set(oracle.words_of(report)) == {"skipped"}
        or any(step.empty for step in oracle.steps_of(report))
    )
    stopped = sighting.state in {S.CANCELLING, S.CANCELLED}
    rejected = stopped and any(
        "cancelled_on_review" in one.reasons
        for one in [report, *oracle.subs_of(report)]
    )
    waits = not ended and not stopped and oracle.waits_for_reviewer(report)
    assert ("review" in (sighting.attention or "")) == (waits or rejected)
    assert (sighting.attention is not None) == (
        (held and not ended) or did_nothing or rejected or waits
    )


# --- what is told of a failure ------------------------------------------------


def failure_of(
    report: InvocationReport, details: JobDetails | None = None
) -> tuple[object, ...]:
    failure = judge(report, details).failure
    assert failure is not None
    return (failure.reason, failure.step, failure.step_index, failure.path)


def test_the_first_job_that_failed_by_itself_is_to_blame() -> None:
    blocked, first, second = a_step(J.BLOCKED), a_step(J.OK, J.ERROR), a_step(J.FAILED)
    report = a_report(blocked, first, second)
    assert culprit(report) is report.steps[1].jobs[1]


def test_a_blocked_job_is_to_blame_only_where_no_other_is() -> None:
    report = a_report(a_step(), a_step(J.BLOCKED), a_step(J.BLOCKED))
    assert culprit(report) is report.steps[1].jobs[0]
    assert judge(report).failure is not None
    assert culprit(a_report(a_step(J.OK, J.RUNNING, J.DELETING, J.PAUSED))) is None


def test_a_step_without_a_label_is_called_by_its_number() -> None:
    report = a_report(a_step(), a_step(), a_step(J.ERROR))
    assert failure_of(report) == ("job-failed", "step 3", 2, ("step 3",))


def test_the_path_leads_down_through_sub_workflows() -> None:
    lowest = a_report(a_step(), a_step(J.ERROR, label="sort"))
    middle = a_report(a_step(sub=lowest))
    report = a_report(a_step(), a_step(sub=middle, label="clean"))
    path = ("clean", "step 1", "sort")
    assert failure_of(report) == ("job-failed", "sort", 1, path)


def test_everything_that_is_known_of_the_job_is_told() -> None:
    details = JobDetails(tool="sort/1.2", exit_code=3, stderr="no", message="sorry")
    failure = judge(a_report(a_step(J.ERROR)), details).failure
    assert failure is not None
    assert (failure.tool, failure.exit_code) == ("sort/1.2", 3)
    assert (failure.stderr, failure.message) == ("no", "sorry")


def test_the_end_of_stderr_is_kept_since_it_says_what_broke() -> None:
    details = JobDetails(exit_code=1, stderr="x" * 4000 + "the end")
    failure = judge(a_report(a_step(J.ERROR)), details).failure
    assert failure is not None
    assert failure.stderr is not None
    assert failure.stderr.endswith("the end")
    assert len(failure.stderr) == 4000


def test_where_galaxy_gives_no_reason_the_failure_says_so() -> None:
    failure = judge(a_report(a_step(J.DELETED))).failure
    assert failure is not None
    assert failure.message == "Galaxy says only that a job is deleted."
    assert failure.tool == "sort"


def test_galaxys_own_reason_is_told_where_it_gave_the_run_up() -> None:
    report = a_report(
        a_step(),
        state=G.FAILED,
        messages=("Step 2: `when` is no boolean.", "Sorry."),
        reasons=("when_not_boolean", "other"),
    )
    failure = judge(report).failure
    assert failure is not None
    assert failure.reason == "when_not_boolean"
    assert failure.message == "Step 2: `when` is no boolean.; Sorry."
    assert failure.step is None


def test_galaxy_giving_up_without_a_word_is_told_as_that() -> None:
    failure = judge(a_report(state=G.FAILED)).failure
    assert failure is not None
    assert failure.reason == "failed"
    assert failure.message == "Galaxy says only that it is failed."


def test_a_sub_workflow_that_was_given_up_is_named_with_its_reason() -> None:
    sub = a_report(
        a_step(), state=G.FAILED, messages=("No file.",), reasons=("dataset_failed",)
    )
    middle = a_report(a_step(sub=sub, label="inner"))
    report = a_report(a_step(J.OK), a_step(sub=middle, label="outer"))
    assert failure_of(report) == ("dataset_failed", "inner", 0, ("outer", "inner"))
    assert [step.state for step in judge(report).steps] == ["ok", "failed"]


def test_a_failure_is_shown_while_other_jobs_go_on() -> None:
    report = a_report(a_step(J.ERROR, label="sort"), a_step(J.RUNNING))
    assert judge(report).state is S.IN_PROGRESS
    assert failure_of(report) == ("job-failed", "sort", 0, ("sort",))


@pytest.mark.parametrize("state", [G.CANCELLED, G.CANCELLING])
def test_jobs_that_were_stopped_with_the_run_are_no_failure(state: GalaxyState) -> None:
    assert judge(a_report(a_step(J.DELETED), state=state)).failure is None


# --- how its steps are shown --------------------------------------------------


def steps(report: InvocationReport) -> list[str]:
    return [step.state for step in judge(report).steps]


def test_steps_are_shown_as_far_as_they_are() -> None:
    report = a_report(
        a_step(),
        a_step(J.OK, J.SKIPPED),
        a_step(J.OK, J.ERROR, J.BLOCKED),
        a_step(J.BLOCKED),
        a_step(J.NEW, J.QUEUED),
        a_step(J.OK, J.NEW),
        a_step(J.PAUSED),
        a_step(scheduled=False),
        a_step(J.OK, expanding=True),
    )
    assert steps(report) == [
        "ok",
        "ok",
        "failed",
        "blocked",
        "waiting",
        "running",
        "waiting",
        "waiting",
        "running",
    ]


def test_a_step_tells_of_all_jobs_of_its_sub_workflow() -> None:
    lowest = a_report(a_step(J.OK, J.ERROR))
    middle = a_report(a_step(J.OK), a_step(sub=lowest))
    (step,) = judge(a_report(a_step(sub=middle, label="clean"))).steps
    assert (step.label, step.state) == ("clean", "failed")
    assert step.jobs == {"error": 1, "ok": 2}


@pytest.mark.parametrize(
    ("sub", "shown"),
    [
        (a_report(state=G.NEW), "waiting"),
        (a_report(a_step(J.OK), a_step(scheduled=False)), "running"),
        (a_report(a_step(), state=G.FAILED), "failed"),
        (a_report(state=G.CANCELLED), "failed"),
        (a_report(a_step(J.OK), state=G.CANCELLED), "ok"),
        (a_report(a_step(J.OK)), "ok"),
    ],
)
def test_a_step_is_not_better_than_the_sub_workflow_it_runs(
    sub: InvocationReport, shown: str
) -> None:
    assert steps(a_report(a_step(sub=sub))) == [shown]


@given(REPORTS)
def test_every_step_is_ok_where_the_run_has_completed(report: InvocationReport) -> None:
    sighting: Sighting = judge(report)
    if sighting.state is S.COMPLETED:
        assert {step.state for step in sighting.steps} <= {"ok"}


# --- the bulk answer ----------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "populated", "moving"),
    [
        ({"ok": 2}, "ok", False),
        ({"ok": 1, "error": 1, "skipped": 1}, "ok", False),
        ({"ok": 1, "paused": 1}, "ok", False),
        ({}, "ok", False),
        ({"ok": 1, "running": 1}, "ok", True),
        ({"ok": 1, "deleting": 1}, "ok", True),
        ({"ok": 1, "some new word": 1}, "ok", True),
        ({"ok": 1}, "new", True),
        ({}, "new", True),
        ({"running": 1}, "failed", False),
    ],
)
def test_the_bulk_answer_alone_shows_only_that_it_goes_on(
    states: dict[str, int], populated: str, *, moving: bool
) -> None:
    assert JobsSummary(states=states, populated=populated).moving == moving


def test_the_bulk_answers_fingerprint_changes_with_anything_in_it() -> None:
    summary = JobsSummary(states={"ok": 1, "new": 2}, populated="ok")
    same = JobsSummary(states={"new": 2, "ok": 1}, populated="ok")
    others = [
        JobsSummary(states={"ok": 2, "new": 1}, populated="ok"),
        JobsSummary(states={"ok": 1, "new": 2}, populated="new"),
        JobsSummary(states={"ok": 1}, populated="ok"),
    ]
    assert summary.fingerprint == same.fingerprint
    assert summary.fingerprint not in {other.fingerprint for other in others}


@pytest.mark.parametrize(
    ("steps", "attention"),
    [
        ([a_step(), a_step(J.SKIPPED, J.SKIPPED), a_step(J.SKIPPED)], ALL_SKIPPED),
        ([a_step(J.OK), a_step(J.SKIPPED)], None),
        ([a_step()], None),
        ([a_step(), a_step(empty=True)], ALL_EMPTY),
        ([a_step(empty=True), a_step(J.SKIPPED)], ALL_SKIPPED),
        (
            [a_step(J.OK), a_step(empty=True, label="each"), a_step(empty=True)],
            EMPTY_STEPS.format("step 'each', step 3"),
        ),
        (
            [a_step(J.OK), a_step(sub=a_report(a_step(empty=True)), label="sub")],
            EMPTY_STEPS.format("step 'sub > step 1'"),
        ),
    ],
    ids=[
        "all skipped",
        "one skipped",
        "no jobs",
        "all empty",
        "empty or skipped",
        "two empty",
        "one empty inside",
    ],
)
def test_a_run_that_did_nothing_says_that_nothing_was_done(
    steps: list[StepReport], attention: str | None
) -> None:
    sighting = judge(a_report(*steps))
    assert sighting.state is S.COMPLETED
    assert sighting.attention == attention


# --- outlines -------------------------------------------------------------------


@given(REPORTS)
def test_an_outline_has_the_verdict_of_the_report(report: InvocationReport) -> None:
    full, outline = judge(report), judge(outlined(report))
    assert full.progress.total == outline.progress.total
    if full.state.is_terminal or outline.state.is_terminal:
        assert full.state is outline.state
        assert full.attention == outline.attention
    if not (open_ := full.progress.running or full.progress.waiting):
        assert full.progress == outline.progress
    blamed = culprit(report)
    if not open_ or (blamed and blamed.state is not J.BLOCKED):
        assert blamed == culprit(outlined(report))
        assert full.failure == outline.failure


def test_why_jobs_are_paused_is_not_said_while_it_is_not_looked_up() -> None:
    report = a_report(a_step(J.PAUSED, J.RUNNING))
    assert judge(report).attention is not None
    assert judge(outlined(report)).attention is None

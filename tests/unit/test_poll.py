"""The sweep: what it asks, what it writes, whom it leaves alone."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from threading import Event, Semaphore, Thread
from typing import Any, cast

import pytest
from attrs import define, evolve, field

from galaxy_jobs.adapters.testing.contracts.repositories import (
    HERE,
    THERE,
    Repositories,
)
from galaxy_jobs.adapters.testing.memory import (
    ManualClock,
    MemoryAuditLog,
    MemoryBatches,
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemoryRetention,
    MemorySessions,
    MemorySigningKeys,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTagChanges,
    MemoryTokens,
    MemoryTransitionFeed,
    MemoryUploads,
    MemoryWebhooks,
)
from galaxy_jobs.adapters.threads import ThreadMapper
from galaxy_jobs.domain import (
    GalaxyState,
    Invocation,
    InvocationId,
    InvocationReport,
    InvocationState,
    JobDetails,
    JobState,
    StepReport,
    WorkflowRunner,
)
from galaxy_jobs.domain.errors import (
    AlreadyEnded,
    JobNotFound,
    NoReview,
    ReportUnavailable,
    RunnerError,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunNotFound,
    RunRejected,
    StepNotFound,
    StoreUnavailable,
)
from galaxy_jobs.domain.model.invocation import CHANGED_AFTER_END
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import RunHistories
from galaxy_jobs.domain.use_cases import (
    AnswerReview,
    CancelJob,
    Check,
    ClearSuperseded,
    DataUsers,
    Poll,
    PollPolicy,
    Reconcile,
    RefreshJob,
    Sweep,
)
from galaxy_jobs.domain.use_cases.poll.breaker import Breaker
from galaxy_jobs.domain.use_cases.poll.slow import SLOW_LOOKS
from galaxy_jobs.domain.use_cases.poll.sweep import DETAILS_ATTEMPTS
from tests.support.build import a_report, a_step
from tests.support.faults import Faults, Killed, Paused, When
from tests.support.scripted import ScriptedGalaxy


S = InvocationState
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

NEW = a_report(state=GalaxyState.NEW)
RUNNING = a_report(a_step(JobState.RUNNING, label="sort"))
HALF = a_report(a_step(JobState.OK), a_step(JobState.RUNNING))
DONE = a_report(a_step(JobState.OK))
BROKEN = a_report(a_step(JobState.ERROR, label="sort"))
DOWN = RunnerUnavailable("Galaxy is down.")
GONE = RunNotFound("There is no such thing.")


@define
class Rig:
    """One store, one Galaxy and any number of pollers, each with a breaker."""

    policy: PollPolicy = field(factory=PollPolicy)
    clock: ManualClock = field(factory=ManualClock)
    galaxy: ScriptedGalaxy = field(factory=lambda: ScriptedGalaxy(who=HERE))
    faults: Faults = field(factory=Faults)
    store: MemoryStore = field(init=False)
    repositories: Repositories = field(init=False)
    poll: Poll = field(init=False)
    beats: list[Callable[[], None]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(now=self.clock)
        self.repositories = Repositories(
            datasets=MemoryDatasets(self.store),
            submissions=MemorySubmissions(self.store),
            batches=MemoryBatches(self.store),
            invocations=MemoryInvocations(self.store),
            queue=MemoryPollQueue(self.store),
            superseded=MemorySupersededRuns(self.store),
            retention=MemoryRetention(self.store),
            tag_changes=MemoryTagChanges(self.store),
            tokens=MemoryTokens(self.store),
            sessions=MemorySessions(self.store),
            signing_keys=MemorySigningKeys(self.store),
            uploads=MemoryUploads(self.store),
            audit=MemoryAuditLog(self.store),
            webhooks=MemoryWebhooks(self.store),
            feed=MemoryTransitionFeed(self.store),
            pass_time=self.clock.advance,
        )
        self.poll = self.poller()

    def poller(self) -> Poll:
        """One more, as another process would be."""
        repositories = self.repositories
        no_histories = cast("RunHistories", None)
        return Poll(
            queue=self.faults.around("queue", repositories.queue),
            invocations=repositories.invocations,
            runner=self.faults.around("runner", self.galaxy),
            reconcile=Reconcile(
                check=cast("Check", None),
                submissions=repositories.submissions,
                invocations=repositories.invocations,
                runner=self.galaxy,
                histories=no_histories,
                clock=self.clock,
            ),
            clear=ClearSuperseded(
                repositories.superseded,
                no_histories,
                repositories.invocations,
                DataUsers(repositories.superseded, no_histories, self.clock),
                self.clock,
            ),
            clock=self.clock,
            policy=self.policy,
            heartbeat=self.heartbeat,
            random=lambda: 0.5,
            breaker=Breaker(self.policy, self.clock),
        )

    @contextmanager
    def heartbeat(
        self, beat: Callable[[], None], *, every: timedelta, at_most: timedelta
    ) -> Iterator[None]:
        """Beat whenever :meth:`beat` is called."""
        assert every * 3 <= self.policy.lease <= at_most
        self.beats.append(beat)
        try:
            yield
        finally:
            self.beats.remove(beat)

    def beat(self) -> None:
        """Let the hearts of all pollers beat that are in a batch."""
        for beat in list(self.beats):
            beat()

    def accepted(
        self, name: str, says: InvocationReport | RunnerError = RUNNING
    ) -> InvocationId:
        """Have a run accepted; Galaxy says that of it."""
        id_ = self.repositories.accepted(name, at=self.clock()).invocation_id
        self.galaxy.reports[id_] = says
        return id_

    def many(
        self,
        count: int,
        says: InvocationReport | RunnerError = RUNNING,
        name: str = "inv",
    ) -> list[InvocationId]:
        return [self.accepted(f"{name}{n:04}", says) for n in range(count)]

    def sweep(self, after: timedelta = timedelta(0)) -> Sweep:
        """Let time pass and sweep, with an ear for what this sweep asks."""
        self.clock.advance(after)
        self.galaxy.asked.clear()
        return self.poll()

    def job(self, id_: InvocationId) -> Invocation:
        return self.store.invocations[id_]

    def states(self, id_: InvocationId) -> list[str]:
        return [
            transition.to_state.value
            for transition in self.store.transitions
            if transition.invocation_id == id_
        ]

    @property
    def reports(self) -> list[str]:
        """Which invocations were looked at in full, in turn."""
        return [call[7:] for call in self.galaxy.asked if call.startswith("report ")]


def no_bulk(rig: Rig) -> None:
    """Let Galaxy tell nothing in bulk."""
    rig.galaxy.tells_in_bulk = False


@pytest.fixture
def rig() -> Rig:
    return Rig()


# --- what is asked ------------------------------------------------------------


def test_with_nothing_due_only_galaxys_name_is_asked(rig: Rig) -> None:
    assert rig.sweep() == Sweep()
    assert rig.galaxy.asked == ["identity"]


def test_a_first_look_is_a_full_one_and_then_the_bulk_answer_does(rig: Rig) -> None:
    ids = rig.many(450)
    first = rig.sweep()
    assert (first.due, first.asked, first.looks, first.changed) == (450, 450, 450, 450)
    quiet = rig.sweep(HOUR / 4)
    assert (quiet.due, quiet.asked, quiet.looks, quiet.changed) == (450, 450, 0, 0)
    assert rig.galaxy.asked == ["identity", "summaries", "summaries", "summaries"]
    assert {rig.job(id_).observed_at for id_ in ids} == {rig.clock()}
    assert {rig.job(id_).version for id_ in ids} == {1}


def test_only_what_moved_gets_a_full_look(rig: Rig) -> None:
    ids = rig.many(50)
    rig.sweep()
    rig.galaxy.reports[ids[7]] = HALF
    rig.galaxy.reports[ids[9]] = DONE
    sweep = rig.sweep(MINUTE)
    assert rig.reports == [ids[7], ids[9]]
    assert (sweep.looks, sweep.changed, sweep.ended) == (2, 2, 1)
    assert rig.job(ids[7]).progress.ok == 1
    assert rig.states(ids[9]) == ["queued", "in_progress", "completed"]
    assert rig.sweep(MINUTE).due == 49


def test_what_may_have_ended_is_looked_at_each_time(rig: Rig) -> None:
    """A paused job is held, or blocked for good: the bulk answer cannot tell."""
    held = rig.accepted("held", a_report(a_step(JobState.PAUSED)))
    rig.sweep()
    for _ in range(3):
        rig.sweep(MINUTE)
        assert rig.reports == [held]


def with_sub(state: JobState | None) -> InvocationReport:
    """Return a run with a job of its own beside a sub-workflow with or without one."""
    steps = () if state is None else (a_step(state, label="inside"),)
    sub = a_report(*steps, state=GalaxyState.SCHEDULED if steps else GalaxyState.READY)
    return a_report(a_step(JobState.RUNNING), a_step(label="sub", sub=sub))


@pytest.mark.parametrize("before", [JobState.RUNNING, None], ids=["a job", "no job"])
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "left out"])
def test_a_failure_in_a_sub_workflow_is_seen_at_the_next_poll(
    rig: Rig,
    before: JobState | None,
    counted: bool,  # noqa: FBT001
) -> None:
    rig.galaxy.counts_sub_workflows = counted
    id_ = rig.accepted("inv1", with_sub(before))
    rig.sweep()
    rig.sweep(MINUTE)
    if before and counted:
        assert not rig.reports, "the bulk answer is enough"
    rig.galaxy.reports[id_] = with_sub(JobState.ERROR)
    rig.sweep(MINUTE)
    failure = rig.job(id_).failure
    assert failure is not None
    assert failure.path == ("sub", "inside")


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "left out"])
def test_a_failure_in_a_sub_workflow_that_begins_later_is_seen_at_the_next_poll(
    rig: Rig,
    counted: bool,  # noqa: FBT001
) -> None:
    rig.galaxy.counts_sub_workflows = counted
    steps = a_step(JobState.RUNNING), a_step(label="sub", scheduled=False)
    waiting = a_report(*steps, state=GalaxyState.READY)
    before = evolve(waiting, has_sub_workflows=True)
    id_ = rig.accepted("inv1", before)
    rig.sweep()
    rig.sweep(MINUTE)
    assert rig.reports == [id_]
    sub = a_report(a_step(JobState.ERROR, label="inside"), state=GalaxyState.READY)
    rig.galaxy.reports[id_] = evolve(
        before, steps=(before.steps[0], a_step(label="sub", sub=sub))
    )
    rig.sweep(MINUTE)
    failure = rig.job(id_).failure
    assert failure is not None
    assert failure.path == ("sub", "inside")


def test_a_run_without_sub_workflows_needs_no_full_look_while_it_waits(
    rig: Rig,
) -> None:
    steps = a_step(JobState.RUNNING), a_step(scheduled=False)
    rig.accepted("inv1", a_report(*steps, state=GalaxyState.READY))
    rig.sweep()
    rig.sweep(MINUTE)
    assert not rig.reports


# --- what a full look cannot be had of ----------------------------------------

TOO_LARGE = ReportUnavailable("The answer is more than 24 MiB.")
PARTLY = a_report(a_step(JobState.OK, JobState.ERROR, JobState.RUNNING, label="sort"))
OVER = a_report(a_step(JobState.OK, JobState.ERROR, JobState.OK, label="sort"))


@pytest.mark.parametrize(
    ("end", "state"), [(OVER, S.FAILED), (DONE, S.COMPLETED)], ids=["bad", "good"]
)
def test_outlines_give_the_verdict_where_full_looks_cannot(
    rig: Rig, end: InvocationReport, state: InvocationState
) -> None:
    id_ = rig.accepted("inv1", TOO_LARGE)
    rig.galaxy.outlines[id_] = PARTLY
    rig.sweep()
    job = rig.job(id_)
    assert (job.state, job.progress.total, job.progress.failed) == (S.IN_PROGRESS, 3, 1)
    assert job.failure is not None
    assert (job.failure.step, job.failure.exit_code) == ("sort", 1)
    assert job.steps[0].jobs == {"error": 1, "ok": 1, "running": 1}
    rig.galaxy.outlines[id_] = end
    while not rig.job(id_).state.is_terminal:
        rig.sweep(MINUTE)
        assert not rig.reports, "outlines alone, for a while"
    assert rig.job(id_).state is state


def test_a_full_look_is_tried_again_after_a_while(rig: Rig) -> None:
    id_ = rig.accepted("inv1", TOO_LARGE)
    rig.galaxy.outlines[id_] = PARTLY
    rig.sweep()
    rig.galaxy.reports[id_] = HALF
    rig.sweep(rig.policy.full_look_every)
    assert rig.reports == [id_]


def test_a_run_that_not_even_an_outline_can_be_had_of_is_stale(rig: Rig) -> None:
    id_, other = rig.accepted("inv1"), rig.accepted("inv2")
    rig.sweep()
    rig.galaxy.reports[id_] = TOO_LARGE
    for _ in range(100):
        cancelled(rig, id_)
        sweep = rig.sweep(MINUTE)
        assert sweep.problem is None, "one run makes no trouble for others"
    assert rig.job(id_).is_stale(rig.clock())
    assert rig.job(id_).state is S.CANCELLING
    assert not rig.job(other).is_stale(rig.clock())


def test_a_run_that_only_an_outline_can_be_had_of_is_cancelled(rig: Rig) -> None:
    id_ = rig.accepted("inv1", TOO_LARGE)
    rig.galaxy.outlines[id_] = PARTLY
    rig.sweep()
    cancelled(rig, id_)
    rig.galaxy.reports[id_] = PARTLY  # for the cancel itself
    rig.sweep()
    assert rig.galaxy.asked.index(f"outline {id_}") < rig.galaxy.asked.index(
        f"cancel {id_}"
    )


def test_the_tool_of_a_step_stays_known(rig: Rig) -> None:
    id_ = rig.accepted("inv1", PARTLY)
    rig.sweep()
    assert rig.job(id_).steps[0].tool == "sort"
    rig.galaxy.reports[id_] = TOO_LARGE
    rig.galaxy.outlines[id_] = a_report(a_step(JobState.OK, JobState.RUNNING))
    rig.sweep(MINUTE)
    assert rig.job(id_).steps[0].jobs == {"ok": 1, "running": 1}
    assert rig.job(id_).steps[0].tool == "sort"


# --- what takes long to look at ------------------------------------------------


@define
class Held(ScriptedGalaxy):
    """A Galaxy that answers nothing about one run until it is let go.

    Attributes:
        held: The run.
        go: Set to let it go.
        begun: Released whenever it is asked about that run.
    """

    held: str = "held"
    go: Event = field(factory=Event)
    begun: Semaphore = field(factory=lambda: Semaphore(0))

    def report(self, invocation_id: InvocationId) -> InvocationReport:
        self._wait(invocation_id)
        return super().report(invocation_id)

    def outline(self, invocation_id: InvocationId) -> InvocationReport:
        self._wait(invocation_id)
        return super().outline(invocation_id)

    def _wait(self, invocation_id: InvocationId) -> None:
        if invocation_id == self.held:
            self.begun.release()
            assert self.go.wait(30)


@pytest.fixture
def threads() -> Iterator[ThreadMapper]:
    with contextmanager(ThreadMapper.open)(2, SLOW_LOOKS) as mapper:
        yield mapper


@pytest.fixture
def held(threads: ThreadMapper) -> Iterator[Rig]:
    """A rig whose Galaxy holds back the answers about one run."""
    galaxy = Held(who=HERE)
    policy = PollPolicy(slow_look=timedelta(milliseconds=50))
    rig = Rig(galaxy=galaxy, policy=policy)
    rig.poll = evolve(rig.poll, mapper=threads)
    yield rig
    galaxy.go.set()


def let_go(rig: Rig) -> None:
    """Answer, and wait until that is stored."""
    assert isinstance(rig.galaxy, Held)
    rig.galaxy.go.set()
    rig.poll.slow.wait()


def test_others_do_not_wait_for_a_slow_look(held: Rig) -> None:
    id_ = held.accepted("held")
    others = held.many(5)
    sweep = held.poll(at_most=SECOND)
    assert (sweep.asked, sweep.failed, sweep.put_off) == (5, 0, 0)
    assert {held.job(other).state for other in others} == {S.IN_PROGRESS}
    assert held.job(id_).state is S.QUEUED
    for _ in range(3):
        held.clock.advance(held.policy.lease * 0.9)
        held.beat()
        assert held.poll(at_most=SECOND).asked, "its claim is kept, and others go on"
    let_go(held)
    assert held.beats == []
    assert held.job(id_).state is S.IN_PROGRESS
    assert held.poll(at_most=SECOND).looks == 1, "it is counted by the next sweep"


def test_one_sweep_alone_waits_for_all(held: Rig) -> None:
    id_ = held.accepted("held")
    galaxy = held.galaxy
    assert isinstance(galaxy, Held)

    def let_it_go() -> None:
        galaxy.begun.acquire()
        galaxy.go.set()

    Thread(target=let_it_go).start()
    assert held.poll().looks == 1
    assert held.job(id_).state is S.IN_PROGRESS


def test_what_was_slow_once_is_outlined_apart_from_the_others(held: Rig) -> None:
    id_ = held.accepted("held")
    held.poll(at_most=SECOND)
    let_go(held)
    assert isinstance(held.galaxy, Held)
    held.galaxy.go.clear()
    held.galaxy.reports[id_] = HALF
    held.galaxy.asked.clear()
    held.clock.advance(MINUTE)
    held.poll = evolve(
        held.poll, policy=evolve(held.policy, slow_look=timedelta(hours=1))
    )
    held.poll(at_most=SECOND)  # ends, although nothing else is late before an hour
    let_go(held)
    assert f"outline {id_}" in held.galaxy.asked
    assert f"report {id_}" not in held.galaxy.asked


def test_a_slow_look_that_could_not_be_stored_fails_the_next_sweep(held: Rig) -> None:
    held.accepted("held")
    held.poll(at_most=SECOND)
    held.faults.raises("queue.write_back", When.BEFORE, StoreUnavailable("Down."))
    let_go(held)
    with pytest.raises(StoreUnavailable):
        held.poll(at_most=SECOND)
    assert held.poll(at_most=SECOND).problem is None


def test_few_slow_looks_are_under_way_at_once(held: Rig) -> None:
    slow = held.poll.slow
    ids = held.many(10, TOO_LARGE)
    for id_ in ids:
        slow.add(id_)
    for _ in range(SLOW_LOOKS):
        slow.begin()
    assert held.poll(at_most=SECOND).failed == 10, "tried with the others at first"
    held.galaxy.asked.clear()
    held.clock.advance(MINUTE)
    held.poll(at_most=SECOND)
    assert not [asked for asked in held.galaxy.asked if asked.startswith("outline")]
    for _ in range(SLOW_LOOKS):
        slow.end(None, None)
    held.clock.advance(MINUTE)
    held.poll(at_most=SECOND)
    slow.wait()
    asked = [asked for asked in held.galaxy.asked if asked.startswith("outline")]
    assert len(asked) == SLOW_LOOKS


def test_bulk_answers_alone_are_trusted_for_a_while_only(rig: Rig) -> None:
    """Whatever they cannot show is seen at a bounded age."""
    rig.many(20)
    rig.sweep()
    looked, waited = 0, timedelta(0)
    while not looked:
        sweep = rig.sweep(MINUTE)
        waited += MINUTE
        looked = sweep.routine
        assert sweep.looks == looked
    assert looked == 20
    assert rig.policy.full_look_every * 0.9 <= waited <= rig.policy.full_look_every


def test_where_galaxy_cannot_be_asked_in_bulk_each_is_asked_and_that_is_told(
    rig: Rig,
) -> None:
    ids = rig.many(30)
    no_bulk(rig)
    for _ in range(3):
        sweep = rig.sweep(MINUTE)
        assert rig.reports == ids
        assert (sweep.bulk_misses, sweep.asked, sweep.failed) == (30, 30, 0)


def test_where_the_bulk_question_fails_each_is_asked(rig: Rig) -> None:
    ids = rig.many(30)
    rig.galaxy.bulk = DOWN
    sweep = rig.sweep()
    assert rig.reports == ids
    assert (sweep.bulk_misses, sweep.looks, sweep.failed, sweep.problem) == (
        30,
        30,
        0,
        None,
    )


def test_a_change_between_the_bulk_answer_and_the_look_is_not_missed(rig: Rig) -> None:
    id_ = rig.accepted("inv1", NEW)
    rig.sweep()

    def moves() -> None:
        rig.galaxy.reports[id_] = RUNNING

    rig.faults.strikes["runner.summaries", When.AFTER] = moves
    rig.sweep(10 * SECOND)  # the bulk answer says "new"; nothing is looked at
    assert rig.job(id_).state is S.QUEUED
    rig.sweep(MINUTE)
    assert rig.job(id_).state is S.IN_PROGRESS
    rig.faults.strikes["runner.report", When.AFTER] = lambda: rig.galaxy.reports.update(
        {id_: DONE}
    )
    rig.galaxy.reports[id_] = HALF
    rig.sweep(MINUTE)
    rig.sweep(MINUTE)
    assert rig.job(id_).state is S.COMPLETED


def test_others_runs_are_not_asked_about(rig: Rig) -> None:
    rig.accepted("inv1")
    rig.galaxy.who = THERE
    assert rig.sweep().due == 0
    assert rig.reports == []


# --- when Galaxy fails --------------------------------------------------------

TROUBLES = [
    DOWN,
    RunnerUnavailable("Later.", retry_after=30),
    RunnerRefusedUs("Bad key."),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_a_failed_poll_changes_no_state(rig: Rig, trouble: RunnerError) -> None:
    ids = [*rig.many(5), *rig.many(5, NEW, "new")]
    rig.sweep()
    before = {id_: rig.job(id_).state for id_ in ids}
    for fails in ("runner.report", "runner.summaries", "runner.identity"):
        for _ in range(20):
            for call in (fails, "runner.report"):
                rig.faults.raises(call, When.BEFORE, trouble)
            rig.sweep(10 * MINUTE)
            assert {id_: rig.job(id_).state for id_ in ids} == before


def test_a_galaxy_that_is_down_is_told_so_and_nothing_is_claimed(rig: Rig) -> None:
    rig.many(5)
    rig.galaxy.trouble = DOWN
    sweep = rig.sweep()
    assert (sweep.due, sweep.problem) == (0, DOWN)
    assert rig.galaxy.asked == ["identity"]


def test_what_cannot_be_asked_about_is_left_alone_for_ever_longer(rig: Rig) -> None:
    bad = rig.accepted("bad", DOWN)
    asked = []
    for _ in range(1200):
        rig.sweep(SECOND)
        if rig.reports:
            asked.append(rig.clock())
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits == sorted(waits)
    assert waits[0] <= 2 * SECOND
    assert waits[-1] >= 4 * MINUTE
    assert rig.states(bad) == ["queued"]


def test_bad_answers_harm_their_own_invocations_only(rig: Rig) -> None:
    """However many: a Galaxy that answers to its name is not in trouble."""
    bad = rig.many(12, DOWN, "bad")
    good = rig.many(40, RUNNING, "good")
    sweep = rig.sweep()
    assert (sweep.failed, sweep.looks, sweep.problem) == (12, 40, None)
    assert sweep.failure is DOWN
    assert {rig.job(id_).state for id_ in good} == {S.IN_PROGRESS}
    assert {rig.job(id_).state for id_ in bad} == {S.QUEUED}


def test_an_answer_beyond_us_harms_its_own_invocation_only(rig: Rig) -> None:
    odd = cast("StepReport", object())
    rig.accepted("odd", evolve(RUNNING, steps=(odd,)))
    no_bulk(rig)
    good = rig.many(3)
    sweep = rig.sweep()
    assert (sweep.failed, sweep.looks) == (1, 3)
    assert "'odd'" in str(sweep.failure)
    assert {rig.job(id_).state for id_ in good} == {S.IN_PROGRESS}


def test_a_galaxy_in_trouble_is_left_alone_and_its_claims_are_given_back(
    rig: Rig,
) -> None:
    ids = rig.many(300)
    rig.sweep()

    def goes_down() -> None:
        rig.galaxy.trouble = DOWN

    rig.faults.strikes["queue.claim", When.AFTER] = goes_down
    sweep = rig.sweep(MINUTE)
    assert sweep.problem is DOWN
    assert len(rig.galaxy.asked) < 20
    assert sweep.put_off == 300 - sweep.failed > 280
    rig.galaxy.trouble = None
    again = rig.sweep(sweep.retry_after)
    assert again.due == sweep.put_off, "given back, they are due at once"
    rig.sweep(MINUTE)
    assert {rig.job(id_).observed_at for id_ in ids} == {rig.clock()}


def test_while_galaxy_is_down_it_gets_one_question_now_and_then(rig: Rig) -> None:
    rig.many(100)
    rig.galaxy.trouble = DOWN
    asked = []
    for second in range(600):
        sweep = rig.sweep(SECOND)
        assert sweep.problem is DOWN
        assert len(rig.galaxy.asked) <= 1
        asked += [second] * len(rig.galaxy.asked)
    assert asked[:5] == [0, 1, 3, 7, 15]
    assert {later - earlier for earlier, later in pairwise(asked[5:])} == {10}
    rig.galaxy.trouble = None
    sweep = rig.sweep(rig.policy.max_pause)
    assert (sweep.looks, sweep.problem) == (100, None)


def test_an_error_that_is_kept_keeps_no_answer_in_memory(rig: Rig) -> None:
    cause = ValueError("Galaxy's answer stands in a frame of this traceback.")
    error = RunnerUnavailable("No answer.")
    try:
        try:
            raise cause
        except ValueError:
            raise error from cause
    except RunnerUnavailable:
        rig.many(1, error)
    sweep = rig.sweep()
    assert sweep.failure is error
    assert error.__traceback__ is cause.__traceback__ is None


@pytest.mark.parametrize("error", [ReportUnavailable, RunnerUnavailable])
def test_an_answer_that_was_no_use_is_gone_before_the_next_question(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: type[RunnerUnavailable]
) -> None:
    class Answer:
        pass

    answers: weakref.WeakSet[Answer] = weakref.WeakSet()
    alive: list[int] = []

    def useless(*_: object) -> InvocationReport:
        alive.append(len(answers))
        answer = Answer()  # stands in the frames of the error, as Galaxy's do
        answers.add(answer)
        raise error("It could not be understood.")

    rig.many(2)
    monkeypatch.setattr(ScriptedGalaxy, "report", useless)
    monkeypatch.setattr(ScriptedGalaxy, "outline", useless)
    gc.disable()  # what waits for it is in memory meanwhile
    try:
        rig.sweep()
    finally:
        gc.enable()
    assert len(alive) > 1
    assert not any(alive)


def test_a_failure_whose_details_cannot_be_read_is_recorded_without_them(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id_,) = rig.many(1, BROKEN)

    def unreadable(*_: object) -> JobDetails:
        raise RunnerUnavailable("It could not be understood.")

    monkeypatch.setattr(ScriptedGalaxy, "details", unreadable)
    for _ in range(DETAILS_ATTEMPTS):
        assert rig.sweep(MINUTE).failed == 1
        assert rig.job(id_).state is S.QUEUED
    rig.sweep(MINUTE)
    assert rig.job(id_).state is S.FAILED
    assert rig.job(id_).failure is not None


def test_a_galaxy_that_answers_to_its_name_alone_is_given_up_all_the_same(
    rig: Rig,
) -> None:
    rig.many(300, DOWN)
    rig.galaxy.bulk = DOWN
    sweep = rig.sweep()
    assert sweep.problem is DOWN
    assert len(rig.galaxy.asked) < 25


@pytest.mark.parametrize(
    "where", ["runner.identity", "runner.summaries", "runner.report"]
)
def test_a_wish_to_be_left_alone_is_granted_beyond_the_sweep(
    rig: Rig, where: str
) -> None:
    wish = RunnerUnavailable("Too many requests.", retry_after=60)
    rig.many(500)
    rig.faults.raises(where, When.BEFORE, wish)
    sweep = rig.sweep()
    assert (sweep.problem, sweep.retry_after) == (wish, MINUTE)
    for n in range(1, 60):
        sweep = rig.sweep(SECOND)
        assert rig.galaxy.asked == []
        assert (sweep.problem, sweep.retry_after) == (wish, MINUTE - n * SECOND)
    sweep = rig.sweep(SECOND)
    assert (sweep.problem, sweep.retry_after) == (None, timedelta(0))
    assert sweep.looks == 500


def test_an_endless_wish_is_not_granted(rig: Rig) -> None:
    rig.galaxy.trouble = RunnerUnavailable("In a year.", retry_after=1e300)
    assert rig.sweep().retry_after == timedelta(hours=1)


def test_each_poller_remembers_by_itself(rig: Rig) -> None:
    rig.many(3)
    rig.faults.raises("runner.identity", When.BEFORE, DOWN)
    assert rig.poll().problem is DOWN
    assert rig.poller()().looks == 3


# --- gone ---------------------------------------------------------------------


def test_what_galaxy_does_not_know_for_long_is_given_up(rig: Rig) -> None:
    lost = rig.accepted("lost", GONE)
    began = rig.clock()
    misses = 0
    while rig.job(lost).state is S.QUEUED:
        misses += rig.sweep(30 * SECOND).missing
    assert rig.clock() - began >= HOUR
    assert misses >= 3
    failure = rig.job(lost).failure
    assert rig.states(lost) == ["queued", "failed"]
    assert failure is not None
    assert failure.reason == "gone"
    assert rig.sweep(HOUR).due == 0


def test_few_misses_do_not_do_however_far_apart(rig: Rig) -> None:
    lost = rig.accepted("lost", GONE)
    for _ in range(2):
        assert rig.sweep(2 * DAY).missing == 1
        assert rig.job(lost).state is S.QUEUED
    rig.sweep(2 * DAY)
    assert rig.job(lost).state is S.FAILED


def test_one_that_turns_up_again_begins_anew(rig: Rig) -> None:
    id_ = rig.accepted("inv1", GONE)
    for _ in range(100):
        rig.sweep(30 * SECOND)
    rig.galaxy.reports[id_] = RUNNING
    rig.sweep(5 * MINUTE)
    rig.galaxy.reports[id_] = GONE
    for _ in range(100):
        rig.sweep(30 * SECOND)
    assert rig.states(id_) == ["queued", "in_progress"]


@pytest.mark.parametrize("who", [THERE, DOWN, RunnerRefusedUs("Bad key.")])
def test_a_miss_counts_only_from_the_galaxy_that_had_it(rig: Rig, who: object) -> None:
    lost = rig.accepted("lost", GONE)
    for _ in range(300):
        rig.galaxy.who = HERE

        def becomes_another() -> None:
            rig.galaxy.who = who  # type: ignore[assignment]

        rig.faults.strikes["queue.claim", When.AFTER] = becomes_another
        rig.sweep(MINUTE)
        rig.faults.strikes.clear()
    assert rig.states(lost) == ["queued"]


def test_what_is_missing_spoils_no_bulk_question_twice(rig: Rig) -> None:
    ids = rig.many(20)
    rig.sweep()
    rig.galaxy.reports[ids[0]] = GONE
    rig.galaxy.in_bulk.clear()
    for _ in range(4):
        rig.sweep(5 * MINUTE)
    assert [len(ids) for ids in rig.galaxy.in_bulk] == [20, 19, 19, 19]
    assert {rig.job(id_).observed_at for id_ in ids[1:]} == {rig.clock()}


# --- stuck --------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    [GalaxyState.NEW, GalaxyState.READY, GalaxyState.REQUIRES_MATERIALIZATION],
)
def test_what_waits_for_the_scheduler_for_long_gets_attention(
    rig: Rig, word: GalaxyState
) -> None:
    id_ = rig.accepted("stuck", a_report(state=word))
    while rig.clock() - rig.job(id_).created_at < rig.policy.stuck_after:
        rig.sweep(MINUTE)
        assert (
            rig.job(id_).attention is None
            or rig.clock() - rig.job(id_).created_at >= HOUR
        )
    for _ in range(31):
        rig.sweep(MINUTE)
    assert word.value in (rig.job(id_).attention or "")
    version = rig.job(id_).version
    for _ in range(100):
        rig.sweep(10 * MINUTE)
    assert rig.job(id_).version == version, "that it still is stuck is no news"
    rig.galaxy.reports[id_] = RUNNING
    rig.sweep(10 * MINUTE)
    assert rig.job(id_).attention is None


def test_what_runs_for_long_gets_none(rig: Rig) -> None:
    id_ = rig.accepted("long")
    for _ in range(100):
        rig.sweep(HOUR)
    assert rig.job(id_).attention is None


# --- a cancel that is pending -------------------------------------------------


def cancelled(rig: Rig, id_: InvocationId) -> None:
    before = rig.job(id_)
    rig.repositories.invocations.save(before, before.request_cancel(rig.clock()))


def test_galaxy_is_told_to_stop_once(rig: Rig) -> None:
    id_ = rig.accepted("inv1")
    rig.sweep()
    cancelled(rig, id_)
    rig.sweep()
    assert f"cancel {id_}" in rig.galaxy.asked
    for _ in range(3):
        rig.sweep(MINUTE)
        assert f"cancel {id_}" not in rig.galaxy.asked
    rig.galaxy.reports[id_] = a_report(
        a_step(JobState.DELETED), state=GalaxyState.CANCELLED
    )
    rig.sweep(MINUTE)
    assert rig.states(id_) == ["queued", "in_progress", "cancelling", "cancelled"]


def test_it_is_told_again_where_that_failed(rig: Rig) -> None:
    id_ = rig.accepted("inv1")
    cancelled(rig, id_)
    rig.galaxy.cancel_fails = DOWN
    sweep = rig.sweep()
    assert (sweep.failed, sweep.looks) == (1, 1)
    assert rig.job(id_).state is S.CANCELLING
    rig.galaxy.cancel_fails = None
    rig.sweep(MINUTE)
    assert f"cancel {id_}" in rig.galaxy.asked


@pytest.mark.parametrize("report", [DONE, BROKEN])
def test_what_has_ended_is_never_told_to_stop(
    rig: Rig, report: InvocationReport
) -> None:
    id_ = rig.accepted("inv1")
    rig.sweep()
    rig.galaxy.reports[id_] = report
    cancelled(rig, id_)
    rig.sweep()
    assert f"cancel {id_}" not in rig.galaxy.asked
    assert rig.job(id_).state.is_terminal


# --- the urgent first ---------------------------------------------------------


def slow(rig: Rig, seconds: float) -> None:
    """Let every full look take so long."""
    rig.galaxy.takes = lambda: rig.clock.advance(timedelta(seconds=seconds))


def test_a_stuck_backlog_does_not_hold_up_the_young() -> None:
    """Not even where Galaxy is slow and cannot be asked in bulk."""
    rig = Rig()
    rig.many(1000, NEW, "stuck")
    for _ in range(5):
        rig.sweep(2 * HOUR)
    rig.clock.advance(HOUR)
    slow(rig, 0.5)  # all of them take 500 s: more than there is between two looks
    no_bulk(rig)
    waits = []
    for n in range(20):
        young = rig.accepted(f"young{n}")
        submitted = rig.clock()
        while rig.job(young).state is S.QUEUED:
            rig.poll(at_most=SECOND)
        waits.append(rig.clock() - submitted)
        rig.galaxy.reports[young] = DONE
    assert max(waits) <= rig.policy.look_budget + SECOND
    assert rig.galaxy.asked.count("report stuck0000") >= 1


def test_the_backlog_gets_its_turn_though_the_young_never_end() -> None:
    rig = Rig(policy=PollPolicy(max_interval=SECOND))  # all are always due: too many
    no_bulk(rig)
    stuck = rig.many(20, NEW, "stuck")
    rig.sweep(HOUR)
    rig.sweep(SECOND)
    slow(rig, 2)
    rig.many(20)
    began = rig.clock()
    while rig.clock() - began < 2 * HOUR:
        rig.poll(at_most=SECOND)
    assert all(rig.job(id_).observed_at > began for id_ in stuck)


def test_what_does_not_fit_into_a_turn_is_given_back_as_it_was(rig: Rig) -> None:
    rig.many(100)
    slow(rig, 1)
    sweep = rig.poll()
    assert sweep.asked == 100, "a sweep without a limit gets to everything"
    assert sweep.put_off > 0
    assert sweep.failed == 0
    assert sweep.due == sweep.asked + sweep.put_off


def test_a_loop_goes_round_before_everything_is_done(rig: Rig) -> None:
    rig.many(100)
    slow(rig, 1)
    assert rig.poll(at_most=SECOND).asked <= 7
    assert rig.poll(at_most=timedelta(seconds=12)).asked <= 19


# --- what cannot be stored ----------------------------------------------------


def test_news_that_cannot_be_stored_is_set_aside_alone(rig: Rig) -> None:
    ids = rig.many(5)
    odd: Any = float("nan")
    rig.galaxy.reports[ids[3]] = a_report(a_step(JobState.RUNNING, label=odd))
    sweep = rig.sweep()
    assert (sweep.due, sweep.asked, sweep.changed) == (5, 5, 4)
    assert list(sweep.unstorable) == [ids[3]]
    assert sweep.counts()["unstorable"] == 1
    assert rig.repositories.queue.backlog()[HERE].totals["unstorable"] == 1
    assert [rig.job(id_).version for id_ in ids] == [1, 1, 1, 0, 1]
    # It is asked about ever less often, as after any failure, and never given up.
    waits = []
    for _ in range(12):
        began = rig.clock()
        while not rig.sweep(SECOND / 4).unstorable:
            pass
        waits.append(rig.clock() - began)
    assert waits[0] < waits[4] < waits[8]
    assert waits[-1] <= 1.1 * rig.policy.max_interval + SECOND
    rig.galaxy.reports[ids[3]] = DONE
    rig.sweep(rig.policy.max_interval)
    assert rig.job(ids[3]).state is S.COMPLETED


# --- several pollers ----------------------------------------------------------


def test_two_pollers_share_what_is_due(rig: Rig) -> None:
    rig = Rig(policy=PollPolicy(batch=10))
    rig.many(30)
    other = Paused(rig.poller())
    rig.faults.strikes["runner.report", When.BEFORE] = other.pause
    other.start()  # it has claimed ten, and stands before the first of them
    assert rig.sweep().asked == 20
    other.go_on()
    assert other.result is not None
    assert other.result.asked == 10
    assert sorted(rig.reports) == sorted(rig.galaxy.reports)


@pytest.mark.parametrize(
    ("call", "when"),
    [
        ("queue.claim", When.AFTER),
        ("runner.summaries", When.AFTER),
        ("runner.report", When.AFTER),
        ("queue.write_back", When.BEFORE),
        ("queue.write_back", When.AFTER),
    ],
)
def test_a_dead_pollers_share_comes_back_with_its_lease(
    rig: Rig, call: str, when: When
) -> None:
    id_ = rig.accepted("inv1")
    rig.faults.kills(call, when)
    with pytest.raises(Killed):
        rig.poll()
    written = call == "queue.write_back" and when is When.AFTER
    other = rig.poller()
    assert other().due == 0
    rig.clock.advance(rig.policy.lease)
    assert other().asked == 1
    assert rig.job(id_).state is S.IN_PROGRESS
    assert rig.states(id_) == ["queued", "in_progress"]
    assert rig.job(id_).version == 1
    assert written == (rig.job(id_).updated_at < rig.clock())


@pytest.mark.parametrize("call", ["runner.summaries", "runner.report"])
def test_a_batch_that_takes_longer_than_its_lease_stays_its_pollers(
    rig: Rig, call: str
) -> None:
    id_ = rig.accepted("inv1")
    slow = Paused(rig.poll)
    rig.faults.strikes[call, When.BEFORE] = slow.pause
    slow.start()
    other = rig.poller()
    for _ in range(10):
        rig.clock.advance(rig.policy.lease * 0.9)
        rig.beat()
        assert other().due == 0
    slow.go_on()
    assert rig.states(id_) == ["queued", "in_progress"]
    assert rig.beats == []


def test_a_killed_pollers_share_comes_back_within_half_a_minute(rig: Rig) -> None:
    rig.accepted("inv1")
    rig.faults.kills("runner.report", When.BEFORE)
    with pytest.raises(Killed):
        rig.poll()
    rig.beat()
    rig.clock.advance(20 * SECOND)
    assert rig.poller()().asked == 1


def test_who_comes_back_after_his_lease_writes_nothing(rig: Rig) -> None:
    id_ = rig.accepted("inv1")
    late = Paused(rig.poll)
    rig.faults.strikes["queue.write_back", When.BEFORE] = late.pause
    late.start()  # has seen it running
    rig.clock.advance(rig.policy.lease)
    rig.galaxy.reports[id_] = DONE
    rig.poller()()
    late.go_on()
    assert late.error is None
    assert rig.states(id_) == ["queued", "completed"]


def test_a_cancel_while_galaxy_is_asked_is_not_overwritten(rig: Rig) -> None:
    id_ = rig.accepted("inv1")
    poll = Paused(rig.poll)
    rig.faults.strikes["queue.write_back", When.BEFORE] = poll.pause
    poll.start()
    cancelled(rig, id_)
    poll.go_on()
    assert rig.job(id_).state is S.CANCELLING
    assert f"cancel {id_}" in rig.galaxy.asked, "it became due again at once"


def test_many_threads_ask_and_each_invocation_once() -> None:
    rig = Rig(policy=PollPolicy(batch=64))
    ids = rig.many(500)

    with contextmanager(ThreadMapper.open)(8, SLOW_LOOKS) as mapper:
        sweep = evolve(rig.poll, mapper=mapper)()
    assert (sweep.asked, sweep.failed) == (500, 0)
    assert sorted(rig.reports) == sorted(ids)


# --- how often ----------------------------------------------------------------


def test_the_young_and_moving_are_asked_often_and_the_old_and_quiet_seldom(
    rig: Rig,
) -> None:
    id_ = rig.accepted("inv1")
    seen = [rig.clock() for _ in range(5 * 3600) if rig.sweep(SECOND).due]
    waits = [later - earlier for earlier, later in pairwise(seen)]
    assert waits[0] == SECOND
    assert waits == sorted(waits)
    assert waits[-1] == rig.policy.max_interval
    rig.galaxy.reports[id_] = HALF
    while not rig.sweep(SECOND).changed:
        pass
    assert rig.sweep(SECOND).due == 1, "it moves: it is asked often again"


@pytest.mark.parametrize("quiet", [timedelta(0), SECOND, MINUTE, HOUR, 30 * DAY])
@pytest.mark.parametrize("chance", [0, 0.5, 1])
def test_every_interval_is_within_its_bounds(quiet: timedelta, chance: float) -> None:
    policy = PollPolicy()
    wait = policy.interval(quiet, chance)
    assert policy.min_interval * (1 - policy.jitter) <= wait
    assert wait <= policy.max_interval * (1 + policy.jitter)


def test_what_came_together_is_spread_out() -> None:
    rig = Rig()
    rig.many(100)
    rig.poll = evolve(
        rig.poll, random=iter([n % 97 / 97 for n in range(10**6)]).__next__
    )
    rig.sweep()
    rig.sweep(DAY)
    due = [row.next_poll_at for row in rig.store.active.values()]
    assert max(due) - min(due) > 50 * SECOND


# --- stale --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quiet_for", "stale_in"),
    [
        # An interval is a fiftieth of the quiet time, but half a second at least and
        # five minutes at most; three of them pass, and two minutes.
        (timedelta(0), 121.5 * SECOND),
        (50 * MINUTE, 5 * MINUTE),
        (30 * DAY, 17 * MINUTE),
    ],
)
def test_a_look_becomes_stale_after_three_intervals_and_some_time(
    quiet_for: timedelta, stale_in: timedelta
) -> None:
    assert PollPolicy().stale_in(quiet_for) == stale_in


@pytest.mark.parametrize("says", [RUNNING, HALF], ids=["quiet", "moved"])
def test_each_look_postpones_the_time_at_which_a_job_becomes_stale(
    rig: Rig, says: InvocationReport
) -> None:
    id_ = rig.accepted("inv1")
    rig.sweep()
    rig.galaxy.reports[id_] = says
    rig.sweep(HOUR)
    seen = rig.clock()
    quiet_for = HOUR if says is RUNNING else timedelta(0)
    assert rig.job(id_).stale_at == seen + rig.policy.stale_in(quiet_for)
    assert not rig.job(id_).is_stale(seen)


@pytest.mark.parametrize("says", [DOWN, GONE], ids=["failed", "missing"])
def test_a_look_without_an_answer_postpones_nothing(
    rig: Rig, says: RunnerError
) -> None:
    id_ = rig.accepted("inv1")
    rig.sweep()
    stale_at = rig.job(id_).stale_at
    rig.galaxy.reports[id_] = says
    rig.sweep(HOUR)
    assert rig.job(id_).stale_at == stale_at
    assert rig.job(id_).is_stale(rig.clock())


# --- ends that rest on jobs that changed a moment ago -----------------------------

FRESH = timedelta(seconds=1.5)


@pytest.mark.parametrize("quiet_for", [FRESH, None, -HOUR])
def test_a_job_that_is_run_again_after_an_error_fails_nothing(
    rig: Rig, quiet_for: timedelta | None
) -> None:
    id_ = rig.accepted("inv1", RUNNING)
    rig.sweep()
    rig.galaxy.reports[id_] = evolve(BROKEN, quiet_for=quiet_for)
    rig.sweep(SECOND)
    assert rig.job(id_).state is S.IN_PROGRESS
    assert rig.job(id_).failure is not None
    rig.galaxy.reports[id_] = a_report(a_step(JobState.RESUBMITTED, label="sort"))
    rig.sweep(6 * SECOND)
    rig.galaxy.reports[id_] = DONE
    rig.sweep(6 * SECOND)
    assert rig.states(id_) == ["queued", "in_progress", "completed"]
    assert rig.job(id_).failure is None


def test_a_job_that_is_ok_at_first_and_then_in_error_has_not_completed(
    rig: Rig,
) -> None:
    id_ = rig.accepted("inv1", evolve(DONE, quiet_for=FRESH))
    rig.sweep()
    assert (rig.job(id_).state, rig.job(id_).progress.ok) == (S.IN_PROGRESS, 1)
    rig.galaxy.reports[id_] = BROKEN
    rig.sweep(6 * SECOND)
    assert rig.states(id_) == ["queued", "in_progress", "failed"]


def test_an_end_is_confirmed_as_soon_as_its_jobs_have_been_quiet_for_long_enough(
    rig: Rig,
) -> None:
    id_ = rig.accepted("inv1", evolve(DONE, quiet_for=FRESH))
    rig.sweep()
    assert rig.sweep(3 * SECOND).due == 0
    rig.galaxy.reports[id_] = evolve(DONE, quiet_for=timedelta(seconds=5.1))
    assert rig.sweep(timedelta(seconds=0.6)).ended == 1
    assert rig.job(id_).state is S.COMPLETED


@pytest.mark.parametrize("quiet_for", [None, -HOUR, timedelta(0)])
def test_a_clock_of_galaxy_that_is_wrong_keeps_no_end_back_for_ever(
    rig: Rig, quiet_for: timedelta | None
) -> None:
    id_ = rig.accepted("inv1", evolve(DONE, quiet_for=quiet_for))
    for _ in range(2):
        rig.sweep(6 * SECOND)
    assert rig.states(id_) == ["queued", "in_progress", "completed"]


def test_a_change_between_the_looks_takes_another_one(rig: Rig) -> None:
    id_ = rig.accepted("inv1", evolve(DONE, quiet_for=None))
    rig.sweep()
    rig.galaxy.reports[id_] = evolve(BROKEN, quiet_for=None)
    rig.sweep(6 * SECOND)
    assert rig.job(id_).state is S.IN_PROGRESS
    rig.sweep(6 * SECOND)
    assert rig.job(id_).state is S.FAILED


@pytest.mark.parametrize(
    "report",
    [
        a_report(state=GalaxyState.FAILED),
        a_report(a_step(JobState.DELETED), state=GalaxyState.CANCELLED),
        a_report(a_step()),
    ],
)
def test_an_end_that_rests_on_no_job_needs_no_second_look(
    rig: Rig, report: InvocationReport
) -> None:
    id_ = rig.accepted("inv1", evolve(report, quiet_for=timedelta(0)))
    rig.sweep()
    assert rig.job(id_).state.is_terminal


def test_no_second_look_where_none_is_wanted() -> None:
    rig = Rig(policy=PollPolicy(confirm_after=timedelta(0)))
    id_ = rig.accepted("inv1", evolve(DONE, quiet_for=None))
    rig.sweep()
    assert rig.job(id_).state is S.COMPLETED


def test_a_run_whose_end_is_not_confirmed_yet_is_not_cancelled_in_galaxy(
    rig: Rig,
) -> None:
    """Galaxy would call it cancelled, though all of it was done."""
    id_ = rig.accepted("inv1", RUNNING)
    rig.sweep()
    before = rig.job(id_)
    rig.repositories.invocations.save(before, before.request_cancel(rig.clock()))
    rig.galaxy.reports[id_] = evolve(DONE, quiet_for=FRESH)
    rig.sweep(SECOND)
    assert rig.job(id_).state is S.CANCELLING
    assert not [asked for asked in rig.galaxy.asked if asked.startswith("cancel")]
    rig.sweep(6 * SECOND)
    assert rig.states(id_) == ["queued", "in_progress", "cancelling", "completed"]


# --- jobs that are left at the end ------------------------------------------------

GIVEN_UP = a_report(
    a_step(JobState.RUNNING),
    state=GalaxyState.FAILED,
    reasons=["when_not_boolean"],
    messages=["No boolean."],
)


def test_jobs_that_are_left_at_the_end_are_followed_and_the_state_stays(
    rig: Rig,
) -> None:
    id_ = rig.accepted("inv1", GIVEN_UP)
    assert rig.sweep().ended == 1
    assert (rig.job(id_).state, rig.job(id_).progress.running) == (S.FAILED, 1)
    rig.galaxy.reports[id_] = evolve(
        GIVEN_UP, steps=a_report(a_step(JobState.OK)).steps
    )
    assert rig.sweep(MINUTE).ended == 0
    job = rig.job(id_)
    assert (job.state, job.progress.running, job.progress.ok) == (S.FAILED, 0, 1)
    assert job.failure is not None
    assert job.failure.reason == "when_not_boolean"
    assert rig.states(id_) == ["queued", "failed"]
    assert rig.sweep(DAY).due == 0


def test_a_cancel_stops_the_jobs_that_are_left_and_the_failure_stays(rig: Rig) -> None:
    id_ = rig.accepted("inv1", GIVEN_UP)
    rig.sweep()
    assert "cancel inv1" not in rig.galaxy.asked
    failure = rig.job(id_).failure
    cancel = CancelJob(rig.repositories.invocations, rig.clock)
    assert cancel(id_, SERVICE).state is S.FAILED
    cancel(id_, SERVICE)
    rig.galaxy.cancel_fails = DOWN
    for _ in range(2):
        rig.sweep(MINUTE)
        assert "cancel inv1" in rig.galaxy.asked
    rig.galaxy.cancel_fails = None
    rig.sweep(MINUTE)
    rig.galaxy.reports[id_] = a_report(
        a_step(JobState.DELETED), state=GalaxyState.CANCELLED
    )
    rig.sweep(MINUTE)
    job = rig.job(id_)
    assert (job.state, job.galaxy_state, job.failure) == (
        S.FAILED,
        "cancelled",
        failure,
    )
    assert (job.progress.running, job.progress.failed) == (0, 1)
    assert rig.states(id_) == ["queued", "failed"]
    assert rig.sweep(DAY).due == 0
    with pytest.raises(AlreadyEnded):
        cancel(id_, SERVICE)


def test_a_run_whose_jobs_are_left_may_be_forgotten(rig: Rig) -> None:
    id_ = rig.accepted("inv1", GIVEN_UP)
    rig.sweep()
    rig.galaxy.reports[id_] = GONE
    for _ in range(8):
        rig.sweep(10 * MINUTE)
    assert rig.sweep(DAY).due == 0
    job = rig.job(id_)
    assert (job.state, job.progress.running) == (S.FAILED, 0)
    assert job.failure is not None
    assert job.failure.reason == "when_not_boolean"
    assert job.attention


def test_what_changes_in_galaxy_while_jobs_are_left_is_told(rig: Rig) -> None:
    id_ = rig.accepted("inv1", GIVEN_UP)
    rig.sweep()
    rig.galaxy.reports[id_] = HALF
    rig.sweep(MINUTE)
    assert (rig.job(id_).state, rig.job(id_).attention) == (S.FAILED, CHANGED_AFTER_END)


# --- another look that is asked for ------------------------------------------------


def refresh(rig: Rig, id_: InvocationId) -> Invocation:
    runner = cast("WorkflowRunner", rig.galaxy)
    refresh = RefreshJob(rig.repositories.invocations, runner, rig.clock, rig.policy)
    return refresh(id_, SERVICE)


def test_a_run_that_was_repaired_in_galaxy_is_reopened_and_followed(rig: Rig) -> None:
    id_ = rig.accepted("inv1", BROKEN)
    rig.sweep()
    assert rig.job(id_).state is S.FAILED
    rig.galaxy.reports[id_] = RUNNING
    rig.sweep(HOUR)
    assert rig.states(id_) == ["queued", "failed"], "nobody has asked"
    job = refresh(rig, id_)
    assert (job.state, job.failure, job.observed_at) == (
        S.IN_PROGRESS,
        None,
        rig.clock(),
    )
    rig.galaxy.reports[id_] = DONE
    assert rig.sweep(MINUTE).ended == 1
    assert rig.states(id_) == ["queued", "failed", "in_progress", "completed"]
    reopened = [change.reopened for change in rig.store.transitions]
    assert reopened == [False, False, True, False]


def test_an_end_that_turned_into_another_one_is_told_at_once(rig: Rig) -> None:
    id_ = rig.accepted("inv1", BROKEN)
    rig.sweep()
    rig.galaxy.reports[id_] = DONE
    job = refresh(rig, id_)
    assert (job.state, job.failure, job.progress.ok) == (S.COMPLETED, None, 1)
    assert rig.sweep(DAY).due == 0


def test_an_end_that_is_not_certain_is_left_to_the_poller(rig: Rig) -> None:
    id_ = rig.accepted("inv1", BROKEN)
    rig.sweep()
    rig.galaxy.reports[id_] = evolve(DONE, quiet_for=FRESH)
    assert refresh(rig, id_).state is S.IN_PROGRESS
    rig.galaxy.reports[id_] = DONE
    rig.sweep(6 * SECOND)
    assert rig.job(id_).state is S.COMPLETED


@pytest.mark.parametrize("report", [DONE, BROKEN, RUNNING, NEW])
def test_a_refresh_without_news_changes_nothing(
    rig: Rig, report: InvocationReport
) -> None:
    id_ = rig.accepted("inv1", report)
    rig.sweep()
    before = rig.job(id_)
    rig.clock.advance(HOUR)
    after = refresh(rig, id_)
    assert after.observed_at == rig.clock()
    assert evolve(after, observed_at=before.observed_at) == before


def test_a_failure_is_not_undone_by_a_stop_after_it(rig: Rig) -> None:
    id_ = rig.accepted("inv1", BROKEN)
    rig.sweep()
    failure = rig.job(id_).failure
    rig.galaxy.reports[id_] = a_report(
        a_step(JobState.DELETED), state=GalaxyState.CANCELLED
    )
    job = refresh(rig, id_)
    assert (job.state, job.failure, job.galaxy_state) == (
        S.FAILED,
        failure,
        "cancelled",
    )


@pytest.mark.parametrize("trouble", [GONE, DOWN, RunnerRefusedUs("Bad key.")])
def test_a_refresh_that_fails_changes_nothing(rig: Rig, trouble: RunnerError) -> None:
    id_ = rig.accepted("inv1", DONE)
    rig.sweep()
    before = rig.job(id_)
    rig.galaxy.reports[id_] = trouble
    with pytest.raises(type(trouble)):
        refresh(rig, id_)
    assert rig.job(id_) == before


def test_another_galaxy_is_not_asked_about_it(rig: Rig) -> None:
    id_ = rig.accepted("inv1", DONE)
    rig.sweep()
    rig.galaxy.who = THERE
    rig.galaxy.asked.clear()
    with pytest.raises(RunNotFound):
        refresh(rig, id_)
    assert rig.galaxy.asked == ["identity"]


# --- steps that are left ----------------------------------------------------------


def left(visited_for: timedelta | None) -> InvocationReport:
    """Return a run with a step that Galaxy has not scheduled behind a failed one."""
    return a_report(
        a_step(needs=[]),
        a_step(JobState.ERROR, label="sort", needs=[0]),
        a_step(scheduled=False, needs=[1]),
        state=GalaxyState.READY,
        visited_for=visited_for,
    )


SLOW, BLOCKED = left(timedelta(days=2)), left(SECOND)


def test_a_run_that_nothing_can_move_any_more_fails_after_a_second_look(
    rig: Rig,
) -> None:
    id_ = rig.accepted("inv1", BLOCKED)
    rig.sweep()
    job = rig.job(id_)
    assert (job.state, job.failure and job.failure.step) == (S.IN_PROGRESS, "sort")
    rig.sweep(50 * SECOND)
    assert rig.job(id_).state is S.IN_PROGRESS
    assert rig.sweep(11 * SECOND).ended == 1
    job = rig.job(id_)
    assert (job.state, job.galaxy_state) == (S.FAILED, "ready")
    assert [step.state for step in job.steps] == ["ok", "failed", "blocked"]
    assert rig.states(id_) == ["queued", "in_progress", "failed"]
    assert rig.sweep(DAY).due == 0


def test_the_look_after_the_visit_of_the_scheduler_comes_soon(rig: Rig) -> None:
    """The bulk answer is the same before and after it."""
    id_ = rig.accepted("inv1", SLOW)
    rig.sweep()
    rig.galaxy.reports[id_] = BLOCKED
    rig.sweep(16 * SECOND)
    assert rig.reports == [id_]
    assert rig.job(id_).state is S.IN_PROGRESS
    for _ in range(5):
        rig.sweep(16 * SECOND)
    assert rig.job(id_).state is S.FAILED


def test_a_second_look_that_comes_early_fails_nothing(rig: Rig) -> None:
    id_ = rig.accepted("inv1", BLOCKED)
    rig.sweep()
    rig.store.active[id_].next_poll_at = rig.clock()
    for _ in range(2):
        rig.sweep(20 * SECOND)
        assert rig.job(id_).state is S.IN_PROGRESS


def test_a_run_that_its_scheduler_has_not_visited_does_not_fail(rig: Rig) -> None:
    id_ = rig.accepted("inv1", SLOW)
    for _ in range(40):
        rig.sweep(5 * MINUTE)
    assert rig.job(id_).state is S.IN_PROGRESS
    assert rig.job(id_).failure is not None
    assert "scheduler may be stuck" in (rig.job(id_).attention or "")
    rig.galaxy.reports[id_] = RUNNING
    rig.sweep(5 * MINUTE)
    assert rig.job(id_).state is S.IN_PROGRESS
    assert rig.job(id_).attention is None


def test_what_moves_between_the_looks_takes_another_one(rig: Rig) -> None:
    id_ = rig.accepted("inv1", BLOCKED)
    rig.sweep()
    moved = a_step(JobState.OK, needs=[0])
    rig.galaxy.reports[id_] = evolve(
        BLOCKED, steps=a_report(*BLOCKED.steps, moved).steps
    )
    rig.sweep(61 * SECOND)
    assert rig.job(id_).state is S.IN_PROGRESS
    rig.sweep(61 * SECOND)
    assert rig.job(id_).state is S.FAILED


def test_the_failure_stays_shown_when_such_a_run_is_cancelled(rig: Rig) -> None:
    id_ = rig.accepted("inv1", BLOCKED)
    rig.sweep()
    failure = rig.job(id_).failure
    assert failure is not None
    CancelJob(rig.repositories.invocations, rig.clock)(id_, SERVICE)
    rig.sweep(61 * SECOND)
    assert "cancel inv1" in rig.galaxy.asked
    assert (rig.job(id_).state, rig.job(id_).failure) == (S.CANCELLING, failure)
    rig.galaxy.reports[id_] = a_report(
        a_step(), a_step(JobState.DELETED), state=GalaxyState.CANCELLED
    )
    rig.sweep(MINUTE)
    assert (rig.job(id_).state, rig.job(id_).failure) == (S.CANCELLED, failure)
    assert rig.states(id_)[-2:] == ["cancelling", "cancelled"]


def test_a_cancel_reaches_galaxy_also_when_the_end_is_confirmed_meanwhile(
    rig: Rig,
) -> None:
    id_ = rig.accepted("inv1", BLOCKED)
    rig.sweep()
    rig.clock.advance(2 * MINUTE)
    CancelJob(rig.repositories.invocations, rig.clock)(id_, SERVICE)
    rig.sweep(2 * MINUTE)
    assert "cancel inv1" in rig.galaxy.asked


# --- reviews ----------------------------------------------------------------------

WAITS = a_report(
    a_step(JobState.OK, needs=[]),
    a_step(label="check", review=True, needs=[0]),
    a_step(scheduled=False, needs=[1]),
    state=GalaxyState.READY,
    visited_for=SECOND,
)
REJECTED = evolve(
    WAITS, state=GalaxyState.CANCELLED, reasons=("cancelled_on_review",), messages=("",)
)


def answer(
    rig: Rig, id_: InvocationId, *, approve: bool, place: str = "1"
) -> Invocation:
    runner = cast("WorkflowRunner", rig.galaxy)
    invocations = rig.repositories.invocations
    refresh = RefreshJob(invocations, runner, rig.clock, rig.policy)
    return AnswerReview(invocations, runner, refresh)(
        id_, SERVICE, place, approve=approve
    )


def test_a_run_may_wait_for_its_review_for_weeks(rig: Rig) -> None:
    id_ = rig.accepted("inv1", NEW)
    rig.sweep()
    rig.galaxy.reports[id_] = WAITS
    for _ in range(30):
        rig.sweep(DAY)
        assert rig.job(id_).state is S.IN_PROGRESS
        assert "Waits for a review at step 'check'" in (rig.job(id_).attention or "")


def test_a_review_is_noticed_though_the_bulk_answer_does_not_change(rig: Rig) -> None:
    first = a_report(
        a_step(needs=[]), a_step(review=True, needs=[0]), state=GalaxyState.READY
    )
    id_ = rig.accepted("inv1", NEW)
    rig.sweep()
    rig.galaxy.reports[id_] = first
    rig.sweep(20 * SECOND)
    assert "review" in (rig.job(id_).attention or "")


def test_what_only_waits_is_looked_at_in_full_more_and_more_rarely(rig: Rig) -> None:
    id_ = rig.accepted("inv1", WAITS)
    looks = sum(id_ in (rig.sweep(SECOND), rig.reports)[1] for _ in range(600))
    assert 5 < looks < 20
    looks = sum(id_ in (rig.sweep(5 * MINUTE), rig.reports)[1] for _ in range(288))
    assert 48 <= looks < 70


def test_an_approved_review_is_polled_at_once(rig: Rig) -> None:
    id_ = rig.accepted("inv1", WAITS)
    rig.sweep()
    rig.sweep(DAY)
    rig.galaxy.reviewed[True] = HALF
    job = answer(rig, id_, approve=True)
    assert (job.state, job.attention) == (S.IN_PROGRESS, None)
    assert "review inv1 1 True" in rig.galaxy.asked
    rig.galaxy.reports[id_] = DONE
    assert rig.sweep().ended == 1
    assert rig.job(id_).state is S.COMPLETED


def test_a_rejected_review_ends_as_a_cancel(rig: Rig) -> None:
    id_ = rig.accepted("inv1", WAITS)
    rig.sweep()
    rig.galaxy.reviewed[False] = REJECTED
    job = answer(rig, id_, approve=False)
    assert (job.state, job.failure) == (S.CANCELLED, None)
    assert "rejected" in (job.attention or "")


def test_a_review_rejected_in_a_sub_workflow_stops_the_whole_run(rig: Rig) -> None:
    """Galaxy stops the outer invocation only at the next visit of its scheduler."""
    inner = evolve(a_step(scheduled=False, sub=REJECTED), needs=())
    id_ = rig.accepted("inv1", a_report(inner, state=GalaxyState.READY))
    rig.sweep()
    assert rig.job(id_).state is S.CANCELLING
    rig.sweep(SECOND)
    assert "cancel inv1" in rig.galaxy.asked
    rig.galaxy.reports[id_] = a_report(inner, state=GalaxyState.CANCELLED)
    rig.sweep(MINUTE)
    assert (rig.job(id_).state, rig.job(id_).failure) == (S.CANCELLED, None)
    assert "rejected" in (rig.job(id_).attention or "")


@pytest.mark.parametrize(
    ("report", "place", "error"),
    [
        (WAITS, "7", StepNotFound),
        (WAITS, "1.0", StepNotFound),
        (WAITS, "", StepNotFound),
        (WAITS, "0", NoReview),
        (WAITS, "2", NoReview),
        (HALF, "1", NoReview),
        (GONE, "1", RunNotFound),
        (DOWN, "1", RunnerUnavailable),
    ],
)
def test_a_review_that_is_not_open_takes_no_answer(
    rig: Rig,
    report: InvocationReport | RunnerError,
    place: str,
    error: type[Exception],
) -> None:
    id_ = rig.accepted("inv1", HALF)
    rig.sweep()
    before = rig.job(id_)
    rig.galaxy.reports[id_] = report
    rig.galaxy.asked.clear()
    with pytest.raises(error):
        answer(rig, id_, approve=True, place=place)
    assert not [asked for asked in rig.galaxy.asked if asked.startswith("review")]
    assert rig.job(id_) == before


def test_a_job_that_has_ended_or_is_elsewhere_takes_no_answer(rig: Rig) -> None:
    id_ = rig.accepted("inv1", DONE)
    rig.sweep()
    with pytest.raises(AlreadyEnded, match="cannot be reviewed"):
        answer(rig, id_, approve=True)
    with pytest.raises(JobNotFound):
        answer(rig, InvocationId("none"), approve=True)
    waits = rig.accepted("inv2", WAITS)
    rig.sweep()
    cancel = CancelJob(rig.repositories.invocations, rig.clock)
    cancel(waits, SERVICE)
    with pytest.raises(NoReview):
        answer(rig, waits, approve=True)
    rig.galaxy.who = THERE
    with pytest.raises(RunNotFound):
        answer(rig, waits, approve=True)
    assert not [asked for asked in rig.galaxy.asked if asked.startswith("review")]


def test_an_answer_counts_though_galaxy_shows_nothing_of_it(rig: Rig) -> None:
    id_ = rig.accepted("inv1", WAITS)
    rig.sweep()
    rig.galaxy.reviewed[True] = DOWN
    job = answer(rig, id_, approve=True)
    assert job.attention
    assert "review" in job.attention
    rig.galaxy.reports[id_] = WAITS
    rig.galaxy.review_fails = RunRejected("The review has been answered already.")
    with pytest.raises(RunRejected):
        answer(rig, id_, approve=False)

"""Any number of pollers, a Galaxy that moves, fails and forgets, deaths anywhere.

The machine keeps its own account of what Galaxy ever showed, judged by the oracle;
what the store says is compared with that alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from attrs import define, evolve, field, frozen
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from galaxy_jobs.adapters.testing.contracts.repositories import HERE, THERE
from galaxy_jobs.domain import (
    GalaxyState,
    Identity,
    InvocationId,
    InvocationReport,
    JobState,
    PollQueue,
)
from galaxy_jobs.domain.errors import (
    RunnerError,
    RunnerRefusedUs,
    RunnerUnavailable,
    RunNotFound,
)
from galaxy_jobs.domain.ports import Backlog, Claim, Look, Stored
from galaxy_jobs.domain.use_cases import Poll, PollPolicy
from tests.support import oracle
from tests.support.build import a_report, a_step
from tests.support.faults import Killed, Paused, When
from tests.unit.test_poll import Rig


LEASE = timedelta(minutes=5)
RUNS = [InvocationId(f"inv{n}") for n in range(6)]
GONE = RunNotFound("There is no such thing.")
TROUBLE = st.sampled_from(
    [
        RunnerUnavailable("Galaxy is down."),
        RunnerUnavailable("Too many requests.", retry_after=20),
        RunnerRefusedUs("Bad key."),
    ]
)


@frozen
class Mood:
    """How Galaxy as a whole is."""

    trouble: RunnerError | None = None
    bulk: RunnerError | None = None
    tells: bool = True
    who: Identity = HERE


FINE = Mood()
MOODS = st.one_of(
    st.just(FINE),
    st.just(FINE),
    st.builds(Mood, trouble=TROUBLE),
    st.builds(Mood, bulk=TROUBLE),
    st.sampled_from([Mood(tells=False), Mood(who=THERE)]),
)
SUB = a_report(a_step(JobState.RUNNING))
SUB_DONE = a_report(a_step(JobState.OK))
#: How a run may go; what it says last, it says for ever.
PLANS: Sequence[Sequence[InvocationReport]] = [
    [
        a_report(state=GalaxyState.NEW),
        a_report(a_step(JobState.QUEUED), a_step(JobState.NEW)),
        a_report(a_step(JobState.RUNNING), a_step(JobState.NEW)),
        a_report(a_step(JobState.OK), a_step(JobState.RUNNING)),
        a_report(a_step(JobState.OK), a_step(JobState.OK)),
    ],
    [
        a_report(state=GalaxyState.NEW),
        a_report(a_step(JobState.RUNNING)),
        a_report(a_step(JobState.ERROR), a_step(JobState.BLOCKED)),
    ],
    [
        a_report(a_step(JobState.OK), a_step(sub=SUB)),
        a_report(a_step(JobState.OK), a_step(sub=SUB_DONE)),
    ],
    [a_report(state=GalaxyState.NEW), a_report(state=GalaxyState.FAILED)],
    [
        a_report(a_step(JobState.RUNNING)),
        a_report(a_step(JobState.DELETING), state=GalaxyState.CANCELLING),
        a_report(a_step(JobState.DELETED), state=GalaxyState.CANCELLED),
    ],
    [a_report(state=GalaxyState.NEW)],
    [a_report(a_step(JobState.PAUSED))],
]


@frozen
class Held:
    """A claim that was given out: whose it is, and until when."""

    claim: Claim
    until: datetime


@define
class Guarded(PollQueue):
    """The queue, watched: nobody is given what another one still has."""

    queue: PollQueue
    now: Any
    held: dict[InvocationId, Held] = field(factory=dict)

    def claim(
        self,
        identity: Identity,
        *,
        limit: int,
        lease: timedelta,
        due_for: timedelta = timedelta(0),
    ) -> Sequence[Claim]:
        claims = self.queue.claim(identity, limit=limit, lease=lease, due_for=due_for)
        for claim in claims:
            before = self.held.get(claim.invocation_id)
            assert before is None or before.until <= self.now(), "asked about twice"
            self.held[claim.invocation_id] = Held(claim, self.now() + lease)
        return claims

    def renew(self, claims: Sequence[Claim], *, lease: timedelta) -> None:
        for claim in claims:
            held = self.held.get(claim.invocation_id)
            if held is not None and held.claim == claim:
                self.held[claim.invocation_id] = Held(claim, self.now() + lease)
        self.queue.renew(claims, lease=lease)

    def write_back(self, looks: Sequence[Look]) -> Stored:
        for look in looks:
            held = self.held.get(look.claim.invocation_id)
            if held is not None and held.claim == look.claim:
                del self.held[look.claim.invocation_id]
        return self.queue.write_back(looks)

    def tally(self, identity: Identity, counts: Mapping[str, float]) -> None:
        self.queue.tally(identity, counts)

    def backlog(self) -> Mapping[Identity, Backlog]:
        return self.queue.backlog()


class Polling(RuleBasedStateMachine):
    """Several pollers at a Galaxy in whatever mood."""

    @initialize(plans=st.lists(st.sampled_from(PLANS), min_size=6, max_size=6))
    def begin(self, plans: Sequence[Sequence[InvocationReport]]) -> None:
        self.rig = Rig(policy=PollPolicy(lease=LEASE, batch=4, bulk=2))
        self.rig.repositories = evolve(
            self.rig.repositories,
            queue=Guarded(self.rig.repositories.queue, self.rig.clock),
        )
        self.pollers: list[Poll] = [self.rig.poller() for _ in range(3)]
        self.plans = {id_: list(plan) for id_, plan in zip(RUNS, plans, strict=True)}
        #: Every word that Galaxy could have been heard to say of a run, in turn.
        self.shown: dict[InvocationId, list[str]] = {}
        self.forgotten: dict[InvocationId, datetime] = {}
        self.paused: list[Paused[Any]] = []
        for id_ in RUNS:
            self.rig.accepted(id_)
            self.shown[id_] = ["queued"]
            self.say(id_)

    def say(self, id_: InvocationId) -> None:
        """Let Galaxy say of a run what its plan has next."""
        report = self.plans[id_][0]
        self.rig.galaxy.reports[id_] = report
        self.shown[id_].append(oracle.judge(report).state)

    # --- Galaxy ---

    @rule(id_=st.sampled_from(RUNS))
    def moves(self, id_: InvocationId) -> None:
        if len(self.plans[id_]) > 1 and self.sane(id_):
            del self.plans[id_][0]
            self.say(id_)

    def sane(self, id_: InvocationId) -> bool:
        return isinstance(self.rig.galaxy.reports[id_], InvocationReport)

    @rule(id_=st.sampled_from(RUNS), trouble=TROUBLE)
    def stumbles_over_one(self, id_: InvocationId, trouble: RunnerError) -> None:
        if id_ not in self.forgotten:
            self.rig.galaxy.reports[id_] = trouble

    @rule(id_=st.sampled_from(RUNS))
    def forgets(self, id_: InvocationId) -> None:
        self.forgotten.setdefault(id_, self.rig.clock())
        self.rig.galaxy.reports[id_] = GONE

    @rule(id_=st.sampled_from(RUNS))
    def recovers(self, id_: InvocationId) -> None:
        if id_ not in self.forgotten and not self.sane(id_):
            self.rig.galaxy.reports[id_] = self.plans[id_][0]

    def feels(self, mood: Mood) -> None:
        """Let Galaxy as a whole be so until the next sweep."""
        self.rig.faults.strikes.clear()
        self.rig.galaxy.trouble = mood.trouble
        self.rig.galaxy.bulk = mood.bulk
        self.rig.galaxy.tells_in_bulk = mood.tells
        self.rig.galaxy.who = mood.who

    # --- time and pollers ---

    @rule(seconds=st.sampled_from([0.1, 1, 7, 60, 301, 1801, 3601]))
    def time_passes(self, seconds: float) -> None:
        self.rig.clock.advance(timedelta(seconds=seconds))

    @rule(
        who=st.integers(0, 2),
        at_most=st.sampled_from([None, timedelta(0)]),
        mood=MOODS,
    )
    def sweeps(self, who: int, at_most: timedelta | None, mood: Mood) -> None:
        self.feels(mood)
        self.pollers[who](at_most)

    @rule(
        who=st.integers(0, 2),
        call=st.sampled_from(
            [
                "queue.claim",
                "queue.write_back",
                "runner.identity",
                "runner.report",
                "runner.summaries",
            ]
        ),
        when=st.sampled_from(When),
        mood=MOODS,
    )
    def dies_in_a_sweep(self, who: int, call: str, when: When, mood: Mood) -> None:
        self.feels(mood)
        self.rig.faults.kills(call, when)
        with suppress(Killed):
            self.pollers[who]()
        self.pollers[who] = self.rig.poller()

    @precondition(lambda self: len(self.paused) < 2)
    @rule(call=st.sampled_from(["queue.write_back", "runner.report"]))
    def stands_still_in_a_sweep(self, call: str) -> None:
        self.feels(FINE)
        poller = Paused(self.rig.poller())
        self.rig.faults.strikes[call, When.BEFORE] = poller.pause
        poller.start()
        self.paused.append(poller)

    @precondition(lambda self: self.paused)
    @rule()
    def renews_its_leases(self) -> None:
        self.rig.beat()

    @precondition(lambda self: self.paused)
    @rule()
    def goes_on(self) -> None:
        self.rig.faults.strikes.clear()
        poller = self.paused.pop(0)
        poller.go_on()
        if poller.error is not None:
            raise poller.error

    # --- what must hold ---

    @invariant()
    def says_only_what_galaxy_showed(self) -> None:
        """No state but those shown, in their order; and gone only after an hour."""
        for id_ in RUNS:
            states = self.rig.states(id_)
            job = self.rig.job(id_)
            if job.failure is not None and job.failure.reason == "gone":
                since = self.forgotten[id_]
                assert job.updated_at - since >= timedelta(hours=1)
                states = states[:-1]
            shown = iter(self.shown[id_])
            assert all(state in shown for state in states), (states, self.shown[id_])

    def teardown(self) -> None:
        """Once Galaxy is well, all that it shows is known soon, whoever died."""
        if not hasattr(self, "rig"):
            return
        while self.paused:
            self.goes_on()
        self.feels(FINE)
        for id_ in RUNS:
            self.recovers(id_)
        for _ in range(80):
            self.rig.clock.advance(timedelta(minutes=1))
            for poller in self.pollers:
                poller()
        for id_ in RUNS:
            job = self.rig.job(id_)
            if id_ in self.forgotten:
                assert job.state.is_terminal, "given up, or seen to end before"
            else:
                assert job.state.value == self.shown[id_][-1]
            if not job.state.is_terminal:
                assert self.rig.clock() - job.observed_at <= timedelta(minutes=6)
        self.says_only_what_galaxy_showed()


def test_every_change_is_seen_and_nothing_is_made_up() -> None:
    run_state_machine_as_test(Polling)

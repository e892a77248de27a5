"""How an invocation may change: the table, its refusals, and a whole life."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from galaxy_jobs.domain import (
    Event,
    Failure,
    InvocationState,
    Progress,
    Sighting,
    StepSummary,
)
from galaxy_jobs.domain.errors import AlreadyEnded, IllegalTransition, InvalidValue
from galaxy_jobs.domain.model.invocation import CHANGED_AFTER_END, SEEN, TRANSITIONS
from tests.support.build import LATER, NOON, an_invocation


# Said again here on purpose: the table must not be its own witness.
FINISHED = {
    InvocationState.COMPLETED,
    InvocationState.FAILED,
    InvocationState.CANCELLED,
}
UNFINISHED = set(InvocationState) - FINISHED


def expected(before: InvocationState, seen: InvocationState) -> InvocationState:
    """What an unfinished invocation becomes, in the words of the design."""
    if seen in FINISHED:
        return seen
    if InvocationState.CANCELLING in {before, seen}:
        return InvocationState.CANCELLING
    if before is InvocationState.IN_PROGRESS:
        return InvocationState.IN_PROGRESS
    return seen


def test_every_state_has_a_row_and_only_events_are_columns() -> None:
    assert set(TRANSITIONS) == set(InvocationState)
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


def test_every_state_can_be_seen_and_each_as_an_event_of_its_own() -> None:
    assert set(SEEN) == set(InvocationState)
    assert set(SEEN.values()) == set(Event) - {Event.CANCEL_REQUESTED}


@pytest.mark.parametrize("state", InvocationState)
def test_the_three_ends_are_terminal_and_nothing_else_is(
    state: InvocationState,
) -> None:
    assert state.is_terminal == (state in FINISHED)


@pytest.mark.parametrize("seen", InvocationState)
@pytest.mark.parametrize("state", sorted(UNFINISHED, key=str))
def test_what_has_not_ended_becomes_what_is_seen(
    state: InvocationState, seen: InvocationState
) -> None:
    after = an_invocation(state).seen(Sighting(state=seen, galaxy_state="x"), LATER)
    assert after.state is expected(state, seen)


@pytest.mark.parametrize("seen", InvocationState)
@pytest.mark.parametrize("state", sorted(FINISHED, key=str))
def test_what_has_ended_refuses_every_sighting(
    state: InvocationState, seen: InvocationState
) -> None:
    before = an_invocation(state)
    with pytest.raises(IllegalTransition):
        before.seen(Sighting(state=seen, galaxy_state="x"), LATER)
    assert before == an_invocation(state)


@pytest.mark.parametrize("state", sorted(UNFINISHED, key=str))
def test_a_cancel_is_pending_once_it_was_asked_for(state: InvocationState) -> None:
    before = an_invocation(state)
    after = before.request_cancel(LATER)
    assert after.state is InvocationState.CANCELLING
    assert after.observed_at == NOON, "asking us is not asking Galaxy"
    assert (after is before) == (state is InvocationState.CANCELLING)


def test_a_cancelled_invocation_takes_another_cancel_without_a_word() -> None:
    before = an_invocation(InvocationState.CANCELLED)
    assert before.request_cancel(LATER) is before


@pytest.mark.parametrize("state", [InvocationState.COMPLETED, InvocationState.FAILED])
def test_what_has_completed_or_failed_cannot_be_cancelled(
    state: InvocationState,
) -> None:
    with pytest.raises(AlreadyEnded, match=f"inv1.*{state.value}"):
        an_invocation(state).request_cancel(LATER)


@pytest.mark.parametrize("state", sorted(UNFINISHED, key=str))
def test_a_lost_invocation_has_failed_because_it_is_gone(
    state: InvocationState,
) -> None:
    before = evolve(
        an_invocation(state), progress=Progress(total=1, ok=1), attention="!"
    )
    after = before.lost(LATER)
    assert after.state is InvocationState.FAILED
    assert after.failure is not None
    assert after.failure.reason == "gone"
    assert after.attention is None
    assert after.progress == before.progress, "what was known of it stays"
    assert (after.version, after.updated_at) == (1, LATER)
    assert after.observed_at == NOON, "Galaxy told nothing of it"


@pytest.mark.parametrize("state", sorted(FINISHED, key=str))
def test_what_has_ended_cannot_be_lost(state: InvocationState) -> None:
    with pytest.raises(IllegalTransition):
        an_invocation(state).lost(LATER)


NEWS = [
    Sighting(state=InvocationState.QUEUED, galaxy_state="ready"),
    Sighting(
        state=InvocationState.QUEUED, galaxy_state="new", progress=Progress(total=1)
    ),
    Sighting(
        state=InvocationState.QUEUED,
        galaxy_state="new",
        steps=(StepSummary(index=0, label="a", tool=None, state="ok", jobs={}),),
    ),
    Sighting(
        state=InvocationState.QUEUED, galaxy_state="new", failure=Failure(reason="x")
    ),
    Sighting(state=InvocationState.QUEUED, galaxy_state="new", attention="look"),
]


@pytest.mark.parametrize("sighting", NEWS)
def test_each_thing_a_sighting_tells_is_news_once(sighting: Sighting) -> None:
    after = an_invocation().seen(sighting, LATER)
    assert (after.version, after.updated_at) == (1, LATER)
    assert (
        after.galaxy_state,
        after.progress,
        after.steps,
        after.failure,
        after.attention,
    ) == (
        sighting.galaxy_state,
        sighting.progress,
        sighting.steps,
        sighting.failure,
        sighting.attention,
    )
    again = after.seen(sighting, LATER + timedelta(hours=1))
    assert (again.version, again.updated_at) == (1, LATER)
    assert again.observed_at == LATER + timedelta(hours=1)


@pytest.mark.parametrize("name", ["created_at", "updated_at", "observed_at"])
def test_a_time_without_a_zone_is_refused(name: str) -> None:
    naive: dict[str, Any] = {name: NOON.replace(tzinfo=None)}
    with pytest.raises(InvalidValue, match=name):
        evolve(an_invocation(), **naive)


SIGHTINGS = st.builds(
    Sighting,
    state=st.sampled_from(InvocationState),
    galaxy_state=st.sampled_from(["new", "scheduled"]),
    progress=st.sampled_from([Progress(), Progress(total=2, ok=1, running=1)]),
    failure=st.sampled_from([None, Failure(reason="job-failed", step="sort")]),
    attention=st.sampled_from([None, "look at it"]),
)


@given(SIGHTINGS, st.sampled_from(sorted(UNFINISHED, key=str)))
def test_the_same_sighting_twice_is_no_news(
    sighting: Sighting, state: InvocationState
) -> None:
    once = an_invocation(state).seen(sighting, LATER)
    if once.state in UNFINISHED:
        twice = once.seen(sighting, LATER + timedelta(seconds=1))
        assert evolve(twice, observed_at=LATER) == once


CANCELS = {InvocationState.CANCELLING, InvocationState.CANCELLED}


@pytest.mark.parametrize("state", sorted(CANCELS, key=str))
def test_a_failure_that_was_known_stays_shown_when_it_is_cancelled(
    state: InvocationState,
) -> None:
    failed = NEWS[3]
    after = an_invocation().seen(failed, LATER).request_cancel(LATER)
    after = after.seen(Sighting(state=state, galaxy_state="cancelled"), LATER)
    assert (after.state, after.failure) == (state, failed.failure)


STOPPED_OR_FAILED = {
    InvocationState.FAILED,
    InvocationState.CANCELLING,
    InvocationState.CANCELLED,
}


class Life(RuleBasedStateMachine):
    """Throw any sighting and any cancel at an invocation, in any order.

    The machine keeps its own account of what is to become of it.
    """

    @initialize()
    def create(self) -> None:
        self.now = NOON
        self.invocation = an_invocation()
        self.state = InvocationState.QUEUED
        self.facts: tuple[Any, ...] = ("new", Progress(), None, None)
        self.stopping = False
        self.news = 0
        self.observed = NOON
        self.updated = NOON

    @property
    def jobs_left(self) -> bool:
        progress = self.facts[1]
        left = progress.total - progress.ok - progress.failed > 0
        return self.state is InvocationState.FAILED and left

    def changes_to(
        self, state: InvocationState, facts: tuple[Any, ...], *, stopping: bool = False
    ) -> None:
        new = state, facts, stopping
        if new != (self.state, self.facts, self.stopping):
            self.news += 1
            self.updated = self.now
        self.state, self.facts, self.stopping = new

    @rule(seconds=st.integers(min_value=1, max_value=10_000))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(sighting=SIGHTINGS)
    def is_seen(self, sighting: Sighting) -> None:
        before = self.invocation
        try:
            self.invocation = before.seen(sighting, self.now)
        except IllegalTransition:
            assert self.state in FINISHED
            assert not self.jobs_left
            return
        self.observed = self.now
        if self.jobs_left:
            _, _, failure, attention = self.facts
            failure = sighting.failure or failure
            if sighting.state not in STOPPED_OR_FAILED:
                attention = CHANGED_AFTER_END
            facts = (sighting.galaxy_state, sighting.progress, failure, attention)
            progress = sighting.progress
            left = progress.total - progress.ok - progress.failed > 0
            stopping = self.stopping and left
            self.changes_to(self.state, facts, stopping=stopping)
            return
        assert self.state not in FINISHED
        known = self.facts[2] if sighting.state in CANCELS else None
        facts = (
            sighting.galaxy_state,
            sighting.progress,
            sighting.failure or known,
            sighting.attention,
        )
        self.changes_to(expected(self.state, sighting.state), facts)

    @rule()
    def is_cancelled(self) -> None:
        try:
            self.invocation = self.invocation.request_cancel(self.now)
        except AlreadyEnded:
            assert self.state in {InvocationState.COMPLETED, InvocationState.FAILED}
            assert not self.jobs_left
            return
        if self.jobs_left:
            self.changes_to(self.state, self.facts, stopping=True)
        elif self.state is not InvocationState.CANCELLED:
            self.changes_to(InvocationState.CANCELLING, self.facts)

    @rule()
    def is_lost(self) -> None:
        left = self.jobs_left
        if self.state in FINISHED and not left:
            with pytest.raises(IllegalTransition):
                self.invocation.lost(self.now)
            return
        before = self.invocation
        self.invocation = before.lost(self.now)
        galaxy, progress, failure, _ = self.facts
        progress = evolve(
            progress, running=0, waiting=0, failed=progress.total - progress.ok
        )
        gone: tuple[Any, ...]
        if left:
            gone = (galaxy, progress, failure, self.invocation.attention)
            assert self.invocation.attention
        else:
            gone = (galaxy, progress, self.invocation.failure, None)
        self.changes_to(InvocationState.FAILED, gone)

    @invariant()
    def it_is_what_it_should_be(self) -> None:
        invocation = self.invocation
        assert invocation.state is self.state
        facts = (
            invocation.galaxy_state,
            invocation.progress,
            invocation.failure,
            invocation.attention,
        )
        assert facts == self.facts
        assert invocation.stopping is self.stopping
        assert invocation.has_jobs_left is self.jobs_left

    @invariant()
    def its_version_counts_the_news(self) -> None:
        assert self.invocation.version == self.news
        assert self.invocation.updated_at == self.updated

    @invariant()
    def it_was_observed_when_galaxy_told_of_it_last(self) -> None:
        assert self.invocation.observed_at == self.observed

    @invariant()
    def who_it_is_never_changes(self) -> None:
        changed = {"state", "galaxy_state", "progress", "failure", "attention"}
        changed |= {"version", "updated_at", "observed_at", "stopping"}
        values = {name: getattr(self.invocation, name) for name in changed}
        assert evolve(an_invocation(), **values) == self.invocation


TestLife = Life.TestCase


# --- stale ------------------------------------------------------------------------


@pytest.mark.parametrize("state", InvocationState)
def test_an_invocation_is_stale_once_its_time_is_over_unless_it_has_ended(
    state: InvocationState,
) -> None:
    invocation = evolve(an_invocation(state), stale_at=LATER)
    assert not invocation.is_stale(LATER)
    after = LATER + timedelta(microseconds=1)
    assert invocation.is_stale(after) is not state.is_terminal
    assert not evolve(invocation, stale_at=None).is_stale(after)

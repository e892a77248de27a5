"""How a submission may change, and what its fingerprint and key tell apart."""

from __future__ import annotations

from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from galaxy_jobs.domain import (
    DatasetId,
    HistoryId,
    IdempotencyKey,
    InvocationId,
    Json,
    Problem,
    Request,
    Submission,
    SubmissionEvent,
    SubmissionId,
    SubmissionState,
)
from galaxy_jobs.domain.errors import (
    IllegalTransition,
    InvalidParameters,
    InvalidValue,
    RunRejected,
)
from galaxy_jobs.domain.model.submission import (
    HISTORY_NAME_LENGTH,
    TRANSITIONS,
    history_mark,
    history_name,
)
from galaxy_jobs.domain.model.values import PARAMETERS_SIZE, BatchId, json_size
from tests.support.build import LATER, NOON, a_submission


# Said again here on purpose: the table must not be its own witness.
OPEN = {
    SubmissionState.WAITING,
    SubmissionState.SUBMITTING,
    SubmissionState.UNKNOWN,
}
ACCEPTED = SubmissionState.ACCEPTED
PROBLEM = Problem("galaxy-unavailable", "It did not answer.")


def happen(event: SubmissionEvent, to: Submission, run: str = "inv1") -> Submission:
    match event:
        case SubmissionEvent.HISTORY_MADE:
            return to.with_history(HistoryId("his1"), LATER)
        case SubmissionEvent.ANSWER_LOST:
            return to.lost(LATER)
        case SubmissionEvent.RUN_FOUND:
            return to.accepted(InvocationId(run), LATER)
        case SubmissionEvent.NO_RUN:
            return to.rejected(PROBLEM, LATER)
        case SubmissionEvent.BEGUN:
            return to.begun(LATER)
        case SubmissionEvent.PUT_OFF:
            item = evolve(to, batch_id=BatchId(UUID(int=9)))
            return evolve(item.not_invoked(PROBLEM, LATER), batch_id=None)


def expected(before: SubmissionState, event: SubmissionEvent) -> SubmissionState | None:
    """What becomes of it, in the words of the design; None: it is refused."""
    waiting, submitting = SubmissionState.WAITING, SubmissionState.SUBMITTING
    if event is SubmissionEvent.BEGUN:
        return submitting if before is waiting else None
    if event is SubmissionEvent.PUT_OFF:
        return waiting if before is submitting else None
    if before is waiting and event is not SubmissionEvent.NO_RUN:
        return None  # nobody has begun it
    if before is ACCEPTED:
        return None  # a run is a fact, and there is one only
    if event is SubmissionEvent.RUN_FOUND:
        return ACCEPTED
    if event is SubmissionEvent.NO_RUN:
        return SubmissionState.REJECTED
    if before is SubmissionState.REJECTED:
        return None  # nobody may go on with what was given up
    if event is SubmissionEvent.ANSWER_LOST:
        return SubmissionState.UNKNOWN
    return before if before is SubmissionState.SUBMITTING else None


def test_every_state_has_a_row_and_only_events_are_columns() -> None:
    assert set(TRANSITIONS) == set(SubmissionState)
    assert {event for row in TRANSITIONS.values() for event in row} == set(
        SubmissionEvent
    )


@pytest.mark.parametrize("event", SubmissionEvent)
@pytest.mark.parametrize("state", SubmissionState)
def test_each_event_leads_where_it_should_or_changes_nothing(
    state: SubmissionState, event: SubmissionEvent
) -> None:
    before = a_submission(state)
    wanted = expected(state, event)
    if wanted is None:
        with pytest.raises(IllegalTransition):
            happen(event, before)
        assert before == a_submission(state)
    else:
        after = happen(event, before)
        assert (after.state, after.version) == (wanted, 1)
        assert after.updated_at == LATER


@pytest.mark.parametrize("state", SubmissionState)
def test_it_is_open_until_it_is_known_what_became_of_it(
    state: SubmissionState,
) -> None:
    assert a_submission(state).open == (state in OPEN)


def test_its_history_is_kept_with_it() -> None:
    after = a_submission().with_history(HistoryId("his7"), LATER)
    assert after.history_id == "his7"


def test_its_history_bears_its_id() -> None:
    submission = a_submission()
    other = evolve(submission, submission_id=SubmissionId(UUID(int=2)))
    mark = history_mark(submission.submission_id)
    assert submission.history_name == f"w on d1 ({mark})"
    assert str(submission.submission_id) in submission.history_name
    assert submission.history_name != other.history_name


@given(st.text(), st.text())
def test_the_name_of_a_history_is_bounded_and_one_line(
    workflow: str, dataset: str
) -> None:
    id_ = SubmissionId(UUID(int=1))
    name = history_name(id_, workflow * 50, dataset * 50)
    assert len(name) <= HISTORY_NAME_LENGTH
    assert name.isprintable()
    assert "__" not in name
    assert name.endswith(f" ({history_mark(id_)})")
    assert name == history_name(id_, workflow * 50, dataset * 50)


def test_an_adopted_run_leaves_no_problem_behind() -> None:
    after = a_submission().rejected(PROBLEM, NOON).accepted(InvocationId("i"), LATER)
    assert after.problem is None
    assert after.invocation_id == "i"


def test_it_keeps_the_first_problem_it_was_rejected_for() -> None:
    first = Problem.of(RunRejected("no such tool", 400))
    after = a_submission().rejected(first, NOON).rejected(PROBLEM, LATER)
    assert after.problem == first
    assert first.code == "galaxy-rejected"
    assert "no such tool" in first.detail
    assert first.extra == {"galaxy_message": "no such tool", "galaxy_code": 400}


@pytest.mark.parametrize("state", SubmissionState)
def test_a_fence_and_a_look_change_its_version_and_not_its_state(
    state: SubmissionState,
) -> None:
    before = a_submission(state)
    fenced = before.fence(LATER)
    assert fenced == evolve(before, fenced=True, version=1, updated_at=LATER)
    assert fenced.touch() == evolve(fenced, version=2)


class Life(RuleBasedStateMachine):
    """Let anything happen to a submission, in any order."""

    @initialize()
    def opened(self) -> None:
        self.submission = a_submission()
        self.state = SubmissionState.SUBMITTING
        self.changes = 0
        self.run: str | None = None

    @rule(event=st.sampled_from(SubmissionEvent), run=st.sampled_from(["i1", "i2"]))
    def happens(self, event: SubmissionEvent, run: str) -> None:
        wanted = expected(self.state, event)
        try:
            self.submission = happen(event, self.submission, run)
        except IllegalTransition:
            assert wanted is None
            return
        assert wanted is not None
        self.state = wanted
        self.changes += 1
        if event is SubmissionEvent.RUN_FOUND:
            self.run = run

    @rule()
    def is_looked_at(self) -> None:
        self.submission = self.submission.touch()
        self.changes += 1

    @invariant()
    def it_is_what_it_should_be(self) -> None:
        assert self.submission.state is self.state
        assert self.submission.version == self.changes

    @invariant()
    def it_names_a_run_once_it_has_one_and_never_another(self) -> None:
        assert self.submission.invocation_id == self.run
        assert (self.run is not None) == (self.state is ACCEPTED)

    @invariant()
    def only_what_was_rejected_has_a_problem(self) -> None:
        rejected = self.state is SubmissionState.REJECTED
        assert (self.submission.problem is not None) == rejected


TestLife = Life.TestCase


# --- what is the same request -------------------------------------------------

REQUEST = Request(
    dataset_id=DatasetId("d1"), workflow_name="w", parameters={"a": 1, "b": [1, 2]}
)

OTHERS = [
    evolve(REQUEST, dataset_id=DatasetId("d2")),
    evolve(REQUEST, workflow_name="W"),
    evolve(REQUEST, parameters={"a": 1}),
    evolve(REQUEST, parameters={"a": 2, "b": [1, 2]}),
    evolve(REQUEST, parameters={"a": "1", "b": [1, 2]}),
    evolve(REQUEST, parameters={"a": True, "b": [1, 2]}),
    evolve(REQUEST, parameters={"a": 1, "b": [2, 1]}),
    evolve(REQUEST, parameters={"a": 1, "b": [1, 2], "c": None}),
    evolve(REQUEST, overwrite=True),
    evolve(REQUEST, rerun_of=InvocationId("i1")),
    Request(dataset_id=DatasetId("w"), workflow_name="d1"),
    Request(dataset_id=DatasetId("d1"), workflow_name="w"),
]


def test_requests_that_differ_in_anything_have_different_fingerprints() -> None:
    prints = {request.fingerprint for request in [REQUEST, *OTHERS]}
    assert len(prints) == 1 + len(OTHERS)


JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def turned(value: Json) -> Json:
    """The same JSON, its objects written in the opposite order."""
    if isinstance(value, dict):
        return {name: turned(item) for name, item in reversed(value.items())}
    if isinstance(value, list):
        return [turned(item) for item in value]
    return value


@given(st.dictionaries(st.text(), JSON))
def test_the_order_of_parameters_does_not_matter(parameters: dict[str, Json]) -> None:
    again = turned(parameters)
    assert isinstance(again, dict)
    request = evolve(REQUEST, parameters=parameters)
    assert request.fingerprint == evolve(REQUEST, parameters=again).fingerprint


@given(st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), JSON))
def test_equal_fingerprints_mean_equal_parameters(
    first: dict[str, Json], other: dict[str, Json]
) -> None:
    prints = {evolve(REQUEST, parameters=p).fingerprint for p in (first, other)}
    assert len(prints) == 1 or first != other
    assert len(prints) == 2 or first == other


@pytest.mark.parametrize("length", [1, 255])
def test_a_key_of_1_to_255_characters_is_taken(length: int) -> None:
    assert IdempotencyKey("", "k" * length).key == "k" * length


@pytest.mark.parametrize("length", [0, 256])
def test_a_key_that_is_empty_or_too_long_is_refused(length: int) -> None:
    with pytest.raises(InvalidValue, match=str(length)):
        IdempotencyKey("", "k" * length)


def test_equal_keys_of_two_callers_are_two_keys() -> None:
    assert IdempotencyKey("alice", "k") != IdempotencyKey("bob", "k")


def test_parameters_take_64_kib_at_most_and_the_largest_is_named() -> None:
    text = "é" * 32_759
    fits = evolve(REQUEST, parameters={"n": 1, "x": text})
    assert json_size(fits.parameters) == PARAMETERS_SIZE - 1
    fits.check_size()
    with pytest.raises(InvalidParameters, match=r"take 65537 .* largest is 'x'") as got:
        evolve(REQUEST, parameters={"n": 1, "x": f"{text}xx"}).check_size()
    assert list(got.value.problems) == ["x"]
    many = {f"{n}{'x' * 300}": "y" * 1000 for n in range(100)}
    with pytest.raises(InvalidParameters) as got:
        evolve(REQUEST, parameters=many).check_size()
    assert len(str(got.value)) < 500


def test_names_of_a_request_have_255_characters_at_most() -> None:
    def named(dataset: str, workflow: str) -> Request:
        return Request(dataset_id=DatasetId(dataset), workflow_name=workflow)

    named("d" * 255, "w" * 255).check_size()
    with pytest.raises(InvalidValue, match="dataset_id has 256 characters"):
        named("d" * 256, "w").check_size()
    with pytest.raises(InvalidValue, match="workflow_name has 256 characters"):
        named("d", "w" * 256).check_size()

"""What is not kept any longer is deleted, and nothing that anything needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from galaxy_jobs.adapters.testing.memory import (
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemoryRetention,
    MemorySupersededRuns,
)
from galaxy_jobs.domain import (
    CollectionData,
    Dataset,
    DatasetId,
    GalaxyData,
    HistoryId,
    Invocation,
    InvocationId,
    InvocationState,
    Output,
    Request,
    Source,
    Src,
    WorkflowInput,
)
from galaxy_jobs.domain.errors import (
    DatasetInUse,
    DomainError,
    InvalidValue,
    NotEnded,
    ResultsInUse,
    RunnerUnavailable,
    RunNotFound,
)
from galaxy_jobs.domain.model.batch import BatchRequest
from galaxy_jobs.domain.model.dataset import DatasetRef, SourceElement
from galaxy_jobs.domain.model.report import ELEMENTS_LIMIT, Element
from galaxy_jobs.domain.model.retention import Kept, RetentionPolicy
from galaxy_jobs.domain.model.source_json import source_to_json
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.model.workflow_input import InputKind
from galaxy_jobs.domain.use_cases import (
    Clean,
    Cleaned,
    Cleaner,
    DataUsers,
    DeleteResults,
    data_users,
)
from tests.support.faults import Killed, When
from tests.support.world import REQUEST, World


S = InvocationState
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
DOWN = RunnerUnavailable("Galaxy is down.")
MORE = WorkflowInput(name="more", kind=InputKind.DATA, optional=True)


@pytest.fixture
def world() -> World:
    return World.made(MORE)


def cleaner(world: World) -> Cleaner:
    around, store = world.faults.around, world.store
    return Cleaner(
        invocations=around("invocations", MemoryInvocations(store)),
        retention=around("retention", MemoryRetention(store)),
        users=DataUsers(
            around("superseded", MemorySupersededRuns(store)),
            around("histories", world.galaxy),
            world.clock,
        ),
        runner=around("runner", world.galaxy),
        histories=around("histories", world.galaxy),
        clock=world.clock,
    )


def clean(
    world: World, policy: RetentionPolicy | None = None, at_most: timedelta = MINUTE
) -> Cleaned:
    cleans = cleaner(world)
    return Clean(
        cleaner=cleans,
        retention=cleans.retention,
        identity=world.galaxy.identity,
        queue=MemoryPollQueue(world.store),
        clock=world.clock,
        policy=policy or RetentionPolicy(results=30 * DAY),
    )(at_most)


def delete(world: World, id_: InvocationId, viewer: Viewer = SERVICE) -> Invocation:
    cleans = cleaner(world)
    return DeleteResults(
        invocations=cleans.invocations, cleaner=cleans, identity=world.galaxy.identity
    )(id_, viewer)


def ended(world: World, number: int = 0) -> Invocation:
    """Have a job end whose history has data of its own."""
    name = f"w{number}"
    outputs = [
        Output(label="out", src="hda", id=f"out{number}", state="ok"),
        Output(
            label="parts",
            src="hdca",
            id=f"parts{number}",
            state="ok",
            elements=(Element(name="a", id=f"part{number}", state="ok"),),
        ),
    ]
    world.galaxy.add_workflow(name, *PLAIN, outputs=outputs)
    workflow = next(
        each for each in world.galaxy.workflows.values() if each.workflow.name == name
    )
    workflow.intermediates = [f"part{number}", f"inner{number}"]
    id_ = world.submit(evolve(REQUEST, workflow_name=name), SERVICE).invocation_id
    world.settle()
    return world.job(id_)


PLAIN = (WorkflowInput(name="text", kind=InputKind.DATA), MORE)


def register(world: World, name: str, source: Source) -> None:
    MemoryDatasets(world.store).add(
        Dataset(
            dataset_id=DatasetId(name),
            name=name,
            source=source,
            created_at=world.clock(),
        ),
        SERVICE,
    )


def history(world: World, job: Invocation) -> Any:
    assert job.history_id is not None
    return world.galaxy.histories[job.history_id]


# --- the policy ---------------------------------------------------------------------


def test_by_default_everything_is_kept(world: World) -> None:
    job = ended(world)
    world.clock.advance(10_000 * DAY)
    assert RetentionPolicy().rules() == []
    assert clean(world, RetentionPolicy()) == Cleaned()
    assert not history(world, job).deleted


def test_each_job_has_one_rule() -> None:
    policy = RetentionPolicy(
        results=90 * DAY,
        by_state={S.FAILED: 14 * DAY},
        by_workflow={"a": 7 * DAY, "b": 7 * DAY, "c": 365 * DAY},
    )
    for state, name, days in (
        (S.COMPLETED, "x", 90),
        (S.CANCELLED, "x", 90),
        (S.FAILED, "x", 14),
        (S.FAILED, "a", 7),
        (S.COMPLETED, "b", 7),
        (S.CANCELLED, "c", 365),
    ):
        (found,) = [
            rule.age
            for rule in policy.rules()
            if rule.state is state
            and (rule.workflow_names is None or name in rule.workflow_names)
            and name not in rule.except_workflows
        ]
        assert found == days * DAY


def test_some_can_be_kept_where_the_others_are_not() -> None:
    rules = RetentionPolicy(by_state={S.FAILED: DAY}, delete_intermediates=True).rules()
    assert [(rule.state, rule.kept) for rule in rules] == [
        (S.FAILED, Kept.RESULTS),
        (S.COMPLETED, Kept.INTERMEDIATES),
    ]


def test_jobs_are_kept_as_long_as_their_results() -> None:
    with pytest.raises(InvalidValue, match="results for 90"):
        RetentionPolicy(results=90 * DAY, jobs=30 * DAY)
    RetentionPolicy(results=90 * DAY, jobs=90 * DAY)
    RetentionPolicy(jobs=DAY, delete_intermediates=True)


# --- results ------------------------------------------------------------------------


def test_results_go_when_their_time_is_over_and_the_job_stays(world: World) -> None:
    job = ended(world)
    assert clean(world).results_deleted == 0
    world.clock.advance(30 * DAY)
    cleaned = clean(world)
    assert cleaned == Cleaned(results_deleted=1)
    assert history(world, job).purged
    after = world.job(job.invocation_id)
    assert (after.state, after.results) == (S.COMPLETED, "deleted")
    assert after.results_deleted_at == world.clock()
    assert clean(world) == Cleaned()
    assert world.store.totals[job.identity]["results_deleted"] == 1
    assert world.store.deletions == {}


@pytest.mark.parametrize(
    "source",
    [
        GalaxyData(Src.HDA, "out0"),
        GalaxyData(Src.HDCA, "parts0"),
        GalaxyData(Src.HDA, "inner0"),
        CollectionData(
            "list:list",
            (SourceElement("a", (SourceElement("b", GalaxyData(Src.HDA, "part0")),)),),
        ),
    ],
)
def test_what_a_dataset_needs_stays(world: World, source: Source) -> None:
    job = ended(world)
    register(world, "needs it", source)
    world.clock.advance(30 * DAY)
    assert clean(world) == Cleaned(results_in_use=1)
    assert clean(world) == Cleaned()
    assert not history(world, job).deleted
    with pytest.raises(ResultsInUse, match="dataset 'needs it' needs them"):
        delete(world, job.invocation_id)
    MemoryDatasets(world.store).remove(DatasetId("needs it"), SERVICE)
    world.clock.advance(DAY)
    assert clean(world) == Cleaned(results_deleted=1)


def test_what_an_active_job_needs_stays(world: World) -> None:
    job = ended(world)
    request = evolve(REQUEST, parameters={"more": {"src": "hda", "id": "out0"}})
    user = world.submit(request, SERVICE).invocation_id
    world.clock.advance(30 * DAY)
    assert clean(world) == Cleaned(results_in_use=1)
    assert not history(world, job).deleted
    world.settle()
    assert world.job(user).state is S.COMPLETED
    world.clock.advance(DAY)
    assert clean(world).results_deleted == 1
    assert history(world, job).purged


def elsewhere(world: World, job: Invocation, id_: str = "elsewhere") -> GalaxyData:
    """Return a collection of another history, with a dataset of a job."""
    assert job.history_id is not None
    world.galaxy.collections[id_] = {
        "x": HistoryId("another"),
        "part0": job.history_id,
    }
    return GalaxyData(Src.HDCA, id_)


@pytest.mark.parametrize("nested", [False, True])
def test_elements_of_a_collection_in_another_history_stay(
    world: World,
    nested: bool,  # noqa: FBT001
) -> None:
    job, other = ended(world, 0), ended(world, 1)
    found = elsewhere(world, job)
    outer = CollectionData("list:list", (SourceElement("a", found),))
    register(world, "needs it", outer if nested else found)
    world.clock.advance(30 * DAY)
    assert clean(world) == Cleaned(results_in_use=1, results_deleted=1)
    assert not history(world, job).deleted
    assert history(world, other).purged
    with pytest.raises(ResultsInUse, match="dataset 'needs it' needs them"):
        delete(world, job.invocation_id)
    MemoryDatasets(world.store).remove(DatasetId("needs it"), SERVICE)
    world.clock.advance(DAY)
    assert clean(world) == Cleaned(results_deleted=1)


def test_elements_of_a_collection_of_an_active_job_stay(world: World) -> None:
    job = ended(world)
    data = {"src": "hdca", "id": elsewhere(world, job).id}
    world.submit(evolve(REQUEST, parameters={"more": data}), SERVICE)
    world.clock.advance(30 * DAY)
    assert clean(world) == Cleaned(results_in_use=1)
    world.settle()
    world.clock.advance(DAY)
    assert clean(world).results_deleted == 1


def test_a_collection_is_looked_at_once_for_many_histories(world: World) -> None:
    for number in range(1, 4):
        ended(world, number)
    register(
        world,
        "other",
        elsewhere(world, evolve(ended(world), history_id=HistoryId("z"))),
    )
    world.clock.advance(30 * DAY)
    calls = world.galaxy.calls["elements"]
    assert clean(world) == Cleaned(results_deleted=4)
    assert world.galaxy.calls["elements"] - calls == 1


def test_nothing_is_deleted_if_a_collection_cannot_be_looked_at(world: World) -> None:
    job = ended(world)
    register(world, "needs it", elsewhere(world, job))
    world.clock.advance(30 * DAY)
    world.galaxy.fail_next("elements", DOWN)
    assert clean(world) == Cleaned(not_deleted=1, problem=DOWN)
    assert not history(world, job).deleted


def test_with_too_many_collections_everything_counts_as_needed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_users, "COLLECTIONS_LIMIT", 2)
    ended(world)
    for number in range(3):
        register(world, f"set{number}", GalaxyData(Src.HDCA, f"c{number}"))
    world.clock.advance(30 * DAY)
    assert clean(world) == Cleaned(results_in_use=1)
    MemoryDatasets(world.store).remove(DatasetId("set1"), SERVICE)
    world.clock.advance(DAY)
    assert clean(world) == Cleaned(results_deleted=1)


@pytest.mark.parametrize("given", ["hda", "hdca", "dataset"])
def test_what_an_item_that_waits_needs_stays(world: World, given: str) -> None:
    job = ended(world)
    value = {
        "hda": {"src": "hda", "id": "out0"},
        "hdca": {"src": "hdca", "id": elsewhere(world, job).id},
        "dataset": {"dataset_id": "needs it"},
    }[given]
    register(world, "needs it", GalaxyData(Src.HDA, "out0"))
    item = evolve(REQUEST, parameters={"more": value})
    world.create_batch(BatchRequest(workflow_name="w", items=[item]), SERVICE)
    if given == "dataset":
        with pytest.raises(DatasetInUse):
            MemoryDatasets(world.store).remove(DatasetId("needs it"), SERVICE)
    else:
        MemoryDatasets(world.store).remove(DatasetId("needs it"), SERVICE)
    world.clock.advance(30 * DAY)
    assert clean(world) == Cleaned(results_in_use=1)
    assert not history(world, job).deleted


@pytest.mark.parametrize("when", When)
def test_what_a_submission_needs_stays(world: World, when: When) -> None:
    job = ended(world)
    data = {"src": "hda", "id": "out0"}
    world.faults.kills("runner.invoke", when)
    with pytest.raises(Killed):
        world.submit(evolve(REQUEST, parameters={"more": data}), SERVICE)
    world.clock.advance(30 * DAY)
    assert clean(world) == Cleaned(results_in_use=1)
    assert not history(world, job).deleted


def test_what_an_active_job_was_given_stays_without_its_dataset(world: World) -> None:
    job = ended(world)
    register(world, "part", GalaxyData(Src.HDA, "out0"))
    ref = SourceElement("a", DatasetRef(DatasetId("part")))
    register(world, "d2", CollectionData("list", (ref,)))
    takes = WorkflowInput(name="l", kind=InputKind.COLLECTION)
    world.galaxy.add_workflow("lists", takes)
    request = Request(dataset_id=DatasetId("d2"), workflow_name="lists")
    world.submit(request, SERVICE)
    del world.store.datasets[DatasetId("part")]  # by another program
    world.clock.advance(30 * DAY)
    assert clean(world) == Cleaned(results_in_use=1)
    assert not history(world, job).deleted


def test_a_user_that_appears_meanwhile_brings_the_history_back(world: World) -> None:
    job = ended(world)
    world.clock.advance(30 * DAY)
    world.faults.strikes["histories.delete", When.AFTER] = lambda: register(
        world, "late", GalaxyData(Src.HDA, "out0")
    )
    assert clean(world) == Cleaned(results_in_use=1)
    assert (history(world, job).deleted, history(world, job).purged) == (False, False)
    assert world.job(job.invocation_id).results == "kept"


def test_a_job_that_goes_on_meanwhile_keeps_its_results(world: World) -> None:
    job = ended(world)
    running = evolve(job, state=S.IN_PROGRESS, version=job.version + 1)
    world.clock.advance(30 * DAY)
    world.faults.strikes["histories.delete", When.AFTER] = lambda: (
        world.store.invocations.update({job.invocation_id: running})
    )
    assert clean(world).results_deleted == 0
    assert (history(world, job).deleted, history(world, job).purged) == (False, False)
    assert world.job(job.invocation_id).results == "kept"


def test_a_history_that_is_not_only_ours_stays(world: World) -> None:
    renamed, adopted = ended(world, 1), ended(world, 2)
    history(world, renamed).name = "My thesis"
    world.store.invocations[adopted.invocation_id] = evolve(adopted, adopted=True)
    world.clock.advance(30 * DAY)
    assert clean(world).results_deleted == 0
    for job, says in ((renamed, "renamed"), (adopted, "not made for it")):
        with pytest.raises(ResultsInUse, match=says):
            delete(world, job.invocation_id)
        assert not history(world, job).deleted


def test_a_history_that_was_taken_over_after_a_crash_comes_back(world: World) -> None:
    job = ended(world)
    world.clock.advance(30 * DAY)
    world.faults.kills("histories.delete", When.AFTER)
    with pytest.raises(Killed):
        clean(world)
    history(world, job).name = "mine"
    world.clock.advance(10 * MINUTE)
    assert clean(world) == Cleaned(results_in_use=1)
    assert not history(world, job).deleted


@pytest.mark.parametrize("how", ["deleted", "purged", "gone"])
def test_what_is_gone_in_galaxy_already_counts_as_done(world: World, how: str) -> None:
    job = ended(world)
    assert job.history_id is not None
    if how == "gone":
        del world.galaxy.histories[job.history_id]
    else:
        world.galaxy.delete(job.history_id, purge=how == "purged")
    world.clock.advance(30 * DAY)
    assert clean(world) == Cleaned(results_deleted=1)
    if how != "gone":
        assert history(world, job).purged


def test_what_galaxy_refuses_is_tried_again_with_pauses(world: World) -> None:
    job = ended(world)
    world.clock.advance(30 * DAY)
    for pause in (1, 2, 4):
        world.galaxy.fail_next("delete", DOWN)
        cleaned = clean(world)
        assert (cleaned.not_deleted, cleaned.problem) == (1, DOWN)
        world.clock.advance((pause - 0.5) * MINUTE)
        assert clean(world) == Cleaned()
        world.clock.advance(0.5 * MINUTE)
    assert clean(world) == Cleaned(results_deleted=1)
    assert history(world, job).purged
    assert world.store.totals[job.identity]["not_deleted"] == 3


def test_a_galaxy_in_trouble_is_left_alone(world: World) -> None:
    for number in range(6):
        ended(world, number)
    world.clock.advance(30 * DAY)
    for _ in range(6):
        world.galaxy.fail_next("delete", DOWN)
    assert clean(world).not_deleted == 3
    world.galaxy.outage = DOWN
    assert clean(world) == Cleaned(problem=DOWN)


def test_it_stops_when_its_time_is_over_and_gives_the_rest_back(world: World) -> None:
    for number in range(3):
        ended(world, number)
    world.clock.advance(30 * DAY)

    def slowly() -> None:
        world.clock.advance(2 * MINUTE)

    world.faults.strikes["histories.delete", When.AFTER] = slowly
    assert clean(world) == Cleaned(results_deleted=1)
    assert clean(world) == Cleaned(results_deleted=2)


# --- crashes ------------------------------------------------------------------------


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize(
    "call",
    [
        "retention.claim",
        "histories.marked",
        "histories.contents",
        "superseded.users_of",
        "retention.begin",
        "histories.delete",
        "invocations.save",
        "retention.end",
    ],
)
@pytest.mark.parametrize("policy", [RetentionPolicy(results=30 * DAY), None])
def test_what_a_crash_leaves_is_ended(
    world: World, call: str, when: When, policy: RetentionPolicy | None
) -> None:
    job = ended(world)
    world.clock.advance(30 * DAY)
    world.faults.kills(call, when)
    with pytest.raises(Killed):
        clean(world)
    begun = history(world, job).deleted
    world.clock.advance(10 * MINUTE)
    # Whatever is kept by now: what was begun is ended.
    clean(world, policy or RetentionPolicy())
    after = world.job(job.invocation_id)
    assert history(world, job).purged == (after.results == "deleted")
    assert after.results == "deleted" or not begun
    if policy is not None:
        assert after.results == "deleted"
        assert world.store.deletions == {}


def test_a_user_that_appears_after_a_crash_brings_the_history_back(
    world: World,
) -> None:
    job = ended(world)
    world.clock.advance(30 * DAY)
    world.faults.kills("histories.delete", When.AFTER)
    with pytest.raises(Killed):
        clean(world)
    assert history(world, job).deleted
    register(world, "late", GalaxyData(Src.HDA, "out0"))
    world.clock.advance(10 * MINUTE)
    assert clean(world) == Cleaned(results_in_use=1)
    assert not history(world, job).deleted


def test_a_job_that_goes_on_after_a_crash_has_its_history_back(world: World) -> None:
    job = ended(world)
    world.clock.advance(30 * DAY)
    world.faults.kills("histories.delete", When.AFTER)
    with pytest.raises(Killed):
        clean(world)
    stored = world.job(job.invocation_id)
    world.store.invocations[job.invocation_id] = evolve(stored, state=S.IN_PROGRESS)
    world.clock.advance(10 * MINUTE)
    assert clean(world) == Cleaned(results_in_use=1)
    assert not history(world, job).deleted


# --- by hand ------------------------------------------------------------------------


def test_results_are_deleted_by_hand(world: World) -> None:
    running = world.submit(REQUEST, SERVICE).invocation_id
    with pytest.raises(NotEnded):
        delete(world, running)
    job = ended(world)
    assert delete(world, job.invocation_id).results == "deleted"
    calls = world.galaxy.calls.copy()
    assert delete(world, job.invocation_id) == world.job(job.invocation_id)
    assert world.galaxy.calls - calls == {}


def test_another_galaxy_is_not_asked_for_it(world: World) -> None:
    job = ended(world)
    world.galaxy.who = evolve(job.identity, user_id="somebody else")
    with pytest.raises(RunNotFound):
        delete(world, job.invocation_id)
    assert not history(world, job).deleted


def test_only_users_that_the_owner_sees_are_named(world: World) -> None:
    job = ended(world)
    world.store.invocations[job.invocation_id] = evolve(
        job, owner="lab-a", private=True
    )
    register(world, "secret", GalaxyData(Src.HDA, "out0"))
    with pytest.raises(ResultsInUse, match="of another owner") as caught:
        delete(world, job.invocation_id, Viewer(owner="lab-a", sees_all=False))
    assert "secret" not in str(caught.value)
    assert caught.value.users == ()


# --- intermediates ------------------------------------------------------------------


INTERMEDIATES = RetentionPolicy(delete_intermediates=True)


def test_intermediates_go_and_outputs_stay(world: World) -> None:
    job = ended(world)
    assert clean(world, INTERMEDIATES) == Cleaned(intermediates_deleted=1)
    assert history(world, job).purged_datasets == {"inner0"}
    assert not history(world, job).deleted
    after = world.job(job.invocation_id)
    assert (after.results, after.intermediates_deleted_at) == ("kept", world.clock())
    assert clean(world, INTERMEDIATES) == Cleaned()


def test_intermediates_that_something_needs_stay(world: World) -> None:
    job = ended(world)
    register(world, "needs it", GalaxyData(Src.HDA, "inner0"))
    assert clean(world, INTERMEDIATES) == Cleaned(results_in_use=1)
    MemoryDatasets(world.store).remove(DatasetId("needs it"), SERVICE)
    world.clock.advance(DAY)
    world.faults.strikes["histories.delete_datasets", When.AFTER] = lambda: register(
        world, "late", GalaxyData(Src.HDA, "inner0")
    )
    assert clean(world, INTERMEDIATES) == Cleaned(results_in_use=1)
    assert history(world, job).deleted_datasets == set()


def test_intermediates_of_a_collection_that_something_needs_stay(world: World) -> None:
    job = ended(world)
    assert job.history_id is not None
    world.galaxy.collections["not an output"] = {"inner0": job.history_id}
    register(world, "needs it", GalaxyData(Src.HDCA, "not an output"))
    register(world, "an output", GalaxyData(Src.HDCA, "parts0"))
    world.galaxy.collections["parts0"] = {"part0": job.history_id}
    assert clean(world, INTERMEDIATES) == Cleaned(results_in_use=1)
    MemoryDatasets(world.store).remove(DatasetId("needs it"), SERVICE)
    world.clock.advance(DAY)
    assert clean(world, INTERMEDIATES) == Cleaned(intermediates_deleted=1)


@pytest.mark.parametrize("outputs", ["none", "many"])
def test_nothing_goes_if_the_outputs_are_not_known(world: World, outputs: str) -> None:
    job = ended(world)
    workflow = next(
        each for each in world.galaxy.workflows.values() if each.workflow.name == "w0"
    )
    many = Output(
        label="parts",
        src="hdca",
        id="parts0",
        elements=tuple(Element(name=str(n), id=f"e{n}") for n in range(ELEMENTS_LIMIT)),
    )
    workflow.outputs = [] if outputs == "none" else [many]
    assert clean(world, INTERMEDIATES) == Cleaned(intermediates_deleted=1)
    assert history(world, job).deleted_datasets == set()


@pytest.mark.parametrize(
    ("call", "when"),
    [
        ("retention.claim", When.AFTER),
        ("runner.outputs", When.AFTER),
        ("histories.delete_datasets", When.AFTER),
    ],
)
def test_a_job_that_goes_on_meanwhile_keeps_its_intermediates(
    world: World, call: str, when: When
) -> None:
    job = ended(world)
    running = evolve(job, state=S.IN_PROGRESS, version=job.version + 1)
    world.faults.strikes[call, when] = lambda: world.store.invocations.update(
        {job.invocation_id: running}
    )
    assert clean(world, INTERMEDIATES).intermediates_deleted == 0
    assert history(world, job).deleted_datasets == set()
    assert history(world, job).purged_datasets == set()


def test_only_completed_jobs_lose_intermediates(world: World) -> None:
    job = ended(world)
    world.store.invocations[job.invocation_id] = evolve(job, state=S.FAILED)
    assert clean(world, INTERMEDIATES) == Cleaned()


# --- jobs ---------------------------------------------------------------------------


def test_jobs_go_when_their_time_is_over(world: World) -> None:
    job = ended(world)
    policy = RetentionPolicy(results=30 * DAY, jobs=60 * DAY)
    world.clock.advance(60 * DAY)
    register(world, "needs it", GalaxyData(Src.HDA, "out0"))
    assert clean(world, policy) == Cleaned(results_in_use=1)
    MemoryDatasets(world.store).remove(DatasetId("needs it"), SERVICE)
    world.clock.advance(DAY)
    world.galaxy.fail_next("delete", DOWN)
    assert clean(world, policy) == Cleaned(not_deleted=1, problem=DOWN)
    world.clock.advance(DAY)
    assert clean(world, policy) == Cleaned(results_deleted=1, pruned=1)
    assert job.invocation_id not in world.store.invocations
    assert job.submission_id not in world.store.submissions


# --- whatever happens ---------------------------------------------------------------


class Machine(RuleBasedStateMachine):
    """Jobs, datasets and deletions in any order, with crashes and a Galaxy that fails.

    The oracle reads the JSON of all sources and parameters as text, and knows neither
    rules nor guards.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World.made(MORE)
        self.jobs: list[Invocation] = []
        self.purged: set[HistoryId] = set()
        self.own: set[InvocationId] = set()
        self.numbers = 0

    @initialize()
    def has_old_jobs(self) -> None:
        for number in range(2):
            self.jobs.append(ended(self.world, number))
        self.world.clock.advance(31 * DAY)

    @rule()
    def runs(self) -> None:
        self.jobs.append(ended(self.world, len(self.jobs)))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def starts_a_user(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.jobs) - 1))
        name = data.draw(st.sampled_from(["out", "part", "inner"]))
        parameters = {"more": {"src": "hda", "id": f"{name}{number}"}}
        request = Request(
            dataset_id=DatasetId("d1"), workflow_name="w", parameters=parameters
        )
        self.world.submit(request, SERVICE)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), nested=st.booleans())
    def registers(self, data: st.DataObject, nested: bool) -> None:  # noqa: FBT001
        number = data.draw(st.integers(0, len(self.jobs) - 1))
        kind, name = data.draw(
            st.sampled_from(
                [
                    ("hda", "out"),
                    ("hdca", "parts"),
                    ("hda", "part"),
                    ("hdca", "elsewhere"),
                ]
            )
        )
        elements = {f"part{number}": self.jobs[number].history_id}
        self.world.galaxy.collections[f"elsewhere{number}"] = elements
        found = GalaxyData(Src(kind), f"{name}{number}")
        source: Source = found
        if nested and kind == "hda":
            source = CollectionData("list", (SourceElement("x", found),))
        self.numbers += 1
        register(self.world, f"set{self.numbers}", source)

    @rule(data=st.data())
    def removes(self, data: st.DataObject) -> None:
        names = [key for key in self.world.store.datasets if key != "d1"]
        if names:
            name = data.draw(st.sampled_from(sorted(names)))
            MemoryDatasets(self.world.store).remove(DatasetId(name), SERVICE)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def is_taken_over(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        if job.history_id not in self.purged:
            history(self.world, job).name = "mine"
            self.own.add(job.invocation_id)

    @rule(minutes=st.sampled_from([1, 10, 60 * 24, 60 * 24 * 15]))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.advance(minutes * MINUTE)

    @rule()
    def all_ends(self) -> None:
        self.world.settle()

    @rule(
        call=st.none() | st.integers(0, 40),
        when=st.sampled_from(When),
        error=st.sampled_from([Killed(), DOWN]),
        intermediates=st.booleans(),
    )
    def cleans(
        self,
        call: int | None,
        when: When,
        error: BaseException,
        intermediates: bool,  # noqa: FBT001
    ) -> None:
        policy = RetentionPolicy(results=30 * DAY, delete_intermediates=intermediates)
        self._with_fault(call, when, error, lambda: clean(self.world, policy))

    @precondition(lambda self: self.jobs)
    @rule(
        data=st.data(),
        call=st.none() | st.integers(0, 10),
        when=st.sampled_from(When),
        error=st.sampled_from([Killed(), DOWN]),
    )
    def deletes(
        self, data: st.DataObject, call: int | None, when: When, error: BaseException
    ) -> None:
        id_ = data.draw(st.sampled_from(self.jobs)).invocation_id
        self._with_fault(call, when, error, lambda: delete(self.world, id_))

    def _with_fault(
        self,
        call: int | None,
        when: When,
        error: BaseException,
        act: Callable[[], object],
    ) -> None:
        faults = self.world.faults
        if call is not None:
            faults.raises(len(faults.calls) + call, when, error)
        with suppress(Killed, DomainError):
            act()
        faults.strikes.clear()

    def _needed(self, number: int) -> bool:
        """Whether anything names the data of a job."""
        store = self.world.store
        texts = [
            json.dumps(source_to_json(dataset.source))
            for dataset in store.datasets.values()
        ]
        texts += [
            json.dumps(dict(job.parameters))
            for job in store.invocations.values()
            if not job.state.is_terminal
        ]
        names = ("out", "parts", "part", "inner", "elsewhere")
        ids = [f'"{name}{number}"' for name in names]
        return any(id_ in text for text in texts for id_ in ids)

    @invariant()
    def nothing_that_is_needed_was_touched(self) -> None:
        for number, job in enumerate(self.jobs):
            found = history(self.world, job)
            stored = self.world.job(job.invocation_id)
            assert job.history_id is not None
            if found.purged and job.history_id not in self.purged:
                # It was purged by the rule before, in which nothing else changed.
                self.purged.add(job.history_id)
                assert not self._needed(number)
                assert job.invocation_id not in self.own
            assert stored.results == "kept" or found.purged
            assert stored.state is S.COMPLETED
            assert not found.purged_datasets & {f"out{number}", f"part{number}"}

    def teardown(self) -> None:
        """Whatever happened: in the end all is gone that may go, and nothing else."""
        self.world.settle()
        policy = RetentionPolicy(results=30 * DAY)
        for _ in range(3):
            self.world.clock.advance(31 * DAY)
            clean(self.world, policy)
        for number, job in enumerate(self.jobs):
            stored = self.world.job(job.invocation_id)
            stays = job.invocation_id in self.own or self._needed(number)
            found = history(self.world, job)
            if job.history_id not in self.purged:
                assert found.purged == (not stays)
                assert found.deleted == found.purged
            assert found.purged == (stored.results == "deleted")


TestMachine = Machine.TestCase
TestMachine.settings = settings(stateful_step_count=15, phases=[Phase.generate])

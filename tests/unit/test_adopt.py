"""Runs that somebody started in Galaxy itself, followed from then on."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve, field, frozen

from galaxy_jobs.adapters.testing.memory import MemoryAuditLog, MemoryDatasets
from galaxy_jobs.adapters.testing.memory.galaxy import TEXT
from galaxy_jobs.domain import (
    AllowedWorkflow,
    Dataset,
    DatasetId,
    HistoryId,
    InvocationId,
    InvocationState,
    SubmissionState,
    Viewer,
    WorkflowId,
)
from galaxy_jobs.domain.errors import (
    DatasetNotFound,
    InvalidValue,
    JobExists,
    KeyInProgress,
    RunMismatch,
    RunNotFound,
    WorkflowNotAllowed,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases import AdoptRun, Record
from tests.support.faults import Killed, When
from tests.support.world import HDA, REQUEST, World


D1 = DatasetId("d1")
LAB = Viewer(owner="lab", sees_all=False)


@frozen
class Here:
    """A world in which runs are adopted."""

    world: World = field(factory=World.made)
    audit: MemoryAuditLog = field(init=False)
    adopt: AdoptRun = field(init=False)

    def __attrs_post_init__(self) -> None:
        submit, numbers = self.world.submit, count(1000)
        audit = MemoryAuditLog(self.world.store)
        adopt = AdoptRun(
            check=submit.check,
            submissions=submit.submissions,
            invocations=self.world.reconcile.invocations,
            runner=submit.runner,
            histories=submit.histories,
            identity=submit.identity,
            clock=self.world.clock,
            new_id=lambda: UUID(int=next(numbers)),
            record=Record(audit, lambda *_: pytest.fail("not recorded")),
        )
        object.__setattr__(self, "audit", audit)
        object.__setattr__(self, "adopt", adopt)

    def begun(self, workflow_id: WorkflowId | None = None) -> InvocationId:
        """Start a run in Galaxy itself."""
        galaxy = self.world.galaxy
        history_id = galaxy.create("My analysis")
        inputs: dict[str, Any] = {TEXT.name: HDA, "p": "x"}
        return galaxy.invoke(workflow_id or self.world.workflow_id, inputs, history_id)


@pytest.fixture
def here() -> Here:
    return Here()


def test_a_run_of_galaxy_is_followed_like_ours(here: Here) -> None:
    world, run = here.world, here.begun()
    submitted = here.adopt(run, D1, SERVICE)
    assert (submitted.invocation_id, submitted.replayed) == (run, False)
    job = world.job(run)
    assert job.adopted
    assert (job.dataset_id, job.workflow_name) == ("d1", "w")
    assert job.workflow_id == world.workflow_id
    assert (job.dataset_input, job.parameters) == (TEXT.name, {"p": "x"})
    assert world.galaxy.histories[job.history_id or HistoryId("")].name == "My analysis"
    world.settle()
    assert world.job(run).state is InvocationState.COMPLETED
    assert [entry.action.value for entry in here.audit.entries()] == ["adopt"]
    history = world.galaxy.histories[job.history_id or HistoryId("")]
    assert history.tags == frozenset(), "its tags are its owner's"


def test_it_runs_again_with_what_it_was_given(here: Here) -> None:
    run = here.begun()
    here.adopt(run, D1, SERVICE)
    here.world.settle()
    again = here.world.rerun(run, SERVICE).invocation_id
    (repeated,) = [r for r in here.world.galaxy.runs if r.invocation_id == again]
    assert {TEXT.name: HDA, "p": "x"}.items() <= repeated.inputs.items()


def test_its_history_is_not_deleted_where_it_is_superseded(here: Here) -> None:
    world, run = here.world, here.begun()
    here.adopt(run, D1, SERVICE)
    world.settle()
    later = world.submit(evolve(REQUEST, overwrite=True), SERVICE).invocation_id
    world.settle()
    job = world.job(run)
    assert job.superseded_by == later
    assert not world.galaxy.histories[job.history_id or HistoryId("")].deleted


def test_to_repeat_it_is_safe(here: Here) -> None:
    run = here.begun()
    here.adopt(run, D1, SERVICE)
    here.world.settle()
    for name in (None, "w"):
        again = here.adopt(run, D1, SERVICE, name)
        assert (again.invocation_id, again.replayed) == (run, True)
        assert again.state is InvocationState.COMPLETED
    assert len(here.world.store.invocations) == 1
    assert len(here.world.submissions()) == 1


def test_one_of_ours_is_answered_as_it_is(here: Here) -> None:
    run = here.world.submit(REQUEST, SERVICE).invocation_id
    assert here.adopt(run, D1, SERVICE).replayed
    assert not here.world.job(run).adopted


def test_of_several_at_once_one_is_stored(here: Here) -> None:
    run = here.begun()
    inner = []

    def meanwhile() -> None:
        here.world.faults.strikes.clear()
        inner.append(here.adopt(run, D1, SERVICE))

    here.world.faults.strikes["submissions.open", When.BEFORE] = meanwhile
    assert here.adopt(run, D1, SERVICE).replayed
    assert [each.replayed for each in inner] == [False]
    assert len(here.world.store.invocations) == 1


def test_one_that_was_killed_can_be_repeated(here: Here) -> None:
    world, run = here.world, here.begun()
    world.faults.kills("submissions.accept", When.BEFORE)
    with pytest.raises(Killed):
        here.adopt(run, D1, SERVICE)
    with pytest.raises(KeyInProgress):
        here.adopt(run, D1, SERVICE)
    for _ in range(5):
        world.clock.advance(timedelta(minutes=5))
        world.reconcile(world.galaxy.who)
    assert [s.state for s in world.submissions()] == [SubmissionState.REJECTED]
    assert not here.adopt(run, D1, SERVICE).replayed
    assert not any(history.deleted for history in world.galaxy.histories.values())


def test_a_run_on_another_dataset_or_by_another_name_is_refused(here: Here) -> None:
    run = here.begun()
    here.adopt(run, D1, SERVICE)
    other = Dataset(
        dataset_id=DatasetId("d2"), name="d", source=HDA, created_at=here.world.clock()
    )
    MemoryDatasets(here.world.store).add(other, SERVICE)
    with pytest.raises(JobExists, match="on dataset 'd1'"):
        here.adopt(run, DatasetId("d2"), SERVICE)
    with pytest.raises(JobExists, match="with workflow 'w'"):
        here.adopt(run, D1, SERVICE, "x")


def test_what_is_not_there_is_refused(here: Here) -> None:
    run = here.begun()
    with pytest.raises(RunNotFound):
        here.adopt(InvocationId("none"), D1, SERVICE)
    with pytest.raises(DatasetNotFound):
        here.adopt(run, DatasetId("d2"), SERVICE)
    for id_ in ("", "../jobs", "a b", "a\0b", "a" * 999):
        with pytest.raises(InvalidValue):
            here.adopt(InvocationId(id_), D1, SERVICE)
    assert here.world.submissions() == []


def test_the_job_of_another_owner_does_not_exist(here: Here) -> None:
    run = here.begun()
    here.adopt(run, D1, SERVICE)
    own = Dataset(dataset_id=D1, name="d", source=HDA, created_at=here.world.clock())
    MemoryDatasets(here.world.store).add(own, LAB)
    with pytest.raises(RunNotFound):
        here.adopt(run, D1, LAB)


def test_only_workflows_that_are_allowed(here: Here) -> None:
    galaxy = here.world.galaxy
    other = here.begun(galaxy.add_workflow("other", TEXT))
    check = here.adopt.check
    rows = (
        AllowedWorkflow(name="w"),
        AllowedWorkflow(name="pinned", workflow_id=here.world.workflow_id),
    )
    listed = evolve(check, allowlist=evolve(check.allowlist, rows=rows))
    adopt = evolve(here.adopt, check=listed)
    with pytest.raises(WorkflowNotAllowed):
        adopt(other, D1, SERVICE)
    for name in ("w", "pinned"):
        with pytest.raises(RunMismatch, match="'other'"):
            adopt(other, D1, SERVICE, name)
    run = here.begun()
    assert not adopt(run, D1, SERVICE, "pinned").replayed
    assert here.world.job(run).workflow_name == "pinned"


def test_a_run_in_a_history_of_ours_is_left_to_its_submission(here: Here) -> None:
    world = here.world
    world.faults.kills("runner.invoke", When.AFTER)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE)
    (run,) = world.galaxy.runs
    with pytest.raises(JobExists, match="in the history of submission"):
        here.adopt(run.invocation_id, D1, SERVICE)
    world.settle()
    world.check()
    assert here.adopt(run.invocation_id, D1, SERVICE).replayed

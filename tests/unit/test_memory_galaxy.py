from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve, frozen

from galaxy_jobs.adapters.testing.contracts.data import DataCatalogContract, DataScene
from galaxy_jobs.adapters.testing.contracts.exports import (
    ExportScene,
    RunExportsContract,
)
from galaxy_jobs.adapters.testing.contracts.output_files import (
    CONTENT,
    FileScene,
    OutputFilesContract,
)
from galaxy_jobs.adapters.testing.contracts.runner import (
    CollectionsContract,
    Engine,
    Kind,
    LikeGalaxyContract,
    ReviewsContract,
    RunHistoriesContract,
    Scene,
    WorkflowCatalogContract,
    WorkflowRunnerContract,
)
from galaxy_jobs.adapters.testing.memory import SimulatedGalaxy
from galaxy_jobs.adapters.testing.memory.galaxy import (
    EMPTY,
    FAILURE,
    REVIEWED,
    SUCCESS,
    Moment,
)
from galaxy_jobs.domain import (
    AllowedWorkflow,
    DataCatalog,
    DataDescription,
    GalaxyData,
    HistoryId,
    InvocationId,
    InvocationState,
    JobDetails,
    JobState,
    Output,
    OutputFiles,
    RunExports,
    Src,
    WorkflowId,
    judge,
)
from galaxy_jobs.domain.errors import (
    OutcomeUnknown,
    RunnerUnavailable,
    RunNotFound,
    RunRejected,
)
from galaxy_jobs.domain.model.dataset import DELETED


SLOW = (
    Moment("new"),
    *[Moment("scheduled", {"text": "", "sleep": "running"})] * 100,
)
PLANS = {
    Kind.SUCCESS: SUCCESS,
    Kind.FAILURE: FAILURE,
    Kind.SLOW: SLOW,
    Kind.EMPTY: EMPTY,
    Kind.REVIEW: REVIEWED,
}
DATA = GalaxyData(Src.HDA, "d1")
LOST = OutcomeUnknown("The answer was lost.")


@frozen
class SimulatedScene(Scene):
    galaxy: SimulatedGalaxy

    @property
    def absent(self) -> str:
        return "absent"

    def add_workflow(self, name: str, kind: Kind) -> WorkflowId:
        return self.galaxy.add_workflow(
            name,
            plan=PLANS[kind],
            details={"sort": JobDetails(tool="tool", exit_code=3)},
            outputs=[Output(label="sorted", src="hda", id=f"output of {name}")],
        )

    def delete_workflow(self, workflow_id: WorkflowId) -> None:
        self.galaxy.delete_workflow(workflow_id)

    def hide_workflow(self, workflow_id: WorkflowId) -> None:
        self.galaxy.hide_workflow(workflow_id)

    def data(self) -> GalaxyData:
        return DATA

    def pass_time(self) -> None:
        self.galaxy.tick()


class Simulated:
    @pytest.fixture
    def galaxy(self) -> SimulatedGalaxy:
        return SimulatedGalaxy()

    @pytest.fixture
    def engine(self, galaxy: SimulatedGalaxy) -> Engine:
        return galaxy

    @pytest.fixture
    def scene(self, galaxy: SimulatedGalaxy) -> Scene:
        return SimulatedScene(galaxy)


class TestCatalog(Simulated, WorkflowCatalogContract):
    pass


class TestRunner(Simulated, WorkflowRunnerContract):
    pass


class TestCollections(Simulated, CollectionsContract):
    pass


class TestReviews(Simulated, ReviewsContract):
    pass


class TestHistories(Simulated, RunHistoriesContract):
    pass


class TestOddities(Simulated, LikeGalaxyContract):
    pass


@frozen
class SimulatedData(DataScene):
    galaxy: SimulatedGalaxy

    @property
    def absent(self) -> str:
        return "absent"

    def dataset(self, name: str) -> GalaxyData:
        return self._add(Src.HDA, DataDescription(name=name, **OK))

    def collection(self, name: str) -> GalaxyData:
        described = DataDescription(name=name, **OK, collection_type="list")
        return self._add(Src.HDCA, described)

    def _add(self, src: Src, description: DataDescription) -> GalaxyData:
        data = GalaxyData(src, f"d{len(self.galaxy.data)}")
        self.galaxy.data[data] = description
        return data

    def delete(self, data: GalaxyData) -> None:
        description = self.galaxy.data[data]
        assert description is not None
        self.galaxy.data[data] = evolve(description, state=DELETED)


OK: dict[str, Any] = {"state": "ok", "extensions": ("txt",)}


class TestData(Simulated, DataCatalogContract):
    @pytest.fixture
    def data_catalog(self, galaxy: SimulatedGalaxy) -> DataCatalog:
        return galaxy

    @pytest.fixture
    def data_scene(self, galaxy: SimulatedGalaxy) -> DataScene:
        for src in Src:
            galaxy.data[GalaxyData(src, "absent")] = None
        return SimulatedData(galaxy)


@frozen
class SimulatedFiles(FileScene):
    galaxy: SimulatedGalaxy

    @property
    def absent(self) -> str:
        return "absent"

    def dataset(self, content: bytes) -> str:
        id_ = f"f{len(self.galaxy.file_contents)}"
        self.galaxy.file_contents[id_] = content
        return id_


class TestFiles(Simulated, OutputFilesContract):
    @pytest.fixture
    def output_files(self, galaxy: SimulatedGalaxy) -> OutputFiles:
        return galaxy

    @pytest.fixture
    def file_scene(self, galaxy: SimulatedGalaxy) -> FileScene:
        return SimulatedFiles(galaxy)


@frozen
class SimulatedExports(ExportScene):
    galaxy: SimulatedGalaxy

    @property
    def absent(self) -> InvocationId:
        return InvocationId("absent")

    def run(self) -> InvocationId:
        return invoke(self.galaxy, self.galaxy.create("h"))

    def make(self, export_id: str) -> None:
        self.galaxy.file_contents[export_id] = CONTENT

    def remove(self, export_id: str) -> None:
        del self.galaxy.file_contents[export_id]


class TestExports(Simulated, RunExportsContract):
    @pytest.fixture
    def exports(self, galaxy: SimulatedGalaxy) -> RunExports:
        return galaxy

    @pytest.fixture
    def export_scene(self, galaxy: SimulatedGalaxy) -> ExportScene:
        return SimulatedExports(galaxy)


@pytest.fixture
def galaxy() -> SimulatedGalaxy:
    return SimulatedGalaxy()


def invoke(galaxy: SimulatedGalaxy, history_id: HistoryId) -> InvocationId:
    workflow_id = galaxy.add_workflow("w")
    return galaxy.invoke(workflow_id, {"text": DATA}, history_id)


def test_a_lost_answer_leaves_the_run(galaxy: SimulatedGalaxy) -> None:
    history_id = galaxy.create("h")
    galaxy.fail_next("invoke", LOST, after=True)
    with pytest.raises(OutcomeUnknown):
        invoke(galaxy, history_id)
    (run,) = galaxy.runs
    assert galaxy.runs_in(history_id) == [run.invocation_id]
    assert not galaxy.at_work
    galaxy.tick()
    assert galaxy.at_work == [run]


def test_a_lost_request_leaves_nothing(galaxy: SimulatedGalaxy) -> None:
    galaxy.fail_next("invoke", RunnerUnavailable("refused"))
    with pytest.raises(RunnerUnavailable):
        invoke(galaxy, galaxy.create("h"))
    assert not galaxy.runs
    invoke(galaxy, galaxy.create("h"))
    assert len(galaxy.runs) == 1


def test_a_late_request_meets_the_fence(galaxy: SimulatedGalaxy) -> None:
    history_id = galaxy.create("h")
    galaxy.fail_next("invoke", LOST, later=True)
    with pytest.raises(OutcomeUnknown):
        invoke(galaxy, history_id)
    assert galaxy.runs_in(history_id) == []
    galaxy.delete(history_id)
    galaxy.land()
    (run,) = galaxy.runs_in(history_id)
    galaxy.tick(9)
    assert galaxy.report(run).reasons == ("history_deleted",)
    assert not galaxy.at_work


def test_the_refusal_of_a_late_request_is_lost(galaxy: SimulatedGalaxy) -> None:
    history_id = galaxy.create("h")
    galaxy.fail_next("invoke", LOST, later=True)
    with pytest.raises(OutcomeUnknown):
        invoke(galaxy, history_id)
    galaxy.delete(history_id, purge=True)
    galaxy.land()
    assert not galaxy.runs


def test_every_call_fails_during_an_outage(galaxy: SimulatedGalaxy) -> None:
    galaxy.outage = RunnerUnavailable("down")
    for ask in (galaxy.identity, galaxy.names, lambda: galaxy.create("h")):
        with pytest.raises(RunnerUnavailable):
            ask()
    galaxy.outage = None
    assert galaxy.identity() == galaxy.who
    assert galaxy.calls["identity"] == 2


def test_forgotten_runs_are_gone(galaxy: SimulatedGalaxy) -> None:
    history_id = galaxy.create("h")
    run = invoke(galaxy, history_id)
    galaxy.forget(run)
    with pytest.raises(RunNotFound):
        galaxy.report(run)
    assert galaxy.runs_in(history_id) == []
    assert galaxy.summaries([run]) == {}


def test_deleting_a_history_does_not_stop_a_run_with_jobs(
    galaxy: SimulatedGalaxy,
) -> None:
    history_id = galaxy.create("h")
    run = invoke(galaxy, history_id)
    galaxy.tick()
    galaxy.delete(history_id)
    galaxy.tick(9)
    assert judge(galaxy.report(run)).state is InvocationState.COMPLETED


def test_purging_a_history_breaks_what_runs_in_it(galaxy: SimulatedGalaxy) -> None:
    history_id = galaxy.create("h")
    run = invoke(galaxy, history_id)
    galaxy.tick()
    galaxy.delete(history_id, purge=True)
    galaxy.tick(9)
    assert judge(galaxy.report(run)).state is InvocationState.FAILED


def test_a_plan_may_hold_collections_and_sub_workflows(
    galaxy: SimulatedGalaxy,
) -> None:
    inner = Moment("completed", {"each": ["ok", "error"]})
    plan = [
        Moment("new"),
        Moment("completed", {"text": "", "nested": inner, "later": None}),
    ]
    workflow_id = galaxy.add_workflow(
        "w", plan=plan, details={"each": JobDetails(exit_code=7)}
    )
    run = galaxy.invoke(workflow_id, {"text": DATA}, galaxy.create("h"))
    galaxy.tick()
    report = galaxy.report(run)
    jobs = list(report.jobs())
    assert [job.state for job in jobs] == [JobState.OK, JobState.ERROR]
    assert [path for path, _ in report.walk()][2] == ("nested", "each")
    assert not report.steps[2].scheduled
    assert galaxy.details(jobs[1].job_id).exit_code == 7
    assert galaxy.summaries([run])[run].states == {"ok": 1, "error": 1}


def test_without_bulk_answers_there_are_no_summaries(galaxy: SimulatedGalaxy) -> None:
    run = invoke(galaxy, galaxy.create("h"))
    galaxy.answers_in_bulk = False
    assert galaxy.summaries([run]) == {}


def test_refuses_to_undo_a_purge(galaxy: SimulatedGalaxy) -> None:
    history_id = galaxy.create("h")
    galaxy.delete(history_id, purge=True)
    with pytest.raises(RunRejected):
        galaxy.undelete(history_id)


def test_a_workflow_found_by_id_has_the_name_asked_for(
    galaxy: SimulatedGalaxy,
) -> None:
    workflow_id = galaxy.add_workflow("in Galaxy")
    wanted = AllowedWorkflow(name="ours", workflow_id=workflow_id)
    assert galaxy.find(wanted).name == "ours"

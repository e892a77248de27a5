"""The contracts of an engine: Galaxy, a simulation of it, or an engine of your own.

Subclass the contracts of the ports that you implement and supply two fixtures::

    class TestMine(WorkflowRunnerContract):
        @pytest.fixture
        def engine(self) -> Engine: ...   # yours; implements all three ports

        @pytest.fixture
        def scene(self) -> Scene: ...     # prepares what the ports cannot

Rule of the file: a test demands what the ports' docstrings demand, and nothing that
only one engine does. What a simulation of Galaxy must do in addition, so that tests
on it prove something, is in :class:`LikeGalaxyContract`.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol, TypeVar
from uuid import uuid4

import pytest

from galaxy_jobs.domain.errors import (
    RunNotFound,
    RunRejected,
    WorkflowAmbiguous,
    WorkflowNotFound,
)
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    GalaxyData,
    Source,
    SourceElement,
    Src,
)
from galaxy_jobs.domain.model.invocation import InvocationState, Sighting
from galaxy_jobs.domain.model.invoke_options import InvokeOptions
from galaxy_jobs.domain.model.report import (
    GalaxyState,
    InvocationReport,
    JobsSummary,
    JobState,
)
from galaxy_jobs.domain.model.submission import history_mark, history_name
from galaxy_jobs.domain.model.values import (
    HistoryId,
    InvocationId,
    JobId,
    SubmissionId,
    WorkflowId,
)
from galaxy_jobs.domain.model.verdict import culprit, judge, reviews
from galaxy_jobs.domain.model.workflow import AllowedWorkflow
from galaxy_jobs.domain.model.workflow_input import InputKind
from galaxy_jobs.domain.ports import (
    RunHistories,
    WorkflowCatalog,
    WorkflowRunner,
)


T = TypeVar("T")

LIMIT = 120.0
"""The longest wait for anything, in seconds."""


class Kind(Enum):
    """A kind of workflow. Each has one data input, required, named ``text``."""

    SUCCESS = "success"  #: one job, which ends well and has a labelled output
    FAILURE = "failure"  #: a job that ends with an exit code, and one that needs it
    SLOW = "slow"  #: a job that runs long enough to be stopped
    EMPTY = "empty"  #: no step but its input
    REVIEW = "review"  #: a job, a review of its output, and a job behind that


SUMMARIES: Mapping[Kind, JobsSummary] = {
    Kind.SUCCESS: JobsSummary(states={"ok": 1}, populated="ok"),
    Kind.FAILURE: JobsSummary(states={"error": 1, "paused": 1}, populated="ok"),
}
"""The bulk answers about runs that have ended."""


class Engine(WorkflowCatalog, WorkflowRunner, RunHistories, Protocol):
    """All three ports in one, as in the adapters of this package."""


class Scene(Protocol):
    """The preparations that the ports have no method for."""

    @property
    @abstractmethod
    def absent(self) -> str:
        """A well-formed id that nothing has."""

    @abstractmethod
    def add_workflow(self, name: str, kind: Kind) -> WorkflowId:
        """Store another workflow of that name."""

    @abstractmethod
    def delete_workflow(self, workflow_id: WorkflowId) -> None:
        """Delete a stored workflow."""

    def hide_workflow(self, workflow_id: WorkflowId) -> None:
        """Hide a stored workflow in lists, for Galaxy and its stand-ins alone."""
        del workflow_id  # by this it is not abstract: no other contract needs it
        raise NotImplementedError

    @abstractmethod
    def data(self) -> Source:
        """Return data that a workflow can run on."""

    @abstractmethod
    def pass_time(self) -> None:
        """Let the engine work for a moment."""


class _Contract:
    """Shared by the contracts: the fixtures to supply, and helpers."""

    @pytest.fixture
    def engine(self) -> Engine:
        """Return the engine; others may use it, and it need not be empty."""
        raise NotImplementedError

    @pytest.fixture
    def scene(self) -> Scene:
        """Return the preparations for that engine."""
        raise NotImplementedError

    def _fresh(self, what: str) -> str:
        return f"{what} {uuid4()}"

    def _until(self, scene: Scene, look: Callable[[], T | None]) -> T:
        """Let time pass until *look* sees something."""
        deadline = time.monotonic() + LIMIT
        while not (seen := look()):
            assert time.monotonic() < deadline, f"not within {LIMIT:g} s: {seen!r}"
            scene.pass_time()
        return seen

    def _run(
        self, engine: Engine, scene: Scene, kind: Kind
    ) -> tuple[InvocationId, HistoryId]:
        workflow_id = scene.add_workflow(self._fresh(kind.value), kind)
        history_id = engine.create(self._fresh("run"))
        run = engine.invoke(workflow_id, {"text": scene.data()}, history_id)
        return run, history_id

    def _ended(self, engine: Engine, scene: Scene, run: InvocationId) -> Sighting:
        """Return the verdict that ends the run."""

        def look() -> Sighting | None:
            report = engine.report(run)
            job = culprit(report)
            sighting = judge(report, engine.details(job.job_id) if job else None)
            return sighting if sighting.state.is_terminal else None

        return self._until(scene, look)


class WorkflowCatalogContract(_Contract):
    """For :class:`WorkflowCatalog`."""

    def test_finds_by_exact_name_with_what_is_declared(
        self, engine: Engine, scene: Scene
    ) -> None:
        name = self._fresh("Sort")
        workflow_id = scene.add_workflow(name, Kind.SUCCESS)
        workflow = engine.find(AllowedWorkflow(name=name))
        assert (workflow.workflow_id, workflow.name) == (workflow_id, name)
        (declared,) = workflow.inputs
        assert (declared.name, declared.kind) == ("text", InputKind.DATA)
        assert declared.required
        with pytest.raises(WorkflowNotFound):
            engine.find(AllowedWorkflow(name=name.lower()))

    def test_does_not_choose_among_several_of_one_name(
        self, engine: Engine, scene: Scene
    ) -> None:
        name = self._fresh("twice")
        ids = {scene.add_workflow(name, Kind.EMPTY) for _ in range(2)}
        with pytest.raises(WorkflowAmbiguous) as refusal:
            engine.find(AllowedWorkflow(name=name))
        assert set(refusal.value.ids) == ids
        for workflow_id in ids:
            pinned = AllowedWorkflow(name="ours", workflow_id=workflow_id)
            workflow = engine.find(pinned)
            assert (workflow.workflow_id, workflow.name) == (workflow_id, "ours")

    def test_never_finds_a_deleted_one(self, engine: Engine, scene: Scene) -> None:
        name = self._fresh("gone")
        workflow_id = scene.add_workflow(name, Kind.EMPTY)
        engine.find(AllowedWorkflow(name=name))
        scene.delete_workflow(workflow_id)
        with pytest.raises(WorkflowNotFound):
            engine.find(AllowedWorkflow(name=name))
        with pytest.raises(WorkflowNotFound):
            engine.find(AllowedWorkflow(name=name, workflow_id=workflow_id))

    def test_finds_the_one_that_took_a_deleted_ones_place(
        self, engine: Engine, scene: Scene
    ) -> None:
        name = self._fresh("replaced")
        old = scene.add_workflow(name, Kind.EMPTY)
        assert engine.find(AllowedWorkflow(name=name)).workflow_id == old
        scene.delete_workflow(old)
        new = scene.add_workflow(name, Kind.SUCCESS)
        assert engine.find(AllowedWorkflow(name=name)).workflow_id == new

    def test_finds_one_imported_a_moment_ago(
        self, engine: Engine, scene: Scene
    ) -> None:
        name = self._fresh("new")
        with pytest.raises(WorkflowNotFound):
            engine.find(AllowedWorkflow(name=name))
        workflow_id = scene.add_workflow(name, Kind.EMPTY)
        assert engine.find(AllowedWorkflow(name=name)).workflow_id == workflow_id

    def test_notices_a_second_one_of_the_same_name_at_once(
        self, engine: Engine, scene: Scene
    ) -> None:
        name = self._fresh("second")
        scene.add_workflow(name, Kind.EMPTY)
        engine.find(AllowedWorkflow(name=name))
        scene.add_workflow(name, Kind.EMPTY)
        with pytest.raises(WorkflowAmbiguous):
            engine.find(AllowedWorkflow(name=name))

    @pytest.mark.parametrize(
        "part", ["it's", '"quoted"', "name:other", "tag:a b", "50% _", "a\\b", "Ä: ü"]
    )
    def test_finds_a_name_whatever_is_in_it(
        self, engine: Engine, scene: Scene, part: str
    ) -> None:
        name = self._fresh(part)
        workflow_id = scene.add_workflow(name, Kind.EMPTY)
        scene.add_workflow(f"{name} other", Kind.EMPTY)
        assert engine.find(AllowedWorkflow(name=name)).workflow_id == workflow_id

    def test_knows_nothing_of_an_id_that_is_of_nothing(
        self, engine: Engine, scene: Scene
    ) -> None:
        with pytest.raises(WorkflowNotFound):
            engine.find(AllowedWorkflow(name="x", workflow_id=WorkflowId(scene.absent)))

    def test_names_each_name_once(self, engine: Engine, scene: Scene) -> None:
        twice, gone = self._fresh("twice"), self._fresh("gone")
        for _ in range(2):
            scene.add_workflow(twice, Kind.EMPTY)
        scene.delete_workflow(scene.add_workflow(gone, Kind.EMPTY))
        names = engine.names()
        assert list(names).count(twice) == 1
        assert gone not in names
        assert list(names) == sorted(names)
        listed = [workflow.name for workflow in engine.listed()]
        assert listed.count(twice) == 2  # noqa: PLR2004
        assert listed == sorted(listed)
        assert set(listed) == set(names)
        assert all(workflow.workflow_id for workflow in engine.listed())


class WorkflowRunnerContract(_Contract):
    """For :class:`WorkflowRunner`."""

    def test_says_who_we_are(self, engine: Engine) -> None:
        identity = engine.identity()
        assert identity == engine.identity()
        assert identity.user_id
        assert not identity.url.endswith("/")

    def test_runs_a_workflow_to_its_good_end(
        self, engine: Engine, scene: Scene
    ) -> None:
        run, history_id = self._run(engine, scene, Kind.SUCCESS)
        sighting = self._ended(engine, scene, run)
        assert sighting.state is InvocationState.COMPLETED
        assert sighting.progress.ok == sighting.progress.total == 1
        report = engine.report(run)
        assert (report.invocation_id, report.history_id) == (run, history_id)
        assert report.messages == report.reasons == ()

    def test_tells_of_outputs_by_label(self, engine: Engine, scene: Scene) -> None:
        run, _ = self._run(engine, scene, Kind.SUCCESS)
        self._ended(engine, scene, run)
        outputs = engine.outputs(run)
        assert outputs
        assert [output.label for output in outputs] == sorted(
            output.label for output in outputs
        )
        assert all(output.id and output.src in {"hda", "hdca"} for output in outputs)

    def test_tells_why_a_run_failed(self, engine: Engine, scene: Scene) -> None:
        run, _ = self._run(engine, scene, Kind.FAILURE)
        sighting = self._ended(engine, scene, run)
        assert sighting.state is InvocationState.FAILED
        assert sighting.failure is not None
        assert sighting.failure.reason == "job-failed"
        assert sighting.failure.exit_code not in {0, None}
        states = [job.state for job in engine.report(run).jobs()]
        assert states == [JobState.ERROR, JobState.BLOCKED]
        assert sighting.attention is None

    def test_completes_a_run_without_jobs(self, engine: Engine, scene: Scene) -> None:
        run, _ = self._run(engine, scene, Kind.EMPTY)
        sighting = self._ended(engine, scene, run)
        assert sighting.state is InvocationState.COMPLETED
        assert sighting.progress.total == 0

    def test_says_why_it_will_not_run_something(
        self, engine: Engine, scene: Scene
    ) -> None:
        workflow_id = scene.add_workflow(self._fresh("refused"), Kind.SUCCESS)
        history_id, inputs = engine.create(self._fresh("run")), {"text": scene.data()}
        with pytest.raises(RunRejected) as refusal:
            engine.invoke(workflow_id, {}, history_id)
        assert refusal.value.galaxy_message
        with pytest.raises(RunRejected):
            engine.invoke(WorkflowId(scene.absent), inputs, history_id)
        with pytest.raises(RunRejected):
            engine.invoke(workflow_id, inputs, HistoryId(scene.absent))
        assert engine.runs_in(history_id) == []
        engine.delete(history_id, purge=True)
        with pytest.raises(RunRejected):
            engine.invoke(workflow_id, inputs, history_id)

    def test_takes_the_options_of_a_run(self, engine: Engine, scene: Scene) -> None:
        workflow_id = scene.add_workflow(self._fresh("options"), Kind.SUCCESS)
        inputs = {"text": scene.data()}
        for options in (
            InvokeOptions(),
            InvokeOptions(use_cached_job=True),
            InvokeOptions(exact_tool_versions=False),
        ):
            history_id = engine.create(self._fresh("options"))
            run = engine.invoke(workflow_id, inputs, history_id, options)
            ended = self._ended(engine, scene, run)
            assert ended.state is InvocationState.COMPLETED

    @pytest.mark.parametrize("kind", [Kind.SUCCESS, Kind.FAILURE, Kind.EMPTY])
    def test_an_outline_leads_to_the_same_verdict(
        self, engine: Engine, scene: Scene, kind: Kind
    ) -> None:
        run, _ = self._run(engine, scene, kind)
        self._ended(engine, scene, run)
        report, outline = engine.report(run), engine.outline(run)
        assert outline.invocation_id == run
        assert outline.states == report.states
        assert outline.history_id == report.history_id
        first = [job and job.job_id for job in map(culprit, (report, outline))]
        assert first[0] == first[1]
        shown, outlined = judge(report), judge(outline)
        assert (outlined.state, outlined.progress) == (shown.state, shown.progress)
        assert [step.jobs for step in outlined.steps] == [
            step.jobs for step in shown.steps
        ]

    def test_does_not_know_what_is_not_there(
        self, engine: Engine, scene: Scene
    ) -> None:
        absent = InvocationId(scene.absent)
        for ask in (engine.report, engine.outline, engine.outputs, engine.cancel):
            with pytest.raises(RunNotFound):
                ask(absent)
        with pytest.raises(RunNotFound):
            engine.review(absent, "0", approve=True)
        with pytest.raises(RunNotFound):
            engine.details(JobId(scene.absent))

    def test_tells_in_bulk_what_it_knows(self, engine: Engine, scene: Scene) -> None:
        good, _ = self._run(engine, scene, Kind.SUCCESS)
        bad, _ = self._run(engine, scene, Kind.FAILURE)
        for run in (good, bad):
            self._ended(engine, scene, run)
        absent = InvocationId(scene.absent)
        assert engine.summaries([]) == {}
        for run, summary in engine.summaries([absent, good, bad]).items():
            assert summary == SUMMARIES[Kind.SUCCESS if run == good else Kind.FAILURE]
            assert run != absent

    def test_refuses_an_answer_where_no_review_is_open(
        self, engine: Engine, scene: Scene
    ) -> None:
        run, _ = self._run(engine, scene, Kind.SUCCESS)
        self._ended(engine, scene, run)
        for place, step in engine.report(run).places():
            assert not step.review
            with pytest.raises(RunRejected):
                engine.review(run, place, approve=True)
        assert judge(engine.report(run)).state is InvocationState.COMPLETED

    def test_stops_a_run(self, engine: Engine, scene: Scene) -> None:
        run, _ = self._run(engine, scene, Kind.SLOW)

        def at_work() -> bool:
            jobs = [job.state for job in engine.report(run).jobs()]
            return JobState.RUNNING in jobs

        self._until(scene, at_work)
        engine.cancel(run)
        engine.cancel(run)
        assert self._ended(engine, scene, run).state is InvocationState.CANCELLED

    def test_stops_a_run_before_it_has_begun(
        self, engine: Engine, scene: Scene
    ) -> None:
        run, _ = self._run(engine, scene, Kind.SLOW)
        engine.cancel(run)
        assert self._ended(engine, scene, run).state is InvocationState.CANCELLED


class CollectionsContract(_Contract):
    """For :class:`WorkflowRunner`, if the engine has collections."""

    def test_makes_a_collection_of_any_data(self, engine: Engine, scene: Scene) -> None:
        data = scene.data()
        assert not isinstance(data, CollectionData)
        workflow_id = scene.add_workflow(self._fresh("collection"), Kind.SUCCESS)
        ends = tuple(SourceElement(name, data) for name in ("forward", "reverse"))
        pairs = tuple(SourceElement(f"sample {n}/é", ends) for n in range(2))
        for source in (
            CollectionData("list", (SourceElement("only", data),)),
            CollectionData("list:paired", pairs),
        ):
            history_id = engine.create(self._fresh("collection"))
            run = engine.invoke(workflow_id, {"text": source}, history_id)
            ended = self._ended(engine, scene, run)
            assert ended.state is InvocationState.COMPLETED
            assert engine.runs_in(history_id) == [run]


class ReviewsContract(_Contract):
    """For :class:`WorkflowRunner`, if workflows have reviews: see :class:`Kind`."""

    def test_a_run_waits_until_its_review_is_approved(
        self, engine: Engine, scene: Scene
    ) -> None:
        run, place = self._waiting(engine, scene)
        sighting = judge(engine.report(run))
        assert sighting.state is InvocationState.IN_PROGRESS
        assert sighting.attention
        assert "review at step 'check'" in sighting.attention
        for _ in range(2):
            engine.review(run, place, approve=True)
        assert not list(reviews(engine.report(run)))
        assert self._ended(engine, scene, run).state is InvocationState.COMPLETED
        assert engine.report(run).reasons == ()

    def test_a_run_is_cancelled_if_its_review_is_rejected(
        self, engine: Engine, scene: Scene
    ) -> None:
        run, place = self._waiting(engine, scene)
        engine.review(run, place, approve=False)
        sighting = self._ended(engine, scene, run)
        assert sighting.state is InvocationState.CANCELLED
        assert sighting.attention
        assert "rejected" in sighting.attention
        assert "cancelled_on_review" in engine.report(run).reasons
        with pytest.raises(RunRejected):
            engine.review(run, place, approve=True)

    def test_only_a_review_takes_an_answer(self, engine: Engine, scene: Scene) -> None:
        run, waiting = self._waiting(engine, scene)
        for place, step in engine.report(run).places():
            if place != waiting and step.scheduled:
                with pytest.raises(RunRejected):
                    engine.review(run, place, approve=True)
        for absent in ("99", f"{waiting}.0"):
            with pytest.raises(RunNotFound):
                engine.review(run, absent, approve=True)
        assert [place for place, _ in reviews(engine.report(run))] == [waiting]

    def _waiting(self, engine: Engine, scene: Scene) -> tuple[InvocationId, str]:
        """Return a run that waits for a review, and the place of the step."""
        run, _ = self._run(engine, scene, Kind.REVIEW)
        ((place, _),) = self._until(scene, lambda: list(reviews(engine.report(run))))
        return run, place


class RunHistoriesContract(_Contract):
    """For :class:`RunHistories`."""

    def test_finds_all_that_have_a_text_in_their_names(self, engine: Engine) -> None:
        mark = self._fresh("Mark")
        names = [mark, f"sort on reads ({mark})", f"{mark} kept", mark.lower()]
        whole, within, before, other = map(engine.create, names)
        engine.delete(within)
        engine.delete(before, purge=True)
        marked = engine.marked(mark)
        assert marked == {whole: names[0], within: names[1], before: names[2]}
        assert other not in marked
        assert engine.marked(self._fresh("none")) == {}

    @pytest.mark.parametrize(
        "name",
        [
            "sort & count",
            "Ünïcode 漢字 🧬",
            "<b>bold</b> __gt__ __at__",
            "50% _ \\ 'it' \"quoted\" # [x] {y}",
            "line\nbreak\ttab\x00\x1b",
            "  blanks  ",
            "x" * 1000,
            "🧬" * 1000,
        ],
    )
    def test_keeps_the_name_of_a_submissions_history(
        self, engine: Engine, name: str
    ) -> None:
        id_ = SubmissionId(uuid4())
        history_id = engine.create(given := history_name(id_, name, name))
        assert engine.marked(history_mark(id_)) == {history_id: given}
        assert engine.name_of(history_id) == given

    def test_a_history_that_is_gone_has_no_name(
        self, engine: Engine, scene: Scene
    ) -> None:
        assert engine.name_of(HistoryId(scene.absent)) is None

    def test_tells_what_ran_in_one_even_if_deleted(
        self, engine: Engine, scene: Scene
    ) -> None:
        run, history_id = self._run(engine, scene, Kind.EMPTY)
        workflow_id = scene.add_workflow(self._fresh("again"), Kind.EMPTY)
        again = engine.invoke(workflow_id, {"text": scene.data()}, history_id)
        self._run(engine, scene, Kind.EMPTY)
        assert engine.runs_in(history_id) == [run, again]
        engine.delete(history_id)
        assert engine.runs_in(history_id) == [run, again]
        assert engine.runs_in(HistoryId(scene.absent)) == []
        assert engine.runs_in(engine.create(self._fresh("empty"))) == []

    def test_shows_what_a_run_was_started_with(
        self, engine: Engine, scene: Scene
    ) -> None:
        name, data = self._fresh("started"), scene.data()
        workflow_id = scene.add_workflow(name, Kind.EMPTY)
        run = engine.invoke(workflow_id, {"text": data}, engine.create(name))
        scene.delete_workflow(workflow_id)
        invoked = engine.invoked(run)
        assert invoked.workflow_id == workflow_id
        assert invoked.workflow_name in {name, None}
        assert invoked.inputs == {"text": data}
        with pytest.raises(RunNotFound):
            engine.invoked(InvocationId(scene.absent))

    def test_deletes_and_brings_back(self, engine: Engine, scene: Scene) -> None:
        history_id = engine.create(self._fresh("back"))
        engine.undelete(history_id)
        for _ in range(2):
            engine.delete(history_id)
        engine.undelete(history_id)
        for _ in range(2):
            engine.delete(history_id, purge=True)
        engine.delete(history_id)
        with pytest.raises(RunRejected):
            engine.undelete(history_id)
        engine.delete(HistoryId(scene.absent))
        with pytest.raises(RunNotFound):
            engine.undelete(HistoryId(scene.absent))

    def test_tags_one(self, engine: Engine) -> None:
        history_id = engine.create(self._fresh("tagged"))
        for tags in ({"dataset:reads 1", "plate:a,b"}, {"dataset:ä.1"}, set[str]()):
            engine.tag(history_id, tags)
        engine.retag(history_id, {"plate:8"}, {"plate:a,b"})

    def test_a_deleted_one_is_a_fence(self, engine: Engine, scene: Scene) -> None:
        workflow_id = scene.add_workflow(self._fresh("fenced"), Kind.SUCCESS)
        history_id = engine.create(self._fresh("fence"))
        engine.delete(history_id)
        run = engine.invoke(workflow_id, {"text": scene.data()}, history_id)
        sighting = self._ended(engine, scene, run)
        assert sighting.state is InvocationState.CANCELLED
        report = engine.report(run)
        assert "history_deleted" in report.reasons
        assert list(report.jobs()) == []

    def test_one_that_is_back_is_none(self, engine: Engine, scene: Scene) -> None:
        workflow_id = scene.add_workflow(self._fresh("open"), Kind.SUCCESS)
        history_id = engine.create(self._fresh("no fence"))
        engine.delete(history_id)
        engine.undelete(history_id)
        run = engine.invoke(workflow_id, {"text": scene.data()}, history_id)
        assert self._ended(engine, scene, run).state is InvocationState.COMPLETED

    def test_tells_what_one_holds(self, engine: Engine, scene: Scene) -> None:
        run, history_id = self._run(engine, scene, Kind.SUCCESS)
        self._ended(engine, scene, run)
        assert _data(engine, run) <= set(engine.contents(history_id))
        engine.delete(history_id)
        assert _data(engine, run) <= set(engine.contents(history_id))
        engine.delete(history_id, purge=True)
        assert not engine.contents(history_id)
        assert not engine.contents(HistoryId(scene.absent))
        assert not engine.contents(engine.create(self._fresh("empty")))


class LikeGalaxyContract(_Contract):
    """For Galaxy and its stand-ins alone: what it does that no port asks for.

    The core is built for these oddities; an engine of another kind may do better.
    """

    def test_tags_no_history_that_is_gone(self, engine: Engine, scene: Scene) -> None:
        history_id = engine.create(self._fresh("purged"))
        engine.delete(history_id, purge=True)
        with pytest.raises(RunRejected):
            engine.tag(history_id, {"dataset:reads"})
        with pytest.raises(RunNotFound):
            engine.tag(HistoryId(scene.absent), {"dataset:reads"})
        with pytest.raises(RunNotFound):
            engine.retag(HistoryId(scene.absent), {"dataset:reads"}, ())

    def test_lists_hidden_ones_apart(self, engine: Engine, scene: Scene) -> None:
        name, hidden = self._fresh("shown"), self._fresh("hidden")
        scene.add_workflow(name, Kind.EMPTY)
        workflow_id = scene.add_workflow(hidden, Kind.EMPTY)
        scene.hide_workflow(workflow_id)
        assert hidden not in engine.names()
        listed = {item.name: item.workflow_id for item in engine.listed(hidden=True)}
        assert listed[hidden] == workflow_id
        assert name not in listed
        assert engine.find(AllowedWorkflow(name=hidden)).workflow_id == workflow_id

    def test_runs_a_deleted_workflow_without_a_word(
        self, engine: Engine, scene: Scene
    ) -> None:
        workflow_id = scene.add_workflow(self._fresh("deleted"), Kind.EMPTY)
        scene.delete_workflow(workflow_id)
        inputs = {"text": scene.data()}
        assert engine.invoke(workflow_id, inputs, engine.create(self._fresh("run")))

    def test_ignores_an_input_that_is_not_there(
        self, engine: Engine, scene: Scene
    ) -> None:
        workflow_id = scene.add_workflow(self._fresh("ignored"), Kind.EMPTY)
        inputs = {"text": scene.data(), "nothing": 1}
        assert engine.invoke(workflow_id, inputs, engine.create(self._fresh("run")))

    def test_tells_in_bulk_of_all_that_it_knows(
        self, engine: Engine, scene: Scene
    ) -> None:
        runs = {kind: self._run(engine, scene, kind)[0] for kind in SUMMARIES}
        for run in runs.values():
            self._ended(engine, scene, run)
        absent, malformed = InvocationId(scene.absent), InvocationId("f" * 16)
        summaries = engine.summaries([absent, malformed, *runs.values()])
        assert summaries == {run: SUMMARIES[kind] for kind, run in runs.items()}

    def test_says_who_stopped_a_run(self, engine: Engine, scene: Scene) -> None:
        run, _ = self._run(engine, scene, Kind.SLOW)
        engine.cancel(run)
        self._ended(engine, scene, run)
        assert "user_request" in engine.report(run).reasons

    def test_a_cancel_that_comes_too_late_does_not_undo_the_run(
        self, engine: Engine, scene: Scene
    ) -> None:
        run, _ = self._run(engine, scene, Kind.SUCCESS)
        self._ended(engine, scene, run)
        engine.cancel(run)

        # Galaxy may find it completed before it comes to the cancel.
        settled = {GalaxyState.CANCELLED, GalaxyState.COMPLETED}

        def stopped() -> InvocationReport | None:
            report = engine.report(run)
            return report if report.state in settled else None

        report = self._until(scene, stopped)
        assert judge(report).state is InvocationState.COMPLETED


def _data(engine: Engine, run: InvocationId) -> set[GalaxyData]:
    outputs: Sequence[GalaxyData] = [
        GalaxyData(Src(output.src), output.id or "") for output in engine.outputs(run)
    ]
    assert outputs
    return set(outputs)

"""A simulated Galaxy in memory.

Rule of the file: where it behaves oddly, Galaxy does. It accepts what Galaxy
accepts, omits what Galaxy omits, and passes the same contract tests; so it can
replace the real one in tests and demos, here and in services that use this package.
Tests control its workflows and how their runs go, when time passes
(:meth:`SimulatedGalaxy.tick`), and what fails.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import TypeVar

from attrs import define, evolve, field, frozen

from galaxy_jobs.domain.errors import (
    DataNotFound,
    InvalidValue,
    RunnerError,
    RunnerUnavailable,
    RunNotFound,
    RunRejected,
    WorkflowAmbiguous,
    WorkflowNotFound,
    WorkflowVersionNotFound,
)
from galaxy_jobs.domain.model.dataset import (
    CollectionData,
    DataDescription,
    GalaxyData,
    Source,
    Src,
    UploadData,
    UrlData,
)
from galaxy_jobs.domain.model.datatypes import Datatypes
from galaxy_jobs.domain.model.download import FileVersion
from galaxy_jobs.domain.model.invoke_options import InvokeOptions
from galaxy_jobs.domain.model.report import (
    SETTLED,
    GalaxyState,
    InvocationReport,
    Invoked,
    JobDetails,
    JobReport,
    JobsSummary,
    JobState,
    Output,
    StepReport,
)
from galaxy_jobs.domain.model.values import (
    HistoryId,
    Identity,
    InvocationId,
    JobId,
    Json,
    WorkflowId,
    engine_id,
)
from galaxy_jobs.domain.model.verdict import reviews
from galaxy_jobs.domain.model.workflow import (
    AllowedWorkflow,
    ListedWorkflow,
    Workflow,
)
from galaxy_jobs.domain.model.workflow_input import InputKind, WorkflowInput
from galaxy_jobs.domain.ports import (
    DataCatalog,
    FileStream,
    OutputFiles,
    RunExports,
    RunHistories,
    WorkflowCatalog,
    WorkflowRunner,
)
from galaxy_jobs.domain.ports.output_files import CHUNK_SIZE


T = TypeVar("T")

REVIEW = "review"
"""A step whose review is open."""

TEXT = WorkflowInput(name="text", kind=InputKind.DATA)
"""The only input of a workflow by default."""


@frozen
class Moment:
    """A run between two ticks.

    Attributes:
        state: Galaxy's state of the run.
        steps: The steps recorded by then, by label: the state of its job, or of
            each of several; an empty text for a step without jobs; :data:`REVIEW`,
            until it is answered; the moment of a sub-workflow's run; None for a step
            that is not scheduled yet. Each step depends on the one before it.
        messages: Why Galaxy failed or cancelled it.
        reasons: The same as codes.
    """

    state: str
    steps: Mapping[str, str | Sequence[str] | Moment | None] = field(
        factory=dict, hash=False
    )
    messages: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


SUCCESS = (
    Moment("new"),
    Moment("scheduled", {"text": "", "sort": "queued"}),
    Moment("scheduled", {"text": "", "sort": "running"}),
    Moment("completed", {"text": "", "sort": "ok"}),
)
FAILURE = (
    Moment("new"),
    Moment("scheduled", {"text": "", "sort": "running", "count": "new"}),
    Moment("completed", {"text": "", "sort": "error", "count": "blocked"}),
)
REVIEWED = (
    Moment("new"),
    Moment("ready", {"text": "", "sort": "running", "check": REVIEW, "count": None}),
    Moment("ready", {"text": "", "sort": "ok", "check": REVIEW, "count": None}),
    Moment("scheduled", {"text": "", "sort": "ok", "check": "", "count": "running"}),
    Moment("completed", {"text": "", "sort": "ok", "check": "", "count": "ok"}),
)
EMPTY = (Moment("new"), Moment("completed", {"text": ""}))


@define(kw_only=True)
class SimulatedWorkflow:
    """A stored workflow.

    Attributes:
        workflow: The workflow in the catalogue.
        plan: The moments of each run, one per tick; the last one lasts.
        details: Those of jobs that go wrong, by the label of their step.
        outputs: The outputs of every run, once it has steps.
        intermediates: The ids of the datasets that it makes as well.
        deleted: Whether it is deleted. It can be run all the same.
        hidden: Whether lists leave it out.
        earlier: Its earlier versions, oldest first.
    """

    workflow: Workflow
    plan: Sequence[Moment] = SUCCESS
    details: Mapping[str, JobDetails] = field(factory=dict[str, JobDetails])
    outputs: Sequence[Output] = ()
    intermediates: Sequence[str] = ()
    deleted: bool = False
    hidden: bool = False
    earlier: list[Workflow] = field(factory=list[Workflow])

    @property
    def versions(self) -> list[Workflow]:
        """All versions, oldest first."""
        return [*self.earlier, self.workflow]


@define
class SimulatedHistory:
    """A history."""

    name: str
    deleted: bool = False
    purged: bool = False
    tags: frozenset[str] = frozenset()
    deleted_datasets: set[str] = field(factory=set[str])
    purged_datasets: set[str] = field(factory=set[str])


@define
class SimulatedRun:
    """An accepted run.

    Attributes:
        invocation_id: Its id.
        workflow: The workflow that it runs.
        inputs: Its inputs, by name.
        history_id: The history of its outputs.
        moment: Its current moment.
        options: How it was to be carried out.
        at_work: Whether any job was ever created for it.
        left: The moments still to come.
        answers: The answers to reviews, by the places of their steps.
    """

    invocation_id: InvocationId
    workflow: SimulatedWorkflow
    inputs: Mapping[str, Source | Json]
    history_id: HistoryId
    moment: Moment
    options: InvokeOptions = InvokeOptions()
    at_work: bool = False
    left: deque[Moment] = field(factory=deque[Moment])
    answers: dict[str, bool] = field(factory=dict[str, bool])

    @property
    def is_new(self) -> bool:
        """Whether the scheduler has not finished with it."""
        return self.moment.state in {"new", "ready", "requires_materialization"}

    def become(self, moment: Moment) -> None:
        self.moment = moment
        self.at_work = self.at_work or any(_states(moment))


@define
class SimulatedFile(FileStream):
    """A file that is being read, which must be closed.

    Attributes:
        galaxy: Where it is.
        dataset_id: Whose file it is.
        start: The next byte.
        stop: The byte behind the last one.
        closed: Whether it is closed.
    """

    galaxy: SimulatedGalaxy
    dataset_id: str
    start: int
    stop: int
    closed: bool = False

    def read(self) -> bytes:
        if self.closed:
            raise RunnerUnavailable("The file is closed.")
        stop = min(self.start + CHUNK_SIZE, self.stop)
        chunk = self.galaxy.read(self.dataset_id, self.start, stop)
        if len(chunk) < stop - self.start:
            raise RunnerUnavailable("The file is too short.")
        self.start = stop
        return chunk

    def close(self) -> None:
        self.closed = True


@define
class _Fault:
    error: RunnerError
    after: bool
    later: bool


@define
class SimulatedGalaxy(
    WorkflowCatalog, DataCatalog, WorkflowRunner, RunHistories, OutputFiles, RunExports
):
    """Galaxy, as far as this service uses it.

    Attributes:
        who: Its answer to :meth:`identity`.
        answers_in_bulk: Whether :meth:`summaries` returns anything.
        outage: Raised by every call as long as it is set.
        runs: Every run ever accepted, oldest first, even if the answer was lost.
        histories: Every history ever created, by id.
        calls: The number of calls of each method.
        workflows: Every stored workflow, by id, deleted ones included.
        data: The description of data; None: there is none. Of any other id that
            Galaxy could give, there is data that is ``ok``: a dataset, or a list.
        formats: The formats that it knows.
        file_contents: The files of datasets, by id, and of exports once they are made.
        collections: The datasets of collections, by id; each with its history.
    """

    who: Identity = field(factory=lambda: Identity("http://galaxy.simulated", "user"))
    answers_in_bulk: bool = True
    outage: RunnerError | None = None
    runs: list[SimulatedRun] = field(factory=list[SimulatedRun], init=False)
    histories: dict[HistoryId, SimulatedHistory] = field(
        factory=dict[HistoryId, SimulatedHistory], init=False
    )
    calls: Counter[str] = field(factory=Counter[str], init=False)
    workflows: dict[WorkflowId, SimulatedWorkflow] = field(
        factory=dict[WorkflowId, SimulatedWorkflow], init=False
    )
    data: dict[GalaxyData, DataDescription | None] = field(
        factory=dict[GalaxyData, DataDescription | None], init=False
    )
    formats: Datatypes = field(factory=Datatypes, init=False)
    file_contents: dict[str, bytes] = field(factory=dict[str, bytes], init=False)
    collections: dict[str, Mapping[str, HistoryId | None]] = field(
        factory=dict[str, Mapping[str, HistoryId | None]], init=False
    )
    _forgotten: set[InvocationId] = field(factory=set[InvocationId], init=False)
    _faults: defaultdict[str, deque[_Fault]] = field(
        factory=lambda: defaultdict(deque), init=False
    )
    _under_way: list[Callable[[], object]] = field(
        factory=list[Callable[[], object]], init=False
    )
    _numbers: defaultdict[str, count[int]] = field(
        factory=lambda: defaultdict(lambda: count(1)), init=False
    )
    _lock: threading.RLock = field(factory=threading.RLock, init=False)

    # --- how tests control it ---

    def add_workflow(
        self,
        name: str,
        *inputs: WorkflowInput,
        plan: Sequence[Moment] = SUCCESS,
        details: Mapping[str, JobDetails] | None = None,
        outputs: Sequence[Output] = (),
    ) -> WorkflowId:
        """Store a workflow; with no inputs, it has :data:`TEXT`."""
        id_ = WorkflowId(self._id("workflow"))
        self.workflows[id_] = SimulatedWorkflow(
            workflow=Workflow(
                workflow_id=id_, name=name, inputs=inputs or (TEXT,), version=0
            ),
            plan=plan,
            details=details or {},
            outputs=outputs,
        )
        return id_

    def add_version(self, workflow_id: WorkflowId, *inputs: WorkflowInput) -> None:
        """Store another version; with no inputs, it has those of before."""
        stored = self.workflows[workflow_id]
        stored.earlier.append(stored.workflow)
        stored.workflow = evolve(
            stored.workflow,
            inputs=inputs or stored.workflow.inputs,
            version=len(stored.earlier),
        )

    def delete_workflow(self, workflow_id: WorkflowId) -> None:
        """Delete a workflow: it leaves the catalogue."""
        self.workflows[workflow_id].deleted = True

    def hide_workflow(self, workflow_id: WorkflowId) -> None:
        """Hide a workflow: lists do not show it, and it can be run."""
        self.workflows[workflow_id].hidden = True

    def tick(self, times: int = 1) -> None:
        """Let time pass: every run takes the next step of its plan."""
        with self._lock:
            for _ in range(times):
                for run in self.runs:
                    self._advance(run)

    def forget(self, invocation_id: InvocationId) -> None:
        """Answer from now on that there is no such run."""
        self._forgotten.add(invocation_id)

    def wipe(self) -> None:
        """Lose every run and history, as by a restored backup.

        Their ids are given out again, and requests on their way never arrive.
        """
        with self._lock:
            self.runs.clear()
            self.histories.clear()
            self._forgotten.clear()
            self._under_way.clear()
            for kind in ("history", "invocation"):
                self._numbers[kind] = count(1)

    def fail_next(
        self,
        method: str,
        error: RunnerError,
        *,
        after: bool = False,
        later: bool = False,
    ) -> None:
        """Let the next call of a method fail.

        Args:
            method: The name of the method.
            error: The error that it raises.
            after: Whether it does its work nevertheless: a lost answer.
            later: Whether it does its work only when :meth:`land` is called: a
                request that is still on its way.
        """
        self._faults[method].append(_Fault(error, after, later))

    def land(self) -> None:
        """Let the requests arrive that are still on their way.

        Their errors are ignored: no client waits for them.
        """
        with self._lock:
            arriving, self._under_way = self._under_way, []
            for effect in arriving:
                try:
                    effect()
                except RunnerError:
                    continue

    @property
    def at_work(self) -> list[SimulatedRun]:
        """The runs that jobs were ever created for: what was really run."""
        return [run for run in self.runs if run.at_work]

    # --- WorkflowCatalog ---

    def find(self, wanted: AllowedWorkflow) -> Workflow:
        return self._call("find", lambda: self._find(wanted))

    def _find(self, wanted: AllowedWorkflow) -> Workflow:
        found = [
            stored
            for id_, stored in self.workflows.items()
            if not stored.deleted
            and (
                stored.workflow.name == wanted.name
                if wanted.workflow_id is None
                else id_ == wanted.workflow_id
            )
        ]
        shown = [stored.workflow for stored in found if not stored.hidden]
        matches = shown or [stored.workflow for stored in found]
        if not matches:
            raise WorkflowNotFound(wanted.name)
        if len(matches) > 1:
            ids = [workflow.workflow_id for workflow in matches]
            raise WorkflowAmbiguous(wanted.name, ids)
        versions = self.workflows[matches[0].workflow_id].versions
        version = wanted.options.version
        if version is not None and version >= len(versions):
            newest = f"The newest is version {len(versions) - 1}."
            raise WorkflowVersionNotFound(wanted.name, version, newest)
        chosen = versions[-1 if version is None else version]
        return evolve(chosen, name=wanted.name)

    def listed(self, *, hidden: bool = False) -> Sequence[ListedWorkflow]:
        return self._call(
            "names",
            lambda: sorted(
                [
                    ListedWorkflow(
                        name=stored.workflow.name,
                        workflow_id=stored.workflow.workflow_id,
                        annotation=stored.workflow.annotation,
                    )
                    for stored in self.workflows.values()
                    if not stored.deleted and stored.hidden is hidden
                ],
                key=lambda workflow: workflow.name,
            ),
        )

    # --- DataCatalog ---

    def describe(self, data: GalaxyData) -> DataDescription:
        return self._call("describe", lambda: self._describe(data))

    def datatypes(self) -> Datatypes:
        return self._call("datatypes", lambda: self.formats)

    def _describe(self, data: GalaxyData) -> DataDescription:
        type_ = "list" if data.src is Src.HDCA else None
        ordinary = DataDescription(state="ok", collection_type=type_)
        with suppress(InvalidValue):
            engine_id(data.id)
            if description := self.data.get(data, ordinary):
                return description
        raise DataNotFound(data.src.value, data.id)

    # --- WorkflowRunner ---

    def identity(self) -> Identity:
        return self._call("identity", lambda: self.who)

    def invoke(
        self,
        workflow_id: WorkflowId,
        inputs: Mapping[str, Source | Json],
        history_id: HistoryId,
        options: InvokeOptions = InvokeOptions(),
    ) -> InvocationId:
        return self._call(
            "invoke", lambda: self._invoke(workflow_id, inputs, history_id, options)
        )

    def _invoke(
        self,
        workflow_id: WorkflowId,
        inputs: Mapping[str, Source | Json],
        history_id: HistoryId,
        options: InvokeOptions,
    ) -> InvocationId:
        if workflow_id not in self.workflows:
            raise RunRejected("No such workflow found.", 404001)
        if history_id not in self.histories:
            raise RunRejected("History not found", 404001)
        if self.histories[history_id].purged:
            raise RunRejected("History is immutable", 403003)
        workflow = self.workflows[workflow_id]
        version = -1 if options.version is None else options.version
        if version >= len(workflow.versions):
            raise RunRejected("Version does not exist", 400008)
        for declared in workflow.versions[version].inputs:
            if declared.required and inputs.get(declared.name) is None:
                raise RunRejected(
                    f"Workflow cannot be run because input step ({declared.name}) is "
                    "not optional and no input provided.",
                    0,
                )
        first, *rest = workflow.plan
        run = SimulatedRun(
            InvocationId(self._id("invocation")),
            workflow,
            dict(inputs),
            history_id,
            Moment("new"),
            options=options,
            left=deque(rest),
        )
        run.become(first)
        self.runs.append(run)
        return run.invocation_id

    def report(self, invocation_id: InvocationId) -> InvocationReport:
        def read() -> InvocationReport:
            run = self._run(invocation_id)
            return _report(run.invocation_id, run.moment, run.history_id)

        return self._call("report", read)

    def outline(self, invocation_id: InvocationId) -> InvocationReport:
        def read() -> InvocationReport:
            run = self._run(invocation_id)
            return outlined(_report(run.invocation_id, run.moment, run.history_id))

        return self._call("outline", read)

    def summaries(
        self, invocation_ids: Sequence[InvocationId]
    ) -> Mapping[InvocationId, JobsSummary]:
        if not invocation_ids:
            return {}
        return self._call(
            "summaries",
            lambda: {
                run.invocation_id: _summary(run.moment)
                for run in self.runs
                if run.invocation_id in set(invocation_ids) - self._forgotten
                and self.answers_in_bulk
            },
        )

    def details(self, job_id: JobId) -> JobDetails:
        return self._call("details", lambda: self._details(job_id))

    def _details(self, job_id: JobId) -> JobDetails:
        for run in self.runs:
            report = _report(run.invocation_id, run.moment, run.history_id)
            for path, step in report.walk():
                for job in step.jobs:
                    if job.job_id == job_id:
                        known = run.workflow.details
                        return known.get(path[-1], JobDetails(tool=job.tool))
        raise RunNotFound(f"There is no job {job_id!r}.")

    def outputs(self, invocation_id: InvocationId) -> Sequence[Output]:
        def read() -> Sequence[Output]:
            run = self._run(invocation_id)
            outputs = run.workflow.outputs if run.moment.steps else ()
            return sorted(outputs, key=lambda output: (output.label, output.src))

        return self._call("outputs", read)

    # --- files ---

    def named(self, invocation_id: InvocationId, label: str) -> Sequence[Output]:
        return [
            output for output in self.outputs(invocation_id) if output.label == label
        ]

    def version(self, dataset_id: str) -> FileVersion:
        def read() -> FileVersion:
            content = self.file_contents.get(dataset_id)
            if content is None:
                raise DataNotFound("hda", dataset_id)
            # Of this process, and cheap: Python keeps the hash of bytes.
            return FileVersion(len(content), f"{dataset_id}-{hash(content):x}")

        return self._call("version", read)

    def open(
        self,
        dataset_id: str,
        version: FileVersion,
        start: int = 0,
        stop: int | None = None,
    ) -> FileStream:
        def read() -> FileStream:
            current = self.version(dataset_id)
            if current.size != version.size or version.tag not in {None, current.tag}:
                raise RunnerUnavailable("The file is another one by now.")
            return SimulatedFile(self, dataset_id, start, stop or version.size)

        return self._call("open", read)

    # --- exports ---

    def begin_export(self, invocation_id: InvocationId) -> str:
        def begin() -> str:
            run = self._run(invocation_id)
            return f"export of {run.invocation_id}"

        return self._call("begin_export", begin)

    def find_export(self, export_id: str) -> FileVersion | None:
        def find() -> FileVersion | None:
            made = export_id in self.file_contents
            return self.version(export_id) if made else None

        return self._call("find_export", find)

    def open_export(
        self, export_id: str, version: FileVersion, start: int, stop: int
    ) -> FileStream:
        if export_id not in self.file_contents:
            raise RunRejected("There is no such export.")
        return self.open(export_id, version, start, stop)

    def read(self, dataset_id: str, start: int, stop: int) -> bytes:
        """Return a part of a file; nothing if it is gone."""
        return self._call(
            "read", lambda: self.file_contents.get(dataset_id, b"")[start:stop]
        )

    def cancel(self, invocation_id: InvocationId) -> None:
        self._call("cancel", lambda: self._cancel(self._run(invocation_id)))

    def _cancel(self, run: SimulatedRun) -> None:
        if run.moment.state in {"cancelling", "cancelled"}:
            return
        reasons = (*run.moment.reasons, "user_request")
        messages = (*run.moment.messages, "The run was cancelled on request.")
        # Also a run that has ended: Galaxy silently turns it cancelled.
        ended = run.moment.state in {"completed", "failed"}
        run.become(
            evolve(
                run.moment if ended else _stopping(run.moment, "deleting"),
                state="cancelled" if ended else "cancelling",
                reasons=reasons,
                messages=messages,
            )
        )

    def review(self, invocation_id: InvocationId, place: str, *, approve: bool) -> None:
        self._call(
            "review", lambda: self._review(self._run(invocation_id), place, approve)
        )

    def _review(self, run: SimulatedRun, place: str, approve: bool) -> None:  # noqa: FBT001
        steps = dict(_report(run.invocation_id, run.moment, None).places())
        if place not in steps:
            raise RunNotFound(f"The invocation has no step {place}.")
        if run.answers.get(place) is approve:
            return
        if not steps[place].review or run.moment.state != "ready":
            raise RunRejected("Nobody is asked for a review there.", 400008)
        run.answers[place] = approve
        run.become(_answered(run.moment, place))
        if not approve:
            run.become(
                evolve(
                    _stopping(run.moment, "deleting"),
                    state="cancelling",
                    reasons=("cancelled_on_review",),
                    messages=("The run was cancelled at a review.",),
                )
            )

    # --- RunHistories ---

    def create(self, name: str) -> HistoryId:
        def create() -> HistoryId:
            id_ = HistoryId(self._id("history"))
            self.histories[id_] = SimulatedHistory(name)
            return id_

        return self._call("create", create)

    def marked(self, mark: str) -> Mapping[HistoryId, str]:
        return self._call(
            "marked",
            lambda: {
                id_: history.name
                for id_, history in self.histories.items()
                if mark in history.name
            },
        )

    def name_of(self, history_id: HistoryId) -> str | None:
        def read() -> str | None:
            history = self.histories.get(history_id)
            return None if history is None else history.name

        return self._call("name_of", read)

    def runs_in(self, history_id: HistoryId) -> Sequence[InvocationId]:
        return self._call(
            "runs_in",
            lambda: [
                run.invocation_id
                for run in self.runs
                if run.history_id == history_id
                and run.invocation_id not in self._forgotten
            ],
        )

    def invoked(self, invocation_id: InvocationId) -> Invoked:
        def read() -> Invoked:
            run = self._run(invocation_id)
            workflow = run.workflow.workflow
            return Invoked(
                workflow_id=workflow.workflow_id,
                workflow_name=workflow.name,
                inputs={
                    name: value
                    for name, value in run.inputs.items()
                    if not isinstance(value, UrlData | CollectionData | UploadData)
                },
            )

        return self._call("invoked", read)

    def contents(self, history_id: HistoryId) -> Collection[GalaxyData]:
        def read() -> Collection[GalaxyData]:
            history = self.histories.get(history_id)
            if history is None or history.purged:
                return []
            workflows = [
                run.workflow for run in self.runs if run.history_id == history_id
            ]
            return [
                GalaxyData(Src(output.src), output.id)
                for workflow in workflows
                for output in workflow.outputs
                if output.id is not None
            ] + [
                GalaxyData(Src.HDA, id_)
                for workflow in workflows
                for id_ in workflow.intermediates
            ]

        return self._call("contents", read)

    def elements(self, collection: GalaxyData) -> Mapping[str, HistoryId | None]:
        return self._call(
            "elements", lambda: dict(self.collections.get(collection.id, {}))
        )

    def delete(self, history_id: HistoryId, *, purge: bool = False) -> None:
        def delete() -> None:
            if history := self.histories.get(history_id):
                history.deleted = True
                history.purged = history.purged or purge

        self._call("delete", delete)

    def undelete(self, history_id: HistoryId) -> None:
        def restore() -> None:
            self._mutable(history_id).deleted = False

        self._call("undelete", restore)

    def tag(self, history_id: HistoryId, tags: Collection[str]) -> None:
        def change() -> None:
            self._mutable(history_id).tags = frozenset(tags)

        self._call("tag", change)

    def retag(
        self, history_id: HistoryId, added: Collection[str], removed: Collection[str]
    ) -> None:
        def change() -> None:
            history = self._mutable(history_id)
            history.tags = (history.tags - set(removed)) | frozenset(added)

        self._call("retag", change)

    def delete_datasets(
        self,
        history_id: HistoryId,
        dataset_ids: Collection[str],
        *,
        purge: bool = False,
    ) -> None:
        def change() -> None:
            history = self._mutable(history_id)
            history.deleted_datasets.update(dataset_ids)
            if purge:
                history.purged_datasets.update(dataset_ids)

        self._call("delete_datasets", change)

    def undelete_datasets(
        self, history_id: HistoryId, dataset_ids: Collection[str]
    ) -> None:
        def change() -> None:
            self._mutable(history_id).deleted_datasets.difference_update(dataset_ids)

        self._call("undelete_datasets", change)

    def _mutable(self, history_id: HistoryId) -> SimulatedHistory:
        history = self.histories.get(history_id)
        if history is None:
            raise RunNotFound(f"There is no history {history_id!r}.")
        if history.purged:
            raise RunRejected("History is immutable", 403003)
        return history

    # --- how it works ---

    def _call(self, method: str, effect: Callable[[], T]) -> T:
        with self._lock:
            self.calls[method] += 1
            if self.outage is not None:
                raise self.outage
            fault = self._faults[method].popleft() if self._faults[method] else None
            if fault is None:
                return effect()
            if fault.after:
                effect()
            elif fault.later:
                self._under_way.append(effect)
            raise fault.error

    def _id(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers[kind])}"

    def _run(self, invocation_id: InvocationId) -> SimulatedRun:
        for run in self.runs:
            if run.invocation_id == invocation_id:
                if invocation_id in self._forgotten:
                    break
                return run
        raise RunNotFound(f"There is no invocation {invocation_id!r}.")

    def _advance(self, run: SimulatedRun) -> None:
        history = self.histories[run.history_id]
        if run.moment.state == "cancelling":
            run.become(evolve(_stopping(run.moment, "deleted"), state="cancelled"))
        elif run.moment.state == "cancelled":
            return
        elif run.is_new and history.deleted:
            run.become(
                evolve(
                    run.moment,
                    state="cancelled",
                    reasons=("history_deleted",),
                    messages=("The run was cancelled: its history was deleted.",),
                )
            )
        elif history.purged:
            run.become(evolve(_stopping(run.moment, "error"), state="completed"))
        elif run.left and not self._waits(run):
            run.become(run.left.popleft())

    def _waits(self, run: SimulatedRun) -> bool:
        """Whether a review holds a run up."""
        return any(reviews(_report(run.invocation_id, run.moment, None)))


def outlined(report: InvocationReport) -> InvocationReport:
    """Return the outline that belongs to a report."""
    open_ = not SETTLED.union({JobState.PAUSED}).issuperset(report.states)
    blamed = [job for _, _, job in report.bad_jobs[:1]]
    listed = {job for job in blamed if job.state is not JobState.BLOCKED}
    held = {JobState.PAUSED, JobState.BLOCKED}
    if not open_:
        listed.update(job for job in report.jobs() if job.state in held)
    for _, step in report.walk():
        if len(step.jobs) == 1 and not held.intersection(step.states):
            listed.update(step.jobs)

    def outline(part: InvocationReport) -> InvocationReport:
        return evolve(
            part,
            quiet_for=part.quiet_for if part.state is GalaxyState.READY else None,
            steps=tuple(
                evolve(
                    step,
                    jobs=tuple(job for job in step.jobs if job in listed),
                    unlisted=Counter(
                        # Galaxy has no state `blocked`: who is, is looked up last.
                        JobState.PAUSED if job.state in held else job.state
                        for job in step.jobs
                        if job not in listed
                    ),
                    sub=step.sub and outline(step.sub),
                )
                for step in part.steps
            ),
        )

    return outline(report)


def _report(
    invocation_id: InvocationId, moment: Moment, history_id: HistoryId | None
) -> InvocationReport:
    """Return the report of a moment."""
    return InvocationReport(
        invocation_id=invocation_id,
        state=GalaxyState(moment.state),
        steps=tuple(
            _step(invocation_id, index, label, what, history_id)
            for index, (label, what) in enumerate(moment.steps.items())
        ),
        history_id=history_id,
        messages=moment.messages,
        reasons=moment.reasons,
        quiet_for=timedelta(days=1),  # a job that has settled never changes here
        visited_for=timedelta(0),
    )


def _step(
    invocation_id: InvocationId,
    index: int,
    label: str,
    what: str | Sequence[str] | Moment | None,
    history_id: HistoryId | None,
) -> StepReport:
    sub = None
    if isinstance(what, Moment):
        sub = _report(InvocationId(f"{invocation_id}.{index}"), what, history_id)
    return StepReport(
        index=index,
        label=label,
        scheduled=what is not None,
        jobs=tuple(
            JobReport(
                JobId(f"{invocation_id}.{index}.{place}"), JobState(state), "tool"
            )
            for place, state in enumerate(_own_states(what))
        ),
        sub=sub,
        review=what == REVIEW,
        needs=(index - 1,) if index else (),
    )


def _own_states(what: str | Sequence[str] | Moment | None) -> Sequence[str]:
    if what is None or what == REVIEW or isinstance(what, Moment):
        return ()
    return ([what] if what else []) if isinstance(what, str) else what


def _states(moment: Moment) -> list[str]:
    """Return the states of all jobs, those of sub-workflows included."""
    states: list[str] = []
    for what in moment.steps.values():
        states += _states(what) if isinstance(what, Moment) else _own_states(what)
    return states


def _answered(moment: Moment, place: str) -> Moment:
    """Return the moment without the review at a place."""
    index, _, inner = place.partition(".")
    steps = dict(moment.steps)
    label = list(steps)[int(index)]
    what = steps[label]
    steps[label] = _answered(what, inner) if isinstance(what, Moment) else ""
    return evolve(moment, steps=steps)


def _stopping(moment: Moment, end: str) -> Moment:
    """Return the moment with every job that is not settled put in that state."""

    def after(state: str) -> str:
        return state if JobState(state) in SETTLED else end

    steps: dict[str, str | Sequence[str] | Moment | None] = {}
    for label, what in moment.steps.items():
        if isinstance(what, Moment):
            steps[label] = _stopping(what, end)
        elif isinstance(what, str):
            steps[label] = after(what) if what and what != REVIEW else what
        else:
            steps[label] = what and [after(state) for state in what]
    return evolve(moment, steps=steps)


def _summary(moment: Moment) -> JobsSummary:
    """Return the bulk answer; Galaxy has no state ``blocked``."""
    states = ("paused" if state == "blocked" else state for state in _states(moment))
    populated = {"scheduled": "ok", "completed": "ok"}
    populated |= {"cancelled": "failed", "failed": "failed"}
    return JobsSummary(
        states=dict(Counter(states)), populated=populated.get(moment.state, "new")
    )

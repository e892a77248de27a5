"""An engine of one's own behind the ports: commands, run one after another.

A workflow is a row of commands, a run's history a folder, a job a process that
reads what the one before it wrote. It keeps its books in memory, for one process;
an adapter to a server would ask the server instead.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from uuid import uuid4

from attrs import define, field, frozen

from galaxy_jobs.domain import (
    AllowedWorkflow,
    GalaxyData,
    GalaxyState,
    HistoryId,
    Identity,
    InputKind,
    InvocationId,
    InvocationReport,
    Invoked,
    InvokeOptions,
    JobDetails,
    JobId,
    JobReport,
    JobsSummary,
    JobState,
    Json,
    ListedWorkflow,
    Output,
    RunHistories,
    Source,
    Src,
    StepReport,
    Workflow,
    WorkflowCatalog,
    WorkflowId,
    WorkflowInput,
    WorkflowRunner,
)
from galaxy_jobs.domain.errors import (
    RunNotFound,
    RunRejected,
    WorkflowAmbiguous,
    WorkflowNotFound,
)


TEXT = WorkflowInput(name="text", kind=InputKind.DATA)


@frozen
class Recipe:
    """A stored workflow: what each step runs, by its label."""

    name: str
    commands: Mapping[str, Sequence[str]]


@define
class Job:
    """A process that runs, has ended, or is still to be started."""

    label: str
    command: Sequence[str]
    output: Path
    state: JobState = JobState.NEW
    exit_code: int | None = None
    stderr: str | None = None
    message: str | None = None
    id: JobId = field(factory=lambda: JobId(uuid4().hex))


@define
class Run:
    """A run that was accepted; `fenced` if its history was deleted before it began."""

    id: InvocationId
    history_id: HistoryId
    workflow_id: WorkflowId
    source: Path
    jobs: list[Job]
    state: GalaxyState = GalaxyState.NEW
    fenced: bool = False
    process: subprocess.Popen[bytes] | None = None


@define
class History:
    """A folder that runs write to."""

    name: str
    folder: Path
    deleted: bool = False
    purged: bool = False


@define
class LocalRunner(WorkflowCatalog, WorkflowRunner, RunHistories):
    """Runs commands on this machine.

    Attributes:
        root: Where the folders of runs are made.
        workers: The threads that execute the runs.
    """

    root: Path
    workers: ThreadPoolExecutor
    _recipes: dict[WorkflowId, Recipe] = field(factory=dict, init=False)
    _runs: dict[InvocationId, Run] = field(factory=dict, init=False)
    _histories: dict[HistoryId, History] = field(factory=dict, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def add(self, name: str, commands: Mapping[str, Sequence[str]]) -> WorkflowId:
        """Store a workflow."""
        workflow_id = WorkflowId(uuid4().hex)
        self._recipes[workflow_id] = Recipe(name, commands)
        return workflow_id

    def remove(self, workflow_id: WorkflowId) -> None:
        """Delete a workflow; runs of it go on."""
        del self._recipes[workflow_id]

    # --- WorkflowCatalog ---

    def find(self, wanted: AllowedWorkflow) -> Workflow:
        ids = [
            id_
            for id_, recipe in list(self._recipes.items())
            if wanted.workflow_id in {None, id_}
            and (wanted.workflow_id or recipe.name == wanted.name)
        ]
        if not ids:
            raise WorkflowNotFound(wanted.name)
        if len(ids) > 1:
            raise WorkflowAmbiguous(wanted.name, ids)
        return Workflow(workflow_id=ids[0], name=wanted.name, inputs=(TEXT,))

    def listed(self, *, hidden: bool = False) -> Sequence[ListedWorkflow]:
        if hidden:  # no workflow is
            return []
        stored = [
            ListedWorkflow(name=recipe.name, workflow_id=id_)
            for id_, recipe in list(self._recipes.items())
        ]
        return sorted(stored, key=lambda workflow: workflow.name)

    # --- WorkflowRunner ---

    def identity(self) -> Identity:
        return Identity(f"file://{self.root}", "local")

    def invoke(
        self,
        workflow_id: WorkflowId,
        inputs: Mapping[str, Source | Json],
        history_id: HistoryId,
        options: InvokeOptions = InvokeOptions(),
    ) -> InvocationId:
        del options  # all of them are Galaxy's
        recipe = self._recipes.get(workflow_id)
        history = self._histories.get(history_id)
        source = inputs.get(TEXT.name)
        if recipe is None:
            raise RunRejected(f"There is no workflow {workflow_id!r}.")
        if history is None or history.purged:
            raise RunRejected(f"There is no history {history_id!r} to run it in.")
        if not isinstance(source, GalaxyData) or not Path(source.id).is_file():
            raise RunRejected(f"Input {TEXT.name!r} takes a file of this machine.")
        jobs = [
            Job(label, command, history.folder / label)
            for label, command in recipe.commands.items()
        ]
        run_id = InvocationId(uuid4().hex)
        run = Run(run_id, history_id, workflow_id, Path(source.id), jobs)
        self._runs[run.id] = run
        self.workers.submit(self._work, run, history)
        return run.id

    def report(self, invocation_id: InvocationId) -> InvocationReport:
        run = self._run(invocation_id)
        with self._lock:
            steps = [StepReport(index=0, label=TEXT.name)] + [
                StepReport(
                    index=index,
                    label=job.label,
                    jobs=(JobReport(job.id, job.state, job.command[0]),),
                )
                for index, job in enumerate(run.jobs, 1)
            ]
            begun = run.state is not GalaxyState.NEW and not run.fenced
            return InvocationReport(
                invocation_id=run.id,
                state=run.state,
                steps=tuple(steps) if begun else (),
                history_id=run.history_id,
                messages=("Its folder was deleted.",) if run.fenced else (),
                reasons=("history_deleted",) if run.fenced else (),
            )

    def summaries(
        self, invocation_ids: Sequence[InvocationId]
    ) -> Mapping[InvocationId, JobsSummary]:
        del invocation_ids
        return {}  # a report costs nothing here, so there is nothing cheaper

    def details(self, job_id: JobId) -> JobDetails:
        for job in [job for run in list(self._runs.values()) for job in run.jobs]:
            if job.id == job_id:
                return JobDetails(
                    tool=job.command[0],
                    exit_code=job.exit_code,
                    stderr=job.stderr,
                    message=job.message,
                )
        raise RunNotFound(f"There is no job {job_id!r}.")

    def outputs(self, invocation_id: InvocationId) -> Sequence[Output]:
        jobs = self._run(invocation_id).jobs
        made = [job for job in jobs if job.state is JobState.OK]
        return [
            Output(
                label=job.label,
                src=Src.HDA.value,
                id=str(job.output),
                name=job.output.name,
                size=job.output.stat().st_size if job.output.exists() else None,
                state="ok",
            )
            for job in sorted(made, key=lambda job: job.label)
        ]

    def cancel(self, invocation_id: InvocationId) -> None:
        run = self._run(invocation_id)
        with self._lock:
            if run.state in {GalaxyState.NEW, GalaxyState.SCHEDULED}:
                run.state = GalaxyState.CANCELLING
            if run.process is not None:
                run.process.terminate()

    def review(self, invocation_id: InvocationId, place: str, *, approve: bool) -> None:
        self._run(invocation_id)
        raise RunRejected(f"{place} is no review, to answer {approve}: there are none.")

    # --- RunHistories ---

    def create(self, name: str) -> HistoryId:
        history_id = HistoryId(uuid4().hex)
        folder = self.root / history_id
        folder.mkdir(parents=True)
        self._histories[history_id] = History(name, folder)
        return history_id

    def marked(self, mark: str) -> Mapping[HistoryId, str]:
        histories = list(self._histories.items())
        return {id_: one.name for id_, one in histories if mark in one.name}

    def name_of(self, history_id: HistoryId) -> str | None:
        history = self._histories.get(history_id)
        return history.name if history else None

    def runs_in(self, history_id: HistoryId) -> Sequence[InvocationId]:
        runs = list(self._runs.values())
        return [run.id for run in runs if run.history_id == history_id]

    def invoked(self, invocation_id: InvocationId) -> Invoked:
        run = self._run(invocation_id)
        data = GalaxyData(Src.HDA, str(run.source))
        return Invoked(workflow_id=run.workflow_id, inputs={TEXT.name: data})

    def delete(self, history_id: HistoryId, *, purge: bool = False) -> None:
        if history := self._histories.get(history_id):
            history.deleted = True
            history.purged |= purge
            if history.purged:
                shutil.rmtree(history.folder, ignore_errors=True)

    def undelete(self, history_id: HistoryId) -> None:
        history = self._histories.get(history_id)
        if history is None:
            raise RunNotFound(f"There is no history {history_id!r}.")
        if history.purged:
            raise RunRejected("What was purged is gone.")
        history.deleted = False

    def contents(self, history_id: HistoryId) -> Collection[GalaxyData]:
        history = self._histories.get(history_id)
        if history is None or not history.folder.exists():
            return []
        return [GalaxyData(Src.HDA, str(one)) for one in history.folder.iterdir()]

    # --- how it works ---

    def _work(self, run: Run, history: History) -> None:
        """Take a run to its end, in one of the workers."""
        with self._lock:
            run.fenced = history.deleted
            if run.fenced:
                run.state = GalaxyState.CANCELLING
            elif run.state is GalaxyState.NEW:
                run.state = GalaxyState.SCHEDULED
        given = run.source
        for job in run.jobs:
            if not self._do(run, job, given):
                break
            given = job.output
        with self._lock:
            stopped = run.state is GalaxyState.CANCELLING
            if stopped:
                run.state = GalaxyState.CANCELLED
            for job in run.jobs:
                if job.state is JobState.NEW:
                    job.state = JobState.DELETED if stopped else JobState.BLOCKED

    def _do(self, run: Run, job: Job, given: Path) -> bool:
        """Run one job to its end; return whether the next one may follow."""
        with self._lock:
            if run.state is not GalaxyState.SCHEDULED:
                return False
            try:
                with given.open("rb") as stdin, job.output.open("wb") as stdout:
                    process = subprocess.Popen(
                        job.command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
                    )
            except OSError as error:
                job.state, job.message = JobState.FAILED, str(error)
                return False
            run.process, job.state = process, JobState.RUNNING
        _, stderr = process.communicate()
        return self._end(run, job, process.returncode, stderr.decode(errors="replace"))

    def _end(self, run: Run, job: Job, exit_code: int, stderr: str) -> bool:
        with self._lock:
            run.process = None
            job.exit_code, job.stderr = exit_code, stderr
            if exit_code == 0:
                job.state = JobState.OK
            elif run.state is GalaxyState.CANCELLING:
                job.state = JobState.DELETED
            else:
                job.state = JobState.ERROR
            return job.state is JobState.OK

    def _run(self, invocation_id: InvocationId) -> Run:
        if invocation_id not in self._runs:
            raise RunNotFound(f"There is no run {invocation_id!r}.")
        return self._runs[invocation_id]

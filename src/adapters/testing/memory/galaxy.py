"""A Galaxy that is simulated in this process.

Rule of the file: where it behaves oddly, Galaxy does. It accepts what Galaxy
accepts, forgets to say what Galaxy does not say, and is held to the same contract
tests; so it may stand in for the real one in tests and demos, here and in services
that use us. Beyond the ports it can be told what to do: which workflows there are,
how their runs go, when time passes (:meth:`SimulatedGalaxy.tick`), what fails.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from typing import TypeVar

from attrs import define, evolve, field, frozen

from galaxy_jobs.domain.errors import (
    RunnerError,
    RunNotFound,
    RunRejected,
    WorkflowAmbiguous,
    WorkflowNotFound,
)
from galaxy_jobs.domain.model.dataset import GalaxyData, Source, Src
from galaxy_jobs.domain.model.report import (
    SETTLED,
    GalaxyState,
    InvocationReport,
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
)
from galaxy_jobs.domain.model.workflow import (
    AllowedWorkflow,
    InputKind,
    Workflow,
    WorkflowInput,
)
from galaxy_jobs.domain.ports import (
    RunHistories,
    WorkflowCatalog,
    WorkflowRunner,
)


T = TypeVar("T")

TEXT = WorkflowInput(name="text", kind=InputKind.DATA)
"""The one input that a workflow has unless told otherwise."""


@frozen
class Moment:
    """How a run stands between two ticks.

    Attributes:
        state: Galaxy's word for the run.
        steps: The steps recorded by then, by label: the state of its job, or of
            each of several; an empty text for a step without jobs; the moment of a
            sub-workflow's run; None for a step that is not scheduled yet.
        messages: Why Galaxy failed or cancelled it.
        reasons: The same in codes.
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
EMPTY = (Moment("new"), Moment("completed", {"text": ""}))


@define(kw_only=True)
class SimulatedWorkflow:
    """A stored workflow.

    Attributes:
        workflow: As the catalogue tells of it.
        plan: How each run of it goes, tick by tick; the last moment lasts.
        details: Of jobs that go wrong, by the label of their step.
        outputs: What every run has once its steps are there.
        deleted: Whether it is gone from the catalogue. It can be run all the same.
    """

    workflow: Workflow
    plan: Sequence[Moment] = SUCCESS
    details: Mapping[str, JobDetails] = field(factory=dict[str, JobDetails])
    outputs: Sequence[Output] = ()
    deleted: bool = False


@define
class SimulatedHistory:
    """A history."""

    name: str
    deleted: bool = False
    purged: bool = False


@define
class SimulatedRun:
    """A run that was accepted.

    Attributes:
        invocation_id: Its id.
        workflow: What it runs.
        inputs: What it was given.
        history_id: Where its outputs go.
        moment: How it stands.
        at_work: Whether Galaxy has ever made a job for it.
        left: What is still to come.
    """

    invocation_id: InvocationId
    workflow: SimulatedWorkflow
    inputs: Mapping[str, Source | Json]
    history_id: HistoryId
    moment: Moment
    at_work: bool = False
    left: deque[Moment] = field(factory=deque[Moment])

    @property
    def is_new(self) -> bool:
        """Whether the scheduler is not done with it."""
        return self.moment.state in {"new", "ready", "requires_materialization"}

    def become(self, moment: Moment) -> None:
        self.moment = moment
        self.at_work = self.at_work or any(_states(moment))


@define
class _Fault:
    error: RunnerError
    after: bool
    later: bool


@define
class SimulatedGalaxy(WorkflowCatalog, WorkflowRunner, RunHistories):
    """Galaxy, as far as this service goes.

    Attributes:
        who: Its answer to :meth:`identity`.
        answers_in_bulk: Whether :meth:`summaries` tells anything.
        outage: Raised by every call as long as it is set.
        runs: Every run that was ever accepted, oldest first: what really happened,
            whatever became of the answer.
        histories: Every history that was ever made, by id.
        calls: How often each method was called.
    """

    who: Identity = field(factory=lambda: Identity("http://galaxy.simulated", "user"))
    answers_in_bulk: bool = True
    outage: RunnerError | None = None
    runs: list[SimulatedRun] = field(factory=list[SimulatedRun], init=False)
    histories: dict[HistoryId, SimulatedHistory] = field(
        factory=dict[HistoryId, SimulatedHistory], init=False
    )
    calls: Counter[str] = field(factory=Counter[str], init=False)
    _workflows: dict[WorkflowId, SimulatedWorkflow] = field(
        factory=dict[WorkflowId, SimulatedWorkflow], init=False
    )
    _forgotten: set[InvocationId] = field(factory=set[InvocationId], init=False)
    _faults: defaultdict[str, deque[_Fault]] = field(
        factory=lambda: defaultdict(deque), init=False
    )
    _under_way: list[Callable[[], object]] = field(
        factory=list[Callable[[], object]], init=False
    )
    _numbers: count[int] = field(factory=lambda: count(1), init=False)
    _lock: threading.RLock = field(factory=threading.RLock, init=False)

    # --- what it is told ---

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
        self._workflows[id_] = SimulatedWorkflow(
            workflow=Workflow(workflow_id=id_, name=name, inputs=inputs or (TEXT,)),
            plan=plan,
            details=details or {},
            outputs=outputs,
        )
        return id_

    def delete_workflow(self, workflow_id: WorkflowId) -> None:
        """Take it out of the catalogue."""
        self._workflows[workflow_id].deleted = True

    def tick(self, times: int = 1) -> None:
        """Let time pass: every run takes the next step of its plan."""
        with self._lock:
            for _ in range(times):
                for run in self.runs:
                    self._advance(run)

    def forget(self, invocation_id: InvocationId) -> None:
        """Know that run no more."""
        self._forgotten.add(invocation_id)

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
            method: Its name.
            error: What it raises.
            after: Whether it has done its work all the same: a lost answer.
            later: Whether it will do its work only when :meth:`land` is called: a
                request that is still on its way.
        """
        self._faults[method].append(_Fault(error, after, later))

    def land(self) -> None:
        """Let requests arrive that are still on their way.

        What they are refused with, nobody hears.
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
        """The runs that Galaxy has ever made jobs for: what was really run."""
        return [run for run in self.runs if run.at_work]

    # --- which workflows there are ---

    def find(self, wanted: AllowedWorkflow) -> Workflow:
        return self._call("find", lambda: self._find(wanted))

    def _find(self, wanted: AllowedWorkflow) -> Workflow:
        found = [
            one.workflow
            for id_, one in self._workflows.items()
            if not one.deleted
            and (
                one.workflow.name == wanted.name
                if wanted.workflow_id is None
                else id_ == wanted.workflow_id
            )
        ]
        if not found:
            raise WorkflowNotFound(wanted.name)
        if len(found) > 1:
            raise WorkflowAmbiguous(wanted.name, [one.workflow_id for one in found])
        return evolve(found[0], name=wanted.name)

    def names(self) -> Sequence[str]:
        return self._call(
            "names",
            lambda: sorted(
                {
                    one.workflow.name
                    for one in self._workflows.values()
                    if not one.deleted
                }
            ),
        )

    # --- starting, watching and stopping ---

    def identity(self) -> Identity:
        return self._call("identity", lambda: self.who)

    def invoke(
        self,
        workflow_id: WorkflowId,
        inputs: Mapping[str, Source | Json],
        history_id: HistoryId,
    ) -> InvocationId:
        return self._call(
            "invoke", lambda: self._invoke(workflow_id, inputs, history_id)
        )

    def _invoke(
        self,
        workflow_id: WorkflowId,
        inputs: Mapping[str, Source | Json],
        history_id: HistoryId,
    ) -> InvocationId:
        if workflow_id not in self._workflows:
            raise RunRejected("No such workflow found.", 404001)
        if history_id not in self.histories:
            raise RunRejected("History not found", 404001)
        if self.histories[history_id].purged:
            raise RunRejected("History is immutable", 403003)
        workflow = self._workflows[workflow_id]
        for one in workflow.workflow.inputs:
            if one.required and inputs.get(one.name) is None:
                raise RunRejected(
                    f"Workflow cannot be run because input step ({one.name}) is not "
                    "optional and no input provided.",
                    0,
                )
        first, *rest = workflow.plan
        run = SimulatedRun(
            InvocationId(self._id("invocation")),
            workflow,
            dict(inputs),
            history_id,
            Moment("new"),
            left=deque(rest),
        )
        run.become(first)
        self.runs.append(run)
        return run.invocation_id

    def report(self, invocation_id: InvocationId) -> InvocationReport:
        def tell() -> InvocationReport:
            run = self._run(invocation_id)
            return _told(run.invocation_id, run.moment, run.history_id)

        return self._call("report", tell)

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
            report = _told(run.invocation_id, run.moment, run.history_id)
            for path, step in report.walk():
                for job in step.jobs:
                    if job.job_id == job_id:
                        known = run.workflow.details
                        return known.get(path[-1], JobDetails(tool=job.tool))
        raise RunNotFound(f"There is no job {job_id!r}.")

    def outputs(self, invocation_id: InvocationId) -> Sequence[Output]:
        def tell() -> Sequence[Output]:
            run = self._run(invocation_id)
            made = run.workflow.outputs if run.moment.steps else ()
            return sorted(made, key=lambda one: one.label)

        return self._call("outputs", tell)

    def cancel(self, invocation_id: InvocationId) -> None:
        self._call("cancel", lambda: self._cancel(self._run(invocation_id)))

    def _cancel(self, run: SimulatedRun) -> None:
        if run.moment.state in {"cancelling", "cancelled"}:
            return
        reasons = (*run.moment.reasons, "user_request")
        messages = (*run.moment.messages, "The run was cancelled on request.")
        # Also one that has ended: Galaxy turns it cancelled without a word.
        ended = run.moment.state in {"completed", "failed"}
        run.become(
            evolve(
                run.moment if ended else _stopping(run.moment, "deleting"),
                state="cancelled" if ended else "cancelling",
                reasons=reasons,
                messages=messages,
            )
        )

    # --- the histories of runs ---

    def create(self, name: str) -> HistoryId:
        def make() -> HistoryId:
            id_ = HistoryId(self._id("history"))
            self.histories[id_] = SimulatedHistory(name)
            return id_

        return self._call("create", make)

    def named(self, name: str) -> Sequence[HistoryId]:
        return self._call(
            "named",
            lambda: [id_ for id_, h in self.histories.items() if h.name == name],
        )

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

    def contents(self, history_id: HistoryId) -> Collection[GalaxyData]:
        def tell() -> Collection[GalaxyData]:
            history = self.histories.get(history_id)
            if history is None or history.purged:
                return []
            return [
                GalaxyData(Src(output.src), output.id)
                for run in self.runs
                if run.history_id == history_id
                for output in run.workflow.outputs
            ]

        return self._call("contents", tell)

    def delete(self, history_id: HistoryId, *, purge: bool = False) -> None:
        def take() -> None:
            if history := self.histories.get(history_id):
                history.deleted = True
                history.purged = history.purged or purge

        self._call("delete", take)

    def undelete(self, history_id: HistoryId) -> None:
        def give() -> None:
            history = self.histories.get(history_id)
            if history is None:
                raise RunNotFound(f"There is no history {history_id!r}.")
            if history.purged:
                raise RunRejected("History is immutable", 403003)
            history.deleted = False

        self._call("undelete", give)

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
        return f"{kind}-{next(self._numbers)}"

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
        elif run.left:
            run.become(run.left.popleft())


def _told(
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
        sub = _told(InvocationId(f"{invocation_id}.{index}"), what, history_id)
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
    )


def _own_states(what: str | Sequence[str] | Moment | None) -> Sequence[str]:
    if what is None or isinstance(what, Moment):
        return ()
    return ([what] if what else []) if isinstance(what, str) else what


def _states(moment: Moment) -> list[str]:
    """Return the states of all jobs, those of sub-workflows included."""
    states: list[str] = []
    for what in moment.steps.values():
        states += _states(what) if isinstance(what, Moment) else _own_states(what)
    return states


def _stopping(moment: Moment, word: str) -> Moment:
    """Return the moment with every job that is not settled put in that state."""

    def after(state: str) -> str:
        return state if JobState(state) in SETTLED else word

    steps: dict[str, str | Sequence[str] | Moment | None] = {}
    for label, what in moment.steps.items():
        if isinstance(what, Moment):
            steps[label] = _stopping(what, word)
        elif isinstance(what, str):
            steps[label] = after(what) if what else ""
        else:
            steps[label] = what and [after(state) for state in what]
    return evolve(moment, steps=steps)


def _summary(moment: Moment) -> JobsSummary:
    """Say what the bulk answer says; Galaxy knows no word ``blocked``."""
    words = ("paused" if state == "blocked" else state for state in _states(moment))
    populated = {"scheduled": "ok", "completed": "ok"}
    populated |= {"cancelled": "failed", "failed": "failed"}
    return JobsSummary(
        states=dict(Counter(words)), populated=populated.get(moment.state, "new")
    )

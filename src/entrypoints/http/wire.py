"""What goes over the wire: the names, the order and the spelling of every field.

Rule of the file: it is the contract with every client, so it is written out by
hand and follows no change of the domain by itself. Times are UTC and end in Z.

The classes have no slots: msgspec would write their fields by the alphabet.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

from attrs import field, frozen
from litestar.openapi.spec import Example
from litestar.params import Parameter

from galaxy_jobs.domain.model.dataset import (
    Dataset,
    GalaxyData,
    Source,
    Src,
    UrlData,
)
from galaxy_jobs.domain.model.invocation import (
    Failure,
    Invocation,
    InvocationState,
    Progress,
    StepSummary,
    Transition,
)
from galaxy_jobs.domain.model.report import Output
from galaxy_jobs.domain.model.submission import Submission
from galaxy_jobs.domain.model.workflow import Workflow
from galaxy_jobs.domain.ports import Clock
from galaxy_jobs.domain.use_cases import Plan, PollPolicy, Submitted
from galaxy_jobs.entrypoints.http import problems, schemas


# --- datasets -------------------------------------------------------------------


@frozen(kw_only=True, slots=False)
class GalaxySource:
    """Data that Galaxy has already."""

    src: Literal["hda", "ldda", "hdca"]
    id: Annotated[str, Parameter(description="Galaxy's id of it.")]


@frozen(kw_only=True, slots=False)
class UrlSource:
    """Data that Galaxy fetches when a job is submitted."""

    src: Literal["url"]
    url: Annotated[str, Parameter(description="An http, https or ftp address.")]
    ext: Annotated[str, Parameter(description="Galaxy's name of its format.")]


SourceJson: TypeAlias = GalaxySource | UrlSource


@frozen(kw_only=True, slots=False)
class NewDataset:
    """A dataset to be registered."""

    dataset_id: Annotated[
        str | None,
        Parameter(description="1 to 255 characters; left out, one is made up."),
    ] = None
    name: Annotated[str, Parameter(description="For people.")]
    source: SourceJson


@frozen(kw_only=True, slots=False)
class DatasetJson:
    """A dataset that jobs can be run on."""

    dataset_id: str
    name: str
    source: SourceJson
    created_at: datetime


@frozen(kw_only=True, slots=False)
class Datasets:
    """A page of datasets, newest first."""

    items: list[DatasetJson]
    next_cursor: str | None


def source_of(said: SourceJson) -> Source:
    """Return the source that a client named.

    Raises:
        InvalidValue: Galaxy could not fetch from there.
    """
    match said:
        case GalaxySource():
            return GalaxyData(Src(said.src), said.id)
        case UrlSource():
            return UrlData(said.url, said.ext)


def source(said: Source) -> SourceJson:
    """Return a source as it is shown."""
    match said:
        case GalaxyData():
            return GalaxySource(src=said.src.value, id=said.id)
        case UrlData():
            return UrlSource(src="url", url=said.url, ext=said.ext)


def dataset(one: Dataset) -> DatasetJson:
    """Return a dataset as it is shown."""
    return DatasetJson(
        dataset_id=one.dataset_id,
        name=one.name,
        source=source(one.source),
        created_at=utc(one.created_at),
    )


# --- jobs -----------------------------------------------------------------------


@frozen(kw_only=True, slots=False)
class NewJob:
    """A job to be run."""

    dataset_id: Annotated[
        str,
        Parameter(
            description="A registered dataset.",
            examples=[Example(value="reads-1")],
        ),
    ]
    workflow_name: Annotated[
        str,
        Parameter(
            description="As `GET /workflows` says it.",
            examples=[Example(value="Count lines")],
        ),
    ]
    overwrite: Annotated[
        bool,
        Parameter(
            description="Whether it takes the place of the earlier jobs of this "
            "dataset and workflow, whose results are deleted once it has completed."
        ),
    ] = False
    parameters: Annotated[
        dict[str, Any],
        Parameter(description="By workflow input, as `GET /workflows/{name}` says."),
    ] = field(factory=dict)


@frozen(kw_only=True, slots=False)
class NewRun:
    """What is to be different when a job is run again."""

    parameters: Annotated[
        dict[str, Any] | None,
        Parameter(description="Those that change; the others stay as they were."),
    ] = None
    overwrite: Annotated[
        bool | None, Parameter(description="Left out, as it was the last time.")
    ] = None


@frozen(kw_only=True, slots=False)
class Accepted:
    """A job that Galaxy has accepted."""

    invocation_id: str
    state: InvocationState


@frozen(kw_only=True, slots=False)
class PlanJson:
    """What would be run."""

    dataset_id: str
    workflow_name: str
    workflow_id: Annotated[str, Parameter(description="Of the workflow in Galaxy.")]
    inputs: Annotated[
        dict[str, Any],
        Parameter(description="What each input is given; others take their defaults."),
    ]


@frozen(kw_only=True, slots=False)
class ProgressJson:
    """How many jobs of Galaxy's there are, and how many are how far."""

    total: int
    ok: int
    running: int
    waiting: int
    failed: int


@frozen(kw_only=True, slots=False)
class FailureJson:
    """What has failed first."""

    reason: str
    step: str | None
    step_index: int | None
    path: list[str]
    tool: str | None
    exit_code: int | None
    stderr: str | None
    message: str | None


@frozen(kw_only=True, slots=False)
class StepJson:
    """One step of a job."""

    index: int
    label: str
    tool: str | None
    state: str
    jobs: dict[str, int]


@frozen(kw_only=True, slots=False)
class JobJson:
    """A job, as lists show it."""

    invocation_id: str
    dataset_id: str
    workflow_name: str
    state: InvocationState
    galaxy_state: str
    parameters: dict[str, Any]
    overwrite: bool
    rerun_of: str | None
    superseded_by: str | None
    created_at: datetime
    updated_at: datetime
    observed_at: datetime
    stale: Annotated[
        bool,
        Parameter(description="Whether it was not observed for suspiciously long."),
    ]
    attention: Annotated[
        str | None, Parameter(description="A sentence, where somebody should look.")
    ]
    progress: ProgressJson
    failure: FailureJson | None


@frozen(kw_only=True, slots=False)
class JobDetailJson(JobJson):
    """A job with all that is known of it."""

    steps: list[StepJson]
    history_id: Annotated[
        str | None, Parameter(description="The Galaxy history that holds its results.")
    ]


@frozen(kw_only=True, slots=False)
class Jobs:
    """A page of jobs, newest first."""

    items: list[JobJson]
    next_cursor: str | None


@frozen(kw_only=True, slots=False)
class TransitionJson:
    """A change of a job's state."""

    id: int
    from_state: InvocationState | None
    to_state: InvocationState
    at: datetime
    galaxy_state: str
    progress: ProgressJson
    failure: FailureJson | None


@frozen(kw_only=True, slots=False)
class Transitions:
    """All changes of a job's state, oldest first."""

    items: list[TransitionJson]
    next_cursor: None = None


@frozen(kw_only=True, slots=False)
class OutputJson:
    """An output of a job."""

    label: str
    src: str
    id: Annotated[str, Parameter(description="Of the dataset or collection in Galaxy.")]
    name: str | None
    extension: str | None
    size: Annotated[int | None, Parameter(description="In bytes.")]
    state: str | None


@frozen(kw_only=True, slots=False)
class Outputs:
    """All outputs of a job, by label."""

    items: list[OutputJson]
    next_cursor: None = None


@frozen(kw_only=True, slots=False)
class SubmissionJson:
    """What became of a submission."""

    submission_id: str
    state: str
    invocation_id: str | None
    problem: Annotated[
        dict[str, Any] | None,
        Parameter(description="Why it was rejected, as it was or would be answered."),
    ]


@frozen(kw_only=True, slots=False)
class Shown:
    """Shows jobs; whether one is stale depends on when it is looked at."""

    clock: Clock
    policy: PollPolicy

    def job(self, one: Invocation) -> JobJson:
        """Return a job as lists show it."""
        return JobJson(**self._common(one))

    def detail(self, one: Invocation) -> JobDetailJson:
        """Return a job with all that is known of it."""
        return JobDetailJson(
            **self._common(one),
            steps=[_step(step) for step in one.steps],
            history_id=one.history_id,
        )

    def _common(self, one: Invocation) -> dict[str, Any]:
        return {
            "invocation_id": one.invocation_id,
            "dataset_id": one.dataset_id,
            "workflow_name": one.workflow_name,
            "state": one.state,
            "galaxy_state": one.galaxy_state,
            "parameters": dict(one.parameters),
            "overwrite": one.overwrite,
            "rerun_of": one.rerun_of,
            "superseded_by": one.superseded_by,
            "created_at": utc(one.created_at),
            "updated_at": utc(one.updated_at),
            "observed_at": utc(one.observed_at),
            "stale": self.policy.stale(one, self.clock()),
            "attention": one.attention,
            "progress": _progress(one.progress),
            "failure": _failure(one.failure),
        }


def accepted(one: Submitted) -> Accepted:
    """Return the answer to a submission."""
    return Accepted(invocation_id=one.invocation_id, state=one.state)


def plan(dataset_id: str, one: Plan) -> PlanJson:
    """Return what would be run."""
    return PlanJson(
        dataset_id=dataset_id,
        workflow_name=one.workflow.name,
        workflow_id=one.workflow.workflow_id,
        inputs={
            name: source(value) if isinstance(value, GalaxyData | UrlData) else value
            for name, value in one.inputs.items()
        },
    )


def transition(one: Transition) -> TransitionJson:
    """Return a transition as it is shown."""
    return TransitionJson(
        id=one.id,
        from_state=one.from_state,
        to_state=one.to_state,
        at=utc(one.at),
        galaxy_state=one.galaxy_state,
        progress=_progress(one.progress),
        failure=_failure(one.failure),
    )


def output(one: Output) -> OutputJson:
    """Return an output as it is shown."""
    return OutputJson(
        label=one.label,
        src=one.src,
        id=one.id,
        name=one.name,
        extension=one.extension,
        size=one.size,
        state=one.state,
    )


def submission(one: Submission) -> SubmissionJson:
    """Return what became of a submission."""
    return SubmissionJson(
        submission_id=str(one.submission_id),
        state=one.state.value,
        invocation_id=one.invocation_id,
        problem=problems.members(
            one.problem.code, one.problem.detail, one.problem.extra
        )
        if one.problem
        else None,
    )


def utc(at: datetime) -> datetime:
    """Return the same moment in UTC, which is written with a Z."""
    return at.astimezone(UTC)


def _progress(one: Progress) -> ProgressJson:
    return ProgressJson(
        total=one.total,
        ok=one.ok,
        running=one.running,
        waiting=one.waiting,
        failed=one.failed,
    )


def _failure(one: Failure | None) -> FailureJson | None:
    if one is None:
        return None
    return FailureJson(
        reason=one.reason,
        step=one.step,
        step_index=one.step_index,
        path=list(one.path),
        tool=one.tool,
        exit_code=one.exit_code,
        stderr=one.stderr,
        message=one.message,
    )


def _step(one: StepSummary) -> StepJson:
    return StepJson(
        index=one.index,
        label=one.label,
        tool=one.tool,
        state=one.state,
        jobs=dict(one.jobs),
    )


# --- workflows ------------------------------------------------------------------


@frozen(kw_only=True, slots=False)
class WorkflowName:
    """A workflow that may be run."""

    name: str


@frozen(kw_only=True, slots=False)
class Workflows:
    """All workflows that may be run, by name."""

    items: list[WorkflowName]
    next_cursor: None = None


@frozen(kw_only=True, slots=False)
class WorkflowJson:
    """A workflow, and what it takes."""

    name: str
    workflow_id: Annotated[str, Parameter(description="Of the workflow in Galaxy.")]
    annotation: str
    dataset_input: Annotated[
        str | None,
        Parameter(
            description="The input that takes the job's dataset. Null where that "
            "depends on which data inputs `parameters` leave over."
        ),
    ]
    parameters: Annotated[
        dict[str, Any],
        Parameter(description="A JSON Schema of the `parameters` of a job."),
    ]


def workflow(one: Workflow, dataset_input: str | None) -> WorkflowJson:
    """Return a workflow as it is shown.

    Args:
        one: As Galaxy declares it.
        dataset_input: The input that takes the job's dataset, if that is certain.
    """
    return WorkflowJson(
        name=one.name,
        workflow_id=one.workflow_id,
        annotation=one.annotation,
        dataset_input=dataset_input,
        parameters=schemas.parameters(one, dataset_input),
    )

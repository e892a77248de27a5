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
from galaxy_jobs.domain.ports import JobTransition
from galaxy_jobs.domain.use_cases import Plan, Submitted
from galaxy_jobs.entrypoints.api import problems, workflow_schema


# --- datasets -------------------------------------------------------------------


@frozen(kw_only=True, slots=False)
class GalaxySource:
    """Data that Galaxy has already."""

    src: Annotated[
        Literal["hda", "ldda", "hdca"],
        Parameter(description="A dataset, a library dataset or a collection."),
    ]
    id: Annotated[str, Parameter(description="Galaxy's id of it.")]


@frozen(kw_only=True, slots=False)
class UrlSource:
    """Data that Galaxy fetches when a job is submitted."""

    src: Annotated[Literal["url"], Parameter(description="That Galaxy is to fetch it.")]
    url: Annotated[str, Parameter(description="An http, https or ftp address.")]
    ext: Annotated[str, Parameter(description="Galaxy's name of its format.")]


SourceJson: TypeAlias = GalaxySource | UrlSource


@frozen(kw_only=True, slots=False)
class NewDataset:
    """A dataset to be registered."""

    dataset_id: Annotated[
        str | None,
        Parameter(
            min_length=1,
            max_length=255,
            description="1 to 255 characters; left out, one is made up.",
        ),
    ] = None
    name: Annotated[str, Parameter(min_length=1, description="For people.")]
    source: Annotated[SourceJson, Parameter(description="Where Galaxy finds it.")]


@frozen(kw_only=True, slots=False)
class DatasetJson:
    """A dataset that jobs can be run on."""

    dataset_id: Annotated[str, Parameter(description="What jobs name it by.")]
    name: Annotated[str, Parameter(description="For people.")]
    source: Annotated[SourceJson, Parameter(description="Where Galaxy finds it.")]
    created_at: Annotated[datetime, Parameter(description="When it was registered.")]


@frozen(kw_only=True, slots=False)
class Datasets:
    """A page of datasets, newest first."""

    items: Annotated[list[DatasetJson], Parameter(description="The newest first.")]
    next_cursor: Annotated[
        str | None,
        Parameter(description="`cursor` of the next page; null on the last."),
    ]


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

    invocation_id: Annotated[
        str, Parameter(description="Galaxy's id of it; the job's from now on.")
    ]
    state: Annotated[
        InvocationState, Parameter(description="What is known of it so far.")
    ]


@frozen(kw_only=True, slots=False)
class PlanJson:
    """What would be run."""

    dataset_id: Annotated[str, Parameter(description="The job's dataset.")]
    workflow_name: Annotated[str, Parameter(description="As Galaxy spells it.")]
    workflow_id: Annotated[str, Parameter(description="Of the workflow in Galaxy.")]
    inputs: Annotated[
        dict[str, Any],
        Parameter(description="What each input is given; others take their defaults."),
    ]


@frozen(kw_only=True, slots=False)
class ProgressJson:
    """How many jobs of Galaxy's there are, and how many are how far."""

    total: Annotated[int, Parameter(description="All that are known so far.")]
    ok: Annotated[int, Parameter(description="Ended well, or skipped.")]
    running: Annotated[int, Parameter(description="At work.")]
    waiting: Annotated[int, Parameter(description="Not started.")]
    failed: Annotated[int, Parameter(description="Ended badly, or never to start.")]


@frozen(kw_only=True, slots=False)
class FailureJson:
    """What has failed first."""

    reason: Annotated[str, Parameter(description="In a word that stays the same.")]
    step: Annotated[
        str | None,
        Parameter(
            description="Its label; `step 3`, counting from 1, where it has none."
        ),
    ]
    step_index: Annotated[
        int | None, Parameter(description="The step's place, counting from 0.")
    ]
    path: Annotated[
        list[str], Parameter(description="The labels down through sub-workflows.")
    ]
    tool: Annotated[str | None, Parameter(description="The tool's id in Galaxy.")]
    exit_code: Annotated[int | None, Parameter(description="The tool's.")]
    stderr: Annotated[
        str | None, Parameter(description="The tail of what the tool wrote there.")
    ]
    message: Annotated[str | None, Parameter(description="Galaxy's own sentence.")]


@frozen(kw_only=True, slots=False)
class StepJson:
    """One step of a job."""

    index: Annotated[int, Parameter(description="Its place, counting from 0.")]
    label: Annotated[str, Parameter(description="As in the workflow editor.")]
    tool: Annotated[
        str | None,
        Parameter(description="The tool's id in Galaxy; null for what is no tool."),
    ]
    state: Annotated[str, Parameter(description="How its jobs stand, taken together.")]
    jobs: Annotated[
        dict[str, int],
        Parameter(description="How many of its jobs are in which state of Galaxy's."),
    ]


@frozen(kw_only=True, slots=False)
class JobJson:
    """A job, as lists show it."""

    invocation_id: Annotated[
        str, Parameter(description="Galaxy's id of the invocation; the job's.")
    ]
    dataset_id: Annotated[str, Parameter(description="What it runs on.")]
    workflow_name: Annotated[str, Parameter(description="What it runs.")]
    state: Annotated[
        InvocationState,
        Parameter(
            description="Where it stands; `completed` only if every job ended well."
        ),
    ]
    galaxy_state: Annotated[str, Parameter(description="What Galaxy itself calls it.")]
    parameters: Annotated[
        dict[str, Any], Parameter(description="As they were submitted.")
    ]
    overwrite: Annotated[
        bool, Parameter(description="Whether it takes the place of earlier jobs.")
    ]
    rerun_of: Annotated[str | None, Parameter(description="The job that it repeats.")]
    superseded_by: Annotated[
        str | None, Parameter(description="The job that took its place.")
    ]
    created_at: Annotated[datetime, Parameter(description="When Galaxy accepted it.")]
    updated_at: Annotated[
        datetime, Parameter(description="When anything of it last changed.")
    ]
    observed_at: Annotated[
        datetime, Parameter(description="When Galaxy was last asked about it.")
    ]
    stale: Annotated[
        bool,
        Parameter(description="Whether it was not observed for suspiciously long."),
    ]
    attention: Annotated[
        str | None, Parameter(description="A sentence, where somebody should look.")
    ]
    progress: Annotated[ProgressJson, Parameter(description="How far its jobs are.")]
    failure: Annotated[
        FailureJson | None,
        Parameter(description="What has failed first, if anything has."),
    ]


@frozen(kw_only=True, slots=False)
class JobDetailJson(JobJson):
    """A job with all that is known of it."""

    steps: Annotated[list[StepJson], Parameter(description="In the workflow's order.")]
    history_id: Annotated[
        str | None, Parameter(description="The Galaxy history that holds its results.")
    ]


@frozen(kw_only=True, slots=False)
class Jobs:
    """A page of jobs, newest first."""

    items: Annotated[list[JobJson], Parameter(description="The newest first.")]
    next_cursor: Annotated[
        str | None,
        Parameter(description="`cursor` of the next page; null on the last."),
    ]


@frozen(kw_only=True, slots=False)
class TransitionJson:
    """A change of a job's state."""

    id: Annotated[
        int,
        Parameter(
            description="Rises with each change of any job; ends a stream's gap."
        ),
    ]
    from_state: Annotated[
        InvocationState | None, Parameter(description="Null: it was accepted then.")
    ]
    to_state: Annotated[
        InvocationState, Parameter(description="Where it stood from then on.")
    ]
    at: Annotated[datetime, Parameter(description="When it was seen.")]
    galaxy_state: Annotated[str, Parameter(description="What Galaxy called it then.")]
    progress: Annotated[ProgressJson, Parameter(description="How far its jobs were.")]
    failure: Annotated[
        FailureJson | None,
        Parameter(description="What had failed first, if anything had."),
    ]


@frozen(kw_only=True, slots=False)
class Transitions:
    """All changes of a job's state, oldest first."""

    items: Annotated[list[TransitionJson], Parameter(description="The oldest first.")]
    next_cursor: Annotated[
        None, Parameter(description="Always null: these are all.")
    ] = None


@frozen(kw_only=True, slots=False)
class EventJson(TransitionJson):
    """A change of a job's state, and of which job."""

    invocation_id: Annotated[str, Parameter(description="The job's.")]
    dataset_id: Annotated[str, Parameter(description="What it runs on.")]
    workflow_name: Annotated[str, Parameter(description="What it runs.")]


@frozen(kw_only=True, slots=False)
class OutputJson:
    """An output of a job."""

    label: Annotated[str, Parameter(description="As the workflow names it.")]
    src: Annotated[
        str, Parameter(description="`hda`: a dataset; `hdca`: a collection.")
    ]
    id: Annotated[str, Parameter(description="Of the dataset or collection in Galaxy.")]
    name: Annotated[str | None, Parameter(description="As Galaxy names it.")]
    extension: Annotated[
        str | None, Parameter(description="Galaxy's name of its format.")
    ]
    size: Annotated[int | None, Parameter(description="In bytes.")]
    state: Annotated[str | None, Parameter(description="What Galaxy calls it.")]


@frozen(kw_only=True, slots=False)
class Outputs:
    """All outputs of a job, by label."""

    items: Annotated[list[OutputJson], Parameter(description="By label.")]
    next_cursor: Annotated[
        None, Parameter(description="Always null: these are all.")
    ] = None


@frozen(kw_only=True, slots=False)
class SubmissionJson:
    """What became of a submission."""

    submission_id: Annotated[str, Parameter(description="Ours.")]
    state: Annotated[
        str, Parameter(description="`submitting`, `unknown`, `accepted` or `rejected`.")
    ]
    invocation_id: Annotated[
        str | None, Parameter(description="The job, once accepted.")
    ]
    problem: Annotated[
        dict[str, Any] | None,
        Parameter(description="Why it was rejected, as it was or would be answered."),
    ]


def job(invocation: Invocation, now: datetime) -> JobJson:
    """Return a job as lists show it.

    Args:
        invocation: As it is recorded.
        now: Time-zone aware; `stale` depends on it.
    """
    return JobJson(**_common(invocation, now))


def job_detail(invocation: Invocation, now: datetime) -> JobDetailJson:
    """Return a job with all that is known of it; see :func:`job`."""
    return JobDetailJson(
        **_common(invocation, now),
        steps=[_step(step) for step in invocation.steps],
        history_id=invocation.history_id,
    )


def _common(invocation: Invocation, now: datetime) -> dict[str, Any]:
    return {
        "invocation_id": invocation.invocation_id,
        "dataset_id": invocation.dataset_id,
        "workflow_name": invocation.workflow_name,
        "state": invocation.state,
        "galaxy_state": invocation.galaxy_state,
        "parameters": dict(invocation.parameters),
        "overwrite": invocation.overwrite,
        "rerun_of": invocation.rerun_of,
        "superseded_by": invocation.superseded_by,
        "created_at": utc(invocation.created_at),
        "updated_at": utc(invocation.updated_at),
        "observed_at": utc(invocation.observed_at),
        "stale": invocation.is_stale(now),
        "attention": invocation.attention,
        "progress": _progress(invocation.progress),
        "failure": _failure(invocation.failure),
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
    return TransitionJson(**_change(one))


def event(one: JobTransition) -> EventJson:
    """Return a transition as it is told to those who wait for it."""
    return EventJson(
        **_change(one.transition),
        invocation_id=one.transition.invocation_id,
        dataset_id=one.dataset_id,
        workflow_name=one.workflow_name,
    )


def _change(one: Transition) -> dict[str, Any]:
    return {
        "id": one.id,
        "from_state": one.from_state,
        "to_state": one.to_state,
        "at": utc(one.at),
        "galaxy_state": one.galaxy_state,
        "progress": _progress(one.progress),
        "failure": _failure(one.failure),
    }


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

    name: Annotated[str, Parameter(description="As jobs name it.")]


@frozen(kw_only=True, slots=False)
class Workflows:
    """All workflows that may be run, by name."""

    items: Annotated[list[WorkflowName], Parameter(description="By name.")]
    next_cursor: Annotated[
        None, Parameter(description="Always null: these are all.")
    ] = None


@frozen(kw_only=True, slots=False)
class WorkflowJson:
    """A workflow, and what it takes."""

    name: Annotated[str, Parameter(description="As Galaxy spells it.")]
    workflow_id: Annotated[str, Parameter(description="Of the workflow in Galaxy.")]
    annotation: Annotated[str, Parameter(description="The author's explanation.")]
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
        parameters=workflow_schema.parameters(one, dataset_input),
    )

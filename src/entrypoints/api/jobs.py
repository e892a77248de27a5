"""Jobs: submit, look, cancel, run again; and what became of a submission."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from urllib.parse import quote

from litestar import MediaType, Response, get, post
from litestar import Request as AnyRequest
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter

from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.submission import Request
from galaxy_jobs.domain.model.values import DatasetId, InvocationId
from galaxy_jobs.domain.ports import (
    Clock,
    InvocationRepository,
    JobFilter,
    SubmissionRepository,
)
from galaxy_jobs.domain.use_cases import (
    CancelJob,
    Check,
    JobOutputs,
    Rerun,
    Submit,
    Submitted,
)
from galaxy_jobs.entrypoints.api import cursors, schemas
from galaxy_jobs.entrypoints.api.auth import Caller, name_of
from galaxy_jobs.entrypoints.api.limits import Places
from galaxy_jobs.entrypoints.api.listing import JobPages, document, has
from galaxy_jobs.entrypoints.api.parameters import (
    ETAG,
    LOCATION,
    CursorText,
    IfNoneMatch,
    KeyHeader,
    Limit,
    Needs,
    Wait,
    idempotency_key,
    submission_named,
)
from galaxy_jobs.entrypoints.api.problems import refusals
from galaxy_jobs.entrypoints.api.strict import Strict, WithoutBody
from galaxy_jobs.entrypoints.api.threads import asks_galaxy
from galaxy_jobs.entrypoints.broadcast import Fanout, Wanted


_SUBMITTING = (
    "unsupported-media-type",
    "too-large",
    "dataset-not-found",
    "workflow-not-allowed",
    "workflow-not-found",
    "workflow-ambiguous",
    "invalid-parameters",
    "galaxy-rejected",
    "idempotency-key-reused",
    "in-progress",
    "galaxy-refused-us",
    "galaxy-unavailable",
    "database-unavailable",
    "outcome-unknown",
)


CREATED_HEADERS = [
    LOCATION,
    ResponseHeader(
        name="Idempotent-Replayed",
        description="`true` where the `Idempotency-Key` was used before: this is the "
        "answer of then, and nothing new was run.",
        documentation_only=True,
    ),
]


@post(
    "/",
    dto=Strict[schemas.NewJob],
    return_dto=None,
    operation_id="submit_job",
    summary="Run a workflow on a dataset",
    description="Galaxy is invoked at once. With `validate_only`, nothing is run and "
    "the answer tells what would be.",
    response_description="Galaxy has accepted it.",
    response_headers=CREATED_HEADERS,
    responses={
        200: ResponseSpec(
            schemas.PlanJson,
            generate_examples=False,
            description="What would be run (`validate_only`).",
        ),
        **refusals(*_SUBMITTING),
    },
)
@asks_galaxy
def submit_job(
    *,
    data: JSONBody[schemas.NewJob],
    submit: Needs[Submit],
    check: Needs[Check],
    caller: Needs[Caller],
    validate_only: Annotated[bool, QueryParameter(description="true or false")] = False,
    key: KeyHeader = None,
) -> Response[schemas.Accepted]:
    """Submit a job, or tell what would be run."""
    request = Request(
        dataset_id=DatasetId(data.dataset_id),
        workflow_name=data.workflow_name,
        parameters=data.parameters,
        overwrite=data.overwrite,
    )
    named = idempotency_key(key, caller)  # checked where nothing is run, too
    if validate_only:
        plan: Response[Any] = Response(
            schemas.plan(data.dataset_id, check(request)), status_code=200
        )
        return plan
    return _created(submit(request, named))


@post(
    "/{invocation_id:str}/rerun",
    dto=Strict[schemas.NewRun],
    return_dto=None,
    operation_id="rerun_job",
    summary="Run a job again",
    description="Always a new job, which carries `rerun_of`. The body may be left out.",
    response_description="Galaxy has accepted it.",
    response_headers=CREATED_HEADERS,
    operation_class=WithoutBody,
    responses=refusals("job-not-found", *_SUBMITTING),
)
@asks_galaxy
def rerun_job(
    invocation_id: FromPath[str],
    rerun: Needs[Rerun],
    caller: Needs[Caller],
    data: JSONBody[schemas.NewRun | None] = None,
    key: KeyHeader = None,
) -> Response[schemas.Accepted]:
    """Submit a job once more."""
    wanted = data or schemas.NewRun()
    return _created(
        rerun(
            InvocationId(invocation_id),
            parameters=wanted.parameters,
            overwrite=wanted.overwrite,
            key=idempotency_key(key, caller),
        )
    )


@get(
    "/",
    operation_id="list_jobs",
    summary="List jobs, newest first",
    response_description="A page of them.",
    response_headers=[ETAG],
    responses={
        304: ResponseSpec(
            None, generate_examples=False, description="It is as you have it."
        ),
        **refusals("database-unavailable"),
    },
)
async def get_jobs(
    *,
    job_pages: Needs[JobPages],
    dataset_id: Annotated[
        str | None, QueryParameter(description="a text: only jobs on this dataset")
    ] = None,
    workflow_name: Annotated[
        str | None, QueryParameter(description="a text: only jobs of this workflow")
    ] = None,
    # A parameter *named* state would be given the application's state.
    states: Annotated[
        list[InvocationState] | None,
        QueryParameter(
            name="state",
            description="one of "
            + ", ".join(state.value for state in InvocationState)
            + " (repeat it for several)",
        ),
    ] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
    if_none_match: IfNoneMatch = None,
) -> Response[schemas.Jobs]:
    """List jobs."""
    wanted = JobFilter(
        dataset_id=None if dataset_id is None else DatasetId(dataset_id),
        workflow_name=workflow_name,
        states=frozenset(states or ()),
    )
    here = ["jobs", dataset_id, workflow_name, sorted(s.value for s in wanted.states)]
    after = cursors.read(cursor, here)
    page = await job_pages.page(wanted, limit, after)
    made = document(page, cursors.write(page.next, here))
    headers = {"ETag": made.etag, "Vary": "Authorization, Cookie"}
    answer: Response[Any] = (
        Response(None, status_code=304, headers=headers)
        if has(if_none_match, made.etag)
        else Response(made.body, media_type=MediaType.JSON, headers=headers)
    )
    return answer


@get(
    "/{invocation_id:str}",
    operation_id="show_job",
    summary="Show a job",
    description="With `wait`, the answer comes once its state has changed, or that "
    "time has gone by; at once where it has ended already.",
    response_description="All that is known of it.",
    responses=refusals("job-not-found", "too-many-requests", "database-unavailable"),
)
async def get_job(
    *,
    request: AnyRequest[Any, Any, Any],
    invocation_id: FromPath[str],
    invocations: Needs[InvocationRepository],
    clock: Needs[Clock],
    fanout: Needs[Fanout],
    places: Needs[Places],
    wait: Wait = 0,
) -> schemas.JobDetailJson:
    """Show a job, now or once its state has changed."""

    async def show() -> Invocation:
        return await asyncio.to_thread(invocations.get, InvocationId(invocation_id))

    if not wait:
        return schemas.job_detail(await show(), clock())
    until = asyncio.get_running_loop().time() + wait
    await fanout.start()
    wanted = Wanted(invocation_id=InvocationId(invocation_id))
    with places.taken(name_of(request)), fanout.waiting_for(wanted) as waiting:
        job = before = await show()
        while job.state is before.state and not job.state.is_terminal:
            more = await waiting.news(until)
            job = await show()
            if fanout.stopping or not more:
                break
    return schemas.job_detail(job, clock())


@get(
    "/{invocation_id:str}/history",
    sync_to_thread=True,
    operation_id="job_history",
    summary="Show how a job came to where it is",
    response_description="All changes of its state, oldest first.",
    responses=refusals("job-not-found", "database-unavailable"),
)
def get_history(
    invocation_id: FromPath[str], invocations: Needs[InvocationRepository]
) -> schemas.Transitions:
    """Show a job's transitions."""
    found = invocations.transitions(InvocationId(invocation_id))
    return schemas.Transitions(items=[schemas.transition(one) for one in found])


@get(
    "/{invocation_id:str}/outputs",
    operation_id="job_outputs",
    summary="Show what a job has made",
    description="Galaxy is asked. `gone` says that it has forgotten the job.",
    response_description="All its labelled outputs, by label.",
    responses=refusals(
        "job-not-found",
        "gone",
        "galaxy-refused-us",
        "galaxy-unavailable",
        "database-unavailable",
    ),
)
@asks_galaxy
def get_outputs(
    invocation_id: FromPath[str], job_outputs: Needs[JobOutputs]
) -> schemas.Outputs:
    """Show a job's outputs."""
    found = job_outputs(InvocationId(invocation_id))
    return schemas.Outputs(items=[schemas.output(one) for one in found])


@post(
    "/{invocation_id:str}/cancel",
    status_code=202,
    sync_to_thread=True,
    operation_id="cancel_job",
    summary="Ask a job to stop",
    description="Galaxy is asked by the poller, until it agrees. Asking for what is "
    "cancelled already is fine.",
    response_description="It is cancelled, or going to be.",
    responses=refusals("job-not-found", "already-ended", "database-unavailable"),
)
def post_cancel(
    invocation_id: FromPath[str],
    cancel_job: Needs[CancelJob],
    clock: Needs[Clock],
) -> schemas.JobDetailJson:
    """Ask a job to stop."""
    return schemas.job_detail(cancel_job(InvocationId(invocation_id)), clock())


@get(
    "/{submission_id:str}",
    sync_to_thread=True,
    operation_id="show_submission",
    summary="Show what became of a submission",
    description="For where the answer to `POST /jobs` was lost or not known yet.",
    response_description="What is known of it.",
    responses=refusals("submission-not-found", "database-unavailable"),
)
def get_submission(
    submission_id: FromPath[str], submissions: Needs[SubmissionRepository]
) -> schemas.SubmissionJson:
    """Show what became of a submission."""
    return schemas.submission(submissions.get(submission_named(submission_id)))


def _created(one: Submitted) -> Response[Any]:
    headers = {"Location": f"/jobs/{quote(one.invocation_id, safe='')}"}
    if one.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(schemas.accepted(one), status_code=201, headers=headers)


ROUTES = [
    submit_job,
    rerun_job,
    get_jobs,
    get_job,
    get_history,
    get_outputs,
    post_cancel,
]
"""Below ``/jobs``."""

SUBMISSIONS = [get_submission]
"""Below ``/submissions``."""

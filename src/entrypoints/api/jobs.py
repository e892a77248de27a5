"""Routes of jobs and submissions."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import quote

from litestar import MediaType, Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec.structs import asdict

from galaxy_jobs import domain
from galaxy_jobs.adapters.broadcast import TransitionFilter
from galaxy_jobs.adapters.postgres import PostgresJobPages
from galaxy_jobs.domain import (
    DatasetId,
    InvocationState,
    Scope,
    Viewer,
    ports,
    use_cases,
)
from galaxy_jobs.domain.use_cases.downloads import MAX_LINK_TTL
from galaxy_jobs.entrypoints.api import cursors, parameters, problems, schemas
from galaxy_jobs.entrypoints.api.auth import Caller, requires, unauthenticated
from galaxy_jobs.entrypoints.api.bodies import Strict
from galaxy_jobs.entrypoints.api.downloads import link_to
from galaxy_jobs.entrypoints.api.events import Subscriptions
from galaxy_jobs.entrypoints.api.job_pages import body_and_etag, matches
from galaxy_jobs.entrypoints.api.parameters import (
    InvocationIdInPath,
    Needs,
    name_query,
    query,
)
from galaxy_jobs.entrypoints.api.problems import refusals
from galaxy_jobs.entrypoints.api.threads import asks_galaxy


MAX_WAIT = 60
"""Seconds that a client may wait for a change."""

MAX_LINK_SECONDS = int(MAX_LINK_TTL.total_seconds())

_CHECKING = (
    "unsupported-media-type",
    "too-large",
    "dataset-not-found",
    "workflow-not-allowed",
    "workflow-not-found",
    "workflow-ambiguous",
    "workflow-unreadable",
    "workflow-version-not-found",
    "invalid-parameters",
    "invalid-source",
    "galaxy-refused-us",
    "galaxy-unavailable",
)

_SUBMITTING = (
    *_CHECKING,
    "galaxy-rejected",
    "idempotency-key-reused",
    "in-progress",
    "outcome-unknown",
)

_CREATED_HEADERS = parameters.documented("Location", "Idempotent-Replayed")


@post(
    "/",
    dto=Strict[schemas.NewJob],
    return_dto=None,
    guards=[requires(Scope.SUBMIT)],
    response_headers=_CREATED_HEADERS,
    responses=refusals(*_SUBMITTING),
)
@asks_galaxy
def submit_job(
    *,
    data: JSONBody[schemas.NewJob],
    submit: Needs[use_cases.Submit],
    check: Needs[use_cases.Check],
    caller: Needs[Caller],
    viewer: Needs[Viewer],
    # The older spelling of POST /jobs/validate, with a response of another shape.
    validate_only: Annotated[
        bool, query("true or false", example=True, include_in_schema=False)
    ] = False,
    key: parameters.KeyHeader = None,
) -> Response[schemas.Accepted]:
    """Run a workflow on a dataset.

    Galaxy is invoked at once.
    """
    wish = _wish(data)
    checked_key = parameters.idempotency_key(key, caller)  # also where nothing is run
    if validate_only:
        plan: Any = schemas.plan(data.dataset_id, check(wish, viewer))
        return Response(plan, status_code=200)
    return _created(submit(wish, viewer, checked_key))


@post(
    "/validate",
    dto=Strict[schemas.NewJob],
    return_dto=None,
    status_code=200,
    guards=[requires(Scope.SUBMIT)],
    responses=refusals(*_CHECKING),
)
@asks_galaxy
def validate_job(
    *,
    data: JSONBody[schemas.NewJob],
    check: Needs[use_cases.Check],
    viewer: Needs[Viewer],
) -> schemas.PlanJson:
    """Check whether a job could be run.

    Takes what `POST /jobs` takes, and runs nothing: the response is the plan.
    """
    return schemas.plan(data.dataset_id, check(_wish(data), viewer))


def _wish(data: schemas.NewJob) -> domain.Request:
    return domain.Request(**asdict(data))


@post(
    "/{invocation_id:str}/rerun",
    dto=Strict[schemas.NewRun],
    return_dto=None,
    guards=[requires(Scope.SUBMIT)],
    response_headers=_CREATED_HEADERS,
    responses=refusals("job-not-found", *_SUBMITTING),
)
@asks_galaxy
def rerun_job(
    *,
    invocation_id: InvocationIdInPath,
    rerun: Needs[use_cases.Rerun],
    caller: Needs[Caller],
    viewer: Needs[Viewer],
    data: JSONBody[schemas.NewRun | None] = None,
    key: parameters.KeyHeader = None,
) -> Response[schemas.Accepted]:
    """Run a job again.

    Always a new job, with `rerun_of`. The body may be left out.
    """
    changes = data or schemas.NewRun()
    return _created(
        rerun(
            invocation_id,
            viewer,
            parameters=changes.parameters,
            overwrite=changes.overwrite,
            dataset_input=changes.dataset_input,
            workflow_version=changes.workflow_version,
            key=parameters.idempotency_key(key, caller),
        )
    )


@get(
    "/",
    response_headers=parameters.documented("ETag"),
    responses={
        304: ResponseSpec(
            None, generate_examples=False, description="The page has not changed."
        ),
        **refusals(),
    },
)
async def list_jobs(
    *,
    job_pages: Needs[PostgresJobPages],
    viewer: Needs[Viewer],
    dataset_id: Annotated[
        DatasetId | None, name_query("a text: only jobs on this dataset", "reads-1")
    ] = None,
    workflow_name: Annotated[
        str | None, name_query("a text: only jobs of this workflow", "sort-and-count")
    ] = None,
    # A parameter *named* state would be given the application's state.
    states: Annotated[
        list[InvocationState] | None,
        query(
            "one of "
            + ", ".join(state.value for state in InvocationState)
            + " (repeat it for several)",
            ["queued", "in_progress"],
            name="state",
        ),
    ] = None,
    owner: Annotated[
        str | None,
        name_query("the name of an owner, or `me`: only jobs of that owner", "me"),
    ] = None,
    limit: parameters.Limit = 50,
    cursor: parameters.CursorText = None,
    if_none_match: Annotated[
        str | None,
        parameters.header(
            "The `ETag` of the page you have. Where nothing has changed, the response "
            "is a 304 without a body.",
            'W/"3f0a6b"',
            name="If-None-Match",
        ),
    ] = None,
) -> Response[schemas.Jobs]:
    """List jobs, newest first.

    A job has to match all filters that are given.
    """
    selected = domain.JobFilter(
        dataset_ids=frozenset(() if dataset_id is None else [dataset_id]),
        workflow_names=frozenset(() if workflow_name is None else [workflow_name]),
        states=frozenset(states or ()),
        owner=viewer.owner_called(owner),
    )
    states_listed = sorted(state.value for state in selected.states)
    here = ["jobs", dataset_id, workflow_name, states_listed, selected.owner]
    after = cursors.read(cursor, here)
    items, tag, following = await job_pages.page(selected, viewer, limit, after)
    body, etag = body_and_etag(items, tag, cursors.write(following, here))
    known = matches(if_none_match, etag)
    content: Any = None if known else body
    return Response(
        content,
        status_code=304 if known else 200,
        media_type=MediaType.JSON,
        headers={"ETag": etag, "Vary": "Authorization, Cookie"},
    )


@get("/{invocation_id:str}", responses=refusals("job-not-found", "too-many-requests"))
async def show_job(
    *,
    request: Request[Any, Any, Any],
    invocation_id: InvocationIdInPath,
    invocations: Needs[ports.InvocationRepository],
    clock: Needs[ports.Clock],
    caller: Needs[Caller],
    viewer: Needs[Viewer],
    subscriptions: Needs[Subscriptions],
    wait: Annotated[
        int,
        query(f"a whole number of seconds from 0 to {MAX_WAIT}", 30, ge=0, le=MAX_WAIT),
    ] = 0,
    until: Annotated[
        Literal["changed", "ended"], query("`changed` or `ended`", "ended")
    ] = "changed",
) -> schemas.JobDetailJson:
    """Show a job.

    With `wait`, the response comes when its state has changed or that time has
    passed; at once where it has ended already. With `until=ended`, other changes of
    its state are not waited for.
    """
    read = partial(invocations.get, invocation_id, viewer)
    if not wait:
        return schemas.job_detail(await asyncio.to_thread(read), clock())
    end = asyncio.get_running_loop().time() + wait
    broadcast = subscriptions.broadcast
    await broadcast.start()
    selected = TransitionFilter(viewer=viewer, invocation_id=invocation_id)
    with subscriptions.open(request, selected) as subscription:
        job = before = await asyncio.to_thread(read)
        while not job.state.is_terminal and (
            until == "ended" or job.state is before.state
        ):
            woken = await subscription.wait(end)
            if subscription.ended and not broadcast.stopping:
                raise unauthenticated(caller)
            job = await asyncio.to_thread(read)
            if subscription.ended or not woken:
                break
    return schemas.job_detail(job, clock())


@get(
    "/{invocation_id:str}/history",
    sync_to_thread=True,
    responses=refusals("job-not-found"),
)
def job_history(
    invocation_id: InvocationIdInPath,
    invocations: Needs[ports.InvocationRepository],
    viewer: Needs[Viewer],
) -> schemas.Transitions:
    """List a job's state changes, oldest first.

    The first is its creation; from then on one for each change of its state.
    """
    transitions = invocations.transitions(invocation_id, viewer)
    return schemas.Transitions(items=list(map(schemas.transition, transitions)))


@get(
    "/{invocation_id:str}/outputs",
    responses=refusals(
        "job-not-found", "gone", "galaxy-refused-us", "galaxy-unavailable"
    ),
)
@asks_galaxy
def job_outputs(
    *,
    invocation_id: InvocationIdInPath,
    job_outputs: Needs[use_cases.JobOutputs],
    viewer: Needs[Viewer],
    first_element: Annotated[
        int, query("a whole number: of collections, the first dataset to list", 0, ge=0)
    ] = 0,
    links: Needs[use_cases.Links],
    caller: Needs[Caller],
    seconds: Annotated[
        int | None,
        query(
            "a whole number of seconds for which signed links work, to 604800",
            3600,
            name="links",
            ge=1,
            le=MAX_LINK_SECONDS,
        ),
    ] = None,
) -> schemas.Outputs:
    """List a job's outputs.

    Galaxy is asked; `gone` means that it no longer knows the job. If they show that a
    job was changed in Galaxy after its end, its `attention` says so from then on.
    """
    outputs = job_outputs(invocation_id, viewer)
    link: schemas.Link | None = None
    if seconds is not None:
        link = link_to(links, invocation_id, caller, seconds)
    return schemas.Outputs(items=schemas.outputs(outputs, first_element, link))


@post(
    "/{invocation_id:str}/cancel",
    status_code=202,
    sync_to_thread=True,
    guards=[requires(Scope.SUBMIT)],
    responses=refusals("job-not-found", "already-ended"),
)
def cancel_job(
    invocation_id: InvocationIdInPath,
    cancel_job: Needs[use_cases.CancelJob],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
) -> schemas.JobDetailJson:
    """Cancel a job.

    The poller passes it on to Galaxy, until Galaxy accepts. Cancelling a job that is
    cancelled already has no effect. A job that has failed while some of its Galaxy
    jobs go on stays `failed`, and these are stopped.
    """
    return schemas.job_detail(cancel_job(invocation_id, viewer), clock())


@post(
    "/{invocation_id:str}/refresh",
    status_code=200,
    guards=[requires(Scope.SUBMIT)],
    responses=refusals(
        "job-not-found", "gone", "galaxy-refused-us", "galaxy-unavailable"
    ),
)
@asks_galaxy
def refresh_job(
    invocation_id: InvocationIdInPath,
    refresh_job: Needs[use_cases.RefreshJob],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
) -> schemas.JobDetailJson:
    """Look at a job in Galaxy again.

    A job that has ended is reopened if it was repaired in Galaxy since.
    """
    return schemas.job_detail(refresh_job(invocation_id, viewer), clock())


@post(
    "/{invocation_id:str}/steps/{index:str}/review",
    status_code=200,
    dto=Strict[schemas.Review],
    return_dto=None,
    guards=[requires(Scope.SUBMIT)],
    responses=refusals(
        "unsupported-media-type",
        "too-large",
        "job-not-found",
        "step-not-found",
        "no-review",
        "already-ended",
        "gone",
        "galaxy-rejected",
        "galaxy-refused-us",
        "galaxy-unavailable",
    ),
)
@asks_galaxy
def review_step(
    *,
    invocation_id: InvocationIdInPath,
    index: Annotated[
        str,
        parameters.path(
            "The index of the step; in a sub-workflow, behind those of the steps above "
            "it, such as `1.2`.",
            "2",
        ),
    ],
    data: JSONBody[schemas.Review],
    answer_review: Needs[use_cases.AnswerReview],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
) -> schemas.JobDetailJson:
    """Answer a review that a job waits for.

    `attention` names the step. If it is approved, the job goes on; else Galaxy cancels
    the job.
    """
    job = answer_review(invocation_id, viewer, index, approve=data.approve)
    return schemas.job_detail(job, clock())


@get(
    "/{submission_id:str}",
    sync_to_thread=True,
    responses=refusals("submission-not-found"),
)
def show_submission(
    submission_id: Annotated[
        str,
        parameters.path(
            "The submission, a UUID.", "3c8f1d52-7b0e-4a3c-9a41-0b5f7a3c2d10"
        ),
    ],
    submissions: Needs[ports.SubmissionRepository],
    viewer: Needs[Viewer],
) -> schemas.SubmissionJson:
    """Show the outcome of a submission.

    For where the response to `POST /jobs` was lost, or told no outcome yet.
    """
    submission = submissions.get(parameters.submission_id_of(submission_id), viewer)
    problem = submission.problem
    return schemas.SubmissionJson(
        submission_id=str(submission.submission_id),
        state=submission.state.value,
        invocation_id=submission.invocation_id,
        problem=problems.members(problem) if problem else None,
    )


def _created(submitted: use_cases.Submitted) -> Response[Any]:
    headers = {"Location": f"/jobs/{quote(submitted.invocation_id, safe='')}"}
    if submitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    job = schemas.view(schemas.Accepted, submitted)
    return Response(job, status_code=201, headers=headers)


ROUTES = [
    submit_job,
    validate_job,
    rerun_job,
    list_jobs,
    show_job,
    job_history,
    job_outputs,
    cancel_job,
    refresh_job,
    review_step,
]
"""Below ``/jobs``."""

SUBMISSIONS = [show_submission]
"""Below ``/submissions``."""

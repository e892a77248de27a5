"""Routes of jobs and submissions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

from litestar import MediaType, Request, Response
from litestar.params import BodyKwarg, JSONBody
from msgspec import UnsetType
from msgspec.structs import asdict

from galaxy_jobs import domain
from galaxy_jobs.adapters.broadcast import TransitionFilter
from galaxy_jobs.adapters.postgres import PostgresJobPages
from galaxy_jobs.domain import Viewer, ports, use_cases
from galaxy_jobs.domain.model.labels import NO_CHANGE
from galaxy_jobs.domain.use_cases.downloads import MAX_LINK_TTL
from galaxy_jobs.domain.use_cases.many_jobs import MAX_CANCELLED, MAX_RERUN
from galaxy_jobs.entrypoints.api import cursors, parameters, problems, schemas
from galaxy_jobs.entrypoints.api.auth import Caller, unauthenticated
from galaxy_jobs.entrypoints.api.bodies import MergePatch
from galaxy_jobs.entrypoints.api.downloads import link_to
from galaxy_jobs.entrypoints.api.events import Subscriptions
from galaxy_jobs.entrypoints.api.job_filters import name_of
from galaxy_jobs.entrypoints.api.job_pages import body_and_etag, matches
from galaxy_jobs.entrypoints.api.parameters import InvocationIdInPath, Needs, query
from galaxy_jobs.entrypoints.api.routing import Routes, created, response
from galaxy_jobs.entrypoints.api.threads import asks_galaxy


ROUTES = Routes("/jobs", tags=["jobs"])
SUBMISSIONS = Routes("/submissions", tags=["jobs"])

MAX_WAIT = 60
"""Seconds that a client may wait for a change."""

MAX_LINK_SECONDS = int(MAX_LINK_TTL.total_seconds())

_CHECKING = (
    "dataset-not-found",
    "workflow-not-allowed",
    "workflow-not-found",
    "workflow-ambiguous",
    "workflow-unreadable",
    "workflow-version-not-found",
    "invalid-parameters",
    "invalid-source",
)

SUBMITTING = (
    *_CHECKING,
    "galaxy-rejected",
    "idempotency-key-reused",
    "in-progress",
    "outcome-unknown",
)
"""The refusals of every route that submits."""

CREATED_HEADERS = parameters.documented("Location", "Idempotent-Replayed")


DryRun: TypeAlias = Annotated[
    bool, query("true or false: whether nothing is to be done", example=True)
]


@ROUTES.post("/", *SUBMITTING, asks_galaxy=True, response_headers=CREATED_HEADERS)
def submit_job(
    *,
    data: JSONBody[schemas.NewJob],
    submit: Needs[use_cases.Submit],
    check: Needs[use_cases.Check],
    idempotency_key: parameters.SentKey,
    viewer: Needs[Viewer],
    # The older spelling of POST /jobs/validate, with a response of another shape.
    validate_only: Annotated[
        bool, query("true or false", example=True, include_in_schema=False)
    ] = False,
) -> Response[schemas.Accepted]:
    """Run a workflow on a dataset.

    Galaxy is invoked at once.
    """
    wish = _wish(data)
    if validate_only:
        plan: Any = schemas.plan(data.dataset_id, check(wish, viewer))
        return Response(plan, status_code=200)
    return _created(submit(wish, viewer, idempotency_key))


@ROUTES.post("/validate", *_CHECKING, asks_galaxy=True, status_code=200)
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


@ROUTES.post(
    "/adopt",
    "gone",
    "in-progress",
    "job-exists",
    "dataset-not-found",
    "invalid-source",
    "workflow-not-allowed",
    "workflow-ambiguous",
    "workflow-mismatch",
    asks_galaxy=True,
    response_headers=CREATED_HEADERS,
)
def adopt_run(
    data: JSONBody[schemas.RunToAdopt],
    adopt_run: Needs[use_cases.AdoptRun],
    viewer: Needs[Viewer],
) -> Response[schemas.Accepted]:
    """Follow a run that somebody started in Galaxy.

    From then on it is a job like others, but its history is not deleted where another
    job supersedes it. Repeating the request is safe.
    """
    return _created(adopt_run(viewer=viewer, **asdict(data)))


@ROUTES.post(
    "/{invocation_id:str}/rerun",
    "job-not-found",
    *SUBMITTING,
    asks_galaxy=True,
    response_headers=CREATED_HEADERS,
)
def rerun_job(
    *,
    invocation_id: InvocationIdInPath,
    rerun: Needs[use_cases.Rerun],
    idempotency_key: parameters.SentKey,
    viewer: Needs[Viewer],
    data: JSONBody[schemas.NewRun | None] = None,
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
            key=idempotency_key,
        )
    )


@ROUTES.get(
    "/",
    response_headers=parameters.documented("ETag"),
    responses={304: response(None, description="The page has not changed.")},
)
async def list_jobs(
    *,
    job_pages: Needs[PostgresJobPages],
    selected: Needs[domain.JobFilter],
    viewer: Needs[Viewer],
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

    A job has to match all filters that are given. With `search`, and where a label is
    combined with another label, a dataset or a workflow, a page may have fewer jobs
    than there are, or none, and a `next_cursor` that goes on.
    """
    here = name_of(selected)
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


@ROUTES.get("/{invocation_id:str}", "job-not-found", "too-many-requests")
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


@ROUTES.patch(
    "/{invocation_id:str}", "job-not-found", dto=MergePatch[schemas.JobChanges]
)
def change_job(
    invocation_id: InvocationIdInPath,
    data: Annotated[
        schemas.JobChanges, BodyKwarg(media_type="application/merge-patch+json")
    ],
    label_job: Needs[use_cases.LabelJob],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
) -> schemas.JobDetailJson:
    """Change the labels of a job.

    The body is a merge patch (RFC 7396), `application/merge-patch+json`: what is left
    out stays as it is.
    """
    patch = NO_CHANGE if isinstance(data.labels, UnsetType) else data.labels
    return schemas.job_detail(label_job(invocation_id, viewer, patch), clock())


@ROUTES.get("/{invocation_id:str}/history", "job-not-found")
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


@ROUTES.get(
    "/{invocation_id:str}/outputs",
    "job-not-found",
    "results-deleted",
    "gone",
    asks_galaxy=True,
)
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


@ROUTES.post(
    "/{invocation_id:str}/cancel", "job-not-found", "already-ended", status_code=202
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


@ROUTES.post(
    "/{invocation_id:str}/refresh",
    "job-not-found",
    "gone",
    asks_galaxy=True,
    status_code=200,
)
def refresh_job(
    invocation_id: InvocationIdInPath,
    refresh_job: Needs[use_cases.RefreshJob],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
) -> schemas.JobDetailJson:
    """Look at a job in Galaxy again.

    A job that has ended is reopened if it was repaired in Galaxy since. One whose
    results were deleted stays as it is.
    """
    return schemas.job_detail(refresh_job(invocation_id, viewer), clock())


@ROUTES.delete(
    "/{invocation_id:str}/results",
    "job-not-found",
    "not-ended",
    "results-in-use",
    "gone",
    "galaxy-rejected",
    asks_galaxy=True,
    status_code=200,
)
def delete_results(
    invocation_id: InvocationIdInPath,
    delete_results: Needs[use_cases.DeleteResults],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
) -> schemas.JobDetailJson:
    """Delete a job's results.

    Its history in Galaxy is deleted and purged, for good. The job stays, with
    `results_deleted_at`. Deleting them twice has no effect. `results-in-use` names in
    `used_by` the datasets, jobs and submissions that need them. If Galaxy cannot be
    reached in the middle of it, the poller goes on.
    """
    return schemas.job_detail(delete_results(invocation_id, viewer), clock())


@ROUTES.post(
    "/{invocation_id:str}/steps/{index:str}/review",
    "job-not-found",
    "step-not-found",
    "no-review",
    "already-ended",
    "gone",
    "galaxy-rejected",
    asks_galaxy=True,
    status_code=200,
)
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


@ROUTES.post("/cancel", "too-many-jobs", status_code=200)
def cancel_many(
    *,
    selected: Needs[domain.JobFilter],
    cancel_jobs: Needs[use_cases.CancelJobs],
    viewer: Needs[Viewer],
    at_most: Annotated[
        int, query("a whole number from 1 to 1000", 10, ge=1, le=MAX_CANCELLED)
    ],
    dry_run: DryRun = False,
) -> schemas.Outcomes:
    """Cancel jobs that match filters.

    The filters are those of `GET /jobs`; jobs that have ended do not count, unless
    `state` names theirs. Where more than `at_most` match, nothing is cancelled (409).
    The request may be repeated.
    """
    return _outcomes(cancel_jobs(selected, viewer, at_most, dry_run=dry_run), dry_run)


@ROUTES.post("/rerun", "too-many-jobs", "invalid-parameters", status_code=200)
@asks_galaxy
def rerun_many(
    *,
    selected: Needs[domain.JobFilter],
    rerun_jobs: Needs[use_cases.RerunJobs],
    idempotency_key: parameters.SentKey,
    viewer: Needs[Viewer],
    at_most: Annotated[
        int, query("a whole number from 1 to 100", 10, ge=1, le=MAX_RERUN)
    ],
    dry_run: DryRun = False,
    data: JSONBody[schemas.NewRun | None] = None,
) -> schemas.Outcomes:
    """Run jobs that match filters again.

    The filters are those of `GET /jobs`, and the body that of the rerun of one job.
    Where more than `at_most` match, nothing is run (409). After 30 s no further job is
    begun with: repeat the request with its `Idempotency-Key`, and it goes on.
    """
    outcomes = rerun_jobs(
        selected,
        viewer,
        at_most,
        key=idempotency_key,
        dry_run=dry_run,
        **asdict(data or schemas.NewRun()),
    )
    return _outcomes(outcomes, dry_run)


def _outcomes(
    outcomes: Sequence[use_cases.Outcome],
    dry_run: bool,  # noqa: FBT001 - as the client sent it
) -> schemas.Outcomes:
    return schemas.Outcomes(
        dry_run=dry_run,
        matching=len(outcomes),
        done=sum(outcome.done for outcome in outcomes),
        items=[
            schemas.view(
                schemas.OutcomeJson,
                outcome.job,
                done=outcome.done,
                new_invocation_id=outcome.submitted and outcome.submitted.invocation_id,
                problem=outcome.problem and problems.members(outcome.problem),
            )
            for outcome in outcomes
        ],
    )


@SUBMISSIONS.get("/{submission_id:str}", "submission-not-found")
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
    return schemas.view(
        schemas.SubmissionJson,
        submission,
        submission_id=str(submission.submission_id),
        problem=submission.problem and problems.members(submission.problem),
    )


def _created(submitted: use_cases.Submitted) -> Response[Any]:
    job = schemas.view(schemas.Accepted, submitted)
    return created(job, "jobs", job.invocation_id, replayed=submitted.replayed)

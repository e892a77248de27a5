"""Pages to look at jobs, and to cancel one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlencode

from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect, Stream

from galaxy_jobs import domain
from galaxy_jobs.domain import InvocationId, JobFilter, Viewer, ports
from galaxy_jobs.domain.model.report import ELEMENTS_LIMIT
from galaxy_jobs.domain.use_cases import (
    CancelJob,
    FindJobs,
    JobLogs,
    JobOutputs,
    JobSteps,
)
from galaxy_jobs.domain.use_cases.find_jobs import MATCHES_LIMIT
from galaxy_jobs.entrypoints.api import cursors, schemas
from galaxy_jobs.entrypoints.api.auth import requires
from galaxy_jobs.entrypoints.api.downloads import file_path
from galaxy_jobs.entrypoints.api.events import Subscriptions, stream
from galaxy_jobs.entrypoints.api.parameters import CursorText, Needs, submission_id_of
from galaxy_jobs.entrypoints.api.threads import asks_galaxy
from galaxy_jobs.entrypoints.hints import explain
from galaxy_jobs.entrypoints.web import live, render
from galaxy_jobs.entrypoints.web.render import AnyRequest, Text, page


PAGE_SIZE = 25
"""Jobs on a page of the list."""

COUNT_LIMIT = 1000
"""Up to here jobs in a state are counted."""

OFFERED = 200
"""How many datasets, the newest, and workflows a filter offers; others can be typed."""

Typed: TypeAlias = tuple[str, str, Collection[domain.InvocationState], str]
"""What was typed and chosen to filter jobs: dataset, workflow, states and owner."""

StateFilter: TypeAlias = Annotated[
    list[domain.InvocationState] | None,
    QueryParameter(name="state", description=f"one of {', '.join(render.STATES)}"),
]


@get("/", sync_to_thread=True)
def get_jobs_page(
    *,
    request: AnyRequest,
    invocations: Needs[ports.InvocationRepository],
    datasets: Needs[ports.DatasetRepository],
    find_jobs: Needs[FindJobs],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
    dataset_id: Text = None,
    workflow_name: Text = None,
    states: StateFilter = None,
    owner: Text = None,
    cursor: CursorText = None,
) -> Response[str]:
    """Show the jobs, newest first."""
    typed = (dataset_id or "", workflow_name or "", states or (), owner or "")
    wanted = find_jobs(viewer, *typed)
    jobs, next_cursor = _listed(invocations, viewer, wanted, typed, cursor)
    counts = invocations.counts(wanted, viewer, COUNT_LIMIT + 1)
    now = clock()
    return page(
        request,
        "jobs.html",
        now=now,
        jobs=jobs,
        filters=wanted,
        dataset_id=dataset_id or "",
        workflow_name=workflow_name or "",
        owner=owner or "",
        owns=viewer.owner is not None,
        chosen={state.value for state in wanted.states},
        counts={state.value: counts.get(state, 0) for state in domain.InvocationState},
        count_limit=COUNT_LIMIT,
        matches_limit=MATCHES_LIMIT,
        workflow_names=invocations.workflow_names(viewer, OFFERED),
        datasets=datasets.page(viewer, OFFERED).items,
        query=partial(_query, typed),
        cursor=cursor,
        next_cursor=next_cursor,
        address=str(request.base_url).rstrip("/"),
        mark=live.mark_of({job.invocation_id: job for job in jobs}, now),
    )


@get("/ui/jobs/{invocation_id:str}", sync_to_thread=True)
def get_job_page(
    *,
    request: AnyRequest,
    invocation_id: FromPath[str],
    invocations: Needs[ports.InvocationRepository],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
    local_galaxies: Needs[Collection[str]],
) -> Response[str]:
    """Show a job."""
    job = invocations.get(InvocationId(invocation_id), viewer)
    now = clock()
    active = not job.state.is_terminal
    # A script that has missed the end is to load the whole page.
    missed_end = not active and request.headers.get("hx-target") == "live"
    return page(
        request,
        "job.html",
        headers={"HX-Refresh": "true"} if missed_end else None,
        now=now,
        job=job,
        active=active,
        history=invocations.transitions(job.invocation_id, viewer),
        has_client=job.identity.url not in local_galaxies,
        mark=live.mark_of({job.invocation_id: job}, now),
    )


@get(["/ui/events", "/ui/jobs/{invocation_id:str}/events"])
async def get_events(
    *,
    request: AnyRequest,
    subscriptions: Needs[Subscriptions],
    live_pages: Needs[live.LivePages],
    invocations: Needs[ports.InvocationRepository],
    find_jobs: Needs[FindJobs],
    viewer: Needs[Viewer],
    invocation_id: FromPath[str | None] = None,
    dataset_id: Text = None,
    workflow_name: Text = None,
    states: StateFilter = None,
    owner: Text = None,
    cursor: CursorText = None,
    mark: Annotated[
        str, QueryParameter(description="the mark of what the page shows")
    ] = "",
) -> Stream:
    """Stream an event whenever a page is out of date, and one at the end of its job."""
    typed = (dataset_id or "", workflow_name or "", states or (), owner or "")
    wanted = await asyncio.to_thread(find_jobs, viewer, *typed)
    job_id = InvocationId(invocation_id) if invocation_id else None

    def read() -> Sequence[domain.Invocation]:
        if job_id is not None:
            return [invocations.get(job_id, viewer)]
        return _listed(invocations, viewer, wanted, typed, cursor)[0]

    def moved_by(change: domain.JobTransition) -> bool:
        return job_id is None and wanted.moved_by(change, viewer, is_first=not cursor)

    key = (viewer, job_id or (wanted, cursor or None))
    followed = live_pages.follow(
        key, live.Page(read, moved_by), subscriptions.open(request, None)
    )
    changes = live_pages.changes(key, mark, ends=job_id is not None)
    return await stream(subscriptions.broadcast, followed, changes)


@get("/ui/jobs/{invocation_id:str}/outputs")
@asks_galaxy
def get_outputs_page(
    request: AnyRequest,
    invocation_id: FromPath[str],
    job_outputs: Needs[JobOutputs],
    viewer: Needs[Viewer],
) -> Response[str]:
    """Show the outputs of a job, as Galaxy lists them now."""
    shown: dict[str, Any] = {"outputs": [], "message": None}
    try:
        link = partial(file_path, InvocationId(invocation_id))
        made = job_outputs(InvocationId(invocation_id), viewer)
        shown["outputs"] = schemas.outputs(made, 0, link)
    except domain.DomainError as error:
        if not render.is_htmx(request):
            raise
        shown["message"] = explain(error)  # within the page of the job
    return page(
        request,
        "outputs.html",
        invocation_id=invocation_id,
        zip=f"/jobs/{render.segment(invocation_id)}/outputs.zip",
        limit=ELEMENTS_LIMIT,
        **shown,
    )


@get("/ui/jobs/{invocation_id:str}/steps")
@asks_galaxy
def get_steps_page(
    request: AnyRequest,
    invocation_id: FromPath[str],
    job_steps: Needs[JobSteps],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
) -> Response[Any]:
    """Show the steps of a job with their times, as Galaxy has them now."""
    try:
        steps = job_steps(InvocationId(invocation_id), viewer)
    except domain.DomainError:
        if not render.is_htmx(request):
            raise
        return Response(None, status_code=204)  # what is known of them stays
    return page(
        request, "steps.html", invocation_id=invocation_id, steps=steps, now=clock()
    )


@get("/ui/jobs/{invocation_id:str}/logs")
@asks_galaxy
def get_logs_page(
    request: AnyRequest,
    invocation_id: FromPath[str],
    job_logs: Needs[JobLogs],
    viewer: Needs[Viewer],
) -> Response[str]:
    """Show the logs of the failed jobs of a job, as Galaxy has them now."""
    shown: dict[str, Any] = {"logs": [], "more": 0, "message": None}
    try:
        shown["logs"], shown["more"] = job_logs(InvocationId(invocation_id), viewer)
    except domain.DomainError as error:
        if not render.is_htmx(request):
            raise
        shown["message"] = explain(error)  # within the page of the job
    return page(request, "logs.html", invocation_id=invocation_id, **shown)


@get("/ui/submissions/{submission_id:str}", sync_to_thread=True)
def get_submission_page(
    request: AnyRequest,
    submission_id: FromPath[str],
    submissions: Needs[ports.SubmissionRepository],
    viewer: Needs[Viewer],
) -> Response[Any]:
    """Show a submission, or redirect to its job."""
    submission = submissions.get(submission_id_of(submission_id), viewer)
    if render.is_htmx(request) and not submission.open:
        return Response(None, headers={"HX-Refresh": "true"})
    if submission.invocation_id is not None:
        return to_job(submission.invocation_id)
    return page(request, "submission.html", submission=submission)


@post(
    "/ui/jobs/{invocation_id:str}/cancel",
    guards=[requires(domain.Scope.SUBMIT)],
    sync_to_thread=True,
)
def post_cancel_form(
    invocation_id: FromPath[str],
    cancel_job: Needs[CancelJob],
    viewer: Needs[Viewer],
) -> Redirect:
    """Cancel a job."""
    return to_job(cancel_job(InvocationId(invocation_id), viewer).invocation_id)


def to_job(invocation_id: str) -> Redirect:
    """Redirect to a job's page, so that reloading it sends no form again."""
    return Redirect(f"/ui/jobs/{render.segment(invocation_id)}", status_code=303)


def _listed(
    invocations: ports.InvocationRepository,
    viewer: Viewer,
    wanted: JobFilter,
    typed: Typed,
    cursor: str | None,
) -> tuple[Sequence[domain.Invocation], str | None]:
    """Return a page of the jobs that match, and the cursor of the next page."""
    dataset, workflow, states, owner = typed
    values = sorted({state.value for state in states})
    list_ = ["page", dataset, workflow, values, owner]
    jobs = invocations.page(
        wanted, viewer, PAGE_SIZE, cursors.read(cursor or None, list_)
    )
    return jobs.items, cursors.write(jobs.next, list_)


def _query(typed: Typed, toggled: str | None = None, **more: str | None) -> str:
    """Return the query of a list's address; a state is added or taken away."""
    dataset_id, workflow_name, chosen, owner = typed
    states = {state.value for state in chosen}
    fields = {
        "dataset_id": dataset_id,
        "workflow_name": workflow_name,
        "state": [
            name for name in render.STATES if (name in states) != (name == toggled)
        ],
        "owner": owner,
        **more,
    }
    given = {name: value for name, value in fields.items() if value}
    return f"?{urlencode(given, doseq=True)}" if given else ""


ROUTES = [
    get_jobs_page,
    get_job_page,
    get_events,
    get_outputs_page,
    get_steps_page,
    get_logs_page,
    get_submission_page,
    post_cancel_form,
]

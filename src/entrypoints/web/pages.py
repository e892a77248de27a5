"""Pages to look at jobs, to cancel one, and to delete its results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlencode

from attrs import frozen
from litestar import Response
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect, Stream

from galaxy_jobs import domain
from galaxy_jobs.domain import InvocationId, JobFilter, Viewer, ports, use_cases
from galaxy_jobs.domain.model.labels import difference
from galaxy_jobs.domain.model.report import ELEMENTS_LIMIT
from galaxy_jobs.domain.use_cases.find_jobs import MATCHES_LIMIT
from galaxy_jobs.entrypoints.api import cursors, schemas
from galaxy_jobs.entrypoints.api.downloads import file_path
from galaxy_jobs.entrypoints.api.events import Subscriptions, stream
from galaxy_jobs.entrypoints.api.parameters import (
    CursorText,
    Needs,
    batch_id_of,
    submission_id_of,
)
from galaxy_jobs.entrypoints.api.routing import Routes
from galaxy_jobs.entrypoints.hints import explain
from galaxy_jobs.entrypoints.web import live, render
from galaxy_jobs.entrypoints.web.forms import Form
from galaxy_jobs.entrypoints.web.render import AnyRequest, Text, page


ROUTES = Routes("/")


PAGE_SIZE = 25
"""Jobs on a page of the list."""

COUNT_LIMIT = 1000
"""Up to here jobs in a state are counted."""

OFFERED = 200
"""How many datasets, the newest, workflows and labels a filter offers; others can be
typed."""

StateFilter: TypeAlias = Annotated[
    list[domain.InvocationState] | None,
    QueryParameter(name="state", description=f"one of {', '.join(render.STATES)}"),
]

LabelFilter: TypeAlias = Annotated[
    list[str] | None, QueryParameter(name="label", description="`key:value`")
]


@frozen(kw_only=True, eq=False)
class Typed:
    """What was typed and chosen to filter jobs (a dependency of routes)."""

    dataset_id: Text = None
    workflow_name: Text = None
    states: StateFilter = None
    owner: Text = None
    label_texts: LabelFilter = None
    search: Text = None
    batch_id: Text = None

    @property
    def labels(self) -> Sequence[str]:
        """The labels; the field of the form is empty as a rule."""
        return [text for text in self.label_texts or () if text]

    def filter(self, find_jobs: use_cases.FindJobs, viewer: Viewer) -> JobFilter:
        """Return the filter that it stands for."""
        return find_jobs(
            viewer,
            self.dataset_id or "",
            self.workflow_name or "",
            self.states or (),
            self.owner or "",
            labels=self.labels,
            search=self.search or "",
            batch_id=batch_id_of(self.batch_id) if self.batch_id else None,
        )

    def query(self, toggled: str | None = None, **more: str | None) -> str:
        """Return the query of a list's address; a state or label is toggled in it."""
        states = {state.value for state in self.states or ()}
        label = {toggled} if toggled and ":" in toggled else set()
        fields = {
            "dataset_id": self.dataset_id,
            "workflow_name": self.workflow_name,
            "state": [
                name for name in render.STATES if (name in states) != (name == toggled)
            ],
            "owner": self.owner,
            "label": [*({*self.labels} ^ label)],
            "search": self.search,
            "batch_id": self.batch_id,
            **more,
        }
        given = {name: value for name, value in fields.items() if value}
        return f"?{urlencode(given, doseq=True)}" if given else ""

    def list(
        self,
        invocations: ports.InvocationRepository,
        viewer: Viewer,
        wanted: JobFilter,
        cursor: str | None,
    ) -> tuple[Sequence[domain.Invocation], str | None]:
        """Return a page of the jobs that match, and the cursor of the next page."""
        here = ["page", self.query()]
        after = cursors.read(cursor or None, here)
        jobs = invocations.page(wanted, viewer, PAGE_SIZE, after)
        return jobs.items, cursors.write(jobs.next, here)


@ROUTES.get("/")
def get_jobs_page(
    *,
    request: AnyRequest,
    invocations: Needs[ports.InvocationRepository],
    datasets: Needs[ports.DatasetRepository],
    find_jobs: Needs[use_cases.FindJobs],
    viewer: Needs[Viewer],
    clock: Needs[ports.Clock],
    typed: Needs[Typed],
    cursor: CursorText = None,
) -> Response[str]:
    """Show the jobs, newest first."""
    wanted = typed.filter(find_jobs, viewer)
    jobs, next_cursor = typed.list(invocations, viewer, wanted, cursor)
    counts = invocations.counts(wanted, viewer, COUNT_LIMIT + 1)
    now = clock()
    return page(
        request,
        "jobs.html",
        now=now,
        jobs=jobs,
        filters=wanted,
        typed=typed,
        owns=viewer.owner is not None,
        chosen={state.value for state in wanted.states},
        counts={state.value: counts.get(state, 0) for state in domain.InvocationState},
        count_limit=COUNT_LIMIT,
        matches_limit=MATCHES_LIMIT,
        workflow_names=invocations.workflow_names(viewer, OFFERED),
        job_of_that_id=invocations.get_many(
            [InvocationId(typed.search or "")], viewer
        ).values(),
        offered_labels=invocations.labels(viewer, OFFERED),
        datasets=datasets.page(viewer, OFFERED).items,
        query=typed.query,
        cursor=cursor,
        next_cursor=next_cursor,
        address=str(request.base_url).rstrip("/"),
        mark=live.mark_of({job.invocation_id: job for job in jobs}, now),
    )


@ROUTES.get("/ui/jobs/{invocation_id:str}")
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


@ROUTES.get(["/ui/events", "/ui/jobs/{invocation_id:str}/events"])
async def get_events(
    *,
    request: AnyRequest,
    subscriptions: Needs[Subscriptions],
    live_pages: Needs[live.LivePages],
    invocations: Needs[ports.InvocationRepository],
    find_jobs: Needs[use_cases.FindJobs],
    viewer: Needs[Viewer],
    typed: Needs[Typed],
    invocation_id: FromPath[str | None] = None,
    cursor: CursorText = None,
    mark: Annotated[
        str, QueryParameter(description="the mark of what the page shows")
    ] = "",
) -> Stream:
    """Stream an event whenever a page is out of date, and one at the end of its job."""
    wanted = await asyncio.to_thread(typed.filter, find_jobs, viewer)
    job_id = InvocationId(invocation_id) if invocation_id else None

    def read() -> Sequence[domain.Invocation]:
        if job_id is not None:
            return [invocations.get(job_id, viewer)]
        return typed.list(invocations, viewer, wanted, cursor)[0]

    def moved_by(change: domain.JobTransition) -> bool:
        return job_id is None and wanted.moved_by(change, viewer, is_first=not cursor)

    key = (viewer, job_id or (wanted, cursor or None))
    followed = live_pages.follow(
        key, live.Page(read, moved_by), subscriptions.open(request, None)
    )
    changes = live_pages.changes(key, mark, ends=job_id is not None)
    return await stream(subscriptions.broadcast, followed, changes)


@ROUTES.get("/ui/jobs/{invocation_id:str}/outputs", asks_galaxy=True)
def get_outputs_page(
    request: AnyRequest,
    invocation_id: FromPath[str],
    job_outputs: Needs[use_cases.JobOutputs],
    viewer: Needs[Viewer],
) -> Response[str]:
    """Show the outputs of a job, as Galaxy lists them now."""

    def read() -> dict[str, Any]:
        made = job_outputs(InvocationId(invocation_id), viewer)
        link = partial(file_path, InvocationId(invocation_id))
        return {"outputs": schemas.outputs(made, 0, link)}

    return _from_galaxy(
        request,
        "outputs.html",
        read,
        outputs=[],
        invocation_id=invocation_id,
        zip=f"/jobs/{render.segment(invocation_id)}/outputs.zip",
        limit=ELEMENTS_LIMIT,
    )


@ROUTES.get("/ui/jobs/{invocation_id:str}/ro-crate", asks_galaxy=True)
def get_crate_page(
    request: AnyRequest,
    invocation_id: FromPath[str],
    find_crate: Needs[use_cases.FindCrate],
    viewer: Needs[Viewer],
) -> Response[Any]:
    """Show that the RO-Crate of a job is being made, and redirect to it once it is."""
    if find_crate(InvocationId(invocation_id), viewer) is not None:
        path = f"/jobs/{render.segment(invocation_id)}/ro-crate"
        return Redirect(path, status_code=303)
    return page(
        request, "crate.html", headers={"Refresh": "2"}, invocation_id=invocation_id
    )


@ROUTES.get("/ui/jobs/{invocation_id:str}/steps", asks_galaxy=True)
def get_steps_page(
    request: AnyRequest,
    invocation_id: FromPath[str],
    job_steps: Needs[use_cases.JobSteps],
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


@ROUTES.get("/ui/jobs/{invocation_id:str}/logs", asks_galaxy=True)
def get_logs_page(
    request: AnyRequest,
    invocation_id: FromPath[str],
    job_logs: Needs[use_cases.JobLogs],
    viewer: Needs[Viewer],
) -> Response[str]:
    """Show the logs of the failed jobs of a job, as Galaxy has them now."""

    def read() -> dict[str, Any]:
        logs, more = job_logs(InvocationId(invocation_id), viewer)
        return {"logs": logs, "more": more}

    empty = {"invocation_id": invocation_id, "logs": [], "more": 0}
    return _from_galaxy(request, "logs.html", read, **empty)


def _from_galaxy(
    request: AnyRequest, template: str, read: Callable[[], dict[str, Any]], **shown: Any
) -> Response[str]:
    """Return a page with what is read, or, within that of a job, with the problem."""
    message = None
    try:
        shown |= read()
    except domain.DomainError as error:
        if not render.is_htmx(request):
            raise
        message = explain(error)
    return page(request, template, message=message, **shown)


@ROUTES.get("/ui/submissions/{submission_id:str}")
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


@ROUTES.post("/ui/jobs/{invocation_id:str}/cancel")
def post_cancel_form(
    invocation_id: FromPath[str],
    cancel_job: Needs[use_cases.CancelJob],
    viewer: Needs[Viewer],
) -> Redirect:
    """Cancel a job."""
    return to_job(cancel_job(InvocationId(invocation_id), viewer).invocation_id)


@ROUTES.post("/ui/jobs/{invocation_id:str}/delete-results", asks_galaxy=True)
def post_delete_results_form(
    invocation_id: FromPath[str],
    delete_results: Needs[use_cases.DeleteResults],
    viewer: Needs[Viewer],
) -> Redirect:
    """Delete the results of a job."""
    return to_job(delete_results(InvocationId(invocation_id), viewer).invocation_id)


@ROUTES.post("/ui/jobs/{invocation_id:str}/labels")
def post_labels_form(
    invocation_id: FromPath[str],
    form: Needs[Form],
    label_job: Needs[use_cases.LabelJob],
    viewer: Needs[Viewer],
) -> Redirect:
    """Change the labels of a job: those that were changed in the form alone."""
    texts = form.get("labels", "").replace("\r\n", "\n").split("\n")
    before, after = (
        {label.key: label.value for label in map(domain.Label.parse, filter(None, of))}
        for of in (form.getall("before", []), texts)
    )
    patch = difference(before, after)
    return to_job(label_job(InvocationId(invocation_id), viewer, patch).invocation_id)


def to_job(invocation_id: str) -> Redirect:
    """Redirect to a job's page, so that reloading it sends no form again."""
    return Redirect(f"/ui/jobs/{render.segment(invocation_id)}", status_code=303)

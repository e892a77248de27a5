"""Pages to look at jobs, and to cancel one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypeAlias
from urllib.parse import urlencode

from attrs import frozen
from litestar import get, post
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect, Stream, Template

from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.values import DatasetId, InvocationId
from galaxy_jobs.domain.ports import (
    Clock,
    InvocationRepository,
    JobFilter,
    Page,
    SubmissionRepository,
)
from galaxy_jobs.domain.use_cases import CancelJob, JobOutputs
from galaxy_jobs.entrypoints.api import cursors, schemas
from galaxy_jobs.entrypoints.api.auth import rate_key, requires
from galaxy_jobs.entrypoints.api.events import stream
from galaxy_jobs.entrypoints.api.limits import StreamSlots
from galaxy_jobs.entrypoints.api.parameters import CursorText, Needs, submission_id_of
from galaxy_jobs.entrypoints.api.threads import asks_galaxy
from galaxy_jobs.entrypoints.broadcast import Broadcast, TransitionFilter
from galaxy_jobs.entrypoints.hints import explain
from galaxy_jobs.entrypoints.web import live, wording
from galaxy_jobs.entrypoints.web.render import AnyRequest, Text, is_htmx, page


PAGE_SIZE = 25
"""Jobs on a page of the list."""


@frozen
class Filters:
    """The filters of the list, and the addresses of lists with such filters."""

    dataset_id: str | None
    workflow_name: str | None
    states: frozenset[str]

    @classmethod
    def of(
        cls,
        dataset_id: str | None,
        workflow_name: str | None,
        states: Iterable[InvocationState] | None,
    ) -> Filters:
        """Return the filters of a request; an empty text is no filter."""
        return cls(
            dataset_id or None,
            workflow_name or None,
            frozenset(state.value for state in states or ()),
        )

    def __bool__(self) -> bool:
        """Whether there is any filter."""
        return bool(self.dataset_id or self.workflow_name or self.states)

    def url(
        self,
        cursor: str | None = None,
        toggled: str | None = None,
        base: str = "/",
        **more: str,
    ) -> str:
        """Return the address of a list.

        Args:
            cursor: Where it begins.
            toggled: A state to add to the filter, or to take away from it.
            base: The path.
            more: Further query parameters.
        """
        states = self.states ^ {toggled} if toggled else self.states
        query = {
            "dataset_id": self.dataset_id,
            "workflow_name": self.workflow_name,
            "state": [state for state in wording.STATES if state in states],
            "cursor": cursor,
            **more,
        }
        given = {name: value for name, value in query.items() if value}
        return f"{base}?{urlencode(given, doseq=True)}" if given else base

    def find(
        self, invocations: InvocationRepository, cursor: str | None
    ) -> Page[Invocation]:
        """Return a page of the jobs that match.

        Raises:
            InvalidValue: The cursor belongs to another list.
        """
        return invocations.page(
            JobFilter(
                dataset_id=DatasetId(self.dataset_id) if self.dataset_id else None,
                workflow_name=self.workflow_name,
                states=frozenset(map(InvocationState, self.states)),
            ),
            PAGE_SIZE,
            cursors.read(cursor or None, self.identity),
        )

    @property
    def identity(self) -> object:
        """The list that its cursors belong to."""
        return ["page", self.dataset_id, self.workflow_name, sorted(self.states)]


StateFilter: TypeAlias = Annotated[
    list[InvocationState] | None,
    QueryParameter(name="state", description=f"one of {', '.join(wording.STATES)}"),
]
Mark: TypeAlias = Annotated[
    str, QueryParameter(description="the mark of what the page shows")
]


@get("/", sync_to_thread=True)
def get_jobs_page(
    *,
    request: AnyRequest,
    invocations: Needs[InvocationRepository],
    clock: Needs[Clock],
    dataset_id: Text = None,
    workflow_name: Text = None,
    states: StateFilter = None,
    cursor: CursorText = None,
) -> Template:
    """Show the jobs, newest first."""
    filters = Filters.of(dataset_id, workflow_name, states)
    listed = filters.find(invocations, cursor)
    now = clock()
    jobs = [schemas.job(invocation, now) for invocation in listed.items]
    return page(
        request,
        "jobs.html",
        now=now,
        jobs=jobs,
        summary=_summary([job.state.value for job in jobs]),
        filters=filters,
        cursor=cursor,
        next_cursor=cursors.write(listed.next, filters.identity),
        address=str(request.base_url).rstrip("/"),
        mark=live.mark_of(jobs),
    )


@get("/ui/events")
async def get_list_events(
    *,
    request: AnyRequest,
    broadcast: Needs[Broadcast],
    slots: Needs[StreamSlots],
    invocations: Needs[InvocationRepository],
    clock: Needs[Clock],
    dataset_id: Text = None,
    workflow_name: Text = None,
    states: StateFilter = None,
    cursor: CursorText = None,
    mark: Mark = "",
) -> Stream:
    """Stream an event whenever the list is out of date."""
    filters = Filters.of(dataset_id, workflow_name, states)

    def read() -> live.View:
        jobs = filters.find(invocations, cursor).items
        return live.View(
            mark=live.mark_of(schemas.job(job, clock()) for job in jobs),
            active=any(not job.state.is_terminal for job in jobs),
        )

    selected = TransitionFilter(
        dataset_id=DatasetId(filters.dataset_id) if filters.dataset_id else None
    )
    slot = slots.hold(rate_key(request))
    return await stream(broadcast, slot, selected, live.changes(read, mark))


@get("/ui/jobs/{invocation_id:str}", sync_to_thread=True)
def get_job_page(
    *,
    request: AnyRequest,
    invocation_id: FromPath[str],
    invocations: Needs[InvocationRepository],
    clock: Needs[Clock],
) -> Template:
    """Show a job."""
    invocation = invocations.get(InvocationId(invocation_id))
    job = schemas.job_detail(invocation, clock())
    active = not invocation.state.is_terminal
    headers = None
    if not active and request.headers.get("hx-target") == "live":
        # The script has missed the end: it is to load the whole page.
        headers = {"HX-Refresh": "true"}
    return page(
        request,
        "job.html",
        headers=headers,
        now=clock(),
        job=job,
        active=active,
        galaxy=_in_galaxy(invocation),
        history=[
            schemas.view(schemas.TransitionJson, transition)
            for transition in invocations.transitions(invocation.invocation_id)
        ],
        mark=live.mark_of([job]),
    )


@get("/ui/jobs/{invocation_id:str}/events")
async def get_job_events(
    *,
    request: AnyRequest,
    broadcast: Needs[Broadcast],
    slots: Needs[StreamSlots],
    invocation_id: FromPath[str],
    invocations: Needs[InvocationRepository],
    clock: Needs[Clock],
    mark: Mark = "",
) -> Stream:
    """Stream an event whenever a job's page is out of date, and one at its end."""
    selected = TransitionFilter(invocation_id=InvocationId(invocation_id))

    def read() -> live.View:
        invocation = invocations.get(InvocationId(invocation_id))
        ended = invocation.state.is_terminal
        mark = live.mark_of([schemas.job(invocation, clock())])
        return live.View(mark=mark, active=not ended, ended=ended)

    slot = slots.hold(rate_key(request))
    return await stream(broadcast, slot, selected, live.changes(read, mark))


@get("/ui/jobs/{invocation_id:str}/outputs")
@asks_galaxy
def get_outputs_page(
    request: AnyRequest, invocation_id: FromPath[str], job_outputs: Needs[JobOutputs]
) -> Template:
    """Show the outputs of a job, as Galaxy lists them now."""
    outputs: Sequence[schemas.OutputJson] = []
    error = None
    try:
        outputs = schemas.view(
            schemas.Outputs, {"items": job_outputs(InvocationId(invocation_id))}
        ).items
    except DomainError as failure:
        if not is_htmx(request):
            raise
        error = explain(failure)  # within the page of the job
    return page(
        request,
        "outputs.html",
        invocation_id=invocation_id,
        outputs=outputs,
        error=error,
    )


@get("/ui/submissions/{submission_id:str}", sync_to_thread=True)
def get_submission_page(
    request: AnyRequest,
    submission_id: FromPath[str],
    submissions: Needs[SubmissionRepository],
) -> Template | Redirect:
    """Show a submission, or redirect to its job."""
    submission = submissions.get(submission_id_of(submission_id))
    if submission.invocation_id is not None:
        return to_job(submission.invocation_id)
    return page(request, "submission.html", submission=submission)


@post(
    "/ui/jobs/{invocation_id:str}/cancel",
    guards=[requires(Scope.SUBMIT)],
    sync_to_thread=True,
)
def post_cancel_form(
    invocation_id: FromPath[str], cancel_job: Needs[CancelJob]
) -> Redirect:
    """Cancel a job."""
    return to_job(cancel_job(InvocationId(invocation_id)).invocation_id)


def to_job(invocation_id: str) -> Redirect:
    """Redirect to a job's page, so that reloading it sends no form again."""
    return Redirect(f"/ui/jobs/{wording.segment(invocation_id)}", status_code=303)


def _summary(states: Sequence[str]) -> str:
    """Return the list in words, for screen readers."""
    counts = [
        f"{states.count(state)} {name.lower()}"
        for state, name in wording.STATES.items()
        if state in states
    ]
    return f"{len(states)} jobs shown: {', '.join(counts)}" if states else "No job"


def _in_galaxy(invocation: Invocation) -> Mapping[str, str]:
    """Return the addresses of a job's pages in Galaxy, by their names."""
    base = invocation.identity.url
    pages = {"Invocation": f"{base}/workflows/invocations/{invocation.invocation_id}"}
    if invocation.history_id is not None:
        pages["History"] = f"{base}/histories/view?id={invocation.history_id}"
    return pages


ROUTES = [
    get_jobs_page,
    get_list_events,
    get_job_page,
    get_job_events,
    get_outputs_page,
    get_submission_page,
    post_cancel_form,
]

"""Looking at jobs, and asking one to stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlencode

from attrs import frozen
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect, Stream

from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
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
from galaxy_jobs.entrypoints.api.auth import name_of
from galaxy_jobs.entrypoints.api.events import stream
from galaxy_jobs.entrypoints.api.limits import Places
from galaxy_jobs.entrypoints.api.parameters import (
    CursorText,
    Needs,
    submission_named,
)
from galaxy_jobs.entrypoints.api.threads import asks_galaxy
from galaxy_jobs.entrypoints.broadcast import Fanout, Wanted
from galaxy_jobs.entrypoints.hints import explain
from galaxy_jobs.entrypoints.web import live, wording
from galaxy_jobs.entrypoints.web.forms import Form
from galaxy_jobs.entrypoints.web.render import is_htmx, page


ON_A_PAGE = 25
"""How many jobs a page of the list shows."""

AnyRequest: TypeAlias = Request[Any, Any, Any]


@frozen
class Filters:
    """Which jobs the list shows, and the addresses of lists like it."""

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
        """Read what was asked for; an empty text asks for nothing."""
        return cls(
            dataset_id or None,
            workflow_name or None,
            frozenset(state.value for state in states or ()),
        )

    def __bool__(self) -> bool:
        """Say whether anything is left out."""
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
            toggled: A state that is shown besides, or not any more.
            base: Its path.
            more: What else is asked for there.
        """
        states = self.states ^ {toggled} if toggled else self.states
        said = [
            *(("dataset_id", one) for one in [self.dataset_id] if one),
            *(("workflow_name", one) for one in [self.workflow_name] if one),
            *(("state", one) for one in wording.STATES if one in states),
            *(("cursor", one) for one in [cursor] if one),
            *more.items(),
        ]
        return f"{base}?{urlencode(said)}" if said else base

    def find(
        self, invocations: InvocationRepository, cursor: str | None
    ) -> Page[Invocation]:
        """Return a page of the jobs that fit.

        Raises:
            InvalidValue: The cursor is none of a list like that.
        """
        return invocations.page(
            JobFilter(
                dataset_id=DatasetId(self.dataset_id) if self.dataset_id else None,
                workflow_name=self.workflow_name,
                states=frozenset(map(InvocationState, self.states)),
            ),
            ON_A_PAGE,
            cursors.read(cursor or None, self.place),
        )

    @property
    def place(self) -> object:
        """What cursors of the list are good for."""
        return ["page", self.dataset_id, self.workflow_name, sorted(self.states)]


DatasetFilter: TypeAlias = Annotated[str | None, QueryParameter(description="a text")]
WorkflowFilter: TypeAlias = Annotated[str | None, QueryParameter(description="a text")]
StateFilter: TypeAlias = Annotated[
    list[InvocationState] | None,
    QueryParameter(name="state", description=f"one of {', '.join(wording.STATES)}"),
]
Mark: TypeAlias = Annotated[
    str, QueryParameter(description="what the page knows already")
]


@get("/", sync_to_thread=True)
def get_jobs_page(
    *,
    request: AnyRequest,
    invocations: Needs[InvocationRepository],
    shown: Needs[schemas.Shown],
    clock: Needs[Clock],
    dataset_id: DatasetFilter = None,
    workflow_name: WorkflowFilter = None,
    states: StateFilter = None,
    cursor: CursorText = None,
) -> Response[str]:
    """Show jobs, newest first."""
    filters = Filters.of(dataset_id, workflow_name, states)
    found = filters.find(invocations, cursor)
    jobs = [shown.job(one) for one in found.items]
    return page(
        request,
        "jobs.html",
        now=clock(),
        jobs=jobs,
        summary=_summary([one.state.value for one in found.items]),
        filters=filters,
        cursor=cursor,
        next_cursor=cursors.write(found.next, filters.place),
        address=str(request.base_url).rstrip("/"),
        mark=live.mark_of(jobs),
    )


@get("/ui/events")
async def get_list_events(
    *,
    request: AnyRequest,
    fanout: Needs[Fanout],
    places: Needs[Places],
    invocations: Needs[InvocationRepository],
    shown: Needs[schemas.Shown],
    dataset_id: DatasetFilter = None,
    workflow_name: WorkflowFilter = None,
    states: StateFilter = None,
    cursor: CursorText = None,
    mark: Mark = "",
) -> Stream:
    """Stream an event whenever the list is out of date."""
    filters = Filters.of(dataset_id, workflow_name, states)

    def read() -> live.View:
        jobs = filters.find(invocations, cursor).items
        return live.View(
            mark=live.mark_of(map(shown.job, jobs)),
            active=any(not job.state.is_terminal for job in jobs),
        )

    wanted = Wanted(
        dataset_id=DatasetId(filters.dataset_id) if filters.dataset_id else None
    )
    slot = places.taken(name_of(request))
    return await stream(fanout, slot, wanted, live.changes(read, mark))


@get("/ui/jobs/{invocation_id:str}", sync_to_thread=True)
def get_job_page(
    *,
    request: AnyRequest,
    invocation_id: FromPath[str],
    invocations: Needs[InvocationRepository],
    shown: Needs[schemas.Shown],
    clock: Needs[Clock],
) -> Response[str]:
    """Show a job."""
    found = invocations.get(InvocationId(invocation_id))
    job = shown.detail(found)
    headers = None
    if found.state.is_terminal and request.headers.get("hx-target") == "live":
        # It wants to go on following, and has missed the end: once more as a whole.
        headers = {"HX-Refresh": "true"}
    return page(
        request,
        "job.html",
        headers=headers,
        now=clock(),
        job=job,
        active=not found.state.is_terminal,
        galaxy=_in_galaxy(found),
        history=[
            schemas.transition(transition)
            for transition in invocations.transitions(found.invocation_id)
        ],
        mark=live.mark_of([job]),
    )


@get("/ui/jobs/{invocation_id:str}/events")
async def get_job_events(
    *,
    request: AnyRequest,
    fanout: Needs[Fanout],
    places: Needs[Places],
    invocation_id: FromPath[str],
    invocations: Needs[InvocationRepository],
    shown: Needs[schemas.Shown],
    mark: Mark = "",
) -> Stream:
    """Stream an event whenever a job's page is out of date, and one at its end."""
    wanted = Wanted(invocation_id=InvocationId(invocation_id))

    def read() -> live.View:
        invocation = invocations.get(InvocationId(invocation_id))
        ended = invocation.state.is_terminal
        mark = live.mark_of([shown.job(invocation)])
        return live.View(mark=mark, active=not ended, ended=ended)

    slot = places.taken(name_of(request))
    return await stream(fanout, slot, wanted, live.changes(read, mark))


@get("/ui/jobs/{invocation_id:str}/outputs")
@asks_galaxy
def get_outputs_page(
    request: AnyRequest, invocation_id: FromPath[str], job_outputs: Needs[JobOutputs]
) -> Response[str]:
    """Show what a job has made: Galaxy is asked."""
    outputs: Sequence[schemas.OutputJson] = []
    trouble = None
    try:
        outputs = [schemas.output(o) for o in job_outputs(InvocationId(invocation_id))]
    except DomainError as error:
        if not is_htmx(request):
            raise
        trouble = explain(error)
    return page(
        request,
        "outputs.html",
        invocation_id=invocation_id,
        outputs=outputs,
        trouble=trouble,
    )


@get("/ui/submissions/{submission_id:str}", sync_to_thread=True)
def get_submission_page(
    request: AnyRequest,
    submission_id: FromPath[str],
    submissions: Needs[SubmissionRepository],
) -> Response[Any]:
    """Show what became of a submission; lead on to its job where there is one."""
    found = submissions.get(submission_named(submission_id))
    if found.invocation_id is not None:
        return to_job(found.invocation_id)
    return page(request, "submission.html", submission=found)


@post("/ui/jobs/{invocation_id:str}/cancel", sync_to_thread=True)
def post_cancel_form(
    invocation_id: FromPath[str],
    cancel_job: Needs[CancelJob],
    form: NamedDependency[Form],
) -> Redirect:
    """Ask a job to stop."""
    del form  # that it was read is what counts: it came from a page of ours
    return to_job(cancel_job(InvocationId(invocation_id)).invocation_id)


def to_job(invocation_id: str) -> Redirect:
    """Lead to a job's page, so that reloading it sends no form again."""
    return Redirect(f"/ui/jobs/{wording.segment(invocation_id)}", status_code=303)


def _summary(states: Sequence[str]) -> str:
    """Say how many jobs are shown, and in which states, to whom cannot see it."""
    counted = [
        f"{states.count(state)} {said.lower()}"
        for state, said in wording.STATES.items()
        if state in states
    ]
    return f"{len(states)} jobs shown: {', '.join(counted)}" if states else "No job"


def _in_galaxy(one: Invocation) -> Mapping[str, str]:
    """Return where Galaxy's own pages show a job and its history."""
    base = one.identity.url
    places = {"Invocation": f"{base}/workflows/invocations/{one.invocation_id}"}
    if one.history_id is not None:
        places["History"] = f"{base}/histories/view?id={one.history_id}"
    return places


ROUTES = [
    get_jobs_page,
    get_list_events,
    get_job_page,
    get_job_events,
    get_outputs_page,
    get_submission_page,
    post_cancel_form,
]
"""At the paths that they name."""

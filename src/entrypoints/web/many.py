"""Pages to cancel all jobs that match a filter, or to run them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from galaxy_jobs import domain
from galaxy_jobs.domain import JobFilter, Viewer, use_cases
from galaxy_jobs.domain.use_cases.many_jobs import MAX_CANCELLED, MAX_RERUN
from galaxy_jobs.entrypoints.api.auth import Caller, requires
from galaxy_jobs.entrypoints.api.parameters import Needs, idempotency_key
from galaxy_jobs.entrypoints.api.routing import Routes
from galaxy_jobs.entrypoints.web.forms import Form
from galaxy_jobs.entrypoints.web.pages import Typed
from galaxy_jobs.entrypoints.web.render import AnyRequest, page


ROUTES = Routes("/")

PATH = "/ui/many/{act:str}"

SHOWN = 20
"""Jobs that the confirmation lists."""

DIGITS = 5
"""Digits of a number of jobs at most."""


@ROUTES.get(PATH, guards=[requires(domain.Scope.SUBMIT)])
def get_many_page(
    *,
    request: AnyRequest,
    act: FromPath[str],
    typed: Needs[Typed],
    find_jobs: Needs[use_cases.FindJobs],
    cancel_jobs: Needs[use_cases.CancelJobs],
    rerun_jobs: Needs[use_cases.RerunJobs],
    viewer: Needs[Viewer],
) -> Response[str]:
    """Show how many jobs match, and ask for a confirmation."""
    is_rerun = _is_rerun(act)
    change: Callable[..., Any] = rerun_jobs if is_rerun else cancel_jobs
    most = MAX_RERUN if is_rerun else MAX_CANCELLED
    found = change(typed.filter(find_jobs, viewer), viewer, most, dry_run=True)
    return _page(request, act, typed, found, key=str(uuid4()))


@ROUTES.post(PATH, status_code=200, asks_galaxy=True)
def post_many_form(
    *,
    request: AnyRequest,
    act: FromPath[str],
    typed: Needs[Typed],
    form: Needs[Form],
    find_jobs: Needs[use_cases.FindJobs],
    cancel_jobs: Needs[use_cases.CancelJobs],
    rerun_jobs: Needs[use_cases.RerunJobs],
    caller: Needs[Caller],
    viewer: Needs[Viewer],
) -> Response[str]:
    """Change the jobs that match, as many as were confirmed, and show the outcomes."""
    number = form.get("at_most", "")
    at_most = int(number) if number.isdecimal() and len(number) <= DIGITS else 0
    change: Callable[[JobFilter, Viewer, int], Sequence[use_cases.Outcome]]
    change = cancel_jobs
    if _is_rerun(act):
        change = partial(rerun_jobs, key=idempotency_key(form.get("key"), caller))
    outcomes = change(typed.filter(find_jobs, viewer), viewer, at_most)
    return _page(request, act, typed, outcomes, key=None)


def _is_rerun(act: str) -> bool:
    if act not in {"cancel", "rerun"}:
        raise NotFoundException
    return act == "rerun"


def _page(
    request: AnyRequest,
    act: str,
    typed: Typed,
    outcomes: Sequence[use_cases.Outcome],
    key: str | None,
) -> Response[str]:
    return page(
        request,
        "many.html",
        is_rerun=act == "rerun",
        path=request.url.path,
        query=typed.query(),
        outcomes=outcomes,
        done=sum(outcome.done for outcome in outcomes),
        shown=SHOWN,
        key=key,
    )

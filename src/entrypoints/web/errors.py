"""Refusals as pages.

The API decides what is refused, with which words and status; here it is shown.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from litestar import Response
from litestar.response import Redirect, Template

from galaxy_jobs.entrypoints.api import exception_handlers as problems
from galaxy_jobs.entrypoints.api.problems import status_of
from galaxy_jobs.entrypoints.web.render import AnyRequest, is_htmx, page


SIGN_IN = "/sign-in"
"""The path of the page where a token is entered."""


def problem_page(
    request: AnyRequest, error: Exception
) -> Response[Any] | Redirect | Template:
    """Return the page for a request that has raised an exception.

    People without a token are led to the sign-in page. Programs get the problem as
    JSON, as from the API.
    """
    problem = problems.problem_of(request, error)
    if "text/html" not in request.headers.get("accept", "") and not is_htmx(request):
        return problems.problem_response(request, problem)
    if problem.code == "unauthenticated":
        return _to_sign_in(request)
    members = problems.problem_members(request, problem)
    status = status_of(problem.code, addressed=request.method == "GET")
    headers = problems.problem_headers(problem)
    return page(request, "error.html", status=status, headers=headers, problem=members)


def _to_sign_in(request: AnyRequest) -> Response[None] | Redirect:
    """Lead to the sign-in page, and from there back to the page that was wanted."""
    wanted = "/"
    if is_htmx(request):  # a part of a page: the way back is to the whole of it
        with suppress(ValueError):
            parts = urlsplit(request.headers.get("hx-current-url", ""))
            wanted = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    elif request.method == "GET":
        query = request.scope["query_string"].decode("latin-1")
        wanted = urlunsplit(("", "", request.scope["path"], query, ""))
    where = f"{SIGN_IN}?{urlencode({'next': wanted})}"
    if is_htmx(request):  # a script cannot show a form in place of a part
        return Response(None, status_code=401, headers={"HX-Redirect": where})
    return Redirect(where, status_code=303)

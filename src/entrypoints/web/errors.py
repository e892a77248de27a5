"""Refusals as pages.

Rule of the file: status and text are the API's; here they are only shown.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from litestar import Response
from litestar.response import Redirect

from galaxy_jobs.entrypoints.api import exception_handlers
from galaxy_jobs.entrypoints.web.render import AnyRequest, is_htmx, page


SIGN_IN = "/sign-in"
"""The path of the page where a token is entered."""


def problem_page(request: AnyRequest, error: Exception) -> Response[Any]:
    """Return the response to a request for a page that has raised an exception.

    A browser gets a page; without a token, the one to sign in. A program gets problem
    details, as from the API.
    """
    problem = exception_handlers.problem_of(request, error)
    if "text/html" not in request.headers.get("accept", "") and not is_htmx(request):
        return exception_handlers.problem_response(request, problem)
    if problem.code == "unauthenticated":
        return _to_sign_in(request)
    members = exception_handlers.problem_members(request, problem)
    return page(
        request,
        "error.html",
        status=members["status"],
        headers=problem.headers,
        problem=members,
    )


def _to_sign_in(request: AnyRequest) -> Response[Any]:
    """Redirect to the sign-in page, which leads back to the page of the request."""
    path, query = "/", ""
    if is_htmx(request):  # the request is for a part of that page
        with suppress(ValueError):
            url = urlsplit(request.headers.get("hx-current-url", ""))
            path, query = url.path or "/", url.query
    elif request.method == "GET":
        path = request.scope["path"]
        query = request.scope["query_string"].decode("latin-1")
    target = f"{path}?{query}" if query else path
    sign_in = f"{SIGN_IN}?{urlencode({'next': target})}"
    if is_htmx(request):  # a script would put the form in the place of the part
        return Response(None, status_code=401, headers={"HX-Redirect": sign_in})
    return Redirect(sign_in, status_code=303)

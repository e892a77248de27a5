"""Refusals as pages.

Rule of the file: what is said, and with which status, is decided where the JSON of
the API decides it; here it is only shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from litestar import Request, Response
from litestar.exceptions import ValidationException
from litestar.response import Redirect
from litestar.types import ExceptionHandlersMap

from galaxy_jobs.entrypoints.http.parameters import invalid
from galaxy_jobs.entrypoints.http.problems import EXCEPTION_HANDLERS
from galaxy_jobs.entrypoints.page.render import is_htmx, page


UNAUTHENTICATED = 401


def sign_in_url(request: Request[Any, Any, Any]) -> str:
    """Return where a token is entered, and the way back from there."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "GET":
        wanted = "/"
    return f"/sign-in?{urlencode({'next': wanted})}"


def _shown(
    handler: Callable[[Request[Any, Any, Any], Any], Response[Any]],
) -> Callable[[Request[Any, Any, Any], Any], Response[Any]]:
    """Make a page of what a handler of the API answers."""

    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        said = handler(request, error)
        if said.status_code == UNAUTHENTICATED and not is_htmx(request):
            return Redirect(sign_in_url(request), status_code=303)
        headers = {name: str(text) for name, text in said.headers.items()}
        if said.status_code == UNAUTHENTICATED:
            # The part of a page that a script asks for is no place for the form.
            headers["HX-Redirect"] = "/sign-in"
        return page(
            request,
            "error.html",
            status=said.status_code or 500,
            headers=headers,
            problem=json.loads(said.content),
        )

    return answer


HANDLERS: ExceptionHandlersMap = {
    kind: _shown(handler)
    for kind, handler in {**EXCEPTION_HANDLERS, ValidationException: invalid}.items()
}
"""For Litestar: whatever is raised becomes a page."""

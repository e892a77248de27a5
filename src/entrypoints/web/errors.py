"""Refusals as pages.

Rule of the file: what is said, and with which status, is decided where the JSON of
the API decides it; here it is only shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response
from litestar.exceptions import ValidationException
from litestar.types import ExceptionHandlersMap, HTTPScope

from galaxy_jobs.entrypoints.api.parameters import invalid
from galaxy_jobs.entrypoints.api.problems import EXCEPTION_HANDLERS
from galaxy_jobs.entrypoints.web.render import HEADERS, html, page


def _shown(
    handler: Callable[[Request[Any, Any, Any], Any], Response[Any]],
) -> Callable[[Request[Any, Any, Any], Any], Response[Any]]:
    """Make a page of what a handler of the API answers."""

    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
        said = handler(request, error)
        return page(
            request,
            "error.html",
            status=said.status_code or 500,
            headers={name: str(text) for name, text in said.headers.items()},
            problem=json.loads(said.content),
        )

    return answer


def refusal(scope: HTTPScope, problem: bytes) -> tuple[bytes, Mapping[str, str]]:
    """Make a page for a request that has reached no route.

    Returns:
        The HTML, and the headers that go with it.
    """
    text = html(Request(scope), "error.html", problem=json.loads(problem))
    return text.encode(), {"Content-Type": "text/html; charset=utf-8", **HEADERS}


HANDLERS: ExceptionHandlersMap = {
    kind: _shown(handler)
    for kind, handler in {**EXCEPTION_HANDLERS, ValidationException: invalid}.items()
}
"""For Litestar: whatever is raised becomes a page."""

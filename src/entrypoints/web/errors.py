"""Refusals as pages.

Rule of the file: status and text are decided where the API's problems are made; here
they are only shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response
from litestar.exceptions import ValidationException
from litestar.response import Template
from litestar.types import ExceptionHandlersMap, HTTPScope

from galaxy_jobs.entrypoints.api.parameters import invalid
from galaxy_jobs.entrypoints.api.problems import EXCEPTION_HANDLERS
from galaxy_jobs.entrypoints.web.render import HEADERS, TEMPLATES, AnyRequest, page


def _as_page(
    handler: Callable[[AnyRequest, Any], Response[Any]],
) -> Callable[[AnyRequest, Any], Template]:
    def handle(request: AnyRequest, error: Exception) -> Template:
        problem = handler(request, error)
        return page(
            request,
            "error.html",
            status=problem.status_code or 500,
            headers={name: str(text) for name, text in problem.headers.items()},
            problem=json.loads(problem.content),
        )

    return handle


def refusal(scope: HTTPScope, problem: bytes) -> tuple[bytes, Mapping[str, str]]:
    """Return a page for a request that has reached no route.

    Returns:
        The HTML, and its headers.
    """
    shown = page(Request(scope), "error.html", problem=json.loads(problem))
    template = TEMPLATES.engine_instance.get_template("error.html")
    html = template.render(**shown.context).encode()
    return html, {"Content-Type": "text/html; charset=utf-8", **HEADERS}


HANDLERS: ExceptionHandlersMap = {
    kind: _as_page(handler)
    for kind, handler in {**EXCEPTION_HANDLERS, ValidationException: invalid}.items()
}
"""For Litestar: every exception becomes a page."""

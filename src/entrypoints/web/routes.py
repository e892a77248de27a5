"""The pages, put together: what all of them check, and refusals as pages.

Rule of the file: status and text of a refusal are the API's; here they are only shown.
"""

from __future__ import annotations

from typing import Any

from litestar import Response, Router, get
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler

from galaxy_jobs.entrypoints.api import exception_handlers
from galaxy_jobs.entrypoints.api.auth import PAGE, SAFE_METHODS, Connection
from galaxy_jobs.entrypoints.api.host_and_origin import is_same_origin
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.web import (
    batches,
    docs,
    many,
    pages,
    render,
    sign_in,
    submit,
    upload,
)
from galaxy_jobs.entrypoints.web.forms import form_of
from galaxy_jobs.entrypoints.web.render import AnyRequest, is_htmx, page


def require_same_origin(connection: Connection, _: BaseRouteHandler) -> None:
    """Refuse forms that another site's page made the browser send (a guard).

    Raises:
        Refused: The browser does not declare that a page of ours sent the request.
    """
    safe = connection.scope.get("method") in SAFE_METHODS
    if not safe and not is_same_origin(connection.headers):
        raise Refused(
            "forbidden",
            "The form was not sent from a page of this service. Nothing was done. "
            "Reload the page and send it again.",
        )


def problem_page(request: AnyRequest, error: Exception) -> Response[Any]:
    """Return the response to a request for a page that has raised an exception.

    A browser gets a page; without a token, the one to sign in. A program gets problem
    details, as from the API.
    """
    problem = exception_handlers.problem_of(request, error)
    if "text/html" not in request.headers.get("accept", "") and not is_htmx(request):
        return exception_handlers.problem_response(request, problem)
    if problem.code == "unauthenticated":
        return sign_in.to_sign_in(request)
    members = exception_handlers.problem_members(request, problem)
    return page(
        request,
        "error.html",
        status=members["status"],
        headers=problem.headers,
        problem=members,
    )


@get("/ui/{rest:path}", sync_to_thread=False)
def get_nothing() -> None:
    """Answer 404 with a page."""
    raise NotFoundException


def router() -> Router:
    """Return every page."""
    return Router(
        "/",
        route_handlers=[
            pages.ROUTES,
            batches.ROUTES,
            many.ROUTES,
            sign_in.ROUTES,
            submit.ROUTES,
            upload.ROUTES,
            render.ASSETS_ROUTER,
            docs.ROUTES,
            get_nothing,
        ],
        dependencies={
            "form": Provide(form_of),
            "typed": Provide(pages.Typed, sync_to_thread=False),
            "signing_in": Provide(sign_in.SigningIn, sync_to_thread=False),
            "forms": Provide(submit.Forms, sync_to_thread=False),
        },
        exception_handlers={Exception: problem_page},
        guards=[require_same_origin],
        opt={PAGE: True},
        include_in_schema=False,
    )

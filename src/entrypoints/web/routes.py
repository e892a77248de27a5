"""The pages, put together."""

from __future__ import annotations

from typing import Any

from litestar import Response, Router, get
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath

from galaxy_jobs.entrypoints.api import openapi
from galaxy_jobs.entrypoints.api.auth import PAGE, SAFE_METHODS
from galaxy_jobs.entrypoints.api.headers import is_same_origin
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.web import pages, sign_in, submit
from galaxy_jobs.entrypoints.web.errors import problem_page
from galaxy_jobs.entrypoints.web.forms import form_of
from galaxy_jobs.entrypoints.web.render import ASSETS_ROUTER, AnyRequest, page


def require_same_origin(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
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


@get("/docs", sync_to_thread=True)
def get_docs_page(request: AnyRequest) -> Response[str]:
    """Show the OpenAPI document.

    The usual viewers are megabytes of script that a page loads from another host.
    """
    return page(request, "docs.html", document=openapi.document(request.app))


@get("/ui/{rest:path}", sync_to_thread=False)
def get_nothing(rest: FromPath[str]) -> None:
    """Answer 404 with a page.

    Raises:
        NotFoundException: Always.
    """
    del rest
    raise NotFoundException


def router() -> Router:
    """Return every page."""
    return Router(
        "/",
        route_handlers=[
            *pages.ROUTES,
            *sign_in.ROUTES,
            *submit.ROUTES,
            ASSETS_ROUTER,
            get_docs_page,
            get_nothing,
        ],
        dependencies={
            "form": Provide(form_of),
            "forms": Provide(submit.Forms, sync_to_thread=False),
        },
        exception_handlers={Exception: problem_page},
        guards=[require_same_origin],
        opt={PAGE: True},
        include_in_schema=False,
    )

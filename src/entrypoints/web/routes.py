"""Every page, put together."""

from __future__ import annotations

from litestar import Router, get
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from galaxy_jobs.entrypoints.web import pages, sign_in, submit
from galaxy_jobs.entrypoints.web.assets import get_asset
from galaxy_jobs.entrypoints.web.errors import HANDLERS, refusal
from galaxy_jobs.entrypoints.web.guard import checked_form


__all__ = ["refusal", "router"]


@get("/ui/{rest:path}", sync_to_thread=False)
def get_nothing(rest: FromPath[str]) -> None:
    """Say that there is nothing, in a page.

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
            *submit.ROUTES,
            *sign_in.ROUTES,
            get_asset,
            get_nothing,
        ],
        dependencies={"form": Provide(checked_form)},
        exception_handlers=HANDLERS,
        include_in_schema=False,
    )

"""Where a token is entered, and where it is forgotten again.

Rule of the file: whether a token is good is the guard's to say. The browser keeps
it in a cookie that no script can read, until it is closed.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect

from galaxy_jobs.domain.errors import BadToken
from galaxy_jobs.entrypoints.api.asgi import Service
from galaxy_jobs.entrypoints.api.auth import COOKIE, SIGN_IN, Guard
from galaxy_jobs.entrypoints.web import guard
from galaxy_jobs.entrypoints.web.forms import Form
from galaxy_jobs.entrypoints.web.pages import AnyRequest
from galaxy_jobs.entrypoints.web.render import page


_HERE = re.compile(r"/(?![/\\])[!-~]*")
"""An address on this site: what begins with two slashes is on another one."""

UNAUTHENTICATED = 401


@get(SIGN_IN)
async def get_sign_in_page(
    request: AnyRequest,
    wanted: Annotated[
        str | None, QueryParameter(name="next", description="where to go from here")
    ] = None,
) -> Response[str]:
    """Ask for a token, where one is needed."""
    return await _asking(request, wanted or "/")


@post(SIGN_IN)
async def post_sign_in_form(
    request: AnyRequest, form: NamedDependency[Form]
) -> Response[Any]:
    """Let the browser keep a token that is good."""
    token, wanted = form.one("token").strip(), form.one("next")
    try:
        await _guard(request).verify(token)
    except BadToken as error:
        return await _asking(request, wanted, error)
    answer = Redirect(wanted if _HERE.fullmatch(wanted) else "/", status_code=303)
    answer.set_cookie(guard.cookie(request, COOKIE, token))
    return answer


@post("/sign-out", sync_to_thread=False)
def post_sign_out_form(form: NamedDependency[Form]) -> Redirect:
    """Let the browser forget its token."""
    del form  # that it was read is what counts: it came from a page of ours
    answer = Redirect(SIGN_IN, status_code=303)
    answer.delete_cookie(COOKIE)
    answer.delete_cookie(guard.SECRET)
    return answer


async def _asking(
    request: AnyRequest, wanted: str, error: BadToken | None = None
) -> Response[str]:
    return page(
        request,
        "sign_in.html",
        status=200 if error is None else UNAUTHENTICATED,
        needed=await _guard(request).needed(),
        wanted=wanted,
        error=error,
    )


def _guard(request: AnyRequest) -> Guard:
    assert isinstance(request.app, Service)
    assert request.app.guard is not None
    return request.app.guard


ROUTES = [get_sign_in_page, post_sign_in_form, post_sign_out_form]
"""At the paths that they name."""

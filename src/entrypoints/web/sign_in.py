"""Signing in with a token, and signing out.

Rule of the file: whether a token is valid is decided by the API's authentication. The
browser keeps it in a cookie that no script can read, until it is closed.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated

from litestar import get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect, Template

from galaxy_jobs.domain.errors import BadToken
from galaxy_jobs.entrypoints.api.auth import COOKIE, SIGN_IN_FORM, TokenCache
from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.web.errors import SIGN_IN
from galaxy_jobs.entrypoints.web.forms import Form
from galaxy_jobs.entrypoints.web.render import AnyRequest, page


_LOCAL = re.compile(r"/(?![/\\])[!-~]*")
"""The path of a page here; two slashes begin the address of another site."""


@get(SIGN_IN, opt={SIGN_IN_FORM: True})
async def get_sign_in_page(
    request: AnyRequest,
    token_cache: Needs[TokenCache],
    target: Annotated[
        str | None, QueryParameter(name="next", description="where to go from here")
    ] = None,
) -> Template:
    """Ask for a token, if one is needed."""
    return await _sign_in_page(request, token_cache, target or "/")


@post(SIGN_IN, opt={SIGN_IN_FORM: True})
async def post_sign_in_form(
    request: AnyRequest, form: NamedDependency[Form], token_cache: Needs[TokenCache]
) -> Template | Redirect:
    """Give the browser a cookie with a valid token."""
    token, target = form.get("token").strip(), form.get("next")
    try:
        await token_cache.verify(token)
    except BadToken as error:
        return await _sign_in_page(request, token_cache, target, error)
    response = Redirect(target if _LOCAL.fullmatch(target) else "/", status_code=303)
    response.set_cookie(
        Cookie(
            COOKIE,
            value=token,
            httponly=True,
            samesite="lax",
            secure=_is_secure(request),
        )
    )
    return response


@post("/sign-out", sync_to_thread=False)
def post_sign_out_form() -> Redirect:
    """Delete the cookie with the token."""
    response = Redirect(SIGN_IN, status_code=303)
    response.delete_cookie(COOKIE)
    return response


async def _sign_in_page(
    request: AnyRequest,
    token_cache: TokenCache,
    target: str,
    error: BadToken | None = None,
) -> Template:
    return page(
        request,
        "sign_in.html",
        status=HTTPStatus.OK if error is None else HTTPStatus.UNAUTHORIZED,
        needed=await token_cache.required(),
        target=target,
        error=error,
    )


def _is_secure(request: AnyRequest) -> bool:
    """Whether the browser uses TLS, with this service or with a proxy before it.

    A client that forges the proxy's header harms itself alone.
    """
    forwarded = request.headers.get("x-forwarded-proto", "")
    return "https" in {request.url.scheme, forwarded.strip().lower()}


ROUTES = [get_sign_in_page, post_sign_in_form, post_sign_out_form]

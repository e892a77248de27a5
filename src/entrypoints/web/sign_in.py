"""Signing in with a token, and signing out.

Rule of the file: whether a token is valid is decided by the API's authentication. The
browser keeps it in a cookie that no script can read, until it is closed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from litestar import Response, get, post
from litestar.params import QueryParameter
from litestar.response import Redirect

from galaxy_jobs.domain.errors import BadToken
from galaxy_jobs.entrypoints.api.auth import COOKIE, SIGN_IN_FORM, TokenCache
from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.web.forms import Form
from galaxy_jobs.entrypoints.web.render import AnyRequest, is_htmx, page


SIGN_IN = "/sign-in"
"""The path of the page where a token is entered."""

_LOCAL = re.compile(r"/(?![/\\])[!-~]{0,4000}")
"""The path of a page here; two slashes begin the address of another site."""


@get(SIGN_IN, opt={SIGN_IN_FORM: True})
async def get_sign_in_page(
    request: AnyRequest,
    token_cache: Needs[TokenCache],
    target: Annotated[
        str, QueryParameter(name="next", description="where to go from here")
    ] = "/",
) -> Response[str]:
    """Ask for a token, if one is needed."""
    needed = await token_cache.required()
    return page(
        request, "sign_in.html", needed=needed, target=_here(target), error=None
    )


@post(SIGN_IN, opt={SIGN_IN_FORM: True})
async def post_sign_in_form(
    request: AnyRequest, form: Needs[Form], token_cache: Needs[TokenCache]
) -> Response[Any]:
    """Give the browser a cookie with a valid token."""
    token, target = form.get("token", "").strip(), _here(form.get("next", ""))
    try:
        await token_cache.verify(token)
    except BadToken as error:
        return page(
            request,
            "sign_in.html",
            status=401,
            needed=await token_cache.required(),
            target=target,
            error=error,
        )
    # TLS ends here, or at a proxy. A client that forges its header harms itself alone.
    forwarded = request.headers.get("x-forwarded-proto", "").strip().lower()
    secure = "https" in {request.url.scheme, forwarded}
    response = Redirect(target, status_code=303)
    response.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=secure)
    return response


@post("/sign-out", sync_to_thread=False)
def post_sign_out_form() -> Redirect:
    """Delete the cookie with the token."""
    response = Redirect(SIGN_IN, status_code=303)
    response.delete_cookie(COOKIE)
    return response


def _here(target: str) -> str:
    """Return the path of a page here; that of the list, where a target is none."""
    return target if _LOCAL.fullmatch(target) else "/"


def to_sign_in(request: AnyRequest) -> Response[Any]:
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


ROUTES = [get_sign_in_page, post_sign_in_form, post_sign_out_form]

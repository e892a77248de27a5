"""Signing in with a token or at an identity provider, and signing out.

Rule of the file: whether a token is valid is decided by the API's authentication, and
whom an identity provider has authenticated by the core. The browser keeps the token, or
that of its session, in a cookie that no script can read, until it is closed.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from secrets import token_urlsafe
from typing import Annotated, Any, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from attrs import frozen
from litestar import Response
from litestar.params import QueryParameter
from litestar.response import Redirect

from galaxy_jobs.domain import IdentityProviders, errors
from galaxy_jobs.domain.use_cases import SignIn, SignOut
from galaxy_jobs.entrypoints.api.auth import COOKIE, SIGN_IN_FORM, TokenCache
from galaxy_jobs.entrypoints.api.parameters import ANY_QUERY, Needs
from galaxy_jobs.entrypoints.api.problems import STATUS
from galaxy_jobs.entrypoints.api.routing import Routes
from galaxy_jobs.entrypoints.web.forms import Form
from galaxy_jobs.entrypoints.web.render import AnyRequest, is_htmx, page


ROUTES = Routes("/")

SIGN_IN = "/sign-in"
"""The path of the page where a token is entered."""

CALLBACK = f"{SIGN_IN}/callback"
"""The path to which identity providers send browsers back."""

PENDING = "galaxy_jobs_sign_in"
"""The cookie of a browser that is signing in at an identity provider."""

PENDING_LIFETIME = 600
"""Seconds in which a browser may sign in there."""

SIGN_IN_ERRORS = (
    errors.SignInRefused,
    errors.NoPermission,
    errors.IssuerUnavailable,
)

Target: TypeAlias = Annotated[
    str, QueryParameter(name="next", description="where to go from here")
]

_LOCAL = re.compile(r"/(?![/\\])[!-~]{0,4000}")
"""The path of a page here; two slashes begin the address of another site."""


@frozen
class SigningIn:
    """Makes the page to sign in (a dependency of routes)."""

    token_cache: Needs[TokenCache]
    identity_providers: Needs[IdentityProviders]

    async def page(
        self, request: AnyRequest, target: str, error: errors.DomainError | None = None
    ) -> Response[Any]:
        """Return the page, with why signing in failed."""
        return page(
            request,
            "sign_in.html",
            status=200 if error is None else STATUS[error.code],
            needed=await self.token_cache.required(),
            issuers=self.identity_providers.offering_sign_in,
            target=_here(target),
            error=error,
        )


@ROUTES.get(SIGN_IN, opt={SIGN_IN_FORM: True})
async def get_sign_in_page(
    request: AnyRequest,
    signing_in: Needs[SigningIn],
    target: Target = "/",
) -> Response[str]:
    """Ask for a token, if one is needed, or lead to an identity provider."""
    return await signing_in.page(request, target)


@ROUTES.post(SIGN_IN, guards=[], opt={SIGN_IN_FORM: True})
async def post_sign_in_form(
    request: AnyRequest,
    form: Needs[Form],
    signing_in: Needs[SigningIn],
) -> Response[Any]:
    """Give the browser a cookie with a valid token."""
    token, target = form.get("token", "").strip(), form.get("next", "")
    try:
        await signing_in.token_cache.verify(token)
    except (errors.BadToken, *SIGN_IN_ERRORS) as error:
        return await signing_in.page(request, target, error)
    return _signed_in(request, token, target)


@ROUTES.get(f"{SIGN_IN}/provider", opt={SIGN_IN_FORM: True})
async def get_provider(
    request: AnyRequest,
    signing_in: Needs[SigningIn],
    issuer: Annotated[str, QueryParameter(description="the identity provider")],
    target: Target = "/",
) -> Response[Any]:
    """Lead the browser to an identity provider."""
    secret, here = token_urlsafe(32), f"{_base(request)}{CALLBACK}"
    try:
        sign_in_url = signing_in.identity_providers.sign_in_url
        url = await asyncio.to_thread(sign_in_url, issuer, secret, here)
    except SIGN_IN_ERRORS as error:
        return await signing_in.page(request, target, error)
    pending = urlencode({"secret": secret, "issuer": issuer, "next": _here(target)})
    response = Redirect(url, status_code=303)
    _set_cookie(request, response, PENDING, quote(pending), PENDING_LIFETIME)
    return response


@ROUTES.get(CALLBACK, opt={SIGN_IN_FORM: True, ANY_QUERY: True})
async def get_callback(
    request: AnyRequest,
    signing_in: Needs[SigningIn],
    sign_in: Needs[SignIn],
) -> Response[Any]:
    """Give the browser a cookie with a session, when it comes back."""
    pending = dict(parse_qsl(unquote(request.cookies.get(PENDING, ""))))
    target = pending.get("next", "/")
    try:
        text = await asyncio.to_thread(
            sign_in,
            pending.get("issuer", ""),
            pending.get("secret", ""),
            f"{_base(request)}{CALLBACK}",
            dict(request.query_params.items()),
        )
    except SIGN_IN_ERRORS as error:
        response = await signing_in.page(request, target, error)
    else:
        response = _signed_in(request, text, target)
    response.delete_cookie(PENDING, SIGN_IN)
    return response


@ROUTES.post("/sign-out", guards=[])
async def post_sign_out_form(
    request: AnyRequest, token_cache: Needs[TokenCache], sign_out: Needs[SignOut]
) -> Redirect:
    """Delete the cookie with the token, and end the session."""
    text = request.cookies.get(COOKIE, "")
    await asyncio.to_thread(sign_out, text)
    token_cache.forget(text)
    response = Redirect(SIGN_IN, status_code=303)
    response.delete_cookie(COOKIE)
    return response


def _signed_in(request: AnyRequest, text: str, target: str) -> Response[Any]:
    response = Redirect(_here(target), status_code=303)
    _set_cookie(request, response, COOKIE, text)
    return response


def _set_cookie(
    request: AnyRequest,
    response: Response[Any],
    name: str,
    text: str,
    lifetime: int | None = None,
) -> None:
    response.set_cookie(
        name,
        text,
        httponly=True,
        samesite="lax",
        secure=_scheme(request) == "https",
        max_age=lifetime,
        path="/" if lifetime is None else SIGN_IN,
    )


def _scheme(request: AnyRequest) -> str:
    # TLS ends here, or at a proxy. A client that forges its header harms itself alone.
    forwarded = request.headers.get("x-forwarded-proto", "").strip().lower()
    return "https" if "https" in {request.url.scheme, forwarded} else "http"


def _base(request: AnyRequest) -> str:
    """Return our address as the browser has it."""
    return f"{_scheme(request)}://{request.headers.get('host', '')}"


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

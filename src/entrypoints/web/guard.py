"""That a form which changes something was sent from a page of ours.

Rule of the file: a browser adds cookies to whatever is sent here, also from a page
of another site. So each form repeats what only our pages can know: a digest of a
secret in a cookie of its own and of the token, which are both out of reach of
scripts and other sites. It needs no secret of the server's, which several replicas
would have to share.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

from litestar import Request
from litestar.datastructures import Cookie

from galaxy_jobs.entrypoints.api.auth import COOKIE
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.web.forms import Form


SECRET = "galaxy_jobs_form"  # noqa: S105 - the name of a cookie
"""The cookie that carries the secret."""

FIELD = "form_token"
"""The field of a form that repeats it."""


def secret_of(request: Request[Any, Any, Any]) -> str:
    """Return the secret of a browser; a new one where it has none."""
    return request.cookies.get(SECRET) or secrets.token_urlsafe(24)


def form_token(request: Request[Any, Any, Any], secret: str) -> str:
    """Return what a form has to repeat."""
    session = request.cookies.get(COOKIE, "")
    return hmac.new(secret.encode(), session.encode(), hashlib.sha256).hexdigest()


async def checked_form(request: Request[Any, Any, Any]) -> Form:
    """Read the form that was sent.

    Raises:
        Refused: It is none, or it was not sent from a page of ours.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        raise Refused(
            "unsupported-media-type",
            f"Content-Type is {media!r}; expected a form of this page.",
        )
    form = Form.read(await request.body())
    secret = request.cookies.get(SECRET, "")
    wanted = form_token(request, secret).encode()
    if not secret or not hmac.compare_digest(form.one(FIELD).encode(), wanted):
        raise Refused(
            "forbidden",
            "This form is out of date, or was not sent from here. Nothing was done. "
            "Go back, reload the page and send it again.",
        )
    return form


def cookie(request: Request[Any, Any, Any], name: str, value: str) -> Cookie:
    """Return a cookie that neither scripts nor other sites' forms get hold of."""
    return Cookie(
        name, value=value, httponly=True, samesite="lax", secure=is_secure(request)
    )


def is_secure(request: Request[Any, Any, Any]) -> bool:
    """Say whether the browser speaks to us, or to the proxy before us, by TLS.

    The proxy's word can be forged by who sends the request, to his own harm alone.
    """
    told = request.headers.get("x-forwarded-proto", "")
    return "https" in {request.url.scheme, told.strip().lower()}

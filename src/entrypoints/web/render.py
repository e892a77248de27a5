"""Pages: a template and what it shows, with the headers that keep it to itself.

Rule of the file: templates escape whatever they are given. The policy of each page
lets a browser fetch from here alone, run no script but our files, and show it in no
other page; so there is no style and no script in the pages themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import MediaType, Request, Response

from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.entrypoints.api.auth import caller_of
from galaxy_jobs.entrypoints.web import guard, wording
from galaxy_jobs.entrypoints.web.assets import ASSETS


HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    # Nothing of it is to be seen after signing out, not even by going back.
    "Cache-Control": "no-store",
}
"""What goes with every page."""

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_templates.filters.update(
    moment=wording.moment,
    lasted=wording.lasted,
    size=wording.size,
    number=wording.number,
    text=wording.text,
    segment=wording.segment,
    parts=wording.parts,
    counted=wording.counted,
)
_templates.globals.update(
    STATES=wording.STATES,
    asset={name: one.url for name, one in ASSETS.items()},
    version=version("galaxy-jobs"),
    ago=wording.ago,
    form_field=guard.FIELD,
)


def page(
    request: Request[Any, Any, Any],
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **shown: Any,
) -> Response[str]:
    """Return a page.

    Args:
        request: The one that it answers.
        template: The name of its file.
        status: Of the answer.
        headers: What else goes with it.
        shown: What the template shows.
    """
    secret = guard.secret_of(request)
    answer = Response(
        html(request, template, secret, **shown),
        status_code=status,
        media_type=MediaType.HTML,
        headers={**HEADERS, **(headers or {})},
    )
    if guard.SECRET not in request.cookies:
        answer.set_cookie(guard.cookie(request, guard.SECRET, secret))
    return answer


def html(
    request: Request[Any, Any, Any], template: str, secret: str = "", **shown: Any
) -> str:
    """Return the text of a page.

    Args:
        request: The one that it answers.
        template: The name of its file.
        secret: What its forms are to prove that they know.
        shown: What the template shows.
    """
    caller = caller_of(request)
    return _templates.get_template(template).render(
        form_token=guard.form_token(request, secret),
        signed_in=caller.token is not None,
        may_submit=caller.may(Scope.SUBMIT),
        **shown,
    )


def is_htmx(request: Request[Any, Any, Any]) -> bool:
    """Say whether it is a script of ours that asks, for a part of the page."""
    return request.headers.get("hx-request") == "true"

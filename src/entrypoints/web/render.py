"""Templates, and the responses made of them.

Rule of the file: templates escape whatever they are given. The policy of each page
lets a browser load from this service alone, run no script but its files, and show it
in no other page; so the pages themselves contain no style and no script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request
from litestar.datastructures import CacheControlHeader
from litestar.params import QueryParameter
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.static_files import create_static_files_router
from litestar.template import TemplateConfig

from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.entrypoints.api.auth import PUBLIC, caller_of
from galaxy_jobs.entrypoints.typed_text import text_of
from galaxy_jobs.entrypoints.web.wording import STATES, code, counted, moment, segment
from galaxy_jobs.entrypoints.wording import age, duration, number, size


AnyRequest: TypeAlias = Request[Any, Any, Any]

Text: TypeAlias = Annotated[str | None, QueryParameter(description="a text")]
"""A query parameter of a page."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    # Nothing is left to be seen after signing out, not even by going back.
    "Cache-Control": "no-store",
}
"""Sent with every page."""

_HERE = Path(__file__).parent


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


ASSETS = f"/ui/assets/{_digest(_HERE / 'static')}"
"""The path of the files in ``static``: another one as soon as any of them changes, so
that browsers may keep them for ever."""

ASSETS_ROUTER = create_static_files_router(
    ASSETS,
    [_HERE / "static"],
    cache_control=CacheControlHeader(max_age=31536000, public=True, immutable=True),
    opt={PUBLIC: True},
)

_environment = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_FILTERS = (code, counted, duration, moment, number, segment, size)
_environment.filters.update({filter_.__name__: filter_ for filter_ in _FILTERS})
_environment.filters["text"] = text_of
_environment.globals.update(
    ASSETS=ASSETS, STATES=STATES, age=age, version=version("galaxy-jobs")
)
TEMPLATES = TemplateConfig(instance=JinjaTemplateEngine.from_environment(_environment))
"""For Litestar."""


def page(
    request: AnyRequest,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Template:
    """Return a page.

    Args:
        request: The request that it answers.
        template: The name of its file.
        status: The status code.
        headers: Sent in addition to those of every page.
        context: The variables of the template.
    """
    caller = caller_of(request)
    return Template(
        template,
        context={
            "signed_in": caller.token is not None,
            "may_submit": caller.may(Scope.SUBMIT),
            **context,
        },
        status_code=status,
        headers={**HEADERS, **(headers or {})},
    )


def is_htmx(request: AnyRequest) -> bool:
    """Whether a script of ours sent the request, for a part of a page."""
    return request.headers.get("hx-request") == "true"

"""Templates, the words that they use, and the responses made of them.

Rule of the file: templates escape whatever they are given. The policy of each page
lets a browser load from this service alone, run no script but its files, and show it
in no other page; so the pages themselves contain no style and no script.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote

from attrs import asdict
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import MediaType, Request, Response
from litestar.datastructures import CacheControlHeader
from litestar.params import QueryParameter
from litestar.static_files import create_static_files_router
from markupsafe import Markup, escape

from galaxy_jobs import domain
from galaxy_jobs.entrypoints.api.auth import PUBLIC, caller_of
from galaxy_jobs.entrypoints.typed_text import text_of
from galaxy_jobs.entrypoints.wording import age, data, duration, number, progress, size


AnyRequest: TypeAlias = Request[Any, Any, Any]

Text: TypeAlias = Annotated[str | None, QueryParameter(description="a text")]
"""A query parameter of a page."""


def policy(*elsewhere: str) -> Mapping[str, str]:
    """Return the header that limits what a page loads, and where it sends to.

    Args:
        elsewhere: Other origins to which its scripts send files.
    """
    targets = " ".join(["'self'", *elsewhere])
    return {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
        f"style-src 'self'; img-src 'self'; connect-src {targets}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    }


HEADERS: Mapping[str, str] = {
    **policy(),
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    # Nothing is left to be seen after signing out, not even by going back.
    "Cache-Control": "no-store",
}
"""Sent with every page."""

_HERE = Path(__file__).parent
_FILES = sorted((_HERE / "static").iterdir())
_DIGEST = hashlib.sha256(b"".join(file.read_bytes() for file in _FILES)).hexdigest()

ASSETS = f"/ui/assets/{_DIGEST[:12]}"
"""The path of the files in ``static``: another one as soon as any of them changes, so
that browsers may keep them for ever."""

ASSETS_ROUTER = create_static_files_router(
    ASSETS,
    [_HERE / "static"],
    cache_control=CacheControlHeader(max_age=31536000, public=True, immutable=True),
    opt={PUBLIC: True},
)

STATES: Mapping[str, str] = {
    state.value: state.value.replace("_", " ").capitalize()
    for state in domain.InvocationState
}
"""The states in words, by their stored values."""

ITEM_STATES: Mapping[str, str] = {
    state: state.replace("_", " ")
    for state in ("waiting", "submitting", "unknown", *STATES, "rejected")
}
"""The states of items of batches in words: those of submissions without a job, too."""


def moment(at: datetime) -> str:
    """Return a date and time in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def segment(id_: str) -> str:
    """Return an id as a segment of a path."""
    return quote(id_, safe="")


def code(sentence: str) -> Markup:
    """Return a sentence as HTML, in which backticks enclose code."""
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence)))
    return Markup(html)  # noqa: S704 - escaped above


def counted(counts: domain.Progress, state: str, blocked: int = 0) -> str:
    """Return the progress of a job in words; *blocked* jobs failed and never ran."""
    if not counts.total:
        return "no jobs yet"
    return progress({**asdict(counts), "blocked": blocked}, state, noun="")


def labelled(dataset: domain.Dataset | domain.UnusableDataset) -> str:
    """Return a dataset as lists offer it, such as ``Plate 1 (list of txt, ok)``."""
    if not isinstance(dataset, domain.Dataset):
        return dataset.name
    source, described = dataset.source, dataset.description
    if isinstance(source, domain.CollectionData):
        return f"{dataset.name} ({source.collection_type} of {source.count})"
    if described is None:
        return dataset.name
    kind = data(described.extension, described.collection_type)
    return f"{dataset.name} ({', '.join(filter(None, (kind, described.state)))})"


_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_templates.globals.update(
    ASSETS=ASSETS,
    ITEM_STATES=ITEM_STATES,
    STATES=STATES,
    age=age,
    version=version("galaxy-jobs"),
)
_templates.filters |= {
    function.__name__: function
    for function in (code, counted, duration, labelled, moment, number, segment, size)
}
_templates.filters["text_of"] = text_of


def page(
    request: AnyRequest,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> Response[str]:
    """Return a page with more *headers*, rendered with *context* in this thread."""
    caller = caller_of(request)
    html = _templates.get_template(template).render(
        signed_in=caller.name,
        may_submit=caller.may(domain.Scope.SUBMIT),
        **context,
    )
    return Response(
        html,
        media_type=MediaType.HTML,
        status_code=status,
        headers={**HEADERS, **(headers or {})},
    )


def is_htmx(request: AnyRequest) -> bool:
    """Whether a script of ours sent the request, for a part of a page."""
    return request.headers.get("hx-request") == "true"

"""The API's documentation: the OpenAPI document as a page.

Rule of the file: the page is made of the document alone, on the server, and needs no
other host: the usual viewers are megabytes of script that a page loads from elsewhere.
"""

from __future__ import annotations

from typing import Any

from litestar import get
from litestar.response import Template

from galaxy_jobs.entrypoints.api import openapi
from galaxy_jobs.entrypoints.web.render import AnyRequest, page


@get("/docs", sync_to_thread=False)
def get_docs_page(request: AnyRequest) -> Template:
    """Show the API's documentation."""
    document = openapi.document(request.app)
    operations: list[dict[str, Any]] = [
        {"name": f"{method.upper()} {path}", **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return page(request, "docs.html", document=document, operations=operations)


ROUTES = [get_docs_page]

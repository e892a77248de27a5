"""The page to upload files.

Rule of the file: its script is a client of the API, and what the names of files show
is asked here, so that page and command line say the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from attrs import asdict
from litestar import Response

from galaxy_jobs.domain import Scope, ports
from galaxy_jobs.entrypoints import file_names
from galaxy_jobs.entrypoints.api.auth import requires
from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.api.routing import Routes
from galaxy_jobs.entrypoints.web.forms import Form
from galaxy_jobs.entrypoints.web.render import AnyRequest, page, policy


ROUTES = Routes("/")


@ROUTES.get("/ui/upload", guards=[requires(Scope.SUBMIT)])
def get_upload_page(
    request: AnyRequest, object_store: Needs[ports.ObjectStore]
) -> Response[str]:
    """Show the form to upload files."""
    # Its parts are sent to where its files are read.
    url = urlsplit(object_store.sign_read("none", "none", timedelta(minutes=1)) or "")
    return page(
        request,
        "upload.html",
        headers=policy(*([f"{url.scheme}://{url.netloc}"] if url.netloc else [])),
        key=str(uuid4()),
        formats=sorted({*file_names.FORMATS.values()}),
    )


@ROUTES.post("/ui/upload/names", status_code=200)
def post_names(form: Needs[Form]) -> dict[str, Any]:
    """Return what names of files show: pairs, formats and names of elements."""
    names = form.getall("name", [])
    pairs, _ = file_names.pairs_of(names)
    return {
        "files": [
            {
                "ext": file_names.format_of(name),
                "element": file_names.element_name(name),
            }
            for name in names
        ],
        "pairs": [asdict(pair) for pair in pairs],
    }

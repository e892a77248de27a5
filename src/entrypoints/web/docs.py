"""The page that shows the OpenAPI document.

The usual viewers are megabytes of script that a page loads from another host.
"""

from __future__ import annotations

import json
import shlex
from functools import partial
from typing import Any
from urllib.parse import urlencode

from litestar import Response

from galaxy_jobs.entrypoints.api import openapi
from galaxy_jobs.entrypoints.api.auth import caller_of
from galaxy_jobs.entrypoints.api.routing import Routes
from galaxy_jobs.entrypoints.web.render import AnyRequest, page


ROUTES = Routes("/")


@ROUTES.get("/docs")
def get_docs_page(request: AnyRequest) -> Response[str]:
    """Show the OpenAPI document, with an example of each request."""
    document = openapi.document(request.app)
    return page(
        request,
        "docs.html",
        document=document,
        curl=partial(
            _curl,
            schemas=document["components"]["schemas"],
            base=str(request.base_url).rstrip("/"),
            signed_in=caller_of(request).token is not None,
        ),
    )


def _curl(
    path: str,
    method: str,
    operation: openapi.Json,
    *,
    schemas: openapi.Json,
    base: str,
    signed_in: bool,
) -> str:
    """Return a command that sends an example of a request."""
    needed = {}
    for parameter in operation.get("parameters", []):
        example = parameter["schema"].get("examples", [""])[0]
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", example)
        elif parameter["in"] == "query" and parameter["required"]:
            needed[parameter["name"]] = example
    if needed:
        path += f"?{urlencode(needed)}"
    command = "curl" if method == "get" else f"curl -X {method.upper()}"
    parts = [f"{command} {shlex.quote(base + path)}"]
    if signed_in and operation["security"]:
        parts.append("-H 'Authorization: Bearer TOKEN'")
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"-H 'Content-Type: {media_type}'")
        parts.append(f"-d {shlex.quote(json.dumps(_example(body['schema'], schemas)))}")
    return " \\\n  ".join(parts)


def _example(schema: openapi.Json, schemas: openapi.Json) -> Any:
    """Return an example of what a schema describes."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    if variants := schema.get("anyOf") or schema.get("oneOf"):
        return _example(variants[0], schemas)
    if "enum" in schema:
        return schema["enum"][0]
    return {
        name: _example(member, schemas)
        for name, member in schema["properties"].items()
        if name in schema["required"] or "examples" in member
    }

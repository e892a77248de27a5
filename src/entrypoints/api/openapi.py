"""The OpenAPI document: what Litestar makes of the routes, and what all routes share.

What one route takes or answers is described at that route. Added here: tokens,
headers of every response, and the members that only some problems have.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

from litestar import Litestar, Request, Router
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, Contact, License, SecurityScheme, Tag
from msgspec import UNSET, Struct
from msgspec.json import schema_components
from msgspec.structs import fields

from galaxy_jobs.domain import Scope
from galaxy_jobs.entrypoints.api import problems
from galaxy_jobs.entrypoints.api.auth import COOKIE
from galaxy_jobs.entrypoints.api.events import EVENT_STREAM
from galaxy_jobs.entrypoints.api.problems import PROBLEM_JSON
from galaxy_jobs.entrypoints.api.schemas import ProblemDetails, View


Json = dict[str, Any]

TAGS: Mapping[str, str] = {
    "jobs": "Run workflows, and follow their state.",
    "datasets": "What workflows run on.",
    "uploads": "Files that become datasets.",
    "workflows": "What may be run, and its inputs.",
    "webhooks": "Addresses that events of jobs are sent to; needs the scope `admin`.",
    "health": "For monitoring.",
}


def _header(description: str, example: object, **schema: object) -> Json:
    schema = {"type": "string", **schema}
    return {"description": description, "schema": schema, "example": example}


HEADERS: Mapping[str, Json] = {
    "X-Request-ID": _header(
        "The id of this request: yours if you sent one of up to 128 letters, digits "
        "and `._:-`, else a new one. It is in the logs.",
        "0af7651916cd43dd8448eb211c80319c",
    ),
    "Cache-Control": _header("Responses are for their caller alone.", "no-store"),
    "WWW-Authenticate": _header(
        "The kind of token needed, and what was wrong (RFC 6750).",
        'Bearer realm="galaxy-jobs", error="invalid_token"',
    ),
    "Retry-After": _header(
        "Seconds after which to try again.", 5, type="integer", minimum=1
    ),
    "ETag": _header(
        "Of this page or file; that of a page stays while only `observed_at` changes.",
        'W/"3f0a6b"',
    ),
    "Accept-Ranges": _header("Ranges are counted in bytes.", "bytes", const="bytes"),
    "Content-Range": _header(
        "The bytes that follow, and the size of the file.", "bytes 1000-1999/2000"
    ),
    "Content-Disposition": _header(
        "The name to save it by.", 'attachment; filename="sorted.txt"'
    ),
    "Location": _header(
        "The path of what was created.",
        "/jobs/f2db41e1fa331b3e",
        format="uri-reference",
    ),
    "Idempotent-Replayed": _header(
        "`true` where the `Idempotency-Key` was used before: the response of that "
        "time; nothing new was run.",
        "true",
        const="true",
    ),
}
"""The description of headers, wherever they are."""


class _Document(JsonRenderPlugin):
    """Serves the document."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: Json) -> bytes:
        """Return the document as JSON."""
        del openapi_schema
        return _encoded(request.app)


async def _only_json(request: Request[Any, Any, Any]) -> None:
    """Refuse the other paths that Litestar serves pages at."""
    if request.scope["path"] not in {"/schema", "/schema/openapi.json"}:
        raise NotFoundException


def openapi_config() -> OpenAPIConfig:
    """Return Litestar's configuration."""
    return OpenAPIConfig(
        title="galaxy-jobs",
        version=version("galaxy-jobs"),
        description="Runs Galaxy workflows on request, exactly once each, and reports "
        "their true state.",
        license=License(name="MIT", identifier="MIT"),
        contact=Contact(name="The operators of this service"),
        use_handler_docstrings=True,
        operation_id_creator=lambda handler, _, __: handler.handler_name,
        tags=[Tag(name=name, description=text) for name, text in TAGS.items()],
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="A token, made by `galaxy-jobs token create`. `read` "
                    "may GET, `submit` may POST too. As long as none was ever made, "
                    "the service listens on a loopback address and needs none.",
                ),
                "cookie": SecurityScheme(
                    type="apiKey",
                    security_scheme_in="cookie",
                    name=COOKIE,
                    description="The same token in a browser that has signed in; may "
                    "GET.",
                ),
            }
        ),
        openapi_router=Router(
            "/schema",
            route_handlers=[],
            include_in_schema=False,
            before_request=_only_json,
        ),
        render_plugins=[_Document()],
    )


@lru_cache(maxsize=1)
def _encoded(app: Litestar) -> bytes:
    return json.dumps(document(app)).encode()


@lru_cache(maxsize=1)
def document(app: Litestar) -> Json:
    """Return the whole document of an application."""
    document: Json = app.openapi_schema.to_schema()
    components = document["components"]
    components["schemas"] = schemas = _schemas(components["schemas"])
    for methods in document["paths"].values():
        for method, operation in methods.items():
            _complete_operation(method, operation, schemas)
    return document


def _schemas(names: Container[str]) -> Json:
    """Return the schemas of models, by their names, as msgspec describes them."""
    models = [model for model in _subclasses(Struct) if model.__name__ in names]
    schemas: Json
    _, schemas = schema_components(models, ref_template="#/components/schemas/{name}")
    types = [problems.type_of(code) for code in problems.STATUS]
    schemas["ProblemDetails"]["properties"]["type"]["enum"] = types
    for model in _subclasses(View):
        # A response has all fields that are ever set; a problem some with some codes.
        if model.__name__ in schemas and model is not ProblemDetails:
            schemas[model.__name__]["required"] = [
                member.name for member in fields(model) if member.default is not UNSET
            ]
    for schema in schemas.values():
        properties = schema.get("properties", {})
        for member in properties.values():
            # openapi-typescript requires fields with a default, also in requests.
            member.pop("default", None)
        source = properties.get("src", {})
        if "enum" in source:  # msgspec has no description for a tag
            source["description"] = "Tells the kinds of sources apart."
    return schemas


def _complete_operation(method: str, operation: Json, schemas: Json) -> None:
    summary, _, more = operation.pop("description").partition("\n\n")
    operation["summary"] = summary.removesuffix(".")
    if more:
        operation["description"] = cleandoc(more)
    usual = Scope.READ if method == "get" else Scope.SUBMIT
    scope = (Scope.ADMIN if operation["tags"] == ["webhooks"] else usual).value
    by_cookie = [{"cookie": [scope]}] if method == "get" else []
    public = "401" not in operation["responses"]
    operation["security"] = [] if public else [{"bearer": [scope]}, *by_cookie, {}]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        model = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        operation["requestBody"]["required"] = bool(model["required"])
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            model = content["schema"].get("$ref", "").rpartition("/")[2]
            if status[0] == "2" and model:
                response["description"] = schemas[model]["description"]
        if events := response.get("content", {}).get(EVENT_STREAM):
            # A stream is a text; each of its data is of the model.
            events["schema"] = {"type": "string", "contentSchema": events["schema"]}
        headers = response.get("headers", {})
        names = [*headers, *_common_headers(status, response)]
        response["headers"] = {
            name: headers.get(name, {}) | HEADERS[name] for name in names
        }


def _subclasses(model: type[Struct]) -> Iterator[type[Struct]]:
    for inner in model.__subclasses__():
        yield inner
        yield from _subclasses(inner)


def _without_null(schema: Json) -> Json:
    """Return the schema of a parameter, which is left out and never null."""
    kinds = [kind for kind in schema.get("oneOf", []) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{k: v for k, v in schema.items() if k != "oneOf"}}


def _common_headers(status: str, response: Json) -> Iterator[str]:
    yield from ("X-Request-ID", "Cache-Control")
    codes = response.get("content", {}).get(PROBLEM_JSON, {}).get("examples", {})
    if codes and status in {"401", "403"}:
        yield "WWW-Authenticate"
    if "too-many-requests" in codes or problems.RETRY_AFTER.keys() & codes.keys():
        yield "Retry-After"

"""The API's documentation as a page: the OpenAPI document, to be read by people.

Rule of the file: the page is made of the document alone, on the server, and needs
nothing else: no script, no font, no other host. The usual viewers are megabytes
of script that their pages fetch from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from litestar import MediaType, Request, Response, get

from galaxy_jobs.entrypoints.api import openapi


STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto;
  padding: 0 1rem; }
h2 { border-bottom: 1px solid var(--line); text-transform: capitalize; }
section { border: 1px solid var(--line); border-radius: .5rem; padding: 0 1rem 1rem;
  margin: 1rem 0; }
h3, h4 { margin: 1rem 0 .25rem; } h3 { font-weight: 600; } p { margin: .25rem 0; }
code { background: var(--soft); padding: .1em .3em; border-radius: .25rem; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid var(--line); padding: .25rem .5rem; vertical-align: top; }
td:first-child { white-space: nowrap; width: 1%; }
nav li { display: inline-block; margin-right: 1rem; }
nav ul { padding: 0; }
"""

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@get("/", media_type=MediaType.HTML, sync_to_thread=False)
def get_docs(request: Request[Any, Any, Any]) -> Response[str]:
    """Show the documentation."""
    return Response(page(openapi.document(request.app)), headers=HEADERS)


ROUTES = [get_docs]
"""Below ``/docs``."""


def page(said: Mapping[str, Any]) -> str:
    """Return the page that shows a document."""
    info = said["info"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{_text(info['description'])} "
        '<a href="/schema/openapi.json">OpenAPI document</a></p>'
        f"{''.join(_body(said))}</html>"
    )


def _body(said: Mapping[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    links: list[str] = []
    for path, methods in said["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            links.append(
                f'<li><a href="#{operation["operationId"]}">{escape(name)}</a></li>'
            )
            by_tag.setdefault(operation["tags"][0], []).append(
                "".join(_operation(name, operation))
            )
    yield f"<nav><ul>{''.join(links)}</ul></nav>"
    for tag, operations in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(operations)}"
    yield "<h2>Schemas</h2>"
    for name, schema in said["components"]["schemas"].items():
        yield f'<section id="{escape(name)}"><h3>{escape(name)}</h3>'
        yield f"<p>{_text(schema.get('description', ''))}</p>"
        required = schema.get("required", [])
        yield _table(
            (field, _kind(kind) + ("" if field in required else ", optional"), kind)
            for field, kind in schema.get("properties", {}).items()
        )
        if "enum" in schema:
            yield f"<p>{_kind(schema)}</p>"
        yield "</section>"


def _operation(name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(operation["operationId"])}">'
    yield f"<h3><code>{escape(name)}</code> {escape(operation['summary'])}</h3>"
    yield f"<p>{_text(operation.get('description', ''))}</p>"
    if parameters := operation.get("parameters"):
        yield "<h4>Parameters</h4>"
        yield _table(
            (one["name"], f"{_kind(one['schema'])}, in the {one['in']}", one)
            for one in parameters
        )
    if body := operation.get("requestBody"):
        yield f"<h4>Body</h4><p>{_content(body)}</p>"
    yield "<h4>Answers</h4>"
    yield _table(
        (status, _content(answer), answer)
        for status, answer in sorted(operation["responses"].items())
    )
    yield "</section>"


def _table(rows: Iterator[tuple[str, str, Mapping[str, Any]]]) -> str:
    """Return rows of a name, a type (HTML) and what else is said of it."""
    return (
        "<table>"
        + "".join(
            f"<tr><td><code>{escape(name)}</code><td>{kind}"
            f"<td>{_text(said.get('description', ''))}"
            for name, kind, said in rows
        )
        + "</table>"
    )


def _content(said: Mapping[str, Any]) -> str:
    return " or ".join(
        f"{_kind(one['schema'])}" for one in said.get("content", {}).values()
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the type that a schema describes, as HTML."""
    match schema:
        case {"$ref": str(reference)}:
            name = escape(reference.rpartition("/")[2])
            return f'<a href="#{name}">{name}</a>'
        case {"oneOf": list(kinds)} | {"anyOf": list(kinds)}:
            return " or ".join(_kind(one) for one in kinds)
        case {"enum": list(values)}:
            return " or ".join(f"<code>{escape(str(one))}</code>" for one in values)
        case {"const": value}:
            return f"<code>{escape(str(value))}</code>"
        case {"type": "array", "items": items}:
            return f"list of {_kind(items)}"
        case _:
            return escape(str(schema.get("format") or schema.get("type") or "any"))


def _text(said: str) -> str:
    """Return a sentence as HTML; what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(said))

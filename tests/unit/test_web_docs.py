"""The documentation shows everything in the OpenAPI document."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any

import pytest

from tests.support.api import an_api


@pytest.fixture(scope="module")
def documented() -> Iterator[tuple[str, Mapping[str, Any]]]:
    with an_api() as api:
        page = api.get("/docs")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        yield page.text, api.get("/schema/openapi.json").json()


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def section(page: str, id_: str) -> str:
    [html] = re.findall(rf'<section [^>]*id="{id_}".*?</section>', page, re.DOTALL)
    return text_of(html)


def plain(sentence: str) -> str:
    return " ".join(sentence.replace("`", " ").split())


def test_every_operation_is_shown(documented: tuple[str, Mapping[str, Any]]) -> None:
    page, document = documented
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f'<a href="#{operation["operationId"]}">' in page
            shown = section(page, operation["operationId"])
            assert f"{method.upper()} {path}" in shown
            assert plain(operation.get("description", "")) in shown
            for parameter in operation.get("parameters", []):
                assert f"in the {parameter['in']}" in shown
                assert f"{parameter['name']} " in shown
                assert plain(parameter["description"]) in shown
            for status, response in operation["responses"].items():
                assert f"{status} " in shown
                assert plain(response["description"]) in shown


def test_the_example_of_each_request_is_one_that_is_understood() -> None:
    """Each is typed into a shell, as it stands on the page."""
    with an_api() as api:
        page = api.get("/docs").text
        examples = re.findall(r"<pre><code>(curl .*?)</code>", page, re.DOTALL)
        operations = re.findall(r"<section [^>]*>\s*<h3 [^>]*><code>(\S+ /\S*)<", page)
        assert len(examples) == len(operations)
        for operation, example in zip(operations, examples, strict=True):
            _, *words = shlex.split(unescape(example).replace("\\\n", " "))
            options = dict(zip(words[::2], words[1::2], strict=False))
            method = options.get("-X", "GET")
            [url] = [word for word in words if word.startswith(str(api.base_url))]
            pattern = operation.replace("{element}", ".+")  # a path, down to a file
            pattern = re.sub(r"\{\w+\}", "[^{}/]+", pattern)
            path, _, _query = url[len(str(api.base_url)) :].partition("?")
            assert re.fullmatch(pattern, f"{method} {path}")
            if "events" in operation:
                continue  # has no end
            answer = api.request(
                method,
                url,
                content=words[words.index("-d") + 1] if "-d" in words else None,
                headers=dict([options["-H"].split(": ")]) if "-H" in options else None,
            )
            assert answer.status_code not in {400, 404, 405, 415}, answer.text


def test_every_schema_is_shown(documented: tuple[str, Mapping[str, Any]]) -> None:
    page, document = documented
    for name, schema in document["components"]["schemas"].items():
        shown = section(page, name)
        for field, property_ in schema.get("properties", {}).items():
            optional = "" if field in schema.get("required", []) else ", optional"
            assert re.search(rf"{field} [^.]*{optional}", shown)
            assert plain(property_.get("description", "")) in shown
        for value in schema.get("enum", []):
            assert value in shown


def test_links_within_it_lead_somewhere_and_none_leads_elsewhere(
    documented: tuple[str, Mapping[str, Any]],
) -> None:
    page, _ = documented
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids
    for address in re.findall(r'(?:src|href|action)="([^"]+)"', page):
        assert re.match(r"#|/(?!/)", address), address
    rest = re.sub(
        r"<pre>.*?</pre>|\{\w+\}|content='\{.*?\}'", "", page, flags=re.DOTALL
    )
    assert "{" not in rest

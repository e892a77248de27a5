"""The OpenAPI document says everything, and what it shows is true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest
from attrs import frozen

from galaxy_jobs.entrypoints.api import openapi, problems
from galaxy_jobs.entrypoints.api.problems import ADDRESSED, PROBLEM_JSON, STATUS
from tests.support.api import an_api


@frozen
class Operation:
    """One of them, and where it stands."""

    path: str
    method: str
    said: Mapping[str, Any]

    @property
    def answers(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.said["responses"]
        return found

    @property
    def open(self) -> bool:
        return self.path.startswith("/health/")


@pytest.fixture(scope="module")
def document() -> Mapping[str, Any]:
    with an_api() as api:
        answer = api.get("/schema/openapi.json")
    assert answer.headers["content-type"] == "application/vnd.oai.openapi+json"
    said: Mapping[str, Any] = answer.json()
    return said


@pytest.fixture(scope="module")
def operations(document: Mapping[str, Any]) -> list[Operation]:
    return [
        Operation(path, method, said)
        for path, methods in document["paths"].items()
        for method, said in methods.items()
    ]


def validator(document: Mapping[str, Any], name: str) -> Any:
    schema = {
        "$ref": f"#/components/schemas/{name}",
        "components": document["components"],
    }
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def test_it_is_an_openapi_document(document: Mapping[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "galaxy-jobs"
    tags = {one["name"] for one in document["tags"]}
    assert tags == set(openapi.TAGS)
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie"}


def test_every_route_says_what_it_does(operations: list[Operation]) -> None:
    ids = [one.said["operationId"] for one in operations]
    assert len(set(ids)) == len(ids)
    for one in operations:
        assert one.said["summary"], one
        assert one.said["tags"][0] in openapi.TAGS
        for parameter in one.said.get("parameters", []):
            assert parameter["description"], (one, parameter["name"])
            assert parameter["examples"], (one, parameter["name"])


def test_every_route_says_who_may_ask(operations: list[Operation]) -> None:
    for one in operations:
        scope = "read" if one.method == "get" else "submit"
        scope = "admin" if one.path.startswith("/webhooks") else scope
        security = one.said["security"]
        assert security == [] if one.open else {"bearer": [scope]} in security
        assert ("401" in one.answers) is not one.open
        assert ("429" in one.answers) is not one.open
        assert {"400", "403", "500", "503"} <= set(one.answers)


def test_every_answer_says_its_headers(operations: list[Operation]) -> None:
    for one in operations:
        for status, answer in one.answers.items():
            assert answer["description"], (one, status)
            for name, header in answer["headers"].items():
                assert header["schema"], (one, status, name)
                assert header["description"], (one, status, name)
            assert {"X-Request-ID", "Cache-Control"} <= set(answer["headers"])
            assert "Retry-After" in answer["headers"] or status != "429"
            assert "WWW-Authenticate" in answer["headers"] or status != "401"


def every_example(operations: list[Operation]) -> Iterator[tuple[str, str, Any]]:
    for one in operations:
        for status, answer in one.answers.items():
            for code, example in (
                answer.get("content", {})
                .get(PROBLEM_JSON, {})
                .get("examples", {})
                .items()
            ):
                yield status, code, example["value"]


def test_every_problem_has_an_example_of_its_form(
    document: Mapping[str, Any], operations: list[Operation]
) -> None:
    form = validator(document, "ProblemDetails")
    seen: set[tuple[str, int]] = set()
    for status, code, example in every_example(operations):
        form.validate(example)
        assert example["status"] == int(status)
        assert example["type"] == f"urn:galaxy-jobs:problem:{code}"
        seen.add((code, int(status)))
    for one in operations:
        for answer in one.answers.values():
            content = answer.get("content", {}).get(PROBLEM_JSON)
            assert content is None or content["examples"], one
    # The first two answer what is no route, or no method of one; of the third, use
    # cases see to it themselves; the last ones are those of an item of a batch, and
    # of a delivery.
    elsewhere = {
        ("not-found", 404),
        ("method-not-allowed", 405),
        ("conflict", 409),
        ("cancelled", 409),
        ("receiver-unavailable", 502),
    }
    expected = set(STATUS.items()) | {(code, 404) for code in ADDRESSED}
    assert expected - seen - elsewhere == set()


def test_there_is_an_example_of_each_code() -> None:
    assert set(problems.EXAMPLES) == set(STATUS)


def test_every_field_is_described_with_an_example_that_fits(
    document: Mapping[str, Any],
) -> None:
    described = 0
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description") or "enum" in schema, name
        for field, property_ in schema.get("properties", {}).items():
            assert property_.get("description"), f"{name}.{field}"
            form = {**property_, "components": document["components"]}
            for example in property_.get("examples", []):
                jsonschema_rs.Draft202012Validator(form).validate(example)
                described += 1
    assert described > 60


def test_nothing_else_is_taken_in_a_body(document: Mapping[str, Any]) -> None:
    source = {"src": "hda", "id": "1"}
    for name, example in (
        ("NewDataset", {"name": "n", "source": source}),
        ("NewJob", {"dataset_id": "d", "workflow_name": "w"}),
        ("NewRun", {}),
    ):
        form = validator(document, name)
        assert form.is_valid(example)
        assert not form.is_valid({**example, "unknown": 1})


def test_generated_types_leave_out_what_may_be_and_take_any_parameters(
    document: Mapping[str, Any],
) -> None:
    schemas = document["components"]["schemas"]
    job = schemas["NewJob"]
    assert job["required"] == ["dataset_id", "workflow_name"]
    assert job["properties"]["parameters"]["additionalProperties"] == {}
    for schema in schemas.values():
        for name, about in schema.get("properties", {}).items():
            # With a default, openapi-typescript requires a field in requests.
            assert "default" not in about, name


def test_a_dataset_id_is_described_with_its_length(document: Mapping[str, Any]) -> None:
    form = validator(document, "NewDataset")
    dataset = {"name": "n", "source": {"src": "hda", "id": "1"}}
    assert form.is_valid({**dataset, "dataset_id": "d" * 255})
    assert form.is_valid({**dataset, "dataset_id": None})
    assert not form.is_valid({**dataset, "dataset_id": "d" * 256})
    assert not form.is_valid({**dataset, "dataset_id": ""})

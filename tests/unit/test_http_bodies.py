"""Bodies of requests: whatever bytes come, a value or a refusal that helps."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.api.schemas import (
    GalaxySource,
    NewDataset,
    NewJob,
    NewRun,
    UrlSource,
)
from galaxy_jobs.entrypoints.api.strict import (
    DEPTH,
    Malformed,
    check_content_type,
    read,
)


JOB = '{"dataset_id": "d", "workflow_name": "w", "parameters": {"n": %s}}'


def refusal(body: bytes | str, model: type[Any] = NewJob) -> Malformed:
    with pytest.raises(Malformed) as caught:
        read(body.encode() if isinstance(body, str) else body, model)
    return caught.value


def test_a_job_is_read_with_its_defaults() -> None:
    assert read(b'{"dataset_id": "d", "workflow_name": "w"}', NewJob) == NewJob(
        dataset_id="d", workflow_name="w", overwrite=False, parameters={}
    )


def test_a_rerun_may_say_nothing_or_null() -> None:
    assert read(b"{}", NewRun) == NewRun()
    assert read(b'{"parameters": null, "overwrite": null}', NewRun) == NewRun()


def test_a_source_is_told_apart_by_its_src() -> None:
    galaxy = b'{"name": "n", "source": {"src": "ldda", "id": "1"}}'
    assert read(galaxy, NewDataset).source == GalaxySource(src="ldda", id="1")
    url = b'{"name": "n", "source": {"src": "url", "url": "ftp://h/f", "ext": "txt"}}'
    assert read(url, NewDataset).source == UrlSource(
        src="url", url="ftp://h/f", ext="txt"
    )


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ("[]", None, "The body is []; expected an object."),
        ("{}", "dataset_id", "'dataset_id' is missing; expected a text."),
        (
            '{"dataset_id": "d"}',
            "workflow_name",
            "'workflow_name' is missing; expected a text.",
        ),
        (
            '{"dataset_id": 7, "workflow_name": "w"}',
            "dataset_id",
            "'dataset_id' is 7; expected a text.",
        ),
        (
            '{"dataset_id": "d", "workflow_name": "w", "overwrite": "true"}',
            "overwrite",
            "'overwrite' is \"true\"; expected true or false.",
        ),
        (
            '{"dataset_id": "d", "workflow_name": "w", "overwrite": null}',
            "overwrite",
            "'overwrite' is null; expected true or false.",
        ),
        (
            '{"dataset_id": "d", "workflow_name": "w", "parameters": [1]}',
            "parameters",
            "'parameters' is [1]; expected an object.",
        ),
        (
            '{"dataset_id": "d", "workflow_name": "w", "dataset": 1}',
            "dataset",
            (
                'There is no field "dataset"; there are: dataset_id, workflow_name, '
                "overwrite, parameters."
            ),
        ),
    ],
)
def test_a_refusal_names_the_field_what_was_read_and_what_is_expected(
    body: str, field: str | None, says: str
) -> None:
    refused = refusal(body)
    assert refused.detail == says
    assert refused.extra.get("field") == field


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ("1", "source"),
        ("{}", "source.src"),
        ('{"src": "hdx", "id": "1"}', "source.src"),
        ('{"src": ["hda"], "id": "1"}', "source.src"),
        ('{"src": "hda"}', "source.id"),
        ('{"src": "hda", "id": null}', "source.id"),
        ('{"src": "url", "url": "http://h/f"}', "source.ext"),
        ('{"src": "hda", "id": "1", "url": "http://h/f"}', "source.url"),
    ],
)
def test_a_source_is_refused_where_it_is_wrong(source: str, field: str) -> None:
    refused = refusal(f'{{"name": "n", "source": {source}}}', NewDataset)
    assert refused.extra["field"] == field


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"dataset_id=d", "not JSON"),
        (b'{"dataset_id": "d",}', "line 1, column"),
        (b'\xef\xbb\xbf{"dataset_id": "d"}', "not JSON"),
        (b'{"dataset_id": "\xff"}', "not UTF-8 (byte 16)"),
        ((JOB % "NaN").encode(), "NaN is not a number"),
        ((JOB % "-Infinity").encode(), "-Infinity is not a number"),
        ((JOB % "1e999").encode(), "beyond the numbers"),
        ((JOB % 2**63).encode(), "beyond the integers"),
        ((JOB % ("9" * 9999)).encode(), "beyond the integers"),
        ((JOB % '"a\\u0000b"').encode(), "cannot be stored"),
        ((JOB % '"\\ud800"').encode(), "cannot be stored"),
        ((JOB % '{"\\u0000": 1}').encode(), "cannot be stored"),
        ((JOB % '{"a": 1, "a": 2}').encode(), '"a" stands twice'),
        ((JOB % ("[" * 40 + "]" * 40)).encode(), "nested too deep"),
        (b"[" * 200_000, "nested too deep"),
    ],
)
def test_what_has_no_single_meaning_or_cannot_be_stored_is_refused(
    body: bytes, says: str
) -> None:
    assert says in refusal(body).detail


@pytest.mark.parametrize(
    "value", [2**63 - 1, -(2**63), 1.5, -0.0, "é\u2028😀", [], {}, None, True]
)
def test_what_can_be_stored_is_taken_as_it_is(value: object) -> None:
    assert read((JOB % json.dumps(value)).encode(), NewJob).parameters == {"n": value}


def test_nesting_is_taken_up_to_its_limit() -> None:
    deep = "[" * (DEPTH - 2) + "]" * (DEPTH - 2)
    assert json.dumps(read((JOB % deep).encode(), NewJob).parameters["n"]) == deep


def test_long_values_are_cut_in_a_refusal() -> None:
    assert len(refusal(json.dumps({"dataset_id": ["x" * 9999]})).detail) < 200


@pytest.mark.parametrize(
    "given_type",
    [None, "application/json", "Application/JSON; charset=utf-8", "application/x+json"],
)
def test_json_may_be_called_json_or_nothing(given_type: str | None) -> None:
    check_content_type(given_type)


@pytest.mark.parametrize(
    "given_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"],
)
def test_what_a_foreign_page_can_send_unasked_is_refused(given_type: str) -> None:
    with pytest.raises(Refused) as caught:
        check_content_type(given_type)
    assert caught.value.code == "unsupported-media-type"


MODELS = st.sampled_from([NewJob, NewRun, NewDataset])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    sorted(
        {
            one.name
            for model in (NewJob, NewRun, NewDataset, UrlSource)
            for one in attrs.fields(model)
        }
    )
)


@given(body=st.binary(), model=MODELS)
def test_any_bytes_give_a_value_or_a_refusal(body: bytes, model: type[Any]) -> None:
    _reads(body, model)


@given(
    body=st.dictionaries(FIELDS, ANY_JSON | st.dictionaries(FIELDS, ANY_JSON)),
    model=MODELS,
)
def test_any_json_gives_a_value_or_a_refusal(body: object, model: type[Any]) -> None:
    _reads(json.dumps(body).encode(), model)


def _reads(body: bytes, model: type[Any]) -> None:
    try:
        value = read(body, model)
    except Malformed:
        return
    assert isinstance(value, model)

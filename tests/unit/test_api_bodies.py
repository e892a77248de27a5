"""Bodies of requests: whatever bytes come, a value or a refusal that helps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from galaxy_jobs.domain import DatasetId, GalaxyData, Source, Src, UrlData
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.api.bodies import MAX_DEPTH, check_content_type, decode
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.api.schemas import (
    LddaSource,
    NewDataset,
    NewJob,
    NewRun,
    UrlSource,
)


JOB = '{"dataset_id": "d", "workflow_name": "w", "parameters": {"n": %s}}'


def refusal(body: bytes | str, model: type[Struct] = NewJob) -> Refused:
    with pytest.raises(Refused) as caught:
        decode(body.encode() if isinstance(body, str) else body, model)
    assert caught.value.code == "malformed-request"
    return caught.value


def test_a_job_is_read_with_its_defaults() -> None:
    assert decode(b'{"dataset_id": "d", "workflow_name": "w"}', NewJob) == NewJob(
        dataset_id=DatasetId("d"), workflow_name="w", overwrite=False, parameters={}
    )


def test_a_rerun_may_say_nothing_or_null() -> None:
    assert decode(b"{}", NewRun) == NewRun()
    assert decode(b'{"parameters": null, "overwrite": null}', NewRun) == NewRun()


@pytest.mark.parametrize(
    ("body", "model", "source"),
    [
        ('{"src": "ldda", "id": "1"}', LddaSource(id="1"), GalaxyData(Src.LDDA, "1")),
        (
            '{"src": "url", "url": "ftp://h/f", "ext": "txt"}',
            UrlSource(url="ftp://h/f", ext="txt"),
            UrlData("ftp://h/f", "txt"),
        ),
    ],
)
def test_a_source_is_told_apart_by_its_src(
    body: str, model: schemas.SourceJson, source: Source
) -> None:
    dataset = decode(f'{{"name": "n", "source": {body}}}'.encode(), NewDataset)
    assert dataset.source == model
    assert schemas.source_of(dataset.source) == source
    assert schemas.source(source) == model


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ("[]", None, "Expected `object`, got `array`."),
        ("{}", "dataset_id", "missing required field `dataset_id`."),
        (
            '{"dataset_id": "d"}',
            "workflow_name",
            "missing required field `workflow_name`.",
        ),
        (
            '{"dataset_id": 7, "workflow_name": "w"}',
            "dataset_id",
            "Expected `str`, got `int` - at `$.dataset_id`.",
        ),
        (
            '{"dataset_id": "d", "workflow_name": "w", "overwrite": "true"}',
            "overwrite",
            "Expected `bool`, got `str` - at `$.overwrite`.",
        ),
        (
            '{"dataset_id": "d", "workflow_name": "w", "overwrite": null}',
            "overwrite",
            "Expected `bool`, got `null` - at `$.overwrite`.",
        ),
        (
            '{"dataset_id": "d", "workflow_name": "w", "parameters": [1]}',
            "parameters",
            "Expected `object`, got `array` - at `$.parameters`.",
        ),
        (
            '{"dataset_id": "d", "workflow_name": "w", "dataset": 1}',
            "dataset",
            (
                "unknown field `dataset`; its fields are: dataset_id, "
                "workflow_name, overwrite, dataset_input, workflow_version, "
                "use_cached_job, parameters, labels."
            ),
        ),
    ],
)
def test_a_refusal_names_the_field_what_was_read_and_what_is_expected(
    body: str, field: str | None, says: str
) -> None:
    refused = refusal(body)
    assert refused.detail.startswith("The body does not fit: ")
    assert refused.detail.endswith(says)
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
        (b'{"dataset_id": "d",}', "not JSON"),
        (b'\xef\xbb\xbf{"dataset_id": "d"}', "not JSON"),
        (b'{"dataset_id": "\xff"}', "not JSON"),
        (b'{"dataset_id": "\\ud800"}', "not JSON"),
        ((JOB % "NaN").encode(), "not JSON"),
        ((JOB % "-Infinity").encode(), "not JSON"),
        ((JOB % "1e999").encode(), "out of range"),
        ((JOB % r'"a\u0000b"').encode(), "NUL"),
        ((JOB % r'"\\\u0000"').encode(), "NUL"),
        ((JOB % ("[" * 40 + "]" * 40)).encode(), "nested too deep"),
        ((JOB % ("[" * 60_000 + "]" * 60_000)).encode(), "nested too deep"),
        ((JOB % ("[" * 80_000 + "]" * 80_000)).encode(), "too many lists"),
        ((JOB % ("[" + "[{}]," * 40_000 + "1]")).encode(), "too many lists"),
    ],
)
def test_what_is_not_json_or_too_deep_is_refused(body: bytes, says: str) -> None:
    assert says in refusal(body).detail


@pytest.mark.parametrize(
    "value",
    ["\\u0000", 2**63 - 1, -(2**63), 2**80, 1.5, -0.0, "é\u2028😀", [], {}, None, True],
)
def test_any_value_is_taken_as_it_is(value: object) -> None:
    job = decode((JOB % json.dumps(value)).encode(), NewJob)
    assert job.parameters == {"n": value}


def test_of_two_members_with_one_name_the_last_counts() -> None:
    job = decode((JOB % '{"a": 1, "a": 2}').encode(), NewJob)
    assert job.parameters == {"n": {"a": 2}}


def test_brackets_in_texts_do_not_nest() -> None:
    texts = ["[" * 40, '"[' * 40, "\\" + "[" * 40, '\\"' + "{" * 40]
    job = decode((JOB % json.dumps(texts)).encode(), NewJob)
    assert job.parameters == {"n": texts}


@given(
    levels=st.lists(st.sampled_from(["list", "object"]), max_size=2 * MAX_DEPTH),
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)
def test_the_depth_is_that_of_the_values(levels: list[str], text: str) -> None:
    value: object = text
    for kind in levels:
        value = [text, value] if kind == "list" else {text: text, f"{text}!": value}
    body = (JOB % json.dumps(value)).encode()
    if len(levels) + 2 > MAX_DEPTH:
        assert "nested" in refusal(body).detail
    else:
        assert decode(body, NewJob).parameters == {"n": value}


def test_nesting_is_taken_up_to_its_limit() -> None:
    deep = "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2)
    job = decode((JOB % deep).encode(), NewJob)
    assert json.dumps(job.parameters["n"]) == deep
    refusal(JOB % f"[{deep}]")


def test_a_refusal_does_not_grow_with_the_body() -> None:
    assert len(refusal(json.dumps({"dataset_id": ["x" * 9999]})).detail) < 200


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "Application/JSON; charset=utf-8", "application/x+json"],
)
def test_json_may_be_called_json_or_nothing(content_type: str | None) -> None:
    check_content_type(content_type)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"],
)
def test_what_a_foreign_page_can_send_unasked_is_refused(content_type: str) -> None:
    with pytest.raises(Refused) as caught:
        check_content_type(content_type)
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
            name
            for model in (NewJob, NewRun, NewDataset, UrlSource)
            for name in (*model.__struct_encode_fields__, "src")
        }
    )
)


@given(body=st.binary(), model=MODELS)
def test_any_bytes_give_a_value_or_a_refusal(body: bytes, model: type[Struct]) -> None:
    _decodes(body, model)


@given(
    body=st.dictionaries(FIELDS, ANY_JSON | st.dictionaries(FIELDS, ANY_JSON)),
    model=MODELS,
)
def test_any_json_gives_a_value_or_a_refusal(body: object, model: type[Any]) -> None:
    _decodes(json.dumps(body).encode(), model)


def _decodes(body: bytes, model: type[Struct]) -> None:
    try:
        value = decode(body, model)
    except Refused:
        return
    assert isinstance(value, model)

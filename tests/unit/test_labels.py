"""Labels: which there can be, how they change, and what a rerun has of them."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.adapters.testing.contracts.repositories import a_submission
from galaxy_jobs.domain import InvocationId, Label, Request
from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.labels import MAX_LABELS, check_labels, merged


KEYS = st.from_regex(r"[A-Za-z0-9._/-]{1,63}", fullmatch=True)
VALUES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]),
    max_size=255,
)
LABELS = st.dictionaries(KEYS, VALUES, max_size=MAX_LABELS)


@given(KEYS, VALUES)
def test_a_label_as_a_text_is_read_again(key: str, value: str) -> None:
    label = Label(key, value)
    assert Label.parse(str(label)) == label


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("", "x", "1 to 63 ASCII letters"),
        ("a" * 64, "x", "1 to 63 ASCII letters"),
        ("a b", "x", "1 to 63 ASCII letters"),
        ("a\n", "x", "1 to 63 ASCII letters"),
        ("a\0", "x", "1 to 63 ASCII letters"),
        ("ä", "x", "1 to 63 ASCII letters"),
        ("a:b", "x", "1 to 63 ASCII letters"),
        ("٣", "x", "1 to 63 ASCII letters"),
        ("a", "x" * 256, "expected at most 255"),
        ("a", "x\0", "without control characters"),
        ("a", "x\x1b[31m", "without control characters"),
        ("a", "x\x85", "without control characters"),
        ("a", "\ud800", "without control characters"),
    ],
)
def test_a_wrong_label_is_refused(key: str, value: str, says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        check_labels({key: value})
    with pytest.raises(InvalidValue, match=says):
        Label(key, value)


@pytest.mark.parametrize("text", ["", "a", ":x", "a b:x"])
def test_a_text_that_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Label.parse(text)


def test_a_job_has_no_more_than_32() -> None:
    most = {f"k{n}": "v" for n in range(MAX_LABELS)}
    check_labels(most)
    with pytest.raises(InvalidValue, match="33 members; expected at most 32"):
        check_labels({**most, "more": "v"})
    with pytest.raises(InvalidValue, match="33 members"):
        merged(most, {"more": "v"})
    assert "more" in merged(most, {"more": "v", "k0": None})


@given(LABELS, LABELS)
def test_a_merge_patch_leads_to_what_it_names(
    labels: dict[str, str], others: dict[str, str]
) -> None:
    gone = dict.fromkeys(labels.keys() - others.keys())
    assert merged(labels, {**gone, **others}) == others
    assert merged(labels, {}) == labels
    assert merged(labels, None) == {}


def test_a_request_with_other_labels_is_another_request() -> None:
    request = a_submission().request
    one = evolve(request, labels={"a": "1", "b": "2"})
    same = evolve(request, labels={"b": "2", "a": "1"})
    assert one.fingerprint == same.fingerprint != request.fingerprint


def test_a_repeated_rerun_is_known_again_whatever_its_labels_are_by_then() -> None:
    request = evolve(a_submission().request, rerun_of=InvocationId("inv0"))
    assert evolve(request, labels={"a": "1"}).fingerprint == request.fingerprint


def test_a_request_is_checked_with_its_labels() -> None:
    request = Request(
        dataset_id=a_submission().request.dataset_id,
        workflow_name="w",
        labels={"a b": "1"},
    )
    with pytest.raises(InvalidValue, match="key of a label"):
        request.check_size()

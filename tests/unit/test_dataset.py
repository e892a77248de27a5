"""What can be registered as a dataset."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.domain import (
    DataDescription,
    Dataset,
    DatasetId,
    GalaxyData,
    Source,
    Src,
    UrlData,
)
from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.dataset import masked
from tests.support.build import NOON


HDA = GalaxyData(Src.HDA, "f2db41e1fa331b3e")


def a_dataset(
    dataset_id: str = "d1", name: str = "reads", source: Source = HDA
) -> Dataset:
    return Dataset(
        dataset_id=DatasetId(dataset_id), name=name, source=source, created_at=NOON
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.txt",
        "https://user@example.org:8443/a?b=c#d",
        "ftp://ftp.example.org/a",
        "HTTPS://EXAMPLE.ORG/a",
        "http://[2001:db8::1]/a",
    ],
)
def test_what_galaxy_can_fetch_is_taken_as_it_is(url: str) -> None:
    assert UrlData(url, "txt").url == url


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "file://localhost/etc/passwd",
        "base64://aGVsbG8=",
        "javascript:alert(1)",
        "data:text/plain,hello",
        "/etc/passwd",
        "example.org/a.txt",
        "//example.org/a.txt",
        "http:",
        "http://",
        "http:///a.txt",
        "http://:80/a.txt",
        "http://user@/a.txt",
        "http://[::1/a.txt",
        "http:\\\\example.org",
        "ht\ntp://example.org/a.txt",
        "http://example.org/a\r\n.txt",
        " http://example.org/a.txt",
        "http://example.org/a.txt ",
        "http://example.org/\x00",
        "http://example.org/\ud800",
        "",
        " ",
        None,
        5,
        b"http://example.org/a.txt",
        ["http://example.org/a.txt"],
    ],
)
def test_what_galaxy_must_not_or_cannot_fetch_is_refused(url: Any) -> None:
    with pytest.raises(InvalidValue, match="http, https or ftp"):
        UrlData(url, "txt")


@given(st.text() | st.text().map("http://{}".format))
def test_an_address_is_taken_or_refused_and_never_breaks_anything(url: str) -> None:
    try:
        UrlData(url, "txt")
    except InvalidValue:
        return
    assert url.lower().startswith(("http://", "https://", "ftp://"))
    assert url.encode()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@h.example/a", "https://***@h.example/a"),
        ("ftp://secret@h.example/a", "ftp://***@h.example/a"),
        ("http://user:se@cret@h.example:80", "http://***@h.example:80"),
        ("http://h/@a?b=c:d@e", "http://h/@a?b=c:d@e"),
        (
            "https://b.s3.test/a?X-Amz-Date=1&X-Amz-Signature=secret&x=1",
            "https://b.s3.test/a?X-Amz-Date=1&X-Amz-Signature=***&x=1",
        ),
        (
            "https://h/a?AWSAccessKeyId=A&Signature=secret%3D&Expires=1",
            "https://h/a?AWSAccessKeyId=***&Signature=***&Expires=1",
        ),
        ("https://h/a?sv=1&sig=se;cret", "https://h/a?sv=1&sig=***"),
        ("https://h/a?a=1;token=secret", "https://h/a?a=1;token=***"),
        ("https://h/a?ACCESS_TOKEN=secret#b", "https://h/a?ACCESS_TOKEN=***#b"),
        ("https://h/a#access_token=secret", "https://h/a#access_token=***"),
        ("https://h/a?token=", "https://h/a?token=***"),
        ("https://h/a?password=se cret'\"", "https://h/a?password=***"),
    ],
)
def test_an_address_is_shown_without_its_credentials(url: str, shown: str) -> None:
    data = UrlData(url, "txt")
    assert (data.url, data.shown_url) == (url, shown)
    assert "secret" not in repr(data)
    assert "cret" not in repr(a_dataset(source=data))


PART = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/?#@&=;\"'<>`[]"),
    min_size=1,
)
NAMES = st.sampled_from(
    [
        *("X-Amz-Signature", "X-Amz-Credential", "x-amz-security-token"),
        *("AWSAccessKeyId", "Signature", "X-Goog-Signature", "sig", "TOKEN"),
        *("access_token", "api_key", "password", "auth", "jwt"),
    ]
)


@given(
    user=PART, secrets=st.dictionaries(NAMES, PART), names=st.dictionaries(PART, PART)
)
def test_no_credential_is_shown(
    user: str, secrets: dict[str, str], names: dict[str, str]
) -> None:
    mark = "S3CR3T"
    pairs = [f"{name}={mark}{value}" for name, value in secrets.items()]
    query = "&".join([*(f"{name}={value}" for name, value in names.items()), *pairs])
    url = f"https://{user}:{mark}@h.example/a.txt?{query}"
    shown = masked(url, address=True)
    assert mark not in shown
    assert shown.startswith("https://***@h.example/a.txt?")
    assert shown.count("=***") >= len(secrets)
    assert masked(shown, address=True) == shown
    path = f"/a.txt?{query}"  # as in errors of Python's libraries
    for text in (url, path, repr(url), f"({url} failed)"):
        assert mark not in masked(f"Cannot fetch {text}: 403 <{url}>, {url!r}.")


@given(st.text())
def test_what_is_no_credential_is_shown_as_it_is(text: str) -> None:
    for harmless in (text.replace("://", ""), f"http://h/{text}"):
        if not re.search(r"[?&;#].*=|://.*@", harmless, re.DOTALL):
            assert masked(harmless) == harmless


def test_masking_takes_no_longer_than_reading() -> None:
    for text in ("?" + "sig" * 30_000, "://" * 30_000, "?a" * 50_000, "&=" * 50_000):
        began = time.process_time()
        masked(text)
        assert time.process_time() - began < 5  # quadratic: minutes


def test_what_is_registered_has_limits_and_what_is_stored_has_none() -> None:
    for dataset, name in (
        (a_dataset(name="n" * 256), "name"),
        (a_dataset(source=GalaxyData(Src.HDA, "i" * 256)), "source.id"),
        (a_dataset(source=UrlData("http://h", "e" * 256)), "source.ext"),
        (a_dataset(source=UrlData(f"http://a:secret@h/{'x' * 4096}", "e")), "source"),
    ):
        with pytest.raises(InvalidValue, match=rf"{name}.* has \d+ char") as caught:
            dataset.check_lengths()
        assert "secret" not in str(caught.value)
        assert len(str(caught.value)) < 150
    a_dataset(name="n" * 255, source=UrlData("http://h", "e" * 255)).check_lengths()


EMPTY: list[Any] = ["", " ", "\n\t", None, 7, b"x"]


@pytest.mark.parametrize("empty", EMPTY)
def test_what_says_nothing_is_refused_wherever_something_must_be_said(
    empty: Any,
) -> None:
    with pytest.raises(InvalidValue, match="dataset_id"):
        a_dataset(dataset_id=empty)
    with pytest.raises(InvalidValue, match="name"):
        a_dataset(name=empty)
    with pytest.raises(InvalidValue, match="id"):
        GalaxyData(Src.HDA, empty)
    with pytest.raises(InvalidValue, match="ext"):
        UrlData("http://example.org", empty)


def test_an_id_has_255_characters_at_most() -> None:
    assert len(a_dataset("d" * 255).dataset_id) == 255
    with pytest.raises(InvalidValue, match="256"):
        a_dataset("d" * 256)


def test_a_kind_that_galaxy_does_not_have_is_refused() -> None:
    kind: Any = "hda"
    with pytest.raises(TypeError):
        GalaxyData(kind, "f2db41e1fa331b3e")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidValue, match="created_at"):
        evolve(a_dataset(), created_at=NOON.replace(tzinfo=None))


def test_the_same_dataset_is_the_same_at_any_time() -> None:
    assert a_dataset().same_as(evolve(a_dataset(), created_at=NOON + timedelta(days=1)))


@pytest.mark.parametrize(
    "other",
    [
        a_dataset(dataset_id="d2"),
        a_dataset(name="Reads"),
        a_dataset(source=GalaxyData(Src.HDA, "other")),
        a_dataset(source=GalaxyData(Src.LDDA, "f2db41e1fa331b3e")),
        a_dataset(source=UrlData("http://example.org", "txt")),
    ],
)
def test_another_id_name_or_source_makes_another_dataset(other: Dataset) -> None:
    assert not a_dataset().same_as(other)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        *((state, None) for state in ("ok", "empty", "new", "upload", "queued")),
        *((state, None) for state in ("running", "setting_metadata", "deferred")),
        ("a state of the future", None),
        ("error", "is in error"),
        ("failed_metadata", "is in error"),
        ("discarded", "is discarded"),
        ("deleted", "is deleted in Galaxy; restore it"),
        ("purged", "is deleted in Galaxy for good"),
    ],
)
def test_a_job_can_run_on_data_that_is_there_or_will_be(
    state: str, reason: str | None
) -> None:
    problem = DataDescription(state=state).problem
    assert (problem or "").startswith(reason or "")
    assert (problem is None) == (reason is None)


def test_a_job_can_run_on_a_collection_with_datasets_in_error() -> None:
    usable = {"ok", "error", "new", "discarded"}
    for state in (*usable, "failed", "deleted"):
        problem = DataDescription(state=state, collection_type="list").problem
        assert (problem is None) == (state in usable), state

"""What can be registered as a dataset."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.domain import Dataset, DatasetId, GalaxyData, Source, Src, UrlData
from galaxy_jobs.domain.errors import InvalidValue
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
        "gxfiles://mine/a.txt",
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

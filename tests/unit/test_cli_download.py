"""What `galaxy-jobs download` does while a file is being made, and at its end."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import define

from galaxy_jobs.entrypoints.client import downloading
from galaxy_jobs.entrypoints.client.errors import CommandFailed
from galaxy_jobs.entrypoints.client.http import Api


@define
class Stand:
    """Stands in for a service that is always making the crate."""

    requests: int = 0

    @contextmanager
    def stream(self, method: str, *parts: str, **headers: str) -> Iterator[Any]:
        assert (method, parts, headers) == ("GET", ("jobs", "job1", "ro-crate"), {})
        self.requests += 1
        yield SimpleNamespace(status=202, headers={})


def test_a_crate_is_waited_for_until_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += 60 * seconds

    clock = SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    monkeypatch.setattr(downloading, "time", clock)
    stand = Stand()
    with pytest.raises(CommandFailed, match="job1 within 30 min") as failed:
        downloading.download(
            cast("Api", stand),
            "job1",
            (),
            tmp_path,
            crate=True,
            force=False,
            as_json=False,
        )
    assert stand.requests == 32
    assert failed.value.hint is not None
    assert "galaxy-jobs download job1 --ro-crate" in failed.value.hint
    assert not list(tmp_path.iterdir())


CONTENT = b"reads"


@define
class Served:
    """Stands in for a service with one file.

    Attributes:
        sent: Is called once all of the file is sent.
    """

    sent: Callable[[], object] = lambda: None

    @contextmanager
    def stream(self, *_: str, **__: str) -> Iterator[Any]:
        content = BytesIO(CONTENT)

        def read(size: int) -> bytes:
            if not (piece := content.read(size)):
                self.sent()
            return piece

        headers = {"Content-Length": str(len(CONTENT)), "ETag": '"v1"'}
        yield SimpleNamespace(status=200, headers=headers, read=read)


def save(served: Served, place: Path, *, force: bool = False) -> str:
    downloader = downloading.Downloader(cast("Api", served), "job1", force)
    wanted = downloading.Wanted(("lines",), place)
    return downloader.save(wanted, lambda **_: None)


@pytest.fixture(params=[errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Path) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("no_links")
def test_a_file_is_saved_where_there_are_no_hard_links(tmp_path: Path) -> None:
    place = tmp_path / "lines.txt"
    assert save(Served(), place) == "saved"
    assert place.read_bytes() == CONTENT
    assert [*tmp_path.iterdir()] == [place]
    assert save(Served(), place) == "was there"


def comes_meanwhile(place: Path) -> None:
    with pytest.raises(CommandFailed, match="could not be written: File exists"):
        save(Served(sent=lambda: place.write_bytes(b"another")), place)
    assert place.read_bytes() == b"another"
    place.unlink()
    assert save(Served(), place) == "resumed"
    assert place.read_bytes() == CONTENT


def test_a_file_that_comes_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    comes_meanwhile(tmp_path / "lines.txt")


@pytest.mark.usefixtures("no_links")
def test_nor_is_it_where_there_are_no_hard_links(tmp_path: Path) -> None:
    comes_meanwhile(tmp_path / "lines.txt")


@pytest.mark.usefixtures("no_links")
def test_a_name_that_is_reserved_in_vain_is_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "lines.txt"

    def replace(*_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", replace)
        with pytest.raises(CommandFailed, match="Input/output error"):
            save(Served(), place)
    assert not place.exists()
    assert save(Served(), place) == "resumed"


def test_another_error_is_that_of_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", link)
    place = tmp_path / "lines.txt"
    with pytest.raises(CommandFailed, match="No space left"):
        save(Served(), place)
    assert not place.exists()

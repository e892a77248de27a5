"""What the doctor says of the store of files, and of the address for Galaxy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.domain import Signer
from galaxy_jobs.entrypoints.doctor import Doctor, Verdict
from galaxy_jobs.entrypoints.settings import DataTable, Settings


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def doctor(store: Any = None, **settings: Any) -> Doctor:
    given = {"galaxy_url": "http://127.0.0.1:9", "galaxy_api_key": "k", **settings}
    unused: Any = None
    return Doctor(
        settings=Settings(**given),
        folder=None,
        engine=unused,
        queue=unused,
        galaxy=unused,
        providers=unused,
        store=lambda: store,
        clock=lambda: NOON,
    )


def found(doctor: Doctor, check: str) -> list[tuple[Verdict, str]]:
    return [
        (outcome[0], " ".join(filter(None, outcome[1:])))
        for outcome in doctor._outcomes(check, (), {})
    ]


def test_a_folder_that_can_be_written_to_and_one_that_cannot(tmp_path: Path) -> None:
    def of(root: Path) -> list[tuple[Verdict, str]]:
        store = FolderStore(root, lambda: Signer([]), lambda: NOON)
        return found(doctor(store), "storage")

    ((verdict, _),) = of(tmp_path / "storage")
    assert verdict is Verdict.OK
    (tmp_path / "file").write_text("where a folder has to be")
    ((verdict, message),) = of(tmp_path / "file")
    assert verdict is Verdict.FAIL
    assert "[storage]" in message


@pytest.mark.parametrize(("late", "verdict"), [(0, Verdict.OK), (3600, Verdict.WARN)])
def test_the_clock_of_a_store_is_compared(late: int, verdict: Verdict) -> None:
    store = SimpleNamespace(now=lambda: NOON - timedelta(seconds=late))
    first, second = found(doctor(store), "storage")
    assert (first[0], second[0]) == (Verdict.OK, verdict)


@pytest.mark.parametrize(
    ("galaxy", "here", "verdict"),
    [
        ("http://127.0.0.1:8085", "http://127.0.0.1:8000", Verdict.OK),
        ("https://usegalaxy.eu", "https://jobs.example.org", Verdict.OK),
        ("https://usegalaxy.eu", "http://127.0.0.1:8000", Verdict.WARN),
    ],
)
def test_an_address_that_galaxy_cannot_reach(
    galaxy: str, here: str, verdict: Verdict
) -> None:
    one = doctor(galaxy_url=galaxy, data=DataTable(public_url=here))
    ((actual, message),) = found(one, "public address")
    assert actual is verdict
    assert ("public_url" in message) == (verdict is Verdict.WARN)

"""What `galaxy-jobs download` does while a file is being made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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

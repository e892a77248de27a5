"""What goes on beside the sweeps of the polling loop."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.entrypoints import poller


class Ended(BaseException):
    """Ends a thread that repeats something for ever."""


def test_what_fails_is_logged_and_tried_again_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = [StoreUnavailable("It is down."), RuntimeError("secret"), None, Ended()]
    rests: list[float] = []

    def work() -> None:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    monkeypatch.setattr("time.sleep", rests.append)
    with capture_logs() as logged, pytest.raises(Ended):
        poller._keep_repeating(work, 1.5)
    assert rests == [1.5, 2, 4, 1.5]
    first, second = (line["problem"] for line in logged)
    assert first == "It is down."
    assert second.startswith("Unexpected: RuntimeError, at ")
    assert "secret" not in second

from __future__ import annotations

import time

from galaxy_jobs.adapters.galaxy.transport import Attempt, Watchdog
from tests.support.wait import until


def attempt(watchdog: Watchdog, seconds: float) -> Attempt:
    return Attempt(time.monotonic() + seconds, watchdog)


def wait_until_cut(attempt: Attempt) -> None:
    until(lambda: attempt.timed_out)
    assert time.monotonic() >= attempt.deadline


def test_an_attempt_is_cut_at_its_own_deadline() -> None:
    watchdog = Watchdog()
    with attempt(watchdog, 60) as long:
        # The second time, its thread waits for the deadline of the long one.
        for _ in range(2):
            with attempt(watchdog, 0.05) as short:
                wait_until_cut(short)
        assert not long.timed_out


def test_an_attempt_that_ended_is_not_cut() -> None:
    watchdog = Watchdog()
    with attempt(watchdog, 0.05) as ended:
        pass
    with attempt(watchdog, 0.1) as other:
        wait_until_cut(other)
    assert not ended.timed_out


def test_once_stopped_it_cuts_what_runs_and_whatever_begins() -> None:
    watchdog = Watchdog()
    with attempt(watchdog, 60) as running, attempt(watchdog, 60) as other:
        watchdog.stop()
        assert running.timed_out
        assert other.timed_out
    with attempt(watchdog, 60) as late:
        assert late.timed_out

"""The heartbeat: a call that is repeated while a block runs."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from galaxy_jobs.adapters.threads import heartbeat
from galaxy_jobs.domain.errors import StoreUnavailable


MILLISECOND = timedelta(milliseconds=1)
HOUR = timedelta(hours=1)


def test_beats_until_the_block_ends_whatever_goes_wrong() -> None:
    beats = threading.Semaphore(0)

    def beat() -> None:
        beats.release()
        raise StoreUnavailable("The database is down.")

    with heartbeat(beat, every=MILLISECOND, at_most=HOUR):
        for _ in range(3):
            assert beats.acquire(timeout=30)
    assert "heartbeat" not in {thread.name for thread in threading.enumerate()}


def test_a_short_block_has_no_beat() -> None:
    with heartbeat(pytest.fail, every=HOUR, at_most=2 * HOUR):
        pass


def test_a_block_that_hangs_is_given_up() -> None:
    with heartbeat(pytest.fail, every=MILLISECOND, at_most=timedelta(0)):
        (thread,) = [t for t in threading.enumerate() if t.name == "heartbeat"]
        thread.join(30)
        assert not thread.is_alive()

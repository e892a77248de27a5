"""Threads: the heartbeat, and maps that do not wait for what is late."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from galaxy_jobs.adapters.threads import ThreadMapper, heartbeat
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
        for thread in threading.enumerate():
            if thread.name == "heartbeat":  # or it has ended already
                thread.join(30)
        assert "heartbeat" not in {thread.name for thread in threading.enumerate()}


# --- maps -----------------------------------------------------------------------


@pytest.fixture
def mapper() -> Iterator[ThreadMapper]:
    with contextmanager(ThreadMapper.open)(3, 4) as mapper:
        yield mapper


def test_a_map_returns_all_results_and_raises_what_was_raised(
    mapper: ThreadMapper,
) -> None:
    assert sorted(mapper(lambda n: n * n, range(50))) == [n * n for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(mapper(lambda n: 1 // n, range(5)))
    assert list(mapper(abs, [])) == []


def test_what_is_late_is_handed_over_and_its_thread_is_replaced(
    mapper: ThreadMapper,
) -> None:
    go, results = threading.Event(), threading.Semaphore(0)
    handed_over: dict[int, object] = {}

    def function(n: int) -> int:
        if n < 3:  # as many as there are threads
            assert go.wait(30)
        return 6 // n

    def late(n: int) -> Callable[[Callable[[], int]], None]:
        handed_over[n] = None

        def take(result: Callable[[], int]) -> None:
            try:
                handed_over[n] = result()
            except ZeroDivisionError as error:
                handed_over[n] = error
            results.release()

        return take

    in_time = mapper(function, range(7), timeout=10 * MILLISECOND, late=late)
    assert sorted(in_time) == [1, 1, 1, 2]
    assert handed_over == dict.fromkeys(range(3))
    go.set()
    for _ in range(3):
        assert results.acquire(timeout=30)
    assert isinstance(handed_over.pop(0), ZeroDivisionError)
    assert handed_over == {1: 6, 2: 3}


def test_with_no_time_at_all_everything_is_handed_over(mapper: ThreadMapper) -> None:
    results = threading.Semaphore(0)

    def late(_: int) -> Callable[[Callable[[], int]], None]:
        def take(result: Callable[[], int]) -> None:
            assert result() == 1
            results.release()

        return take

    assert list(mapper(abs, [1, 1], timeout=timedelta(0), late=late)) == []
    for _ in range(2):
        assert results.acquire(timeout=30)

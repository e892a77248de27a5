"""The cached identity of our Galaxy."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Event
from typing import cast

import pytest
from attrs import define, field

from galaxy_jobs.adapters.testing.contracts.repositories import HERE, NOON
from galaxy_jobs.domain import Identity
from galaxy_jobs.domain.errors import RunnerUnavailable
from galaxy_jobs.domain.ports import WorkflowRunner
from galaxy_jobs.domain.use_cases import WhoAmI
from tests.support.wait import until


@define
class SlowRunner:
    """Answers about its identity once it may."""

    answer: Callable[[], Identity] = lambda: HERE
    may: Event = field(factory=Event)
    asked: int = 0

    def identity(self) -> Identity:
        self.asked += 1
        assert self.may.wait(60)
        return self.answer()


@define
class Clock:
    """Shows what it is set to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


def down() -> Identity:
    raise RunnerUnavailable("Down.")


def whoami(runner: SlowRunner, clock: Clock) -> WhoAmI:
    return WhoAmI(cast("WorkflowRunner", runner), clock)


def test_threads_that_need_it_at_once_share_one_request() -> None:
    runner = SlowRunner()
    identity = whoami(runner, Clock())
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(identity) for _ in range(5)]
        until(lambda: all(answer.running() for answer in answers))
        runner.may.set()
        assert {answer.result(60) for answer in answers} == {HERE}
    assert runner.asked == 1


def test_it_is_asked_again_after_its_lifetime_and_after_an_error() -> None:
    runner, clock = SlowRunner(), Clock()
    runner.may.set()
    identity = whoami(runner, clock)
    assert (identity(), identity(), runner.asked) == (HERE, HERE, 1)
    clock.now += timedelta(minutes=1)
    runner.answer = down
    for asked in (2, 3):
        with pytest.raises(RunnerUnavailable, match="Down"):
            identity()
        assert runner.asked == asked
    assert identity.last is not None
    assert not identity.last.ok
    runner.answer = lambda: HERE
    assert (identity(), identity(), runner.asked) == (HERE, HERE, 4)

"""The histories of runs are tagged once, and nothing depends on it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy, client, translate
from galaxy_jobs.domain import HistoryId, InvocationState, RunHistories
from galaxy_jobs.domain.errors import RunnerUnavailable, RunRejected
from galaxy_jobs.domain.model.viewer import SERVICE
from tests.support.faults import Killed, When
from tests.support.world import REQUEST, World


TAGS = {"dataset:d1"}


@pytest.fixture
def world() -> World:
    return World.made()


def tags(world: World) -> list[frozenset[str]]:
    return [history.tags for history in world.galaxy.histories.values()]


def test_the_first_look_at_a_run_tags_its_history(world: World) -> None:
    world.submit(REQUEST, SERVICE)
    assert world.galaxy.calls["tag"] == 0  # a client waits
    world.settle()
    assert tags(world) == [TAGS]
    assert world.galaxy.calls["tag"] == 1


@pytest.mark.parametrize("trouble", [RunnerUnavailable("down"), RunRejected("not you")])
def test_a_tag_that_galaxy_does_not_take_is_left_out(
    world: World, trouble: RunnerUnavailable | RunRejected
) -> None:
    done = world.submit(REQUEST, SERVICE)
    world.galaxy.fail_next("tag", trouble)
    world.clock.advance(timedelta(seconds=5))
    sweep = world.poll()
    assert (sweep.problem, sweep.failed) == (None, 0)
    world.settle()
    assert world.galaxy.calls["tag"] == 1
    assert tags(world) == [frozenset()]
    assert world.job(done.invocation_id).state is InvocationState.COMPLETED


def test_a_look_is_stored_before_the_history_is_tagged(world: World) -> None:
    done = world.submit(REQUEST, SERVICE)
    world.faults.kills("histories.tag", When.BEFORE)
    with pytest.raises(Killed):
        world.round()
    assert not world.job(done.invocation_id).is_new
    world.settle()
    assert world.job(done.invocation_id).state is InvocationState.COMPLETED
    assert len(world.galaxy.runs) == 1


def test_a_run_that_was_found_again_is_tagged(world: World) -> None:
    world.faults.kills("runner.invoke", When.AFTER)
    with pytest.raises(Killed):
        world.submit(REQUEST, SERVICE)
    world.settle()
    assert tags(world) == [TAGS]


def test_a_refusal_of_galaxy_to_tag_at_all_stops_no_poller(world: World) -> None:
    for _ in range(30):
        world.submit(REQUEST, SERVICE)
        world.galaxy.fail_next("tag", RunnerUnavailable("no PUT here"))
    assert world.poll().problem is None
    assert world.galaxy.calls["tag"] == 30


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("dataset:reads-1", "dataset:reads-1"),
        ("dataset:reads 1\t2", "dataset:reads_1_2"),
        ("plate:a, b;c", "plate:a_b_c"),
        ("dataset:ä/1.2=3", "dataset:ä/1.2=3"),
        ("x" * 300, "x" * 255),
    ],
)
def test_what_galaxy_would_split_or_drop_is_replaced(text: str, tag: str) -> None:
    assert translate.tag(text) == tag


def test_one_small_request_replaces_all_tags() -> None:
    requests: list[Any] = []

    def exchange(_: object, request: Any, *__: object) -> object:
        requests.append(request)
        return client._Answer(200, {}, {"id": "h1"}, 2)

    made = Galaxy("http://galaxy.test", "key")
    made._client._exchange = exchange  # type: ignore[assignment, method-assign]
    made.tag(HistoryId("h1"), {"dataset:reads 1", "plate:7"})
    [request] = requests
    assert (request.method, request.url) == (
        "PUT",
        "http://galaxy.test/api/histories/h1",
    )
    assert request.params == {"keys": "id"}
    assert json.loads(request.data) == {"tags": ["dataset:reads_1", "plate:7"]}


def test_an_engine_without_tags_does_nothing() -> None:
    RunHistories.tag(Galaxy("http://galaxy.test", "key"), HistoryId("h"), TAGS)

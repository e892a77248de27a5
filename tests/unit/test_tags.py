"""The tags of the histories of runs, on which nothing depends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from galaxy_jobs.adapters.galaxy import Galaxy, client, translate
from galaxy_jobs.adapters.testing.memory import MemoryInvocations
from galaxy_jobs.domain import HistoryId, InvocationState, RunHistories
from galaxy_jobs.domain.errors import RunnerError, RunnerUnavailable, RunRejected
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.use_cases.label_job import LabelJob
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


def label(world: World, patch: Mapping[str, str | None]) -> None:
    [id_] = world.store.invocations
    LabelJob(MemoryInvocations(world.store), world.clock)(id_, SERVICE, patch)


@pytest.fixture
def tagged(world: World) -> World:
    """A job with labels, whose history has their tags and one of a user's."""
    world.submit(REQUEST, SERVICE)
    label(world, {"project": "p1", "plate": "7"})
    world.settle()
    [history] = world.galaxy.histories.values()
    assert history.tags == TAGS | {"project:p1", "plate:7"}
    history.tags |= {"mine"}
    return world


def test_changed_labels_replace_their_tags_and_no_others(tagged: World) -> None:
    label(tagged, {"project": "p2"})
    label(tagged, {"project": "p3", "plate": None, "checked": ""})
    assert "project:p1" in tags(tagged)[0]  # nobody waits for Galaxy
    tagged.round()
    assert tags(tagged) == [TAGS | {"mine", "project:p3", "checked:"}]
    calls = tagged.galaxy.calls["retag"]
    tagged.settle()
    assert tagged.galaxy.calls["retag"] == calls


def test_tags_wait_for_a_galaxy_that_is_down(tagged: World) -> None:
    label(tagged, {"project": "p2"})
    tagged.galaxy.fail_next("retag", RunnerUnavailable("down"))
    assert tagged.poll().problem is None
    assert "project:p1" in tags(tagged)[0]
    tagged.poll()
    assert "project:p1" in tags(tagged)[0], "it is left alone for a while"
    tagged.round()
    assert tags(tagged) == [TAGS | {"mine", "project:p2", "plate:7"}]


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize(
    "call",
    ["tag_changes.claim", "histories.name_of", "histories.retag", "tag_changes.done"],
)
def test_a_crash_loses_no_tag(tagged: World, call: str, when: When) -> None:
    label(tagged, {"project": "p2"})
    tagged.faults.kills(call, when)
    with pytest.raises(Killed):
        tagged.poll()
    tagged.settle()
    assert tags(tagged) == [TAGS | {"mine", "project:p2", "plate:7"}]
    assert tagged.store.tag_changes == {}


@pytest.mark.parametrize("trouble", [RunRejected("not you"), None])
def test_a_history_that_is_not_to_be_changed_stays(
    tagged: World, trouble: RunnerError | None
) -> None:
    before = tags(tagged)
    [job] = tagged.store.invocations.values()
    [history] = tagged.galaxy.histories.values()
    if trouble is None:
        history.name = "mine now"
    else:
        tagged.galaxy.fail_next("retag", trouble)
    label(tagged, {"project": "p2"})
    sweep = tagged.poll()
    tagged.settle()
    assert (sweep.problem, tags(tagged)) == (None, before)
    assert tagged.store.tag_changes == {}
    assert tagged.job(job.invocation_id).labels["project"] == "p2"
    assert tagged.job(job.invocation_id).state is job.state


def test_so_many_histories_a_sweep(world: World) -> None:
    for _ in range(25):
        world.submit(REQUEST, SERVICE)
    world.settle()
    change = LabelJob(MemoryInvocations(world.store), world.clock)
    for id_ in list(world.store.invocations):
        change(id_, SERVICE, {"project": "p1"})
    for done in (20, 25):
        world.poll()
        assert sum("project:p1" in each for each in tags(world)) == done


def test_histories_that_fail_hold_up_no_others(world: World) -> None:
    for _ in range(5):
        world.submit(REQUEST, SERVICE)
    world.settle()
    change = LabelJob(MemoryInvocations(world.store), world.clock)
    for id_ in list(world.store.invocations):
        change(id_, SERVICE, {"project": "p1"})
    for _ in range(3):
        world.galaxy.fail_next("retag", RunnerUnavailable("500"))
    world.poll()
    assert world.galaxy.calls["retag"] == 3
    world.round()
    assert all("project:p1" in each for each in tags(world))


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
        ("checked:", "checked"),
        (".hidden:yes:no:", "hidden:yes:no:"),
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


def test_tags_are_read_before_some_are_replaced() -> None:
    requests: list[Any] = []
    shown = {"id": "h1", "tags": ["dataset:d1", "name:mine", "plate:a_b", "old"]}

    def exchange(_: object, request: Any, *__: object) -> object:
        requests.append(request)
        return client._Answer(200, {}, shown, 2)

    made = Galaxy("http://galaxy.test", "key")
    made._client._exchange = exchange  # type: ignore[assignment, method-assign]
    made.retag(HistoryId("h1"), {"plate:c"}, {"plate:a, b", "old:", "never:there"})
    made.retag(HistoryId("h1"), {"plate:a b"}, {"never:there"})
    assert [request.method for request in requests] == ["GET", "PUT", "GET"]
    assert requests[0].params == {"keys": "tags"}
    assert json.loads(requests[1].data) == {
        "tags": ["dataset:d1", "name:mine", "plate:c"]
    }


def test_an_engine_without_tags_does_nothing() -> None:
    RunHistories.retag(Galaxy("http://galaxy.test", "key"), HistoryId("h"), TAGS, ())
    RunHistories.tag(Galaxy("http://galaxy.test", "key"), HistoryId("h"), TAGS)

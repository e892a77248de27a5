"""Events from real processes over a real PostgreSQL, whatever is cut in between."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
from httpx_sse import connect_sse

from galaxy_jobs.adapters.postgres import make_engine
from galaxy_jobs.adapters.testing.contracts.repositories import S
from galaxy_jobs.entrypoints.api import events
from tests.support.jobs import Jobs
from tests.support.service import Service, service
from tests.support.sse import Events
from tests.support.wait import until


@pytest.fixture
def a_service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """The service, with a Galaxy that is not there."""
    with service(
        tmp_path, database=database_url, galaxy="http://127.0.0.1:9", key="none"
    ) as one:
        yield one


@pytest.fixture
def jobs(database_url: str) -> Iterator[Jobs]:
    engine = make_engine(database_url)
    yield Jobs(engine)
    engine.dispose()


@pytest.fixture
def streams() -> Iterator[ExitStack]:
    """Closes what is entered into it."""
    with ExitStack() as stack:
        yield stack


def listen(stack: ExitStack, url: str, query: str = "", last_id: str = "") -> Events:
    stream = Events(f"{url}/jobs/events{query}", last_id)
    stack.callback(stream.close)
    assert stream.status == 200
    # The beginning has come: whatever happens from now on is told.
    until(lambda: stream.begun)
    return stream


def told(stream: Events, count: int) -> list[tuple[str, str]]:
    return [
        (one.data["invocation_id"], one.data["to_state"]) for one in stream.take(count)
    ]


def test_an_event_for_each_change_of_what_was_asked_for(
    a_service: Service, jobs: Jobs, streams: ExitStack
) -> None:
    a_service.serve()
    jobs.accept("before")
    everything = listen(streams, a_service.url)
    assert everything.headers["content-type"].startswith("text/event-stream")
    assert everything.headers["cache-control"] == "no-store"
    on_d1 = listen(streams, a_service.url, "?dataset_id=d1")
    labelled = listen(streams, a_service.url, "?label=plate:7&label=well:a:1")
    jobs.accept("inv1", "d1", plate="7")
    jobs.accept("inv2", "d2", plate="7", well="a:1")
    assert told(labelled, 1) == [("inv2", "queued")]
    of_inv2 = listen(streams, a_service.url, "?invocation_id=inv2&dataset_id=d2")
    jobs.move("inv2", S.IN_PROGRESS)
    jobs.move("inv1", S.FAILED)
    assert told(labelled, 1) == [("inv2", "in_progress")]
    missed = listen(streams, a_service.url, "?label=plate:7", last_id="0")
    assert [job for job, _ in told(missed, 4)] == ["inv1", "inv2", "inv2", "inv1"]
    for query in ("label=plate", "label=plate:7&label=plate:8"):
        refused = a_service.request("GET", f"/jobs/events?{query}")
        assert (
            refused.status_code
            == a_service.request("GET", f"/jobs?{query}").status_code
        )
        assert refused.json()["type"].endswith(":malformed-request"), refused.text
    assert told(everything, 4) == [
        ("inv1", "queued"),
        ("inv2", "queued"),
        ("inv2", "in_progress"),
        ("inv1", "failed"),
    ]
    assert told(of_inv2, 1) == [("inv2", "in_progress")]
    first, last = on_d1.take(2)
    assert (first.kind, first.data["from_state"]) == ("transition", None)
    history = a_service.get("/jobs/inv1/history")["items"][-1]
    assert last.id == str(history["id"])
    assert last.data == {
        **history,
        "invocation_id": "inv1",
        "dataset_id": "d1",
        "workflow_name": "w",
        "labels": {"plate": "7"},
    }


def test_a_client_resumes_after_a_restart_and_at_another_replica(
    a_service: Service, jobs: Jobs, streams: ExitStack
) -> None:
    server = a_service.serve()
    stream = listen(streams, a_service.url)
    jobs.accept("inv1")
    assert told(stream, 1) == [("inv1", "queued")]
    server.stop(signal.SIGKILL)
    jobs.move("inv1", S.IN_PROGRESS)
    a_service.serve()
    one = a_service.url
    a_service.serve()
    another = a_service.url
    stream = listen(streams, one, last_id=stream.last_id)
    assert told(stream, 1) == [("inv1", "in_progress")]
    jobs.move("inv1", S.COMPLETED)
    # The other one has not listened to anything yet, and this client is ahead.
    stream = listen(streams, another, last_id=stream.last_id)
    assert told(stream, 1) == [("inv1", "completed")]
    jobs.accept("inv2")
    assert told(stream, 1) == [("inv2", "queued")]
    again = listen(streams, another, f"?last_event_id={stream.last_id}")
    jobs.accept("inv3")
    assert told(stream, 1) == told(again, 1) == [("inv3", "queued")]
    assert stream.come() == again.come() == []


def test_a_client_that_has_seen_nothing_yet_resumes_too(
    a_service: Service, jobs: Jobs, streams: ExitStack
) -> None:
    server = a_service.serve()
    jobs.accept("before")
    stream = listen(streams, a_service.url)
    server.stop()
    jobs.accept("meanwhile")
    a_service.serve()
    stream = listen(streams, a_service.url, last_id=stream.last_id)
    assert told(stream, 1) == [("meanwhile", "queued")]


def test_all_that_was_missed_is_told_however_much_it_is(
    a_service: Service, jobs: Jobs, streams: ExitStack
) -> None:
    a_service.serve()
    jobs.accept("inv1")
    with jobs.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO invocation_transitions (invocation_id, from_state, to_state,"
            " at, galaxy_state, progress) SELECT invocation_id, 'in_progress',"
            " 'in_progress', at, galaxy_state, progress"
            " FROM invocation_transitions, generate_series(1, 3000)"
        )
    stream = listen(streams, a_service.url, last_id="0")
    ids = [int(one.id) for one in stream.take(3001)]
    assert ids == sorted(set(ids))
    jobs.move("inv1", S.COMPLETED)
    assert told(stream, 1) == [("inv1", "completed")]


def test_one_connection_listens_for_all_and_is_made_anew_when_lost(
    a_service: Service, jobs: Jobs, streams: ExitStack, database_url: str
) -> None:
    server = a_service.serve()
    first, second = (listen(streams, a_service.url) for _ in range(2))

    with psycopg.connect(database_url, autocommit=True) as connection:

        def listening() -> list[int]:
            return [
                pid
                for (pid,) in connection.execute(
                    "SELECT pid FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE 'LISTEN %'"
                )
            ]

        (lost,) = until(listening)
        connection.execute("SELECT pg_terminate_backend(%s)", [lost])
        jobs.accept("inv1")
        assert told(first, 1) == told(second, 1) == [("inv1", "queued")]
        assert until(listening) != [lost]
        jobs.move("inv1", S.COMPLETED)
        assert told(first, 1) == told(second, 1) == [("inv1", "completed")]
    assert "Unexpected:" not in server.log.read_text()


def test_told_to_stop_the_service_ends_its_streams_and_is_gone(
    a_service: Service, streams: ExitStack
) -> None:
    server = a_service.serve()
    all_of_them = [listen(streams, a_service.url) for _ in range(20)]
    server.send(signal.SIGTERM)
    for stream in all_of_them:
        assert stream.ended.wait(20)
    # It did not have to cut them off, for which it would have waited long.
    assert server.process.wait(20) == 0
    assert not [one for one in server.logged() if one["level"] == "error"]


@pytest.mark.parametrize("id_", ["x", "-1", "1.5", "9" * 40, "999"])
@pytest.mark.parametrize("by", ["header", "query"])
def test_after_an_id_that_no_event_has_come_all_that_there_are(
    a_service: Service, jobs: Jobs, streams: ExitStack, id_: str, by: str
) -> None:
    # A browser never connects again after a 400.
    a_service.serve()
    jobs.accept("inv1")
    if by == "query":
        stream = listen(streams, a_service.url, f"?last_event_id={id_}")
    else:
        stream = listen(streams, a_service.url, last_id=id_)
    reset, first = stream.take(2)
    assert (reset.id, reset.kind, reset.data["id"]) == ("0", "reset", 0)
    assert id_ in reset.data["detail"]
    assert (first.kind, first.data["invocation_id"]) == ("transition", "inv1")
    jobs.move("inv1", S.COMPLETED)
    assert told(stream, 1) == [("inv1", "completed")]


def test_a_stream_of_a_job_that_does_not_exist_is_404(module_service: Service) -> None:
    answer = module_service.request("GET", "/jobs/events?invocation_id=nothing")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith(":job-not-found")


def test_other_clients_read_no_event_without_data(
    a_service: Service, jobs: Jobs
) -> None:
    a_service.change = frequent_heartbeats
    server = a_service.serve()
    with (
        httpx.Client(base_url=a_service.url, timeout=20) as client,
        connect_sse(client, "GET", "/jobs/events") as source,
    ):
        events = source.iter_sse()
        greeting = next(events)
        assert (greeting.event, greeting.json()) == ("connected", {"id": 0})
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 10 * FREQUENT)
        jobs.accept("inv1")
        jobs.move("inv1", S.COMPLETED)
        for state in ("queued", "completed"):
            event = next(events)
            assert (event.event, event.json()["to_state"]) == ("transition", state)
            assert event.id == str(event.json()["id"])
        server.stop()
        assert list(events) == []


FREQUENT = 0.05


def frequent_heartbeats() -> None:
    """Let streams of a process send many heartbeats."""
    frequent = partial(events.transitions, pause=FREQUENT)
    events.transitions = frequent


@pytest.fixture(scope="module")
def module_service(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with service(
        tmp_path_factory.mktemp("service"),
        database=module_database_url,
        galaxy="http://127.0.0.1:9",
        key="none",
    ) as one:
        one.serve()
        yield one


def test_there_are_so_many_places_and_who_leaves_frees_one(
    database_url: str, tmp_path: Path, streams: ExitStack
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[http]\nstreams = 2\n")
    with service(
        tmp_path,
        database=database_url,
        galaxy="http://127.0.0.1:9",
        key="none",
        GALAXY_JOBS_CONFIG=str(config),
    ) as one:
        one.serve()
        first, _ = (listen(streams, one.url) for _ in range(2))
        refused = one.request("GET", "/jobs/events")
        assert refused.status_code == 429
        assert refused.json()["type"].endswith(":too-many-requests")
        assert refused.headers["Retry-After"]
        first.close()

        def let_in() -> bool:
            stream = Events(f"{one.url}/jobs/events")
            stream.close()
            return stream.status == 200

        until(let_in)

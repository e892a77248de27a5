"""The HTTP contract in memory, and what a process can be asked only from within."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.domain.use_cases import GalaxyNews
from galaxy_jobs.entrypoints.readiness import Ready
from tests.support.api import code_of
from tests.support.build import HERE, NOON
from tests.support.http_contract import HttpContract, Opened, percent_encoded
from tests.support.http_world import IMPATIENT, World, furnished, in_memory
from tests.support.owner_walk import OwnerWalk
from tests.support.upload_contract import OwnAddresses, UploadContract


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with in_memory(**IMPATIENT) as made:
        yield furnished(made)


@pytest.fixture
def opened() -> Opened:
    return in_memory


class TestInMemory(HttpContract):
    pass


class TestUploadsInMemory(UploadContract, OwnAddresses):
    pass


class TestOwnersInMemory(OwnerWalk):
    pass


# --- health -------------------------------------------------------------------------


def never() -> Ready:
    raise AssertionError("It was asked.")


def test_alive_asks_nobody() -> None:
    with in_memory(readiness=never) as world:
        assert world.get("/health/live") == {"status": "alive"}


def test_ready_has_the_database_and_what_was_last_heard_of_galaxy() -> None:
    news = GalaxyNews(identity=HERE, problem=None, at=NOON)
    ready = Ready(database=True, migrations="current", galaxy=news)
    with in_memory(readiness=lambda: ready) as world:
        assert world.get("/health/ready") == {
            "status": "ready",
            "database": True,
            "migrations": "current",
            "galaxy": {"ok": True, "problem": None, "at": "2026-01-02T12:00:00Z"},
            "problem": None,
        }


@pytest.mark.parametrize(
    "ready",
    [
        Ready(database=False, migrations=None, galaxy=None, problem="No route."),
        Ready(database=True, migrations="behind", galaxy=None),
    ],
)
def test_not_ready_is_a_503(ready: Ready) -> None:
    with in_memory(readiness=lambda: ready) as world:
        answer = world.ask("GET", "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["problem"] == ready.problem


def test_galaxy_in_trouble_does_not_make_us_unready() -> None:
    news = GalaxyNews(identity=None, problem="Down.", at=NOON)
    ready = Ready(database=True, migrations="ahead", galaxy=news)
    with in_memory(readiness=lambda: ready) as world:
        assert world.get("/health/ready")["galaxy"]["ok"] is False


# --- the log ------------------------------------------------------------------------


def test_a_request_has_an_id_in_the_answer_and_in_the_log(world: World) -> None:
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as logged:
        given_ = world.ask("GET", "/workflows?", X_Request_ID="mine-1")
        made = world.ask("GET", "/nothing", X_Request_ID="not\x7fsane")
        world.get("/health/live")
    assert given_.headers["x-request-id"] == "mine-1"
    assert len(made.headers["x-request-id"]) == 32
    assert [{**line, "ms": line["ms"] >= 0} for line in logged] == [
        {
            "event": "request",
            "log_level": "info",
            "method": "GET",
            "path": path,
            "status": answer.status_code,
            "ms": True,
            "request_id": answer.headers["x-request-id"],
        }
        for path, answer in (("/workflows", given_), ("/nothing", made))
    ]


def test_a_long_path_does_not_fill_the_log(world: World) -> None:
    with structlog.testing.capture_logs() as logged:
        world.ask("GET", f"/nothing/{'x' * 9999}")
    assert len(logged[0]["path"]) == 300


# --- whatever is sent ---------------------------------------------------------------

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "dataset_id": st.sampled_from(["reads", "none"]) | ANY_JSON,
        "workflow_name": st.sampled_from(["strict", "none"]) | ANY_JSON,
        "parameters": st.dictionaries(st.sampled_from(["n", "mode", "x"]), ANY_JSON)
        | ANY_JSON,
        "overwrite": ANY_JSON,
        "name": ANY_JSON,
        "source": ANY_JSON,
        "x": ANY_JSON,
    },
)
BODIES = st.binary() | FIELDS.map(lambda body: json.dumps(body).encode())


@pytest.fixture(scope="module")
def id_(world: World) -> str:
    return world.submit()


@given(body=BODIES, path=st.sampled_from(["jobs", "datasets", "rerun", "cancel"]))
def test_no_body_is_a_fault_of_ours(
    world: World, id_: str, body: bytes, path: str
) -> None:
    if path in {"rerun", "cancel"}:
        path = f"jobs/{id_}/{path}"
    answer = world.api.post(f"/{path}", content=body)
    if path.endswith("cancel"):
        assert answer.status_code in {202, 400}
    else:
        assert answer.status_code in {201, 400, 422}


@given(
    path=st.text(st.characters(codec="utf-8")).map(lambda text: text.encode())
    | st.binary()
)
def test_no_path_is_a_fault_of_ours(world: World, path: bytes) -> None:
    for below in ("submissions", "nothing"):
        answer = world.ask("GET", f"/{below}/{percent_encoded(path)}")
        assert answer.status_code == 404
        assert code_of(answer).endswith("not-found")


@given(query=st.text(st.characters(codec="ascii")))
def test_no_query_is_a_fault_of_ours(world: World, query: str) -> None:
    for name in ("limit", "cursor", "state", "x"):
        answer = world.api.get("/jobs", params={name: query})
        assert answer.status_code in {200, 400}

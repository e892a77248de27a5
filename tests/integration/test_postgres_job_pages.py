"""Pages of jobs that PostgreSQL builds: their JSON, and the plans of their queries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import sqlalchemy as sa
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres import (
    AsyncReader,
    PostgresInvocations,
    PostgresJobPages,
    clock,
    make_engine,
    migrate,
    tables,
)
from galaxy_jobs.adapters.postgres.rows import invocation_to_row
from galaxy_jobs.adapters.testing.contracts.repositories import UNICODE
from galaxy_jobs.domain import DatasetId, HistoryId, Identity, InvocationId
from galaxy_jobs.domain.model.invocation import (
    Failure,
    Invocation,
    InvocationState,
    Progress,
    StepSummary,
)
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import Cursor, JobFilter
from tests.support.build import NOON, an_invocation
from tests.support.job_pages import ComposedJobPages
from tests.support.rows import fill


ROWS = 100_000


@define(eq=False)
class RecordingReader(AsyncReader):
    """Keeps the queries that it sends."""

    sent: list[tuple[str, Mapping[str, Any]]] = field(factory=list, init=False)

    async def fetch_row(self, statement: bytes, parameters: Mapping[str, Any]) -> Any:
        self.sent.append((statement.decode(), parameters))
        return await super().fetch_row(statement, parameters)


class JobPage(NamedTuple):
    items: str
    tag: str
    next: Cursor | None


class Jobs:
    """The pages, read from where there is no event loop."""

    def __init__(self, engine: Engine) -> None:
        self.reader = RecordingReader(lambda: engine)
        self.pages = PostgresJobPages(self.reader)
        self.loop = asyncio.Runner()

    def page(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> JobPage:
        return JobPage(*self.loop.run(self.pages.page(wanted, SERVICE, limit, after)))

    def close(self) -> None:
        self.loop.run(self.pages.close())
        self.loop.close()


@pytest.fixture(scope="module")
def jobs(engine: Engine) -> Iterator[Jobs]:
    with closing(Jobs(engine)) as jobs:
        yield jobs


@pytest.fixture(scope="module")
def engine(module_database_url: str) -> Iterator[Engine]:
    engine = make_engine(module_database_url)
    yield engine
    engine.dispose()


# --- the same document ------------------------------------------------------------

TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
) | st.sampled_from([UNICODE, '"', "\\", "\x7f", "\u2028", "</script>"])
COUNT = st.integers(0, 2**31)
TIMES = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 - the zone is drawn
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
) | st.sampled_from(
    [datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC)]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=6,
).filter(lambda value: "Infinity" not in json.dumps(value))
INVOCATIONS = st.builds(
    Invocation,
    invocation_id=st.just(InvocationId("inv1")),
    submission_id=st.uuids(),
    identity=st.just(Identity("https://galaxy.test", "user")),
    history_id=st.none() | st.just(HistoryId("his1")),
    dataset_id=TEXT.map(DatasetId),
    workflow_name=TEXT,
    parameters=st.dictionaries(TEXT, JSON_VALUES, max_size=3),
    overwrite=st.booleans(),
    rerun_of=st.none() | TEXT.map(InvocationId),
    superseded_by=st.none() | TEXT.map(InvocationId),
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    state=st.sampled_from(InvocationState),
    galaxy_state=TEXT,
    # Where a job is blocked, it has failed.
    progress=st.builds(
        Progress,
        total=COUNT,
        ok=COUNT,
        running=COUNT,
        waiting=COUNT,
        failed=st.integers(1, 2**31),
    ),
    steps=st.lists(
        st.builds(
            StepSummary,
            index=COUNT,
            label=TEXT,
            tool=st.none() | TEXT,
            state=TEXT,
            jobs=st.dictionaries(
                st.sampled_from(["blocked", "error", "paused"]), st.integers(0, 9)
            ),
        ),
        max_size=2,
    ).map(tuple),
    failure=st.none()
    | st.builds(
        Failure,
        reason=TEXT,
        step=st.just("sort"),
        step_index=st.none() | COUNT,
        path=st.lists(TEXT, max_size=2).map(lambda path: (*path, "sort")),
        element=st.none() | TEXT,
        tool=st.none() | TEXT,
        exit_code=st.none() | st.integers(-(2**31), 2**31),
        stderr=st.none() | TEXT,
        message=st.none() | TEXT,
    ),
    attention=st.none() | TEXT,
    created_at=TIMES,
    updated_at=TIMES,
    observed_at=TIMES,
    version=st.integers(0, 2**40),
)


def in_order(text: str) -> Any:
    """Parse JSON so that the order of a job's members counts."""
    return list(json.loads(text).items())


def store(
    engine: Engine,
    *invocations: Invocation,
    polled_at: datetime | None = None,
    stale: bool | None = None,
) -> None:
    """Let these be all jobs that there are.

    Args:
        engine: Where.
        invocations: As their wide rows have them.
        polled_at: What the narrow rows have as `observed_at`; None: there are none.
        stale: Whether their time is over, by PostgreSQL's clock; None: never.
    """
    stale_at = sa.func.now() + timedelta(hours=-1 if stale else 1)
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE workflow_invocations CASCADE"))
        for invocation in invocations:
            row = invocation_to_row(invocation) | {"submission_id": uuid4()}
            connection.execute(sa.insert(tables.invocations), row)
            if polled_at is None:
                continue
            connection.execute(
                sa.insert(tables.active).values(
                    invocation_id=invocation.invocation_id,
                    galaxy_url="",
                    galaxy_user="",
                    draws=[],
                    cancelling=False,
                    observed_at=polled_at,
                    stale_at=None if stale is None else stale_at,
                )
            )


@given(
    invocation=INVOCATIONS,
    polled_at=TIMES,
    stale=st.none() | st.booleans(),
)
def test_the_json_is_that_of_the_domains_object(
    engine: Engine,
    jobs: Jobs,
    invocation: Invocation,
    polled_at: datetime,
    stale: bool | None,  # noqa: FBT001 - drawn
) -> None:
    # As the repositories keep it: an invocation that has ended is not polled.
    active = not invocation.state.is_terminal
    store(engine, invocation, polled_at=polled_at if active else None, stale=stale)
    pages = PostgresInvocations(engine).page
    composed = ComposedJobPages(pages, lambda: clock(engine)).page(
        JobFilter(), SERVICE, 9
    )
    expected, _, _ = jobs.loop.run(composed)
    page = jobs.page(JobFilter(), 9)
    assert in_order(page.items) == in_order(expected)
    assert json.loads(page.items)["stale"] is (active and stale is True)


def test_the_tag_changes_with_whatever_is_shown_but_observed_at(
    engine: Engine, jobs: Jobs
) -> None:
    first = an_invocation()
    second = evolve(first, invocation_id=InvocationId("b"))

    def tag(*invocations: Invocation, at: datetime = NOON, stale: bool = False) -> str:
        store(engine, *invocations, polled_at=at, stale=stale)
        return jobs.page(JobFilter(), 9).tag

    assert tag(first) == tag(first, at=NOON + timedelta(hours=1))
    tags = [
        tag(),
        tag(first),
        tag(second),
        tag(first, second),
        tag(evolve(first, version=first.version + 1)),
        tag(first, stale=True),
    ]
    assert len(set(tags)) == len(tags)


def test_a_walk_through_the_pages_meets_each_job_once(
    engine: Engine, jobs: Jobs
) -> None:
    invocations = [
        evolve(
            an_invocation(at=NOON + timedelta(hours=n // 2)),  # two at the same time
            invocation_id=InvocationId(f"inv{n}"),
        )
        for n in range(7)
    ]
    store(engine, *invocations)
    for limit in (1, 2, 3, 6, 7, 8):
        pages = [jobs.page(JobFilter(), limit)]
        while pages[-1].next is not None:
            pages.append(jobs.page(JobFilter(), limit, pages[-1].next))
        ids = [
            [job["invocation_id"] for job in json.loads(f"[{page.items}]")]
            for page in pages
        ]
        assert [id_ for page in ids for id_ in page] == [
            f"inv{n}" for n in reversed(range(7))
        ]
        assert [len(page) for page in ids[:-1]] == [limit] * (len(ids) - 1)


# --- the plans --------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(postgres_url: str, module_database_url: str) -> Iterator[Engine]:
    """A hundred thousand jobs, in a database of their own."""
    name = f"full_{uuid4().hex}"
    own = make_engine(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    with own.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = postgres_url.replace("/postgres?", f"/{name}?")
    engine = make_engine(url)
    migrate(engine)
    fill(url, ROWS)
    yield engine
    engine.dispose()
    with own.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    own.dispose()


FILTERS = [
    JobFilter(
        dataset_ids=frozenset(() if dataset is None else [DatasetId(dataset)]),
        workflow_names=frozenset(() if workflow is None else [workflow]),
        states=frozenset(states),
    )
    for dataset, workflow, states in product(
        [None, "dataset 0", "dataset 77", "none"],
        [None, "workflow 3", "none"],
        [
            (),
            (InvocationState.COMPLETED,),
            (InvocationState.CANCELLING,),
            (InvocationState.QUEUED, InvocationState.IN_PROGRESS),
            tuple(InvocationState),
        ],
    )
]
LIMIT = 50
MIDDLE = Cursor(datetime.now(UTC) - timedelta(seconds=7 * ROWS / 2), "8")


@pytest.mark.parametrize("after", [None, MIDDLE])
@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("listed", ["as JSON", "as the domain has them"])
def test_whatever_the_filter_a_page_reads_about_a_page(
    full: Engine, listed: str, mode: str, after: Cursor | None
) -> None:
    repository = PostgresInvocations(full)
    own = [
        evolve(wanted, owner="lab 1") for wanted in FILTERS if not wanted.dataset_ids
    ]
    with full.connect() as connection, closing(Jobs(full)) as jobs:
        connection.exec_driver_sql(f"SET plan_cache_mode = {mode}")
        for wanted in [*FILTERS, *own]:
            if listed == "as JSON":
                jobs.reader.sent.clear()
                jobs.page(wanted, LIMIT, after)
                (query,) = jobs.reader.sent
            else:
                with recorded(full) as sent:
                    repository.page(wanted, SERVICE, LIMIT, after)
                (query,) = sent
            check(executed_plan(connection, *query), wanted)


@contextmanager
def recorded(engine: Engine) -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    """Keep the queries that an engine sends."""
    sent: list[tuple[str, Mapping[str, Any]]] = []

    def record(_c: Any, _u: Any, text: str, parameters: Any, *_: Any) -> None:
        sent.append((text, parameters))

    sa.event.listen(engine, "before_cursor_execute", record)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", record)


def executed_plan(
    connection: sa.Connection, text: str, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the plan of a query with its numbers, as it was executed."""
    numbered = text % {name: f"${n}" for n, name in enumerate(parameters, 1)}
    values = ", ".join(map(_quoted, parameters.values()))
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PREPARE page AS {numbered}")
    explain = "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE page"
    row = driver.execute(f"{explain}({values})" if values else explain).fetchone()
    driver.execute("DEALLOCATE page")
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _quoted(value: Any) -> str:
    if isinstance(value, list):
        return f"'{{{','.join(value)}}}'"
    return f"'{value.isoformat() if isinstance(value, datetime) else value}'"


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def check(root: dict[str, Any], wanted: JobFilter) -> None:
    states = len(wanted.states or InvocationState)
    for node in nodes(root):
        details = f"{wanted}: {json.dumps(node, indent=1)[:3000]}"
        if node.get("Relation Name") == "workflow_invocations":
            assert node["Node Type"] in {"Index Scan", "Index Only Scan"}, details
        rows = node["Actual Rows"] * node["Actual Loops"]
        removed = node.get("Rows Removed by Filter", 0) * node["Actual Loops"]
        assert rows + removed <= (LIMIT + 1) * states, details

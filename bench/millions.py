"""(f) Claiming, writing back and listing beside ten million runs that have ended.

The rival is the same with a hundred thousand rows in all (and of lists, with ten
thousand): what has ended is to cost the poller nothing, and readers little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from bench.galaxy import recorded
from bench.http import TURNS, load, serving
from bench.store import Store, postgres, store
from bench.table import Row
from galaxy_jobs.adapters.postgres import PostgresInvocations, PostgresPollQueue
from galaxy_jobs.domain.model.invocation import Invocation, Sighting
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.model.viewer import SERVICE, Sees
from galaxy_jobs.domain.ports import Claim, Look
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.settings import Settings


GALAXY = "http://galaxy.test"
ACTIVE = 100_000
ENDED = 9_900_000
BATCH = 1_000
BATCHES = 20
FEW = 10_000

Times: TypeAlias = dict[str, list[float]]


def rows() -> Iterator[Row]:
    """Measure."""
    with (
        postgres() as server,
        store(server) as tiny,
        store(server) as small,
        store(server) as large,
    ):
        tiny.fill(GALAXY, 0, ended=FEW)
        for one, ended in ((small, 0), (large, ENDED)):
            began = time.monotonic()
            one.fill(GALAXY, ACTIVE, ended=ended)
            size = one.number("SELECT pg_database_size(current_database())") / 2**30
            print(
                f"# {ended + ACTIVE:,} rows, {size:.1f} GiB, filled in "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )
        # In turns, so that whatever else the machine does harms both alike.
        found: dict[Store, Times] = {small: {}, large: {}}
        for number in range(2 * BATCHES):
            for one, times in found.items():
                for what, seconds in measured(one, changes=number % 2 == 0):
                    times.setdefault(what, []).append(seconds)
        for what in found[small]:
            ours, theirs = (
                statistics.median(found[one][what]) for one in (large, small)
            )
            yield Row(
                f"(f) {what} of {BATCH:,}, {ENDED + ACTIVE:,} rows against "
                f"{ACTIVE:,}, ms",
                1000 * ours,
                1000 * theirs,
                ours / theirs,
                "ratio <= 1.5",
                ours / theirs <= 1.5,
            )
        for one in (tiny, large):
            label(one)
        yield from lists(tiny.url, large.url)
        yield from own_list(large.url)


def label(one: Store) -> None:
    """Give all jobs a label, and fifty another one; fifty have failed, for lists."""
    total = one.number("SELECT count(*) FROM workflow_invocations")
    one.run("SET statement_timeout = 0; " + _LABELS.format(nth=total // 50))
    one.tidy()


_LABELS = """
INSERT INTO invocation_labels (invocation_id, label, owner, state, created_at)
SELECT invocation_id, label, owner,
    CASE number % {nth} WHEN 1 THEN 'failed' ELSE state END, created_at
FROM workflow_invocations,
    LATERAL (SELECT ('x' || right(invocation_id, 8))::bit(32)::bigint AS number) AS n,
    LATERAL (
        VALUES ('project:plate-7'), (CASE number % {nth} WHEN 0 THEN 'sample:rare' END)
    ) AS labels (label)
WHERE label IS NOT NULL
"""


def lists(few: str, many: str) -> Iterator[Row]:
    """Compare the 95th percentile of a page in a small and in a large table."""
    with serving(few) as (url, token, _), serving(many) as (url2, token2, _):
        for query in (
            "",
            "&workflow_name=workflow%201",
            "&dataset_id=d1",
            "&label=project:plate-7",  # every job
            "&label=sample:rare",  # fifty of them
            "&label=project:plate-7&state=failed",  # fifty of them
        ):
            page = f"/jobs?limit=50{query}"
            found = [
                (load(url2 + page, token2, 2)[1], load(url + page, token, 2)[1])
                for _ in range(TURNS)
            ]
            ours, theirs = (statistics.median(one) for one in zip(*found, strict=True))
            yield Row(
                f"GET {page}, p95, ms, {ENDED + ACTIVE:,} rows against {FEW:,}",
                ours,
                theirs,
                ours / theirs,
                "ratio <= 1.5",
                ours / theirs <= 1.5,
            )


def own_list(url: str) -> Iterator[Row]:
    """Compare the list of one of ten owners with the list of all."""
    container = Container(
        settings=Settings(database_url=url, home=Path("/nonexistent"))
    )
    create = container.create_token()
    own = create("lab-1", Scope.READ, sees=Sees.OWN).text
    container.database().close()
    with serving(url) as (service, token, _):
        page = f"{service}/jobs?limit=50"
        found = [(load(page, own, 2)[1], load(page, token, 2)[1]) for _ in range(TURNS)]
    ours, theirs = (statistics.median(one) for one in zip(*found, strict=True))
    yield Row(
        "GET /jobs?limit=50 for an own token, p95, ms, against a token that sees all",
        ours,
        theirs,
        ours / theirs,
        "ratio <= 1.2",
        ours / theirs <= 1.2,
    )


def measured(one: Store, *, changes: bool) -> Iterator[tuple[str, float]]:
    """Claim a batch and write it back; tell how many seconds each took."""
    queue, runs = PostgresPollQueue(one.engine), PostgresInvocations(one.engine)
    identity = Identity(GALAXY, recorded("user")["id"])
    began = time.monotonic()
    claims = queue.claim(identity, limit=BATCH, lease=timedelta(minutes=5))
    yield "claim", time.monotonic() - began
    assert len(claims) == BATCH
    if changes:
        known = runs.get_many([claim.invocation_id for claim in claims], SERVICE)
        looks = [changed(claim, known[claim.invocation_id]) for claim in claims]
    else:
        looks = [
            Look(claim=claim, answered=True, next_in=timedelta(hours=1))
            for claim in claims
        ]
    began = time.monotonic()
    written = queue.write_back(looks).changes
    what = "write-back, changes" if changes else "write-back, quiet"
    yield what, time.monotonic() - began
    assert written == (BATCH if changes else 0)


def changed(claim: Claim, before: Invocation) -> Look:
    """Return a look at a run that has changed."""
    news = Sighting(
        state=before.state,
        galaxy_state="scheduled",
        progress=before.progress,
        attention="Look at this.",
    )
    return Look(
        claim=claim,
        before=before,
        after=before.seen(news, before.observed_at),
        answered=True,
        full=True,
        next_in=timedelta(hours=1),
    )

"""(f) Claiming and writing back beside ten million runs that have ended.

The rival is the same with a hundred thousand rows in all: what has ended is to cost
the poller nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import timedelta

from bench.galaxy import recorded
from bench.store import Store, postgres, store
from bench.table import Row
from galaxy_jobs.adapters.postgres import PostgresInvocations, PostgresPollQueue
from galaxy_jobs.domain.model.invocation import Sighting
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.ports import Look


GALAXY = "http://galaxy.test"
ACTIVE = 100_000
ENDED = 9_900_000
BATCH = 1_000
BATCHES = 20


def rows() -> Iterator[Row]:
    """Measure."""
    found = {}
    for ended in (0, ENDED):
        with postgres() as server, store(server) as one:
            began = time.monotonic()
            one.fill(GALAXY, ACTIVE, ended=ended)
            size = one.number("SELECT pg_database_size(current_database())") / 2**30
            print(
                f"# {ended + ACTIVE:,} rows, {size:.1f} GiB, filled in "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )
            found[ended] = measured(one)
    for place, what in enumerate(("claim", "write-back, quiet", "write-back, changes")):
        ours, theirs = found[ENDED][place], found[0][place]
        yield Row(
            f"(f) {what} of {BATCH:,}, {ENDED + ACTIVE:,} rows against {ACTIVE:,}, ms",
            1000 * ours,
            1000 * theirs,
            ours / theirs,
            "ratio <= 1.5",
            ours / theirs <= 1.5,
        )


def measured(one: Store) -> list[float]:
    """Return the medians of a claim, of writing back, and of writing changes."""
    queue, runs = PostgresPollQueue(one.engine), PostgresInvocations(one.engine)
    identity = Identity(GALAXY, recorded("user")["id"])
    times: list[list[float]] = [[], [], []]
    for number in range(2 * BATCHES):
        began = time.monotonic()
        claims = queue.claim(identity, limit=BATCH, lease=timedelta(minutes=5))
        times[0].append(time.monotonic() - began)
        assert len(claims) == BATCH
        if number % 2:
            looks = [
                Look(claim=claim, answered=True, next_in=timedelta(hours=1))
                for claim in claims
            ]
        else:
            known = runs.get_many([claim.invocation_id for claim in claims])
            looks = []
            for claim in claims:
                before = known[claim.invocation_id]
                news = Sighting(
                    state=before.state,
                    galaxy_state="scheduled",
                    progress=before.progress,
                    attention="Look at this.",
                )
                after = before.seen(news, before.observed_at)
                looks.append(
                    Look(
                        claim=claim,
                        before=before,
                        after=after,
                        answered=True,
                        full=True,
                        next_in=timedelta(hours=1),
                    )
                )
        began = time.monotonic()
        changed = queue.write_back(looks)
        times[1 if number % 2 else 2].append(time.monotonic() - began)
        assert changed == (0 if number % 2 else BATCH)
    return [statistics.median(each) for each in times]

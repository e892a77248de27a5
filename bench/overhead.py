"""What the service adds to the work of a handler: around an empty one, and to a body.

Load comes from ``wrk``, as in ``http``; bodies are parsed in this process, in turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from bench.http import HERE, in_turns, serving
from bench.store import postgres, store
from bench.table import Row
from galaxy_jobs.entrypoints.api import bodies, schemas


LIVE = "/health/live"
BODY = json.dumps(
    {
        "dataset_id": "fruits",
        "workflow_name": "sort-and-count",
        "overwrite": False,
        "parameters": {"sleep_s": 2, "exit_code": 0, "reference": {"dataset_id": "r"}},
    }
).encode()
PARSES = 500
ROUNDS = 40


def rows() -> Iterator[Row]:
    """Measure."""
    yield parsing()
    with (
        postgres() as server,
        store(server) as database,
        serving(database.url) as (url, token, _),
        bare() as theirs_url,
    ):
        ours, theirs = in_turns((url + LIVE, token), (theirs_url + LIVE, ""))
    yield Row(
        "GET /health/live, req/s, against a bare Litestar application",
        ours,
        theirs,
        ours / theirs,
        "ratio >= 0.7",
        ours / theirs >= 0.7,
    )


@contextmanager
def bare() -> Iterator[str]:
    """Run a bare application on the same server, and give its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.bare"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parent,
    )
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(60)


def parsing() -> Row:
    """Compare with msgspec alone, which checks nothing."""

    def ours() -> None:
        bodies.decode(BODY, schemas.NewJob)

    def theirs() -> None:
        msgspec.json.decode(BODY)

    # In turns; the shortest are those that nothing else disturbed.
    pairs = [(microseconds(ours), microseconds(theirs)) for _ in range(ROUNDS)]
    a, b = (min(column) for column in zip(*pairs, strict=True))
    return Row(
        "POST /jobs, parsing and validating a body, us, against msgspec.json.decode",
        a,
        b,
        a / b,
        "ours <= 20",
        a <= 20,
    )


def microseconds(parse: Callable[[], None]) -> float:
    """Return how long one call takes."""
    return timeit.timeit(parse, number=PARSES) / PARSES * 1e6

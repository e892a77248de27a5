"""A sweep over thousands of runs, against what everybody would write first.

(a) requests and speed of a quiet sweep, and of one that finds changes; (b) one run
that Galaxy does not know, which makes its bulk answer an error for all; (c) memory.

The rival is a ThreadPoolExecutor over stock BioBlend's ``show_invocation``, with as
many threads, on the same simulated Galaxy in the same run. It only asks; ours reads
its claims from PostgreSQL and writes what it found, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from bioblend.galaxy import GalaxyInstance

from bench.galaxy import KEY, Galaxy, id_of, simulated
from bench.store import Store, postgres, store
from bench.table import Row
from galaxy_jobs.domain.use_cases import Sweep


RUNS = 10_000
THREADS = 8
LATENCY = 0.020


def rows() -> Iterator[Row]:
    """Measure."""
    with postgres() as server:
        with store(server) as one, simulated(RUNS, latency=LATENCY) as galaxy:
            one.fill(galaxy.url, RUNS)
            yield from quiet(one, galaxy)
            yield from changing(one, galaxy)
            yield from overdue_looks(one, galaxy)
            yield from spoilt(one, galaxy)
        yield from as_slow_as_a_real_one(server)
        yield from without_bulk(server)
        yield from memory(server)


def swept(one: Store, galaxy: Galaxy) -> tuple[Sweep, float, int]:
    """Sweep once; return its numbers, its seconds, and the requests that it made."""
    galaxy.asked()
    container = one.container(galaxy.url)
    began = time.monotonic()
    sweep = container.poll()()
    seconds = time.monotonic() - began
    container.database().close()
    assert sweep.problem is None, sweep.problem
    return sweep, seconds, galaxy.asked().total()


def naturally(galaxy: Galaxy, count: int) -> float:
    """Ask about so many as one would; return the seconds it took."""
    client = GalaxyInstance(galaxy.url, key=KEY)
    ids = [id_of(n) for n in range(count)]
    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        shown = list(pool.map(client.invocations.show_invocation, ids))
    assert all(one["id"] == id_ for one, id_ in zip(shown, ids, strict=True))
    return time.monotonic() - began


def quiet(one: Store, galaxy: Galaxy) -> Iterator[Row]:
    """Nothing has moved: the bulk answers do."""
    sweep, seconds, requests = swept(one, galaxy)
    assert (sweep.due, sweep.asked, sweep.looks) == (RUNS, RUNS, 0), sweep
    theirs = naturally(galaxy, RUNS)
    yield Row(
        f"(a) quiet sweep of {RUNS:,}, requests",
        requests,
        RUNS,
        RUNS / requests,
        "ours <= 60",
        requests <= 60,
    )
    yield Row(
        f"(a) quiet sweep of {RUNS:,} at 20 ms, seconds",
        seconds,
        theirs,
        theirs / seconds,
        "ratio >= 30",
        theirs / seconds >= 30,
    )


def changing(one: Store, galaxy: Galaxy) -> Iterator[Row]:
    """One in a hundred has ended."""
    one.all_due()
    moved = RUNS // 100
    galaxy.move(id_of(n) for n in range(0, RUNS, 100))
    sweep, seconds, requests = swept(one, galaxy)
    assert (sweep.asked, sweep.changed, sweep.ended) == (RUNS, moved, moved), sweep
    yield Row(
        f"(a) sweep of {RUNS:,}, 1 % have ended, requests",
        requests,
        RUNS,
        RUNS / requests,
        "ours <= 160",
        requests <= 160,
    )
    yield Row(
        f"(a) sweep of {RUNS:,}, 1 % have ended, seconds",
        seconds,
        None,
        None,
        "-",
        ok=True,
    )


def overdue_looks(one: Store, galaxy: Galaxy) -> Iterator[Row]:
    """What a bounded age of full looks costs: counted apart."""
    one.all_due()
    one.run(
        "UPDATE active_invocations SET last_full_look_at = now() - interval '1 hour' "
        "WHERE right(invocation_id, 2) = '00'"
    )
    sweep, _, requests = swept(one, galaxy)
    yield Row(
        "(a) full looks that only their age called for",
        sweep.routine,
        None,
        None,
        "no other request for them",
        0 < sweep.routine == sweep.looks and requests <= 60 + sweep.routine,
    )


def spoilt(one: Store, galaxy: Galaxy) -> Iterator[Row]:
    """One that Galaxy does not know makes the bulk answer an error for all."""
    one.all_due()
    active = one.number("SELECT count(*) FROM active_invocations")
    galaxy.lose([id_of(4321)])
    container = one.container(galaxy.url)
    galaxy.asked()
    sweep = container.poll()()
    requests = galaxy.asked().total()
    one.all_due()
    again = container.poll()()
    later = galaxy.asked().total()
    container.database().close()
    yield Row(
        "(b) one absent id: runs that were told of",
        sweep.asked,
        active - 1,
        sweep.asked / (active - 1),
        "all but the one; nothing failed, no breaker",
        (sweep.asked, sweep.missing, sweep.failed, sweep.problem)
        == (active - 1, 1, 0, None),
    )
    yield Row(
        "(b) one absent id: requests, first and next sweep",
        f"{requests}, {later}",
        None,
        None,
        "<= 80, <= 60",
        requests <= 80 and later <= 60 and again.asked == active - 1,
    )


def as_slow_as_a_real_one(server: str) -> Iterator[Row]:
    """The same with the costs that a real Galaxy showed."""
    count = 2000
    with (
        store(server) as one,
        simulated(count, latency=0.040, per_id=0.0015) as galaxy,
    ):
        one.fill(galaxy.url, count)
        sweep, seconds, _ = swept(one, galaxy)
        assert (sweep.asked, sweep.looks) == (count, 0), sweep
        theirs = naturally(galaxy, count)
    yield Row(
        f"quiet sweep of {count:,}, bulk answers as slow as a real Galaxy's, seconds",
        seconds,
        theirs,
        theirs / seconds,
        "ratio >= 5",
        theirs / seconds >= 5,
    )


def without_bulk(server: str) -> Iterator[Row]:
    """A Galaxy that cannot be asked in bulk: no worse than what everybody does."""
    count = 2000
    with (
        store(server) as one,
        simulated(count, latency=LATENCY, answers_in_bulk=0) as galaxy,
    ):
        one.fill(galaxy.url, count)
        sweep, seconds, requests = swept(one, galaxy)
        theirs = naturally(galaxy, count)
    yield Row(
        f"sweep of {count:,} on a Galaxy without bulk answers, seconds",
        seconds,
        theirs,
        theirs / seconds,
        "all told of, ratio >= 0.8",
        sweep.asked == count <= sweep.bulk_misses and theirs / seconds >= 0.8,
    )
    assert requests < count + 20, requests


def memory(server: str) -> Iterator[Row]:
    """However many there are, no more of them are held at once."""
    peaks = {}
    for count in (1_000, 10_000, 100_000):
        with store(server) as one, simulated(count) as galaxy:
            one.fill(galaxy.url, count)
            peaks[count] = peak(one, galaxy)
            left = one.number(
                "SELECT count(*) FROM active_invocations WHERE next_poll_at < now() "
                "AND lease_no = 0"
            )
            assert left == 0, f"{left} of {count} were not asked about"
    for count in (10_000, 100_000):
        ratio = peaks[count] / peaks[1_000]
        yield Row(
            f"(c) peak memory of a sweep of {count:,} against 1,000, MiB",
            peaks[count],
            peaks[1_000],
            ratio,
            "ratio <= 1.1",
            ratio <= 1.1,
        )


def peak(one: Store, galaxy: Galaxy) -> float:
    """Sweep in a process of its own; return the most memory that it had, in MiB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "galaxy_jobs.entrypoints", "poll", "--once"],
        env={
            **os.environ,
            "DATABASE_URL": one.url,
            "GALAXY_URL": galaxy.url,
            "GALAXY_API_KEY": KEY,
        },
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, "the sweep failed"
    return used.ru_maxrss / 1024

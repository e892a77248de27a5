"""(e) Four pollers, one of them killed every few seconds, for a minute.

Every poller has a key of its own, so the simulated Galaxy knows who asks. A run is
asked about twice within a lease where two pollers ask about it nearer to each other
than it can be due again. The control has no leases to speak of.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bench.galaxy import Galaxy, simulated
from bench.store import Store, postgres, store
from bench.table import Row


RUNS = 2_000
POLLERS = 4
SECONDS = 60.0
INTERVAL = 2.0
"""Seconds between two looks at a run, less and plus a tenth."""

LEASE = 8.0
PATIENCE = LEASE + 1.1 * INTERVAL + 10
"""Seconds after which a run is starved: its poller died, its lease ran out, and the
others had ten seconds for it, while new ones start on a busy machine."""


def rows() -> Iterator[Row]:
    """Measure."""
    with postgres() as server:
        overlaps, longest, kills, asked = trial(server, LEASE)
        without, _, _, _ = trial(server, 0.001)
    yield Row(
        f"(e) {POLLERS} pollers, {kills} killed: asked twice within a lease",
        overlaps,
        without,
        None,
        "ours 0; without leases > 0",
        overlaps == 0 < without,
    )
    yield Row(
        f"(e) longest that any of {RUNS:,} was not asked about, s ({asked:,} asked)",
        longest,
        None,
        None,
        f"<= {PATIENCE:.0f}",
        longest <= PATIENCE,
    )


def trial(server: str, lease: float) -> tuple[int, float, int, int]:
    """Return overlaps, the longest wait, kills, and how often runs were asked about."""
    with (
        store(server) as one,
        simulated(RUNS, latency=0.2, logs=1) as galaxy,
        tempfile.TemporaryDirectory() as folder,
    ):
        one.fill(galaxy.url, RUNS)
        config = Path(folder, "config.toml")
        config.write_text(
            f"[poll]\nlease = {lease}\nbatch = 200\n"
            f"min_interval = {INTERVAL}\nmax_interval = {INTERVAL}\n"
        )
        kills, ended = killing(one, galaxy, config)
        log = galaxy.log()
    return *gaps(log, ended), kills, sum(len(ids) for _, _, ids in log)


def killing(one: Store, galaxy: Galaxy, config: Path) -> tuple[int, float]:
    """Run the pollers and kill at random; return how many, and when it ended."""
    names = count()
    chance = random.Random(1)

    def poller() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "galaxy_jobs.entrypoints", "poll", "--every", "0.5"],
            env={
                **os.environ,
                "DATABASE_URL": one.url,
                "GALAXY_URL": galaxy.url,
                "GALAXY_API_KEY": f"poller-{next(names)}",
                "GALAXY_JOBS_CONFIG": str(config),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    pollers = [poller() for _ in range(POLLERS)]
    try:
        while not galaxy.log():
            time.sleep(0.2)
        ends, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < ends:
            time.sleep(chance.uniform(3, 6))
            victim = chance.randrange(POLLERS)
            pollers[victim].send_signal(signal.SIGKILL)
            pollers[victim].wait()
            pollers[victim] = poller()
            kills += 1
        return kills, time.monotonic()
    finally:
        for each in pollers:
            each.kill()
            each.wait()


def gaps(log: list[tuple[float, str, list[str]]], ended: float) -> tuple[int, float]:
    """Return how often two asked too near each other, and the longest wait."""
    last: dict[str, tuple[float, str]] = {}
    overlaps, longest = 0, 0.0
    for at, key, ids in sorted(log):
        for id_ in ids:
            before, who = last.get(id_, (at, key))
            longest = max(longest, at - before)
            overlaps += who != key and at - before < 0.9 * INTERVAL
            last[id_] = (at, key)
    assert len(last) == RUNS, f"{RUNS - len(last)} were never asked about"
    return overlaps, max(longest, *(ended - at for at, _ in last.values()))

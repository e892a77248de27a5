"""A month of results is deleted while a poller sweeps as if nothing were.

The jobs ended a month ago. Their histories are deleted and purged in a thread beside
sweeps over jobs that have not ended; the rival is the same sweep with nothing beside
it, in the same run. Some results are needed, each for one of the reasons that there
are: what is deleted is compared with these numbers alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from statistics import median
from typing import Any, cast
from uuid import UUID

from attrs import define, field
from dependency_injector import providers

from bench.galaxy import id_of, simulated
from bench.store import Store, postgres, store
from bench.table import Row
from galaxy_jobs.domain import GalaxyData, HistoryId, Src
from galaxy_jobs.domain.model.retention import RetentionPolicy
from galaxy_jobs.entrypoints.container import Container


ACTIVE = 2_000
ENDED = 10_000
EVERY = 100
SWEEPS = 7
PAUSE = 1.0
"""Seconds between two sweeps while results are deleted."""
LATENCY = 0.020
REQUEST = 0.002
"""Seconds of a request about a history: less than any Galaxy takes, so that as much as
can be is deleted at the same time."""

REGISTERED, DRAWN, RENAMED, ADOPTED, YOUNG = NEEDED = range(5)
"""Why results are needed, by what is left of the number of a job divided by `EVERY`."""


def history_of(number: int) -> str:
    """Return the history of a job, as the store has it."""
    return f"{number:x}".rjust(16, "f")


def data_of(number: int) -> str:
    """Return the dataset in the history of a job."""
    return f"{number:x}".rjust(16, "d")


@define
class Histories:
    """The histories of the jobs, one dataset in each.

    Attributes:
        purged: Those that were purged.
    """

    purged: set[str] = field(factory=set, init=False)
    _numbers: Mapping[str, int] = field(
        factory=lambda: {history_of(job): job for job in range(ACTIVE + ENDED)},
        init=False,
    )

    def marked(self, mark: str) -> Mapping[HistoryId, str]:
        """Return the history of a job; some have been renamed."""
        time.sleep(REQUEST)
        number = UUID(mark.rpartition(" ")[2]).int
        name = f"Mine ({mark})" if number % EVERY == RENAMED else mark
        return {HistoryId(history_of(number)): name}

    def contents(self, history_id: HistoryId) -> Collection[GalaxyData]:
        """Return the dataset."""
        time.sleep(REQUEST)
        return [GalaxyData(Src.HDA, data_of(self._numbers[history_id]))]

    def delete(self, history_id: HistoryId, *, purge: bool = False) -> None:
        """Note that it is purged."""
        time.sleep(REQUEST)
        if purge:
            self.purged.add(history_id)

    def undelete(self, history_id: HistoryId) -> None:
        """Restore nothing: nothing has to be."""


def rows() -> Iterator[Row]:
    """Measure."""
    with (
        postgres() as server,
        store(server) as one,
        simulated(ACTIVE, latency=LATENCY) as galaxy,
    ):
        one.fill(galaxy.url, ACTIVE, ended=ENDED, quiet_hours=31 * 24)
        numbers = range(ACTIVE, ACTIVE + ENDED)
        need(one, numbers)
        container = one.container(galaxy.url)
        histories = Histories()
        container.histories.override(providers.Object(cast("Any", histories)))
        container.clean.add_kwargs(policy=RetentionPolicy(results=timedelta(days=30)))
        swept(one, container)
        alone = [swept(one, container) for _ in range(SWEEPS)]
        beside = list[float]()
        clean = container.clean()
        cleaning = threading.Thread(target=clean, args=[timedelta(hours=1)])
        began = time.monotonic()
        cleaning.start()
        while cleaning.is_alive():
            beside.append(swept(one, container))
            cleaning.join(PAUSE)
        seconds = time.monotonic() - began
        container.database().close()
    slower = median(beside) / median(alone)
    yield Row(
        f"sweep of {ACTIVE:,} while {ENDED:,} results are deleted, jobs a second",
        ACTIVE / median(beside),
        ACTIVE / median(alone),
        1 / slower,
        "ratio >= 0.5",
        slower <= 2,
    )
    mistaken = {
        number
        for number in numbers
        if (history_of(number) in histories.purged) == (number % EVERY in NEEDED)
    }
    wrong = sum(number % EVERY in NEEDED for number in mistaken)
    yield Row(
        f"histories deleted of {ENDED:,}, {seconds:.0f} s",
        len(histories.purged),
        ENDED * (EVERY - len(NEEDED)) / EVERY,
        None,
        "all but those that are needed",
        not mistaken,
    )
    yield Row("histories deleted that are needed", wrong, None, None, "0", not wrong)


def need(one: Store, numbers: range) -> None:
    """Store what needs the results of some jobs."""

    def those(reason: int) -> list[int]:
        return [number for number in numbers if number % EVERY == reason]

    def named(reason: int) -> str:
        return ", ".join(f"'{id_of(number)}'" for number in those(reason))

    registered = ", ".join(
        f"""('r{number}', 'r', '{{"src": "hda", "id": "{data_of(number)}"}}')"""
        for number in those(REGISTERED)
    )
    one.run(f"INSERT INTO datasets (dataset_id, name, source) VALUES {registered}")
    for active, number in enumerate(those(DRAWN)):
        one.run(
            f"UPDATE active_invocations SET draws = ARRAY['hda:{data_of(number)}']"
            f" WHERE invocation_id = '{id_of(active)}'"
        )
    jobs = "UPDATE workflow_invocations SET"
    one.run(f"{jobs} adopted = true WHERE invocation_id IN ({named(ADOPTED)})")
    one.run(f"{jobs} updated_at = now() WHERE invocation_id IN ({named(YOUNG)})")


def swept(one: Store, container: Container) -> float:
    """Let all be due, sweep once, and return the seconds that it took."""
    one.all_due()
    began = time.monotonic()
    sweep = container.poll()()
    assert sweep.asked == ACTIVE, sweep
    return time.monotonic() - began

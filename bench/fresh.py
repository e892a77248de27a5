"""(d) How soon a change on a real Galaxy can be read in ``GET /jobs``.

Galaxy itself is asked ten times a second; the moment at which it first tells of a
change is compared with the moment at which our list first does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from tests.support.galaxy import Lab
from tests.support.service import Service

from bench.real import real
from bench.table import Row
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.domain.model.values import InvocationId


RUNS = 15
EVERY = 1.0
LIMIT = 240.0


def rows() -> Iterator[Row]:
    """Measure."""
    with real() as (jobs, lab):
        jobs.poll(EVERY)
        late = sorted(delays(jobs, lab))
    p50, p95 = late[len(late) // 2], late[int(0.95 * (len(late) - 1))]
    yield Row(
        f"(d) from a change on Galaxy to GET /jobs, {len(late)} changes, median, s",
        p50,
        None,
        None,
        "-",
        ok=True,
    )
    yield Row(
        f"(d) from a change on Galaxy to GET /jobs, {len(late)} changes, p95, s",
        p95,
        None,
        None,
        "<= 2",
        p95 <= 2,
    )


def delays(jobs: Service, lab: Lab) -> list[float]:
    """Submit runs, some at a time; return how late we told of each change."""
    galaxy = Galaxy(lab.url, lab.key)
    dataset = jobs.dataset("hda", lab.text)
    ids: list[InvocationId] = []
    over = threading.Event()

    def there() -> Mapping[str, str]:
        told = galaxy.summaries([*ids])
        return {id_: _word(one.states) for id_, one in told.items()}

    def here() -> Mapping[str, str]:
        listed = jobs.get("/jobs?limit=200")["items"]
        return {one["invocation_id"]: one["state"] for one in listed}

    seen: list[dict[tuple[str, str], float]] = [{}, {}]

    def watch(
        look: Callable[[], Mapping[str, str]], into: dict[tuple[str, str], float]
    ) -> None:
        while not over.is_set():
            for key in look().items():
                into.setdefault(key, time.monotonic())
            over.wait(0.1)

    watchers = [
        threading.Thread(target=watch, args=one)
        for one in zip((there, here), seen, strict=True)
    ]
    for one in watchers:
        one.start()
    try:
        for number in range(RUNS):
            parameters = {"sleep_s": number % 4}
            run = jobs.submit(dataset, "two steps", parameters)
            ids.append(InvocationId(run))
            time.sleep(1)
        ends = time.monotonic() + LIMIT
        while any((id_, "completed") not in seen[1] for id_ in ids):
            assert time.monotonic() < ends, "not all have completed"
            time.sleep(0.2)
    finally:
        over.set()
        for one in watchers:
            one.join()
    wanted = ("in_progress", "completed")
    return [
        max(seen[1][id_, word] - at, 0.0)
        for (id_, word), at in seen[0].items()
        if word in wanted and (id_, word) in seen[1]
    ]


def _word(states: Mapping[str, int]) -> str:
    """Say in our words what Galaxy tells of jobs that all go well."""
    if states and set(states) == {"ok"} and states["ok"] == 2:
        return "completed"
    return "in_progress" if states.keys() & {"running", "ok"} else "queued"

"""What a submission costs on a real Galaxy, on top of what it takes anyhow.

The rival has the ids at hand and stock BioBlend: it looks whether the workflow is still
there, makes a history and invokes the workflow into it. Nothing else is checked, and
nothing recorded. (Galaxy runs a deleted workflow without a word: who does not look
first saves a quarter of the time.)
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from bioblend.galaxy import GalaxyInstance

from bench.real import real
from bench.table import Row


WORKFLOW = "success"
TURNS = 40
PAUSE = 0.5
"""Seconds for Galaxy to take up what it was told, so that neither side waits for it."""


def rows() -> Iterator[Row]:
    """Measure."""
    with real() as (jobs, lab):
        dataset = jobs.dataset("hda", lab.text)
        bare = GalaxyInstance(lab.url, lab.key)
        [found] = bare.workflows.get_workflows(name=WORKFLOW)
        times: list[list[float]] = [[], [], []]
        for turn in range(TURNS + 1):
            jobs_began = time.perf_counter()
            jobs.submit(dataset, WORKFLOW)
            jobs_ended = time.perf_counter()
            time.sleep(PAUSE)
            began = time.perf_counter()
            bare.workflows.show_workflow(found["id"])
            looked = time.perf_counter()
            history = bare.histories.create_history("bench")["id"]
            bare.workflows.invoke_workflow(
                found["id"],
                inputs={"text": {"src": "hda", "id": lab.text}},
                inputs_by="name",
                history_id=history,
            )
            ended = time.perf_counter()
            time.sleep(PAUSE)
            if turn:  # the first connects, and reads what there is
                times[0].append(jobs_ended - jobs_began)
                times[1].append(ended - began)
                times[2].append(ended - looked)
    ours, looking, blind = map(statistics.median, times)
    yield Row(
        f"POST /jobs, median of {TURNS}, s, against BioBlend's show_workflow, "
        "create_history and invoke_workflow",
        ours,
        looking,
        ours / looking,
        "ratio <= 1.1",
        ours / looking <= 1.1,
    )
    yield Row(
        "POST /jobs, against the same that would run a deleted workflow, too",
        ours,
        blind,
        ours / blind,
        "none: for information",
        ok=True,
    )

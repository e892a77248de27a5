"""A service that runs a workflow every night, with the use cases inside it."""

from __future__ import annotations

import sys
import time

from galaxy_jobs.domain import (
    SERVICE,
    DatasetId,
    DomainError,
    GalaxyData,
    IdempotencyKey,
    Invocation,
    Request,
    Src,
)
from galaxy_jobs.entrypoints.container import Container, opened, prepare
from galaxy_jobs.entrypoints.environment import BadSetting
from galaxy_jobs.entrypoints.settings import load


def run_nightly(container: Container, hda: str, workflow_name: str) -> Invocation:
    """Run the workflow on a Galaxy dataset, once a day however often it is called.

    Returns:
        The job: it is recorded, and going on or ended.
    """
    # Under an id of our own, the same data again is the same dataset.
    dataset_id = DatasetId(f"nightly-{hda}")
    source = GalaxyData(Src.HDA, hda)
    container.register_dataset()("nightly", source, SERVICE, dataset_id)
    request = Request(dataset_id=dataset_id, workflow_name=workflow_name)
    today = container.clock()().date()
    key = IdempotencyKey("nightly", f"{today} {hda} {workflow_name}")
    submitted = container.submit()(request, SERVICE, key)
    return container.invocations().get(submitted.invocation_id, SERVICE)


def follow(container: Container, job: Invocation, every: float = 1.0) -> Invocation:
    """Wait for the end of a job; leave out `poll` where a poller runs anyway."""
    while not job.state.is_terminal:
        container.poll()()
        time.sleep(every)
        job = container.invocations().get(job.invocation_id, SERVICE)
    return job


def main(hda: str, workflow_name: str) -> int:
    """Run it, print what came of it, and return the exit code."""
    try:
        with opened(load()) as container:
            prepare(container)
            job = follow(container, run_nightly(container, hda, workflow_name))
    except (DomainError, BadSetting) as error:
        print(error, file=sys.stderr)
        return 1
    print(job.invocation_id, job.state.value, job.failure or "")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: nightly.py DATASET WORKFLOW")
    sys.exit(main(sys.argv[1], sys.argv[2]))

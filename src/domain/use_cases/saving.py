"""Read jobs, and change those that pollers change at the same time."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_jobs.domain.errors import (
    ResultsDeleted,
    StaleVersion,
    StoreUnavailable,
)
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import InvocationRepository


ATTEMPTS = 10
"""How often a change is tried, each time on the job as it is by then."""


def save_changed(
    invocations: InvocationRepository,
    before: Invocation,
    viewer: Viewer,
    change: Callable[[Invocation], Invocation],
) -> Invocation:
    """Store a change of a job, and return the job as it was stored.

    Args:
        invocations: Where it is stored.
        before: The job as it was read.
        viewer: Who reads it.
        change: Returns the job after the change, or the same object for none.

    Raises:
        JobNotFound: There is no such job any more.
        StoreUnavailable: Others changed it during each of several attempts.
        DomainError: As *change* raises.
    """
    for _ in range(ATTEMPTS):
        after = change(before)
        if after is before:
            return before
        try:
            invocations.save(before, after)
        except StaleVersion:
            before = invocations.get(before.invocation_id, viewer)
        else:
            return after
    raise StoreUnavailable(
        f"Job {before.invocation_id!r} has been changed by others {ATTEMPTS} times. "
        "Try again later."
    )


def with_results(job: Invocation) -> Invocation:
    """Return a job whose results are kept.

    Raises:
        ResultsDeleted: They were deleted.
    """
    if job.results_deleted_at is not None:
        raise ResultsDeleted(when=job.results_deleted_at)
    return job

"""Read jobs, and change those that pollers change at the same time."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_jobs.domain.errors import (
    ResultsDeleted,
    StaleVersion,
    StoreUnavailable,
)
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.ports import InvocationRepository


ATTEMPTS = 10
"""How often a change is tried, each time on the job as it is by then."""


def save_changed(
    invocations: InvocationRepository,
    before: Invocation,
    viewer: Viewer,
    change: Callable[[Invocation], Invocation],
) -> Invocation:
    """Store a change of a job, and return the job as the viewer sees it.

    Args:
        invocations: Where it is stored.
        before: The job as the viewer read it.
        viewer: Who reads it. What is stored has the ids of datasets as all know them.
        change: Returns the job after the change, or the same object for none.

    Raises:
        JobNotFound: There is no such job any more.
        StoreUnavailable: Others changed it during each of several attempts.
        DomainError: As *change* raises.
    """
    id_ = before.invocation_id
    stored = before if viewer.sees_all else invocations.get(id_, SERVICE)
    for _ in range(ATTEMPTS):
        after = change(stored)
        if after is stored:
            return before if after.version == before.version else _shown(after, viewer)
        try:
            invocations.save(stored, after)
        except StaleVersion:
            stored = invocations.get(id_, SERVICE)
        else:
            return _shown(after, viewer)
    raise StoreUnavailable(
        f"Job {before.invocation_id!r} has been changed by others {ATTEMPTS} times. "
        "Try again later."
    )


def _shown(job: Invocation, viewer: Viewer) -> Invocation:
    return job if viewer.sees_all else job.shown_to(viewer)


def with_results(job: Invocation) -> Invocation:
    """Return a job whose results are kept.

    Raises:
        ResultsDeleted: They were deleted.
    """
    if job.results_deleted_at is not None:
        raise ResultsDeleted(when=job.results_deleted_at)
    return job

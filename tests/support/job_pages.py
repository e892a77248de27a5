"""Pages of jobs made of the domain's objects, in the spelling of the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from attrs import frozen

from galaxy_jobs.domain import Invocation
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import Cursor, JobFilter, Page
from galaxy_jobs.entrypoints.api import schemas


@frozen
class ComposedJobPages:
    """Returns what `PostgresJobPages` does, from a repository's pages.

    Attributes:
        pages: Lists invocations, as :meth:`InvocationRepository.page` does.
        clock: Gives the time that decides about `stale`.
    """

    pages: Callable[..., Page[Invocation]]
    clock: Callable[[], datetime]

    async def page(
        self,
        wanted: JobFilter,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
    ) -> tuple[str, str, Cursor | None]:
        page = self.pages(wanted, viewer, limit, after)
        now = self.clock()
        jobs, tags = [], []
        for invocation in page.items:
            job = schemas.view(schemas.JobJson, invocation)
            job.progress.blocked = invocation.blocked
            job.stale = invocation.is_stale(now)
            if invocation.parameters_truncated:
                job.parameters = None
            jobs.append(msgspec.json.encode(job).decode())
            tags.append((invocation.invocation_id, invocation.version, job.stale))
        return ",".join(jobs), repr(tags), page.next

    async def close(self) -> None:
        """There is nothing to close."""

"""Lists of jobs made of the domain's objects, as the API says that they look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from attrs import frozen

from galaxy_jobs.domain import Invocation
from galaxy_jobs.domain.ports import Cursor, JobFilter, JobListing, ListedJobs, Page
from galaxy_jobs.domain.use_cases import PollPolicy
from galaxy_jobs.entrypoints.api import schemas


@frozen
class ComposedListing(JobListing):
    """Lists what *pages* lists."""

    pages: Callable[..., Page[Invocation]]
    policy: PollPolicy = PollPolicy()  # noqa: RUF009 - it is frozen

    async def page(
        self,
        wanted: JobFilter,
        limit: int,
        after: Cursor | None = None,
        *,
        now: datetime,
    ) -> ListedJobs:
        page = self.pages(wanted, limit, after)
        shown = schemas.Shown(clock=lambda: now, policy=self.policy)
        jobs = [(one, shown.job(one)) for one in page.items]
        return ListedJobs(
            items=",".join(msgspec.json.encode(job).decode() for _, job in jobs),
            tag=repr(
                [(one.invocation_id, one.version, job.stale) for one, job in jobs]
            ),
            next=page.next,
        )

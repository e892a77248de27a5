"""The port to lists that are sent as they are: a list is what clients ask for most."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from attrs import frozen

from galaxy_jobs.domain.ports.invocations import JobFilter
from galaxy_jobs.domain.ports.paging import Cursor


@frozen(kw_only=True)
class ListedJobs:
    """A page of jobs as clients are shown it.

    Attributes:
        items: The members of a JSON array, newest first; empty if there are none.
        tag: Another one wherever anything shown differs, but `observed_at`: that
            moves with every poll, though nothing happened.
        next: Where the next page begins, or None if this is the last.
    """

    items: str
    tag: str
    next: Cursor | None


class JobListing(Protocol):
    """Lists jobs for clients.

    Unlike other ports it is awaited, in an event loop that it does not block: a thread
    for each request would take longer than the query. May be called by several tasks
    at once, and may raise :class:`StoreUnavailable`.
    """

    @abstractmethod
    async def page(
        self,
        wanted: JobFilter,
        limit: int,
        after: Cursor | None = None,
        *,
        now: datetime,
    ) -> ListedJobs:
        """List what :meth:`InvocationRepository.page` lists.

        Args:
            wanted: Which.
            limit: How many at most; 1 or more.
            after: Only what is older than that place.
            now: Time-zone aware: a job that was not observed for too long by then
                is shown as stale, by the rule of :meth:`PollPolicy.stale`.

        Raises:
            InvalidValue: There can be no such cursor.
        """

"""The port to lists that are sent as they are: a list is what clients ask for most."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from attrs import frozen

from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.ports.repositories import Cursor, JobFilter, Page


@frozen(kw_only=True)
class ListedJob:
    """A job as lists show it: JSON in two parts, and what stands between them.

    That is whether the job is stale, which depends on the moment and is not for a
    store to say.

    Attributes:
        invocation_id: Which.
        version: How often anything shown of it changed, but `observed_at`.
        state: Where it stands.
        updated_at: When anything shown of it last changed.
        observed_at: When Galaxy was last asked about it.
        before: A JSON object of its members up to ``observed_at``.
        behind: A JSON object of those from ``attention`` on.
    """

    invocation_id: InvocationId
    version: int
    state: InvocationState
    updated_at: datetime
    observed_at: datetime
    before: str
    behind: str


class JobListing(Protocol):
    """Lists jobs for clients.

    May be called from several threads at once, and may raise
    :class:`StoreUnavailable`.
    """

    @abstractmethod
    def page(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> Page[ListedJob]:
        """List what :meth:`InvocationRepository.page` lists.

        Raises:
            InvalidValue: There can be no such cursor.
        """

"""Lists of jobs made of the domain's objects, as the API says that they look."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
from attrs import frozen

from galaxy_jobs.domain import Invocation
from galaxy_jobs.domain.ports import Cursor, JobFilter, JobListing, ListedJob, Page
from galaxy_jobs.domain.use_cases import PollPolicy
from galaxy_jobs.entrypoints.http import wire
from tests.support.build import NOON


SHOWN = wire.Shown(clock=lambda: NOON, policy=PollPolicy())


@frozen
class ComposedListing(JobListing):
    """Lists what *pages* lists."""

    pages: Callable[..., Page[Invocation]]

    def page(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> Page[ListedJob]:
        page = self.pages(wanted, limit, after)
        return Page(tuple(composed(one) for one in page.items), page.next)


def composed(one: Invocation) -> ListedJob:
    said: dict[str, Any] = json.loads(msgspec.json.encode(SHOWN.job(one)))
    names = list(said)
    stale = names.index("stale")
    return ListedJob(
        invocation_id=one.invocation_id,
        version=one.version,
        state=one.state,
        updated_at=one.updated_at,
        observed_at=one.observed_at,
        before=json.dumps({name: said[name] for name in names[:stale]}),
        behind=json.dumps({name: said[name] for name in names[stale + 1 :]}),
    )

"""Pages of the list of jobs: what the route needs of a database, and their ETag.

The ETag tells whether anything worth fetching has changed: everything counts but
`observed_at`, which moves with every poll though nothing happened.
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib.metadata import version
from typing import Protocol

from galaxy_jobs.domain.ports import Cursor, JobFilter


_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RELEASE = version("galaxy-jobs")  # another one may show more


class JobPage(Protocol):
    """A page of the list of jobs, with its items as JSON."""

    @property
    def items(self) -> str:
        """The members of a JSON array, newest first; empty if there are none."""

    @property
    def tag(self) -> str:
        """A text that differs wherever anything but `observed_at` differs."""

    @property
    def next(self) -> Cursor | None:
        """The cursor of the next page, or None if this is the last."""


class JobPages(Protocol):
    """Reads pages of the list of jobs on the event loop."""

    async def page(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> JobPage:
        """Return what :meth:`InvocationRepository.page` returns, as JSON.

        Raises:
            InvalidValue: The cursor is malformed.
            StoreUnavailable: The database could not be reached.
        """

    async def close(self) -> None:
        """Close the connections."""


def body_and_etag(page: JobPage, next_cursor: str | None) -> tuple[bytes, str]:
    """Return the body of the response, and its weak ETag."""
    cursor = json.dumps(next_cursor)
    tag = hashlib.blake2b(f"{_RELEASE} {cursor} {page.tag}".encode(), digest_size=12)
    body = f'{{"items":[{page.items}],"next_cursor":{cursor}}}'.encode()
    return body, f'W/"{tag.hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether an ``If-None-Match`` header has an ETag (RFC 9110: weak comparison)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return etag.removeprefix("W/") in _TAG.findall(if_none_match)

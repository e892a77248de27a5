"""Pages of the list of jobs, and their ETag.

Everything counts for the ETag but `observed_at`, which moves with every poll.
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


class JobPages(Protocol):
    """Reads pages of the list of jobs on the event loop."""

    async def page(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> tuple[str, str, Cursor | None]:
        """Return a page as :meth:`InvocationRepository.page` does.

        Returns:
            The members of a JSON array, newest first; a text that differs wherever
            anything else in them than `observed_at` does; and the cursor of the next
            page.

        Raises:
            InvalidValue: The cursor is malformed.
            StoreUnavailable: The database could not be reached.
        """

    async def close(self) -> None:
        """Close the connections."""


def body_and_etag(items: str, tag: str, next_cursor: str | None) -> tuple[bytes, str]:
    """Return the body of the response, and its weak ETag."""
    cursor = json.dumps(next_cursor)
    digest = hashlib.blake2b(f"{_RELEASE} {cursor} {tag}".encode(), digest_size=12)
    body = f'{{"items":[{items}],"next_cursor":{cursor}}}'.encode()
    return body, f'W/"{digest.hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether an ``If-None-Match`` header has an ETag (RFC 9110: weak comparison)."""
    sent = if_none_match or ""
    return sent.strip() == "*" or etag.removeprefix("W/") in _TAG.findall(sent)

"""A page of jobs as it goes over the wire, and the tag that tells it from others.

Rule of the file: the tag says whether anything worth fetching has changed. That is
everything but `observed_at`, which moves with every poll though nothing happened;
`stale`, which says that it has not moved for too long, does count.
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib.metadata import version
from typing import Protocol

from attrs import frozen

from galaxy_jobs.domain.ports import Cursor, JobFilter


_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RELEASE = version("galaxy-jobs")  # another one may show more


@frozen
class Document:
    """A page as it goes over the wire.

    Attributes:
        body: JSON.
        etag: Its tag, a weak one.
    """

    body: bytes
    etag: str


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


def document(page: JobPage, next_cursor: str | None) -> Document:
    """Return a page as it goes over the wire.

    Args:
        page: What is listed.
        next_cursor: Where the next page begins.
    """
    following = json.dumps(next_cursor)
    told = f"{_RELEASE} {following} {page.tag}".encode()
    tag = hashlib.blake2b(told, digest_size=12)
    return Document(
        body=f'{{"items":[{page.items}],"next_cursor":{following}}}'.encode(),
        etag=f'W/"{tag.hexdigest()}"',
    )


def has(if_none_match: str | None, etag: str) -> bool:
    """Say whether a client has it already (RFC 9110: weak comparison).

    Args:
        if_none_match: The header; None: there is none.
        etag: Of what it would be sent.
    """
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return etag.removeprefix("W/") in _TAG.findall(if_none_match)

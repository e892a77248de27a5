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

from attrs import frozen

from galaxy_jobs.domain.ports import Clock, JobListing, ListedJobs


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


@frozen
class Listing:
    """What a list is made of: one thing for the route to ask for, and not two."""

    jobs: JobListing
    clock: Clock


def document(page: ListedJobs, next_cursor: str | None) -> Document:
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

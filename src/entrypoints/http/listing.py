"""A page of jobs as it goes over the wire, and the tag that tells it from others.

Rule of the file: the tag says whether anything worth fetching has changed. That is
everything but `observed_at`, which moves with every poll though nothing happened;
`stale`, which says that it has not moved for too long, does count.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from importlib.metadata import version

from attrs import frozen

from galaxy_jobs.domain.ports import Clock, JobListing, ListedJob, Page
from galaxy_jobs.domain.use_cases import PollPolicy


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
    """What a list is made of: one thing for the route to ask for, and not three."""

    jobs: JobListing
    policy: PollPolicy
    clock: Clock


def document(
    page: Page[ListedJob], next_cursor: str | None, policy: PollPolicy, now: datetime
) -> Document:
    """Return a page as it goes over the wire.

    Args:
        page: What is listed.
        next_cursor: Where the next page begins.
        policy: Says what is stale.
        now: Time-zone aware.
    """
    tag = hashlib.blake2b(f"{_RELEASE} {next_cursor}".encode(), digest_size=12)
    items = []
    for one in page.items:
        stale = "true" if policy.stale(one, now) else "false"
        tag.update(f" {one.invocation_id} {one.version} {stale}".encode())
        items.append(f'{one.before[:-1]}, "stale" : {stale}, {one.behind[1:]}')
    listed, following = ",".join(items), json.dumps(next_cursor)
    return Document(
        body=f'{{"items":[{listed}],"next_cursor":{following}}}'.encode(),
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

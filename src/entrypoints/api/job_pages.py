"""Pages of the list of jobs, and their ETag.

Everything counts for the ETag but `observed_at`, which moves with every poll.
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib.metadata import version


_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_RELEASE = version("galaxy-jobs")  # another one may show more


def body_and_etag(items: str, tag: str, next_cursor: str | None) -> tuple[bytes, str]:
    """Return the body of the response, and its weak ETag."""
    cursor = json.dumps(next_cursor)
    digest = hashlib.blake2b(f"{_RELEASE} {cursor} {tag}".encode(), digest_size=12)
    body = f'{{"items":[{items}],"next_cursor":{cursor}}}'.encode()
    return body, f'W/"{digest.hexdigest()}"'


def matches(sent: str | None, etag: str, *, weak: bool = True) -> bool:
    """Whether a header with tags, or with ``*``, has an ETag (RFC 9110, 8.8.3.2).

    The comparison is *weak* for ``If-None-Match``, and strong for ``If-Match``.
    """
    tags = _TAG.findall(sent or "")
    if weak:
        etag, tags = etag.removeprefix("W/"), [tag.removeprefix("W/") for tag in tags]
    return (sent or "").strip() == "*" or etag in tags

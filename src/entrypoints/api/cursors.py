"""Cursors: where the next page of a list begins, as an opaque text.

Rule of the file: a cursor is taken only exactly as it was given out, for the
list and the filter it was given out for. It holds no secret and grants nothing,
so it is not signed; one that was tampered with is at worst another place in a
list that its holder may read anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.ports import Cursor
from galaxy_jobs.entrypoints.api import strict


VERSION = 1
"""Counted up when the meaning changes, so that old ones are refused."""


_encode = json.JSONEncoder(separators=(",", ":")).encode


def write(cursor: Cursor | None, wanted: object) -> str | None:
    """Return a cursor as a client carries it; None where the list ends.

    Args:
        cursor: Where the next page begins.
        wanted: The list and the filter; anything whose ``repr`` tells them apart.
    """
    if cursor is None:
        return None
    at = cursor.created_at.astimezone(UTC).isoformat()
    said = _encode([VERSION, _digest(wanted), at, cursor.id])
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def read(text: str | None, wanted: object) -> Cursor | None:
    """Return the cursor that a client carried.

    Args:
        text: As it came; None: from the beginning.
        wanted: As for :func:`write`.

    Raises:
        InvalidValue: It was not given out by :func:`write` for that list.
    """
    if text is None:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        said = base64.b64decode(padded, altchars=b"-_", validate=True)
        version, digest, at, id_ = strict.parse(said)
        cursor = Cursor(datetime.fromisoformat(at), id_)
        fits = isinstance(id_, str) and (version, digest) == (VERSION, _digest(wanted))
        if fits and write(cursor, wanted) == text:
            return cursor
    except (ValueError, TypeError, OverflowError, binascii.Error, strict.Malformed):
        pass
    raise InvalidValue(
        "Bad cursor: expected the `next_cursor` of the page before, as it is, with "
        "the same filters."
    )


def _digest(wanted: object) -> str:
    return hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]

"""Cursors: where the next page of a list begins, as an opaque text.

A cursor is accepted only exactly as it was issued, for the list and the filter it was
issued for. It holds no secret and grants nothing, so it is not signed; a forged one is
at worst another position in a list that its holder may read anyway.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime

import msgspec

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.ports import Cursor


VERSION = 1
"""Incremented when the format changes, so that old cursors are refused."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


def write(cursor: Cursor | None, wanted: object) -> str | None:
    """Return a cursor as text; None where the list ends.

    *wanted* is the list and the filter: anything whose ``repr`` tells them apart.
    """
    if cursor is None:
        return None
    at = cursor.created_at.astimezone(UTC).isoformat()
    fields = _encode([VERSION, _digest(wanted), at, cursor.id])
    return base64.urlsafe_b64encode(fields.encode()).decode().rstrip("=")


def read(text: str | None, wanted: object) -> Cursor | None:
    """Return the cursor that a client sent; None: from the beginning.

    Raises:
        InvalidValue: It was not issued by :func:`write` for that list.
    """
    if text is None:
        return None
    try:
        fields = base64.urlsafe_b64decode(text + "==")
        *_, at, id_ = msgspec.json.decode(fields, type=tuple[int, str, str, str])
        cursor = Cursor(datetime.fromisoformat(at), id_)
        if "\0" not in id_ and write(cursor, wanted) == text:
            return cursor
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass
    raise InvalidValue(
        "Bad cursor: expected the `next_cursor` of the previous page, unchanged, with "
        "the same filters."
    )


def _digest(wanted: object) -> str:
    return hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]

"""Pages of lists, most of which run from the newest to the oldest."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

from attrs import frozen


T = TypeVar("T")


@frozen
class Cursor:
    """A place in a list.

    Attributes:
        created_at: That of the last item seen; any time in a list of names.
        id: That of the last item seen, or its name; it orders items of the same
            moment.
    """

    created_at: datetime
    id: str


@frozen
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: Newest first, or names sorted.
        next: Where the next page begins, or None if this is the last.
    """

    items: tuple[T, ...]
    next: Cursor | None

"""Pages of lists that run from the newest to the oldest."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

from attrs import frozen


T = TypeVar("T")


@frozen
class Cursor:
    """A place in a list that runs from the newest to the oldest.

    Attributes:
        created_at: That of the last item seen.
        id: That of the last item seen; it orders items of the same moment.
    """

    created_at: datetime
    id: str


@frozen
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: Newest first.
        next: Where the next page begins, or None if this is the last.
    """

    items: tuple[T, ...]
    next: Cursor | None

"""Pages of lists, from the newest to the oldest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres.engine import read
from galaxy_jobs.adapters.postgres.rows import Row, storable
from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.ports import Cursor, Page


T = TypeVar("T")


def newest_first(
    engine: Engine,
    wanted: sa.Select[Any],
    by: tuple[sa.Column[Any], sa.Column[Any]],
    load: Callable[[Row], T],
    *,
    limit: int,
    after: Cursor | None,
) -> Page[T]:
    """Return at most *limit* of the rows that are wanted after a place.

    Args:
        engine: The database.
        wanted: Selects them all, in no order.
        by: The columns of their times and of their ids.
        load: Returns what a row holds.
        limit: The most.
        after: The place, or None for the first page.

    Raises:
        InvalidValue: No row can have the id of the place.
        StoreUnavailable: The database could not be reached.
    """
    at, id_ = by
    if after is not None:
        if not storable(after.id):
            raise InvalidValue("The cursor is malformed.")
        place = sa.tuple_(sa.literal(after.created_at), sa.cast(after.id, id_.type))
        wanted = wanted.where(sa.tuple_(at, id_) < place)
    ordered = wanted.order_by(at.desc(), id_.desc()).limit(limit + 1)
    rows = read(engine, lambda c: c.execute(ordered).mappings().all())
    shown = rows[:limit]
    items = tuple(map(load, shown))
    if len(rows) <= limit:
        return Page(items, None)
    return Page(items, Cursor(shown[-1][at.name], str(shown[-1][id_.name])))

"""Totals of the sweeps of all pollers, and of what others count with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.changes import arrays, unnested
from galaxy_jobs.domain.model.values import Identity


_T = tables.sweep_totals
_count = unnested("count", which=sa.Text(), total=sa.Double())
_given = insert(_T).from_select(
    ["galaxy_url", "galaxy_user", "name", "total"],
    # Always in this order, so that there is no deadlock.
    sa.select(
        sa.bindparam("url", type_=sa.Text),
        sa.bindparam("user", type_=sa.Text),
        _count.c.which,
        _count.c.total,
    ).order_by(_count.c.which),
)
_ADD = _given.on_conflict_do_update(
    index_elements=["galaxy_url", "galaxy_user", "name"],
    set_={"total": _T.c.total + _given.excluded.total},
)


def add(
    connection: Connection, identity: Identity, counts: Mapping[str, float]
) -> None:
    """Add numbers to the totals of a user of Galaxy, by name."""
    rows = [{"which": name, "total": float(n)} for name, n in counts.items() if n]
    if rows:
        parameters: dict[str, Any] = {"url": identity.url, "user": identity.user_id}
        connection.execute(_ADD, parameters | arrays("count", rows))

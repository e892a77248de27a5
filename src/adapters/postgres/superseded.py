"""Superseded runs in PostgreSQL, whose histories can be removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.changes import among
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.adapters.postgres.invocations import ENDED, SELECT
from galaxy_jobs.adapters.postgres.rows import (
    cleaned,
    data_key,
    invocation_from_row,
    storable,
)
from galaxy_jobs.domain.model.dataset import GalaxyData
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.ports import SupersededRuns


_I = tables.invocations
_A = tables.active
_D = tables.datasets

_waiting = (
    sa.select(_I.c.invocation_id, _I.c.superseded_by, _I.c.created_at)
    .where(
        _I.c.galaxy_url == sa.bindparam("url"),
        _I.c.galaxy_user == sa.bindparam("user"),
        _I.c.superseded_by.isnot(None),
        _I.c.history_dealt_with_at.is_(None),
        _I.c.state.in_(ENDED),
    )
    .cte("waiting")
    .prefix_with("MATERIALIZED")
)
# The successors, their successors and so on, up to one that has completed: each of
# them once, though many runs lead to it.
_successors = (
    sa.select(_I.c.invocation_id, _I.c.superseded_by, _I.c.state)
    .where(_I.c.invocation_id.in_(sa.select(_waiting.c.superseded_by)))
    .cte("successors", recursive=True)
)
_successors = _successors.union(
    sa.select(_I.c.invocation_id, _I.c.superseded_by, _I.c.state).where(
        _I.c.invocation_id == _successors.c.superseded_by,
        _successors.c.state != InvocationState.COMPLETED.value,
    )
)
# And back: those of which one has completed.
_completed = (
    sa.select(_successors.c.invocation_id)
    .where(_successors.c.state == InvocationState.COMPLETED.value)
    .cte("completed", recursive=True)
)
_completed = _completed.union(
    sa.select(_successors.c.invocation_id).where(
        _successors.c.superseded_by == _completed.c.invocation_id
    )
)
_due = (
    sa.select(_waiting.c.invocation_id)
    .where(_waiting.c.superseded_by.in_(sa.select(_completed.c.invocation_id)))
    .order_by(_waiting.c.created_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .cte("due")
)
_DUE = SELECT.join(_due, _due.c.invocation_id == _I.c.invocation_id).order_by(
    _I.c.created_at
)
_DATASETS = (
    sa.select(_D.c.dataset_id)
    .where(
        among(_D.c.source["id"].astext),
        (_D.c.source["src"].astext + ":" + _D.c.source["id"].astext)
        == sa.func.any(sa.bindparam("data", type_=ARRAY(sa.Text))),
    )
    .order_by(_D.c.dataset_id)
)
_RUNS = (
    sa.select(_A.c.invocation_id)
    .where(
        _A.c.galaxy_url == sa.bindparam("url"),
        _A.c.galaxy_user == sa.bindparam("user"),
        sa.text("draws <> '{}'"),
        _A.c.draws.overlap(sa.bindparam("data", type_=ARRAY(sa.Text))),
    )
    .order_by(_A.c.invocation_id)
)
_DONE = (
    sa.update(_I)
    .values(history_dealt_with_at=sa.func.now())
    .where(
        _I.c.invocation_id == sa.bindparam("id"), _I.c.history_dealt_with_at.is_(None)
    )
)
# Not a parameter of the column's name: SQLAlchemy would set the column by it, in every
# update that is executed with it.
_DONE_WITH_ATTENTION = _DONE.values(
    attention=sa.bindparam("note"),
    version=_I.c.version + 1,
    updated_at=sa.func.now(),
)


@frozen
class PostgresSupersededRuns(SupersededRuns):
    """Finds due runs by an index of those not dealt with.

    A query takes time in proportion to these, however many each run overwrites.
    """

    engine: Engine

    def due(self, identity: Identity, *, limit: int) -> Sequence[Invocation]:
        parameters = {"url": identity.url, "user": identity.user_id, "limit": limit}
        rows = read(self.engine, lambda c: c.execute(_DUE, parameters).mappings().all())
        return [invocation_from_row(row) for row in rows]

    def users_of(
        self, identity: Identity, data: Collection[GalaxyData]
    ) -> Sequence[str]:
        data = [source for source in data if storable(source.id)]
        if not data:
            return []
        parameters = {
            "url": identity.url,
            "user": identity.user_id,
            "ids": [source.id for source in data],
            "data": list(map(data_key, data)),
        }

        def work(connection: Connection) -> list[str]:
            datasets = connection.scalars(_DATASETS, parameters).all()
            runs = connection.scalars(_RUNS, parameters).all()
            return [
                *(f"dataset {dataset_id!r}" for dataset_id in datasets),
                *(f"job {invocation_id!r}" for invocation_id in runs),
            ]

        return read(self.engine, work)

    def done(self, invocation_id: InvocationId, attention: str | None = None) -> None:
        parameters = {"id": invocation_id, "note": cleaned(attention)}
        statement = _DONE if attention is None else _DONE_WITH_ATTENTION
        write(self.engine, lambda c: c.execute(statement, parameters))

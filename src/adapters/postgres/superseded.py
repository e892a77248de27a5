"""Superseded runs in PostgreSQL, whose histories can be removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from attrs import evolve, frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.announce import announce
from galaxy_jobs.adapters.postgres.changes import among
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.adapters.postgres.invocations import ENDED, ONE, SELECT
from galaxy_jobs.adapters.postgres.rows import (
    cleaned,
    data_key,
    invocation_from_row,
    storable,
)
from galaxy_jobs.domain.model.dataset import GalaxyData
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.ports import DataUser, SupersededRuns


_I = tables.invocations
_A = tables.active
_D = tables.datasets
_polled = _A.alias("polled")

_waiting = (
    _I.c.galaxy_url == sa.bindparam("url"),
    _I.c.galaxy_user == sa.bindparam("user"),
    _I.c.superseded_by.isnot(None),
    _I.c.history_dealt_with_at.is_(None),
    _I.c.state.in_(ENDED),
    # Jobs that are left at the end are followed until they are settled.
    ~sa.exists().where(_polled.c.invocation_id == _I.c.invocation_id),
)
# The successors, their successors and so on, up to one that has completed: each of
# them once, though many runs lead to it.
_node = sa.select(_I.c.invocation_id, _I.c.superseded_by, _I.c.state)
_first = _node.where(
    _I.c.invocation_id.in_(sa.select(_I.c.superseded_by).where(*_waiting))
).cte("successors", recursive=True)
_successors = _first.union(
    _node.where(
        _I.c.invocation_id == _first.c.superseded_by,
        _first.c.state != InvocationState.COMPLETED.value,
    )
)
_SUCCESSORS = sa.select(_successors)
_DUE = (
    SELECT.where(*_waiting, among(_I.c.superseded_by))
    .order_by(_I.c.created_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_DATASETS = (
    sa.select(_D.c.dataset_id, _D.c.owner)
    .where(
        among(_D.c.source["id"].astext),
        (_D.c.source["src"].astext + ":" + _D.c.source["id"].astext)
        == sa.func.any(sa.bindparam("data", type_=ARRAY(sa.Text))),
    )
    .order_by(_D.c.dataset_id)
)
_COLLECTIONS = sa.text("""
    SELECT dataset_id, owner FROM datasets
    WHERE source ->> 'src' = 'collection'
        AND jsonb_path_query_array(source, '$.**.id') ?| :ids
        AND EXISTS (
            SELECT FROM jsonb_path_query(source, '$.elements.**') AS data
            WHERE (data ->> 'src') || ':' || (data ->> 'id') = ANY (:data)
        )
    ORDER BY dataset_id
""").bindparams(
    sa.bindparam("ids", type_=ARRAY(sa.Text)),
    sa.bindparam("data", type_=ARRAY(sa.Text)),
)
_RUNS = (
    sa.select(_A.c.invocation_id, _I.c.owner)
    .join(_I, _I.c.invocation_id == _A.c.invocation_id)
    .where(
        _A.c.galaxy_url == sa.bindparam("url"),
        _A.c.galaxy_user == sa.bindparam("user"),
        sa.text("draws <> '{}'"),
        _A.c.draws.overlap(sa.bindparam("data", type_=ARRAY(sa.Text))),
    )
    .order_by(_A.c.invocation_id)
)
# Those that are under way, and items of batches that wait; each by its own index.
_OPEN = """
    FROM (
        SELECT submission_id, owner, parameters, inputs FROM submissions
        WHERE galaxy_url = :url AND galaxy_user = :user
            AND look_at IS NOT NULL AND state <> 'accepted'
        UNION ALL
        SELECT submission_id, owner, parameters, inputs FROM submissions
        WHERE galaxy_url = :url AND galaxy_user = :user
            AND batch_id IS NOT NULL AND state = 'waiting'
    ) AS opened,
    jsonb_path_query(
        jsonb_build_array(CAST(parameters AS jsonb), CAST(inputs AS jsonb)), '$.**'
    ) AS data
"""
_SUBMISSIONS = sa.text(f"""
    SELECT DISTINCT CAST(submission_id AS text), owner {_OPEN}
    WHERE (data ->> 'src') || ':' || (data ->> 'id') = ANY (:data)
    ORDER BY 1
""").bindparams(sa.bindparam("data", type_=ARRAY(sa.Text)))
_NAMED_COLLECTIONS = sa.text(f"""
    SELECT data #>> '{{}}' FROM datasets,
        jsonb_path_query(source, '$.** ? (@."src" == "hdca").id') AS data
    WHERE jsonb_path_exists(source, '$.** ? (@."src" == "hdca")')
    UNION
    SELECT substr(key, length('hdca:') + 1)
    FROM active_invocations, unnest(draws) AS key
    WHERE galaxy_url = :url AND galaxy_user = :user AND draws <> '{{}}'
        AND starts_with(key, 'hdca:')
    UNION
    SELECT data ->> 'id' {_OPEN} WHERE data ->> 'src' = 'hdca' AND data ? 'id'
    LIMIT :limit
""")  # noqa: S608
_DONE = (
    sa.update(_I)
    .values(history_dealt_with_at=sa.func.now())
    .where(
        _I.c.invocation_id == sa.bindparam("id"),
        _I.c.history_dealt_with_at.is_(None),
        # Else the id was given to a later run meanwhile.
        _I.c.superseded_by.isnot(None),
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

    A query takes time in proportion to these, however long the way is from a run to
    the one that has completed.
    """

    engine: Engine

    def due(self, identity: Identity, *, limit: int) -> Sequence[Invocation]:
        parameters = {"url": identity.url, "user": identity.user_id}

        def work(connection: Connection) -> Sequence[sa.RowMapping]:
            ids = _replacing(connection.execute(_SUCCESSORS, parameters).all())
            if not ids:
                return []
            query = {**parameters, "ids": list(ids), "limit": limit}
            return connection.execute(_DUE, query).mappings().all()

        return [invocation_from_row(row) for row in read(self.engine, work)]

    def users_of(
        self, identity: Identity, data: Collection[GalaxyData]
    ) -> Sequence[DataUser]:
        data = [source for source in data if storable(source.id)]
        if not data:
            return []
        parameters = {
            "url": identity.url,
            "user": identity.user_id,
            "ids": [source.id for source in data],
            "data": list(map(data_key, data)),
        }

        def work(connection: Connection) -> list[DataUser]:
            statements = (
                ("dataset", _DATASETS),
                ("dataset", _COLLECTIONS),
                ("job", _RUNS),
                ("submission", _SUBMISSIONS),
            )
            return [
                DataUser(kind, id_, owner)
                for kind, statement in statements
                for id_, owner in connection.execute(statement, parameters)
            ]

        return read(self.engine, work)

    def collections(self, identity: Identity, *, limit: int) -> Sequence[str]:
        parameters = {"url": identity.url, "user": identity.user_id, "limit": limit}

        def work(connection: Connection) -> list[str]:
            found = connection.scalars(_NAMED_COLLECTIONS, parameters)
            return [id_ for id_ in found if id_]

        return read(self.engine, work)

    def done(self, invocation_id: InvocationId, attention: str | None = None) -> None:
        parameters = {"id": invocation_id, "note": cleaned(attention)}

        def work(connection: Connection) -> None:
            if attention is None:
                connection.execute(_DONE, parameters)
            elif connection.execute(_DONE_WITH_ATTENTION, parameters).rowcount:
                row = connection.execute(ONE, {"id": invocation_id}).mappings().one()
                noted = invocation_from_row(row)
                announce(connection, [(evolve(noted, attention=None), noted)])

        write(self.engine, work)


def _replacing(successors: Sequence[Any]) -> set[InvocationId]:
    """Return the ids of those that have completed, or lead to one that has.

    In SQL, each step of a long way would read all of them.
    """
    earlier: dict[InvocationId, list[InvocationId]] = defaultdict(list)
    reached = []
    for id_, superseded_by, state in successors:
        earlier[superseded_by].append(id_)
        if state == InvocationState.COMPLETED.value:
            reached.append(id_)
    replacing: set[InvocationId] = set()
    while reached:
        id_ = reached.pop()
        if id_ not in replacing:
            replacing.add(id_)
            reached += earlier[id_]
    return replacing

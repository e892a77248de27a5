"""Transitions as a stream, from PostgreSQL.

Triggers make transitions visible in the order of their ids, and notify listeners.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.engine import read, unavailable
from galaxy_jobs.adapters.postgres.rows import storable, transition_from_row
from galaxy_jobs.domain.model.labels import Label
from galaxy_jobs.domain.model.values import DatasetId, InvocationId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import JobTransition, TransitionFeed


_I = tables.invocations
_L = tables.labels
_T = tables.transitions

_LATEST = sa.select(sa.func.coalesce(sa.func.max(_T.c.id), 0))
_OWN = _T.c.owner == sa.bindparam("only")
_AFTER = (
    sa.select(_T, _I.c.dataset_id, _I.c.workflow_name, _I.c.labels)
    .join(_I, _I.c.invocation_id == _T.c.invocation_id)
    .where(_T.c.id > sa.bindparam("place", type_=sa.BigInteger))
    .order_by(_T.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)


@frozen
class PostgresTransitionFeed(TransitionFeed):
    """Listens on a connection of its own, outside of the pool."""

    engine: Engine

    def latest(self, viewer: Viewer) -> int:
        parameters = {} if viewer.only is None else {"only": viewer.only}
        statement = _LATEST.where(_OWN) if parameters else _LATEST
        latest: int = read(
            self.engine, lambda c: c.scalars(statement, parameters).one()
        )
        return latest

    def after(
        self,
        place: int,
        viewer: Viewer,
        *,
        limit: int,
        dataset_id: DatasetId | None = None,
        invocation_id: InvocationId | None = None,
        labels: Collection[Label] = (),
    ) -> Sequence[JobTransition]:
        parameters: dict[str, Any] = {"place": place, "limit": limit}
        statement = _AFTER
        if viewer.only is not None:
            parameters["only"] = viewer.only
            statement = statement.where(_OWN)
        if dataset_id is not None:
            statement = statement.where(
                _I.c.dataset_id.in_(viewer.stored_ids(dataset_id))
            )
        if invocation_id is not None:
            statement = statement.where(_T.c.invocation_id == invocation_id)
        for label in labels:
            labelled = sa.select(_L.c.invocation_id).where(_L.c.label == str(label))
            statement = statement.where(_T.c.invocation_id.in_(labelled))
        if not storable(dataset_id or "", invocation_id or ""):
            return []
        rows = read(
            self.engine, lambda c: c.execute(statement, parameters).mappings().all()
        )
        return [
            JobTransition(
                transition=transition_from_row(row),
                dataset_id=row["dataset_id"],
                workflow_name=row["workflow_name"],
                labels=row["labels"],
                owner=row["owner"],
            ).shown_to(viewer)
            for row in rows
        ]

    def watch(self, at_least_every: timedelta) -> Iterator[None]:
        seconds = at_least_every.total_seconds()
        try:
            with self.engine.connect() as connection:
                listening = connection.connection.driver_connection
                connection.detach()  # the pool may open another in its place
                assert isinstance(listening, psycopg.Connection)
                try:
                    listening.autocommit = True
                    listening.execute(f"LISTEN {tables.CHANNEL}")
                    while True:
                        yield
                        for _ in listening.notifies(timeout=seconds, stop_after=1):
                            pass  # a single one stands for all that are visible by now
                finally:
                    # SQLAlchemy would roll back first, and log it with a traceback
                    # where the server is gone.
                    listening.close()
                    connection.invalidate()
        except (DBAPIError, PoolTimeoutError, psycopg.Error) as error:
            raise unavailable(self.engine, error) from error

"""Sessions in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.changes import among
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.adapters.postgres.rows import (
    session_from_row,
    session_to_row,
    storable,
)
from galaxy_jobs.domain.model.token import TokenId
from galaxy_jobs.domain.model.user import Session
from galaxy_jobs.domain.ports import SessionRepository


_T = tables.sessions
_ADD = (
    sa.insert(_T)
    .values(expires_at=sa.func.now() + sa.bindparam("lifetime", type_=sa.Interval))
    .returning(_T)
)
_IN_FORCE = sa.select(_T).where(among(_T.c.session_id), _T.c.expires_at > sa.func.now())
_REMOVE_EXPIRED = sa.delete(_T).where(_T.c.expires_at <= sa.func.now())
_REMOVE = sa.delete(_T).where(_T.c.session_id == sa.bindparam("id"))


@frozen
class PostgresSessions(SessionRepository):
    """Keeps sessions in a table of their own."""

    engine: Engine

    def add(self, session: Session, lifetime: timedelta) -> Session:
        def work(connection: Connection) -> Session:
            connection.execute(_REMOVE_EXPIRED)
            values = {**session_to_row(session), "lifetime": lifetime}
            return session_from_row(connection.execute(_ADD, values).mappings().one())

        return write(self.engine, work)

    def in_force(self, session_ids: Collection[TokenId]) -> Mapping[TokenId, Session]:
        ids = [id_ for id_ in session_ids if storable(id_)]
        rows = read(
            self.engine, lambda c: c.execute(_IN_FORCE, {"ids": ids}).mappings().all()
        )
        return {row["session_id"]: session_from_row(row) for row in rows}

    def remove(self, session_id: TokenId) -> None:
        if storable(session_id):
            write(self.engine, lambda c: c.execute(_REMOVE, {"id": session_id}))

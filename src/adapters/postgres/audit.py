"""The record of who did what, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.engine import read, unstorable, write
from galaxy_jobs.adapters.postgres.rows import storable
from galaxy_jobs.domain.model.audit import Action, AuditEntry, Kind
from galaxy_jobs.domain.ports import MIN_AUDIT_AGE, AuditLog


_T = tables.audit
_ADD = insert(_T)
_OLDEST = (
    sa.select(_T.c.id)
    .where(_T.c.at < sa.func.now() - sa.bindparam("age", type_=sa.Interval))
    .order_by(_T.c.at)
    .limit(sa.bindparam("most", type_=sa.Integer))
    # What another process removes just now is no concern of this one.
    .with_for_update(skip_locked=True)
)
_REMOVE = sa.delete(_T).where(_T.c.id.in_(_OLDEST))
PRUNING = sa.text("SELECT set_config('galaxy_jobs.pruning', 'on', true)")


@frozen
class PostgresAuditLog(AuditLog):
    """Keeps entries in a table that a trigger protects."""

    engine: Engine

    def record(self, entry: AuditEntry) -> None:
        values = {
            "owner": entry.owner,
            "action": entry.action.value,
            "object_kind": entry.kind.value,
            "object_id": entry.object_id,
            "request_id": entry.request_id,
        }
        if not all(storable(text) for text in values.values() if text is not None):
            raise unstorable("a text that PostgreSQL cannot hold")
        write(self.engine, lambda connection: connection.execute(_ADD, values))

    def entries(
        self,
        *,
        owner: str | None = None,
        action: Action | None = None,
        since: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        if owner is not None and not storable(owner):
            return []
        query = sa.select(_T).order_by(_T.c.id.desc()).limit(limit)
        if owner is not None:
            query = query.where(_T.c.owner == owner)
        if action is not None:
            query = query.where(_T.c.action == action.value)
        if since is not None:
            query = query.where(_T.c.at >= since)
        rows = read(self.engine, lambda c: c.execute(query).mappings().all())
        return [_entry(row) for row in rows]

    def prune(self, age: timedelta, *, limit: int = 10_000) -> int:
        def work(connection: Connection) -> int:
            connection.execute(PRUNING)
            values = {"age": max(age, MIN_AUDIT_AGE), "most": limit}
            return connection.execute(_REMOVE, values).rowcount

        return write(self.engine, work)


def _entry(row: Mapping[Any, Any]) -> AuditEntry:
    return AuditEntry(
        owner=row["owner"],
        action=Action(row["action"]),
        kind=Kind(row["object_kind"]),
        object_id=row["object_id"],
        request_id=row["request_id"],
        at=row["at"],
    )

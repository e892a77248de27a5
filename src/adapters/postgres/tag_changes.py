"""Changes of labels that Galaxy's tags do not show yet, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.changes import among
from galaxy_jobs.adapters.postgres.engine import write
from galaxy_jobs.adapters.postgres.invocations import SELECT
from galaxy_jobs.adapters.postgres.rows import invocation_from_row
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.ports import TagChange, TagChanges


_I = tables.invocations
_C = tables.tag_changes

_DUE = (
    sa.select(_C.c.invocation_id)
    .where(
        _C.c.galaxy_url == sa.bindparam("url"),
        _C.c.galaxy_user == sa.bindparam("user"),
        _C.c.look_at <= sa.func.now(),
    )
    .order_by(_C.c.look_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
    # Materialized: evaluated again for each row of a join, it would claim more rows.
    .cte("due")
    .prefix_with("MATERIALIZED")
)
_LEASE = (
    sa.update(_C)
    .values(look_at=sa.func.now() + sa.bindparam("lease", type_=sa.Interval))
    .where(_C.c.invocation_id.in_(sa.select(_DUE.c.invocation_id)))
    .returning(_C.c.invocation_id, _C.c.former, _C.c.number)
)
_JOBS = SELECT.where(among(_I.c.invocation_id)).order_by(
    _I.c.created_at, _I.c.invocation_id
)
_DONE = sa.delete(_C).where(
    # The job may have got another key since.
    _C.c.invocation_id
    == sa.select(_I.c.invocation_id)
    .where(_I.c.submission_id == sa.bindparam("submission_id", type_=sa.Uuid))
    .scalar_subquery(),
    _C.c.number == sa.bindparam("number", type_=sa.BigInteger),
)


@frozen
class PostgresTagChanges(TagChanges):
    """Reads what a trigger writes when labels change."""

    engine: Engine

    def claim(
        self, identity: Identity, *, limit: int, lease: timedelta
    ) -> Sequence[TagChange]:
        parameters = {
            "url": identity.url,
            "user": identity.user_id,
            "limit": limit,
            "lease": lease,
        }

        def work(connection: Connection) -> Sequence[TagChange]:
            claimed = {
                row.invocation_id: row for row in connection.execute(_LEASE, parameters)
            }
            if not claimed:
                return []
            jobs = connection.execute(_JOBS, {"ids": list(claimed)}).mappings()
            return [
                TagChange(
                    job=invocation_from_row(job),
                    former=frozenset(claimed[job["invocation_id"]].former),
                    number=claimed[job["invocation_id"]].number,
                )
                for job in jobs
            ]

        return write(self.engine, work)

    def done(self, change: TagChange) -> None:
        parameters = {
            "submission_id": change.job.submission_id,
            "number": change.number,
        }
        write(self.engine, lambda connection: connection.execute(_DONE, parameters))

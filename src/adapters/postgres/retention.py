"""What is kept of jobs that have ended, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY, insert

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.audit import PRUNING
from galaxy_jobs.adapters.postgres.changes import among
from galaxy_jobs.adapters.postgres.engine import write
from galaxy_jobs.adapters.postgres.invocations import ENDED, SELECT
from galaxy_jobs.adapters.postgres.rows import invocation_from_row, storable
from galaxy_jobs.domain.model.retention import Kept, RetentionRule
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.ports import Deletion, Retention


_I = tables.invocations
_A = tables.active
_D = tables.deletions
_S = tables.submissions
_T = tables.transitions
_B = tables.batches

_NOW = sa.func.now()
_polled = _A.alias("polled")
_age = sa.bindparam("age", type_=sa.Interval)
_lease = sa.bindparam("lease", type_=sa.Interval)
_limit = sa.bindparam("limit", type_=sa.Integer)
_id = sa.bindparam("id", type_=sa.Text)

# One at a time: the next one finds the leases of the one before.
_LOCK = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended('galaxy-jobs deletions', 0))"
)
_HERE = (
    _I.c.galaxy_url == sa.bindparam("url"),
    _I.c.galaxy_user == sa.bindparam("user"),
)
_LONG_ENDED = (
    *_HERE,
    _I.c.created_at <= _NOW - _age,  # which the index has
    sa.func.least(_I.c.updated_at, _I.c.observed_at) <= _NOW - _age,
    # Jobs that are left at the end are followed until they are settled.
    ~sa.exists().where(_polled.c.invocation_id == _I.c.invocation_id),
)
_DUE = (
    sa.select(_I.c.invocation_id)
    .outerjoin(_D, _D.c.invocation_id == _I.c.invocation_id)
    .where(
        *_LONG_ENDED,
        _I.c.results_deleted_at.is_(None),
        _I.c.history_id.isnot(None),
        ~_I.c.adopted,
        sa.or_(_D.c.look_at.is_(None), sa.and_(_D.c.look_at <= _NOW, ~_D.c.begun)),
    )
    .order_by(_I.c.created_at)
    .limit(_limit)
)
_BEGUN = (
    sa.select(_D.c.invocation_id)
    .join(_I, _I.c.invocation_id == _D.c.invocation_id)
    .where(*_HERE, _D.c.begun, _D.c.look_at <= _NOW)
    .order_by(_D.c.look_at)
    .limit(_limit)
)
_LEASE = insert(_D).values(invocation_id=_id, look_at=_NOW + _lease)
_LEASE = _LEASE.on_conflict_do_update(
    index_elements=[_D.c.invocation_id], set_={"look_at": _LEASE.excluded.look_at}
)
_CLAIMED = SELECT.add_columns(_D.c.failures).join(
    _D, _D.c.invocation_id == _I.c.invocation_id
)
_CLAIMED = _CLAIMED.where(among(_I.c.invocation_id)).order_by(_I.c.created_at)
_BEGIN = insert(_D).from_select(
    ["invocation_id", "look_at", "begun"],
    sa.select(_I.c.invocation_id, _NOW + _lease, sa.true()).where(
        _I.c.invocation_id == _id
    ),
)
_BEGIN = _BEGIN.on_conflict_do_update(
    index_elements=[_D.c.invocation_id],
    set_={"look_at": _BEGIN.excluded.look_at, "begun": True},
)
_PUT_OFF = (
    sa.update(_D)
    .values(
        look_at=_NOW + sa.bindparam("pause", type_=sa.Interval),
        begun=sa.and_(_D.c.begun, sa.bindparam("failed", type_=sa.Boolean)),
        failures=sa.case(
            (sa.bindparam("failed", type_=sa.Boolean), _D.c.failures + 1), else_=0
        ),
    )
    .where(_D.c.invocation_id == _id)
)
_RELEASE = sa.update(_D).values(look_at=_NOW).where(_D.c.invocation_id == _id)
_END = sa.delete(_D).where(
    _D.c.invocation_id == _id,
    sa.or_(
        ~_D.c.begun,
        sa.exists().where(
            _I.c.invocation_id == _D.c.invocation_id,
            _I.c.results_deleted_at.isnot(None),
        ),
    ),
)
_OLDEST = (
    sa.select(_I.c.invocation_id, _I.c.submission_id)
    .where(
        *_LONG_ENDED,
        _I.c.state.in_(ENDED),
        ~sa.exists().where(
            _D.c.invocation_id == _I.c.invocation_id,
            sa.or_(_D.c.begun, _D.c.look_at > _NOW),
        ),
    )
    .order_by(_I.c.created_at)
    .limit(_limit)
    # What another process removes just now is no concern of this one.
    .with_for_update(skip_locked=True, of=_I)
)
_REMOVE = (
    sa.delete(_T).where(among(_T.c.invocation_id)),
    sa.delete(_I).where(among(_I.c.invocation_id)),
    sa.delete(_S).where(
        _S.c.submission_id
        == sa.func.any(sa.bindparam("submissions", type_=ARRAY(sa.Uuid)))
    ),
)
_REJECTED = sa.delete(_S).where(
    _S.c.submission_id.in_(
        sa.select(_S.c.submission_id)
        .where(
            _S.c.galaxy_url == sa.bindparam("url"),
            _S.c.galaxy_user == sa.bindparam("user"),
            sa.text("state = 'rejected'"),  # not a parameter: an index has it
            _S.c.look_at.is_(None),
            _S.c.updated_at <= _NOW - _age,
        )
        .order_by(_S.c.updated_at)
        .limit(_limit)
        .with_for_update(skip_locked=True)
    )
)
# Whose submissions have gone with their jobs, and whose key has ended.
_EMPTY_BATCHES = sa.delete(_B).where(
    _B.c.batch_id.in_(
        sa.select(_B.c.batch_id)
        .where(
            _B.c.galaxy_url == sa.bindparam("url"),
            _B.c.galaxy_user == sa.bindparam("user"),
            _B.c.created_at <= _NOW - _age,  # which an index has
            _B.c.ended_at <= _NOW - _age,
            _B.c.ended_at + _B.c.key_lifetime <= _NOW,
            ~sa.exists().where(_S.c.batch_id == _B.c.batch_id),
        )
        .limit(_limit)
        .with_for_update(skip_locked=True)
    )
)


@frozen
class PostgresRetention(Retention):
    """Finds jobs by an index of those that something is kept of."""

    engine: Engine

    def claim(
        self,
        identity: Identity,
        rule: RetentionRule,
        *,
        limit: int,
        lease: timedelta,
    ) -> Sequence[Deletion]:
        # Written out, as in the index.
        query = _DUE.where(_I.c.state == sa.literal_column(f"'{rule.state.value}'"))
        if rule.kept is Kept.INTERMEDIATES:
            query = query.where(_I.c.intermediates_deleted_at.is_(None))
        names = _I.c.workflow_name
        if rule.workflow_names is not None:
            query = query.where(names.in_(filter(storable, rule.workflow_names)))
        if rule.except_workflows:
            query = query.where(names.not_in(filter(storable, rule.except_workflows)))
        return self._claim(query, identity, limit, lease, {"age": rule.age})

    def claim_begun(
        self, identity: Identity, *, limit: int, lease: timedelta
    ) -> Sequence[Deletion]:
        return self._claim(_BEGUN, identity, limit, lease, {})

    def _claim(
        self,
        query: sa.Select[Any],
        identity: Identity,
        limit: int,
        lease: timedelta,
        parameters: Mapping[str, Any],
    ) -> Sequence[Deletion]:
        parameters = {**_of(identity), **parameters, "limit": limit}

        def work(connection: Connection) -> Sequence[sa.RowMapping]:
            connection.execute(_LOCK)
            ids = connection.scalars(query, parameters).all()
            if not ids:
                return []
            connection.execute(_LEASE, [{"id": id_, "lease": lease} for id_ in ids])
            return connection.execute(_CLAIMED, {"ids": ids}).mappings().all()

        return [
            Deletion(job=invocation_from_row(row), failures=row["failures"])
            for row in write(self.engine, work)
        ]

    def begin(self, invocation_id: InvocationId, *, lease: timedelta) -> None:
        self._write(_BEGIN, invocation_id, lease=lease)

    def put_off(
        self, invocation_id: InvocationId, pause: timedelta, *, failed: bool
    ) -> None:
        self._write(_PUT_OFF, invocation_id, pause=pause, failed=failed)

    def release(self, invocation_id: InvocationId) -> None:
        self._write(_RELEASE, invocation_id)

    def end(self, invocation_id: InvocationId) -> None:
        self._write(_END, invocation_id)

    def _write(
        self, statement: sa.Executable, invocation_id: InvocationId, **values: Any
    ) -> None:
        values = {"id": invocation_id, **values}
        write(self.engine, lambda connection: connection.execute(statement, values))

    def prune(self, identity: Identity, age: timedelta, *, limit: int) -> int:
        parameters = {**_of(identity), "age": age, "limit": limit}

        def work(connection: Connection) -> int:
            connection.execute(_REJECTED, parameters)
            oldest = connection.execute(_OLDEST, parameters).all()
            if oldest:
                connection.execute(PRUNING)
                keys = {
                    "ids": [row.invocation_id for row in oldest],
                    "submissions": [row.submission_id for row in oldest],
                }
                for statement in _REMOVE:
                    connection.execute(statement, keys)
            connection.execute(_EMPTY_BATCHES, parameters)
            return len(oldest)

        return write(self.engine, work)


def _of(identity: Identity) -> dict[str, str]:
    return {"url": identity.url, "user": identity.user_id}

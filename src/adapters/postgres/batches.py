"""Batches of submissions in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.changes import (
    end_batches,
    follow,
    record,
    replace,
)
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.adapters.postgres.invocations import ENDED, SELECT
from galaxy_jobs.adapters.postgres.paging import newest_first
from galaxy_jobs.adapters.postgres.rows import (
    batch_from_row,
    batch_to_row,
    invocation_from_row,
    storable,
    submission_from_row,
    submission_to_row,
)
from galaxy_jobs.adapters.postgres.submissions import OWN
from galaxy_jobs.domain.errors import BatchNotFound, DatasetNotFound
from galaxy_jobs.domain.model.batch import CANCELLED, Batch, BatchItem
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.model.values import BatchId, DatasetId, Identity
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import BatchRepository, Cursor, Page


_S = tables.submissions
_I = tables.invocations
_A = tables.active
_B = tables.batches
_D = tables.datasets

_WAITING = SubmissionState.WAITING.value
_SUBMITTING = SubmissionState.SUBMITTING.value
_UNKNOWN = SubmissionState.UNKNOWN.value
_ACCEPTED = SubmissionState.ACCEPTED.value
_REJECTED = SubmissionState.REJECTED.value

_BATCH = [column for column in _B.c if column.name not in {"key_lifetime", "turn_at"}]
_SELECT = sa.select(*_BATCH)
_HOLDER = (
    _SELECT.where(
        _B.c.key_caller == sa.bindparam("caller"),
        _B.c.key == sa.bindparam("held"),
        sa.or_(
            _B.c.ended_at.is_(None),
            _B.c.ended_at + _B.c.key_lifetime > sa.func.now(),
        ),
    )
    .order_by(_B.c.created_at.desc())
    .limit(1)
)
_LOCK = sa.select(
    sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(sa.bindparam("name"), 0))
)
# Until this transaction ends, the datasets are not removed.
_DATASETS = (
    sa.select(_D.c.dataset_id)
    .where(_D.c.dataset_id == sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.Text))))
    .order_by(_D.c.dataset_id)
    .with_for_update(read=True, key_share=True)
)
_among = sa.bindparam("batch_ids", type_=ARRAY(sa.Uuid))
_SUBMISSION_COUNTS = (
    sa.select(_S.c.batch_id, _S.c.state, sa.func.count())
    .where(_S.c.batch_id == sa.func.any(_among), _S.c.state != _ACCEPTED)
    .group_by(_S.c.batch_id, _S.c.state)
)
_JOB_COUNTS = (
    sa.select(_I.c.batch_id, _I.c.state, sa.func.count())
    .where(_I.c.batch_id == sa.func.any(_among))
    .group_by(_I.c.batch_id, _I.c.state)
)
_ITEM = [column for column in _S.c if column.name not in OWN - {"position"}]
_ITEMS = (
    sa.select(*_ITEM)
    .where(
        _S.c.batch_id == sa.bindparam("batch"),
        _S.c.position > sa.bindparam("after", type_=sa.BigInteger),
    )
    .order_by(_S.c.position)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_FAILED = sa.or_(
    sa.and_(
        _S.c.state == _REJECTED,
        _S.c.problem["code"].astext.is_distinct_from(CANCELLED.code),
    ),
    sa.exists().where(_I.c.submission_id == _S.c.submission_id, _I.c.state == "failed"),
)
_JOBS = SELECT.where(
    _I.c.submission_id == sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.Uuid)))
)

_here = (
    _S.c.galaxy_url == sa.bindparam("url"),
    _S.c.galaxy_user == sa.bindparam("user"),
    _S.c.batch_id.isnot(None),
)
_other = _S.alias()
# Of the items that were begun before, one at a time: whichever ends its process takes
# no attempts from the others.
_may_begin = sa.and_(
    _S.c.state == _WAITING,
    sa.or_(
        _S.c.attempts == 0,
        ~sa.exists().where(
            _other.c.galaxy_url == sa.bindparam("url"),
            _other.c.galaxy_user == sa.bindparam("user"),
            _other.c.batch_id.isnot(None),
            _other.c.state == _SUBMITTING,
            _other.c.attempts > 1,
        ),
    ),
)
# Nobody waits for the lock while no item waits.
_LOCK_IF_WAITING = _LOCK.where(sa.exists().where(*_here, _S.c.state == _WAITING))
_counted = (
    sa.select(sa.literal(1))
    .where(
        _A.c.galaxy_url == sa.bindparam("url"),
        _A.c.galaxy_user == sa.bindparam("user"),
    )
    .limit(sa.bindparam("most", type_=sa.Integer))
    .subquery()
)
# In one statement: a run is in one of the two counts, also while it is accepted.
_BUSY = sa.select(
    sa.select(sa.func.count())
    .where(*_here, _S.c.state == _SUBMITTING)
    .scalar_subquery(),
    sa.select(sa.func.count())
    .where(*_here, _S.c.state.in_([_SUBMITTING, _UNKNOWN]))
    .scalar_subquery(),
    sa.select(sa.func.count()).select_from(_counted).scalar_subquery(),
)
_next_batch = (
    sa.select(_B.c.batch_id)
    .where(
        _B.c.galaxy_url == sa.bindparam("url"),
        _B.c.galaxy_user == sa.bindparam("user"),
        _B.c.ended_at.is_(None),
        _B.c.cancelled_at.is_(None),
        sa.exists().where(_S.c.batch_id == _B.c.batch_id, _may_begin),
    )
    .order_by(_B.c.turn_at.nulls_first(), _B.c.created_at, _B.c.batch_id)
    .limit(1)
    .with_for_update(key_share=True)
)
_turn = (
    sa.update(_B)
    .where(_B.c.batch_id == _next_batch.scalar_subquery())
    .values(turn_at=sa.func.clock_timestamp())
    .returning(_B.c.batch_id)
    .cte("turn")
)
_NEXT_ITEM = (
    sa.select(*(column for column in _S.c if column.name not in OWN))
    .where(_S.c.batch_id == sa.select(_turn.c.batch_id).scalar_subquery(), _may_begin)
    .order_by(_S.c.position)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_BEGIN = (
    sa.update(_S)
    .where(_S.c.submission_id == sa.bindparam("id"))
    .values(look_at=sa.func.now() + sa.bindparam("look_in", type_=sa.Interval))
)

# Waits for the items that are being accepted, which the rest of the cancel then finds.
_NO_ITEM_ACCEPTED = (
    sa.select(_B.c.batch_id)
    .where(_B.c.batch_id == sa.bindparam("batch"))
    .with_for_update()
)
_CANCEL = (
    sa.update(_B)
    .where(_B.c.batch_id == sa.bindparam("batch"))
    .values(
        cancelled_at=sa.func.coalesce(
            _B.c.cancelled_at, sa.bindparam("at", type_=tables.Time)
        )
    )
)
_CANCEL_WAITING = (
    sa.update(_S)
    .where(_S.c.batch_id == sa.bindparam("batch"), _S.c.state == _WAITING)
    .values(
        state=_REJECTED,
        problem={"code": CANCELLED.code, "detail": CANCELLED.detail, "extra": {}},
        updated_at=sa.bindparam("at", type_=tables.Time),
        version=_S.c.version + 1,
    )
)
_RUNNING = (
    SELECT.where(
        _I.c.batch_id == sa.bindparam("batch"),
        sa.or_(_I.c.state.not_in(ENDED), _A.c.invocation_id.isnot(None)),
    )
    .order_by(_I.c.invocation_id)
    .with_for_update(of=_I, key_share=True)
)


@frozen
class PostgresBatches(BatchRepository):
    """Who begins an item holds a lock meanwhile, so that the limits hold for all."""

    engine: Engine

    def holder(self, key: IdempotencyKey) -> Batch | None:
        if not storable(key.caller, key.key):
            return None
        return read(self.engine, lambda connection: _holder(connection, key))

    def open(
        self, batch: Batch, items: Sequence[Submission], *, key_lifetime: timedelta
    ) -> Batch | None:
        key = batch.key
        rows = [
            {**submission_to_row(item), "position": place, "key_lifetime": key_lifetime}
            for place, item in enumerate(items)
        ]
        viewers = {item.request.dataset_id: item.viewer for item in items}

        def work(connection: Connection) -> Batch | None:
            if key is not None:
                _lock(connection, "batch key", key.caller, key.key)
                holder = _holder(connection, key)
                if holder is not None:
                    return holder
            known = connection.scalars(_DATASETS, {"ids": list(viewers)}).all()
            for dataset_id in viewers.keys() - {*map(DatasetId, known)}:
                raise DatasetNotFound(viewers[dataset_id].id_of(dataset_id))
            values = {**batch_to_row(batch), "key_lifetime": key_lifetime}
            connection.execute(sa.insert(_B).values(values))
            connection.execute(sa.insert(_S), rows)
            return None

        return write(self.engine, work)

    def get(self, batch_id: BatchId, viewer: Viewer) -> Batch:
        return read(self.engine, lambda connection: _get(connection, batch_id, viewer))

    def page(
        self, viewer: Viewer, limit: int, after: Cursor | None = None
    ) -> Page[Batch]:
        return newest_first(
            self.engine,
            _SELECT.where(*_seen_by(viewer)),
            (_B.c.created_at, _B.c.batch_id),
            batch_from_row,
            limit=limit,
            after=after,
        )

    def counts(
        self, batch_ids: Collection[BatchId]
    ) -> Mapping[BatchId, Mapping[str, int]]:
        counts: dict[BatchId, dict[str, int]] = {id_: {} for id_ in batch_ids}
        if not counts:
            return counts
        # In one statement, so that no item is counted twice.
        both = sa.union_all(_SUBMISSION_COUNTS, _JOB_COUNTS)
        parameters = {"batch_ids": list(counts)}
        for batch_id, state, number in read(
            self.engine, lambda c: c.execute(both, parameters).all()
        ):
            counts[batch_id][state] = number
        return counts

    def items(
        self,
        batch_id: BatchId,
        viewer: Viewer,
        *,
        limit: int,
        after: int = -1,
        failed: bool = False,
    ) -> Sequence[BatchItem]:
        wanted = _ITEMS.where(_FAILED) if failed else _ITEMS
        parameters = {"batch": batch_id, "after": after, "limit": limit}

        def work(
            connection: Connection,
        ) -> tuple[Sequence[sa.RowMapping], Sequence[sa.RowMapping]]:
            _get(connection, batch_id, viewer)
            rows = connection.execute(wanted, parameters).mappings().all()
            ids = [
                row["submission_id"] for row in rows if row["invocation_id"] is not None
            ]
            if not ids:
                return rows, []
            return rows, connection.execute(_JOBS, {"ids": ids}).mappings().all()

        rows, job_rows = read(self.engine, work)
        jobs = {row["submission_id"]: invocation_from_row(row) for row in job_rows}
        return [
            BatchItem(
                position=row["position"],
                submission=submission_from_row(row),
                job=jobs.get(row["submission_id"]),
            )
            for row in rows
        ]

    def begin(
        self,
        identity: Identity,
        *,
        at: datetime,
        at_once: int,
        max_active: int,
        deadline: timedelta,
    ) -> Submission | None:
        here = {"url": identity.url, "user": identity.user_id}

        def work(connection: Connection) -> Submission | None:
            name = _lock_name("begin", identity.url, identity.user_id)
            if (
                connection.execute(_LOCK_IF_WAITING, {**here, "name": name}).first()
                is None
            ):
                return None
            busy = connection.execute(_BUSY, {**here, "most": max_active})
            submitting, pending, active = busy.one()
            if submitting >= at_once or (max_active and active + pending >= max_active):
                return None
            row = connection.execute(_NEXT_ITEM, here).mappings().first()
            if row is None:
                return None
            before = submission_from_row(row)
            after = before.begun(at)
            changes = {
                "id": before.submission_id,
                "state": after.state.value,
                "attempts": after.attempts,
                "updated_at": after.updated_at,
                "version": after.version,
                "look_in": deadline,
            }
            connection.execute(_BEGIN, changes)
            return after

        return write(self.engine, work)

    def cancel(self, batch_id: BatchId, viewer: Viewer, at: datetime) -> Batch:
        parameters = {"batch": batch_id, "at": at}

        def stop_waiting(connection: Connection) -> None:
            _get(connection, batch_id, viewer)
            connection.execute(_NO_ITEM_ACCEPTED, parameters)
            connection.execute(_CANCEL, parameters)
            connection.execute(_CANCEL_WAITING, parameters)
            end_batches(connection, batch_ids=[batch_id])

        def stop_running(connection: Connection) -> Batch:
            rows = connection.execute(_RUNNING, {"batch": batch_id}).mappings()
            jobs = [invocation_from_row(row) for row in rows]
            changes = [
                (job, after)
                for job in jobs
                if job.is_followed and (after := job.request_cancel(at)) is not job
            ]
            if changes:
                replace(connection, changes)
                follow(connection, changes)
                record(connection, changes)
            return _get(connection, batch_id, viewer)

        # In several transactions: they take their locks in different orders. What runs
        # comes first, so that hardly any is left if the process dies in between.
        write(self.engine, stop_running)
        write(self.engine, stop_waiting)
        return write(self.engine, stop_running)


def _seen_by(viewer: Viewer) -> list[sa.ColumnElement[bool]]:
    return [] if viewer.only is None else [_B.c.owner == viewer.only]


def _get(connection: Connection, batch_id: BatchId, viewer: Viewer) -> Batch:
    wanted = _SELECT.where(_B.c.batch_id == batch_id, *_seen_by(viewer))
    row = connection.execute(wanted).mappings().first()
    if row is None:
        raise BatchNotFound(batch_id)
    return batch_from_row(row)


def _holder(connection: Connection, key: IdempotencyKey) -> Batch | None:
    wanted = {"caller": key.caller, "held": key.key}
    row = connection.execute(_HOLDER, wanted).mappings().first()
    return None if row is None else batch_from_row(row)


def _lock(connection: Connection, *name: str) -> None:
    """Hold a lock by that name until the transaction ends."""
    connection.execute(_LOCK, {"name": _lock_name(*name)})


def _lock_name(*name: str) -> str:
    return json.dumps(["galaxy-jobs", *name])

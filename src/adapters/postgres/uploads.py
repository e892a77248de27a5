"""Uploads in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY, insert

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.adapters.postgres.paging import newest_first
from galaxy_jobs.adapters.postgres.rows import (
    dataset_to_row,
    storable,
    upload_from_row,
    upload_to_row,
)
from galaxy_jobs.domain.errors import (
    DatasetExists,
    StaleVersion,
    UploadNotFound,
)
from galaxy_jobs.domain.model.dataset import Dataset
from galaxy_jobs.domain.model.upload import (
    KEPT_STATES,
    USE_INTERVAL,
    Upload,
    UploadId,
    UploadState,
)
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import Cursor, Page, UploadRepository


_T = tables.uploads
_D = tables.datasets
_OPEN = UploadState.OPEN.value
_VERIFYING = UploadState.VERIFYING.value
_EXPIRED = UploadState.EXPIRED.value
_KEPT = [state.value for state in KEPT_STATES]

_overdue = sa.and_(_T.c.state == _OPEN, _T.c.expires_at <= sa.func.now())
_columns = (
    *(column for column in _T.c if column.name != "state"),
    sa.case((_overdue, _EXPIRED), else_=_T.c.state).label("state"),
)
_SELECT = sa.select(*_columns)
_HOLDER = _SELECT.where(
    _T.c.key_caller == sa.bindparam("caller"),
    _T.c.key == sa.bindparam("held"),
    _T.c.state.in_(_KEPT),
    ~_overdue,
)
# Of one owner, so that no two requests of theirs pass the same quota.
_LOCK = sa.select(
    sa.func.pg_advisory_xact_lock(
        sa.func.hashtextextended(sa.bindparam("lock", type_=sa.Text), 0)
    )
)
_USED = sa.select(
    sa.func.count(), sa.cast(sa.func.coalesce(sa.func.sum(_T.c.size), 0), sa.BigInteger)
).where(
    _T.c.owner.is_not_distinct_from(sa.bindparam("owner", type_=sa.Text)),
    _T.c.state == _OPEN,
    ~_overdue,
)
# Its key is free by now: one that has expired gives it up.
_FREE_KEY = (
    sa.update(_T)
    .where(
        _T.c.key_caller == sa.bindparam("caller"),
        _T.c.key == sa.bindparam("held"),
        _overdue,
    )
    .values(state=_EXPIRED, version=_T.c.version + 1)
)
_expiry = sa.func.now() + sa.bindparam("lifetime", type_=sa.Interval)
_ADD = insert(_T).values(expires_at=_expiry, look_at=_expiry).returning(_T)
_UNFINISHED = _SELECT.where(_T.c.state.in_([_OPEN, _VERIFYING]), ~_overdue)
_ENDED = (
    _SELECT.where(
        _T.c.state.not_in(_KEPT),
        ~_T.c.stored,
        _T.c.expires_at < sa.func.now() - sa.bindparam("kept", type_=sa.Interval),
    )
    .order_by(_T.c.expires_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_REMOVE = sa.delete(_T).where(
    _T.c.upload_id == sa.bindparam("id"), _T.c.state.not_in(_KEPT), ~_T.c.stored
)
_SAVE = (
    sa.update(_T)
    .where(
        _T.c.upload_id == sa.bindparam("id"),
        _T.c.version == sa.bindparam("before", type_=sa.BigInteger),
        sa.or_(~_overdue, sa.bindparam("ended", type_=sa.Boolean)),
    )
    .returning(_T.c.upload_id)
)
_ADD_DATASET = (
    insert(_D)
    .on_conflict_do_nothing(index_elements=[_D.c.dataset_id])
    .returning(_D.c.dataset_id)
)
_DUE = (
    sa.select(_T.c.upload_id)
    .where(_T.c.look_at <= sa.func.now())
    .order_by(_T.c.look_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
    # Materialized: evaluated again for each row of a join, it would claim more rows.
    .cte("due")
    .prefix_with("MATERIALIZED")
)
_used = sa.bindparam("upload_id", type_=sa.Text)
_USED_BY_ITS_OWN = sa.select(
    sa.exists().where(
        _D.c.dataset_id == sa.bindparam("dataset_id"),
        _D.c.source["upload_id"].astext == _used,
    )
)
# All datasets are read, for the few whose own dataset is gone.
_USED_BY_ANY = sa.select(
    sa.exists().where(sa.func.strpos(sa.cast(_D.c.source, sa.Text), _used) > 0)
)
_lease = sa.func.now() + sa.bindparam("lease", type_=sa.Interval)
_CLAIM = (
    sa.update(_T)
    .where(_T.c.upload_id.in_(sa.select(_DUE.c.upload_id)))
    .values(look_at=_lease)
    .returning(*_columns)
)
_RENEW = (
    sa.update(_T)
    .where(_T.c.upload_id == sa.bindparam("id"), _T.c.look_at.isnot(None))
    .values(look_at=_lease)
)


@frozen
class PostgresUploads(UploadRepository):
    """Keeps uploads in a table of their own."""

    engine: Engine

    def add(
        self, upload: Upload, *, lifetime: timedelta, max_open: int, max_bytes: int
    ) -> Upload:
        holder = upload.key and {"caller": upload.key.caller, "held": upload.key.key}

        def work(connection: Connection) -> Upload:
            connection.execute(_LOCK, {"lock": f"uploads of {upload.owner}"})
            if holder:
                lock = f"upload {holder['caller']} {holder['held']}"
                connection.execute(_LOCK, {"lock": lock})
                found = connection.execute(_HOLDER, holder).mappings().first()
                if found is not None:
                    return upload_from_row(found)
                connection.execute(_FREE_KEY, holder)
            number, size = connection.execute(_USED, {"owner": upload.owner}).one()
            upload.check_quota(number, size, max_open=max_open, max_bytes=max_bytes)
            values = {**upload_to_row(upload), "lifetime": lifetime}
            return upload_from_row(connection.execute(_ADD, values).mappings().one())

        return write(self.engine, work)

    def get(self, upload_id: UploadId, viewer: Viewer) -> Upload:
        if not storable(upload_id):
            raise UploadNotFound(upload_id)
        wanted = _SELECT.where(_T.c.upload_id == upload_id, *_seen_by(viewer))
        row = read(self.engine, lambda c: c.execute(wanted).mappings().first())
        if row is None:
            raise UploadNotFound(upload_id)
        return upload_from_row(row)

    def get_many(
        self, upload_ids: Collection[UploadId], viewer: Viewer
    ) -> Mapping[UploadId, Upload]:
        ids = [upload_id for upload_id in upload_ids if storable(upload_id)]
        wanted = _SELECT.where(
            _T.c.upload_id == sa.any_(sa.literal(ids, ARRAY(sa.Text))),
            *_seen_by(viewer),
        )
        rows = read(self.engine, lambda c: c.execute(wanted).mappings().all())
        found = map(upload_from_row, rows)
        return {upload.upload_id: upload for upload in found}

    def page(
        self, viewer: Viewer, limit: int, after: Cursor | None = None
    ) -> Page[Upload]:
        wanted = _UNFINISHED.where(*_seen_by(viewer))
        if viewer.owner is not None:
            wanted = wanted.where(_T.c.owner == viewer.owner)
        return newest_first(
            self.engine,
            wanted,
            (_T.c.created_at, _T.c.upload_id),
            upload_from_row,
            limit=limit,
            after=after,
        )

    def save(self, before: Upload, after: Upload) -> None:
        write(self.engine, lambda c: _save(c, before, after))

    def complete(self, before: Upload, after: Upload, dataset: Dataset) -> None:
        def work(connection: Connection) -> None:
            _save(connection, before, after)
            row = dataset_to_row(dataset)
            if not connection.execute(_ADD_DATASET, row).first():
                raise DatasetExists(dataset.dataset_id)

        write(self.engine, work)

    def claim(self, limit: int, lease: timedelta) -> Sequence[Upload]:
        parameters = {"limit": limit, "lease": lease}
        rows = write(
            self.engine, lambda c: c.execute(_CLAIM, parameters).mappings().all()
        )
        return [upload_from_row(row) for row in rows]

    def renew(self, upload_id: UploadId, lease: timedelta) -> None:
        parameters = {"id": upload_id, "lease": lease}
        write(self.engine, lambda c: c.execute(_RENEW, parameters))

    def is_used(self, upload: Upload) -> bool:
        parameters = {"upload_id": upload.upload_id, "dataset_id": upload.dataset_id}
        own, any_ = _USED_BY_ITS_OWN, _USED_BY_ANY
        return bool(
            read(self.engine, lambda c: c.scalar(own, parameters))
            or read(self.engine, lambda c: c.scalar(any_, parameters))
        )

    def ended(self, kept: timedelta, limit: int) -> Sequence[Upload]:
        parameters = {"kept": kept, "limit": limit}
        rows = read(
            self.engine, lambda c: c.execute(_ENDED, parameters).mappings().all()
        )
        return [upload_from_row(row) for row in rows]

    def remove(self, upload: Upload) -> None:
        write(self.engine, lambda c: c.execute(_REMOVE, {"id": upload.upload_id}))


def _seen_by(viewer: Viewer) -> list[sa.ColumnElement[bool]]:
    return [] if viewer.only is None else [_T.c.owner == viewer.only]


def _save(connection: Connection, before: Upload, after: Upload) -> None:
    values: dict[str, Any] = {
        name: value
        for name, value in upload_to_row(after).items()
        if name in {"state", "ref", "stored", "sha256", "problem", "version"}
    }
    match after.state:
        case UploadState.OPEN:
            look_at: Any = _T.c.expires_at
        case UploadState.COMPLETE:
            look_at = sa.func.now() + sa.literal(USE_INTERVAL, sa.Interval)
        case _:
            nothing_left = after.state is not UploadState.VERIFYING and not after.stored
            look_at = None if nothing_left else sa.func.now()
    ended = after.state not in KEPT_STATES
    where = {"id": before.upload_id, "before": before.version, "ended": ended}
    statement = _SAVE.values({**values, "look_at": look_at})
    if not connection.execute(statement, where).first():
        raise StaleVersion(f"Upload {before.upload_id}", before.version)

"""Datasets in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY, insert

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.adapters.postgres.rows import (
    Row,
    dataset_from_row,
    dataset_to_row,
    storable,
)
from galaxy_jobs.domain.errors import (
    DatasetExists,
    DatasetNotFound,
    InvalidSource,
    InvalidValue,
)
from galaxy_jobs.domain.model.dataset import Dataset, UnusableDataset
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.ports import Cursor, DatasetRepository, Page


_T = tables.datasets
_SELECT = sa.select(
    _T.c.dataset_id,
    _T.c.name,
    sa.cast(_T.c.source, sa.Text).label("source"),
    _T.c.created_at,
)
_ADD = (
    insert(_T)
    .on_conflict_do_nothing(index_elements=[_T.c.dataset_id])
    .returning(_T.c.dataset_id)
)
_ONE = _SELECT.where(_T.c.dataset_id == sa.bindparam("id"))
_MANY = _SELECT.where(
    _T.c.dataset_id == sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.Text)))
)
_FIRST = _SELECT.order_by(_T.c.created_at.desc(), _T.c.dataset_id.desc()).limit(
    sa.bindparam("limit", type_=sa.Integer)
)
_BEYOND = _FIRST.where(
    sa.tuple_(_T.c.created_at, _T.c.dataset_id)
    < sa.tuple_(
        sa.bindparam("created_at", type_=tables.Time),
        sa.bindparam("id", type_=sa.Text),
    )
)
_FOUND = sa.or_(
    *(column.ilike(sa.bindparam("pattern")) for column in (_T.c.dataset_id, _T.c.name))
)


@frozen
class PostgresDatasets(DatasetRepository):
    """Keeps datasets in a table into which frontends may insert, too.

    A malformed row of theirs raises InvalidSource where it is fetched. In pages it is
    an :class:`UnusableDataset`: a bad row must not hide the others.
    """

    engine: Engine

    def add(self, dataset: Dataset) -> Dataset:
        def work(connection: Connection) -> Dataset:
            while True:
                if connection.execute(_ADD, dataset_to_row(dataset)).first():
                    return dataset
                row = (
                    connection.execute(_ONE, {"id": dataset.dataset_id})
                    .mappings()
                    .first()
                )
                if row is None:
                    continue  # removed in between, by another program
                with suppress(InvalidSource):
                    stored = dataset_from_row(row)
                    if stored.same_as(dataset):
                        return stored
                raise DatasetExists(dataset.dataset_id)

        return write(self.engine, work)

    def get(self, dataset_id: DatasetId) -> Dataset:
        if not storable(dataset_id):
            raise DatasetNotFound(dataset_id)
        row = read(
            self.engine,
            lambda c: c.execute(_ONE, {"id": dataset_id}).mappings().first(),
        )
        if row is None:
            raise DatasetNotFound(dataset_id)
        return dataset_from_row(row)

    def get_many(
        self, dataset_ids: Collection[DatasetId]
    ) -> Mapping[DatasetId, Dataset]:
        ids = [dataset_id for dataset_id in dataset_ids if storable(dataset_id)]
        if not ids:
            return {}
        rows = read(
            self.engine, lambda c: c.execute(_MANY, {"ids": ids}).mappings().all()
        )
        return {row["dataset_id"]: dataset_from_row(row) for row in rows}

    def page(
        self, limit: int, after: Cursor | None = None, *, search: str = ""
    ) -> Page[Dataset | UnusableDataset]:
        parameters: dict[str, object] = {"limit": limit + 1}
        statement = _FIRST
        if after is not None:
            if not storable(after.id):
                raise InvalidValue("The cursor is malformed.")
            parameters |= {"created_at": after.created_at, "id": after.id}
            statement = _BEYOND
        if search:
            if not storable(search):
                return Page((), None)
            escaped = re.sub(r"([%_\\])", r"\\\1", search)
            parameters["pattern"] = f"%{escaped}%"
            statement = statement.where(_FOUND)
        rows = read(
            self.engine, lambda c: c.execute(statement, parameters).mappings().all()
        )
        items = tuple(map(_listed, rows[:limit]))
        if len(rows) <= limit:
            return Page(items, None)
        last = rows[limit - 1]
        return Page(items, Cursor(last["created_at"], last["dataset_id"]))


def _listed(row: Row) -> Dataset | UnusableDataset:
    try:
        return dataset_from_row(row)
    except InvalidSource as error:
        return UnusableDataset(
            dataset_id=row["dataset_id"],
            name=row["name"] or "",
            problem=str(error),
            created_at=row["created_at"],
        )

"""Datasets in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from attrs import evolve, frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.adapters.postgres.invocations import ENDED
from galaxy_jobs.adapters.postgres.paging import newest_first
from galaxy_jobs.adapters.postgres.rows import (
    Row,
    changed_labels,
    dataset_from_row,
    dataset_key,
    dataset_to_row,
    storable,
)
from galaxy_jobs.domain.errors import (
    DatasetExists,
    DatasetInUse,
    DatasetNotFound,
    InvalidSource,
)
from galaxy_jobs.domain.model.dataset import (
    URL_SCHEMES,
    Dataset,
    UnusableDataset,
)
from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.domain.model.labels import NO_CHANGE, Label, LabelPatch
from galaxy_jobs.domain.model.submission import SubmissionState
from galaxy_jobs.domain.model.values import DatasetId
from galaxy_jobs.domain.model.viewer import Viewer, namespace
from galaxy_jobs.domain.ports import Cursor, DatasetRepository, Page


LISTED_SOURCE_SIZE = 32 * 1024
"""Bytes of JSON up to which the elements of a collection are checked for a list."""

_T = tables.datasets
_S = tables.submissions
_A = tables.active
_I = tables.invocations
_COLUMNS = (
    _T.c.dataset_id,
    _T.c.name,
    sa.cast(_T.c.source, sa.Text).label("source"),
    _T.c.created_at,
    sa.cast(_T.c.description, sa.Text).label("description"),
    _T.c.described_at,
    _T.c.owner,
    sa.cast(_T.c.labels, sa.Text).label("labels"),
)
_SELECT = sa.select(*_COLUMNS)
_ADD = (
    insert(_T)
    .on_conflict_do_nothing(index_elements=[_T.c.dataset_id])
    .returning(_T.c.dataset_id)
)
_ONE = _SELECT.where(_T.c.dataset_id == sa.bindparam("id"))
_ONE_LOCKED = _ONE.with_for_update()
_only: sa.BindParameter[str | None] = sa.bindparam("only", type_=sa.Text)
_SEEN = sa.or_(_only.is_(None), _T.c.owner == _only)
_MANY = _SELECT.where(
    _T.c.dataset_id == sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.Text))), _SEEN
)
_TEXT = sa.cast(_T.c.source, sa.Text)
_IS_LARGE = sa.and_(
    sa.func.octet_length(_TEXT) > LISTED_SOURCE_SIZE,
    _T.c.source["src"].astext == "collection",
    sa.func.jsonb_typeof(_T.c.source["elements"]) == "array",
)
# Without its elements; what is kept of it may be as long as the program that wrote it
# liked.
_LISTED = sa.func.jsonb_build_object(
    "src",
    "collection",
    "collection_type",
    sa.func.left(_T.c.source["collection_type"].astext, 255),
    "listed",
    sa.func.jsonb_array_length(_T.c.source["elements"]),
)
_LIST = sa.select(
    *(column for column in _COLUMNS if column.key != "source"),
    sa.case((_IS_LARGE, sa.cast(_LISTED, sa.Text)), else_=_TEXT).label("source"),
)
_DESCRIBE = sa.update(_T).where(_T.c.dataset_id == sa.bindparam("id"))
_CHANGE = (
    sa.update(_T).where(_T.c.dataset_id == sa.bindparam("id")).returning(*_COLUMNS)
)
# A submission that is opened meanwhile waits for this lock, or is seen by what follows.
_LOCK = (
    sa.select(_T.c.dataset_id)
    .where(_T.c.dataset_id == sa.bindparam("id"))
    .with_for_update()
)
_REMOVE = sa.delete(_T).where(_T.c.dataset_id == sa.bindparam("id"))
_JOB = (
    sa.select(_I.c.invocation_id, _I.c.owner)
    .where(
        _I.c.dataset_id == sa.bindparam("id"),
        _I.c.state.in_(
            [state.value for state in InvocationState if not state.is_terminal]
        ),
    )
    .union_all(
        sa.select(_A.c.invocation_id, _I.c.owner)
        .join(_I, _I.c.invocation_id == _A.c.invocation_id)
        .where(
            sa.text("draws <> '{}'"),
            _A.c.draws.contains(sa.bindparam("keys", type_=ARRAY(sa.Text))),
            _I.c.state.not_in(ENDED),
        )
    )
    .limit(1)
)


def _refers(value: sa.ColumnElement[Any], *ids: str) -> sa.ColumnElement[bool]:
    """Return whether JSON refers to a dataset by an id that a parameter has."""
    called = " || ".join(f"@ == ${id_}" for id_ in ids)
    members = [
        each for id_ in ids for each in (id_, sa.cast(sa.bindparam(id_), sa.Text))
    ]
    return sa.func.jsonb_path_exists(
        value,
        sa.text(f"'$.**.dataset_id ? ({called})'::jsonpath"),
        sa.func.jsonb_build_object(*members),
    )


_SUBMISSION = (
    sa.select(_S.c.submission_id, _S.c.owner)
    .where(
        sa.or_(
            _S.c.look_at.isnot(None),
            sa.and_(
                _S.c.batch_id.isnot(None), _S.c.state == SubmissionState.WAITING.value
            ),
        ),
        _S.c.state.not_in(
            [SubmissionState.ACCEPTED.value, SubmissionState.REJECTED.value]
        ),
        sa.or_(
            _S.c.dataset_id == sa.bindparam("id"),
            _refers(sa.cast(_S.c.parameters, JSONB), "id"),
        ),
    )
    .limit(1)
)


# It refers to others by the ids that its owner calls them by; in the store, these have
# a namespace if the owner sees nothing else.
_COLLECTION = (
    sa.select(_T.c.dataset_id, _T.c.owner)
    .where(
        _T.c.source["src"].astext == "collection",
        sa.or_(
            sa.and_(
                _T.c.owner == sa.bindparam("owner"),
                _refers(_T.c.source, "id", "called"),
            ),
            sa.and_(
                sa.func.strpos(_T.c.dataset_id, "::") == 0, _refers(_T.c.source, "id")
            ),
        ),
    )
    .limit(1)
)


@frozen
class PostgresDatasets(DatasetRepository):
    """Keeps datasets in a table into which frontends may insert, too.

    A malformed row of theirs raises InvalidSource where it is fetched. In pages it is
    an :class:`UnusableDataset`: a bad row must not hide the others. The elements of a
    large collection are not looked at there, only where it is fetched.

    Attributes:
        schemes: Those of addresses that are allowed.
    """

    engine: Engine
    schemes: Collection[str] = URL_SCHEMES

    def add(self, dataset: Dataset, viewer: Viewer) -> Dataset:
        dataset = dataset.owned_by(viewer)

        def work(connection: Connection) -> Dataset:
            while True:
                id_ = dataset.dataset_id
                row = _of_viewer(connection, [id_], viewer).get(id_)
                if row is None:
                    if connection.execute(_ADD, dataset_to_row(dataset)).first():
                        return dataset
                    row = _of_viewer(connection, [id_], viewer).get(id_)
                if row is not None:
                    with suppress(InvalidSource):
                        stored = dataset_from_row(row, viewer, self.schemes)
                        if stored.same_as(dataset):
                            return _described(connection, stored, dataset)
                    raise DatasetExists(id_)
                taken = {"id": dataset.stored_id}
                if connection.execute(_ONE, taken).first() is not None:
                    raise DatasetExists(id_)
                # Removed in between, by another program.

        return write(self.engine, work)

    def get(self, dataset_id: DatasetId, viewer: Viewer) -> Dataset:
        datasets = self.get_many([dataset_id], viewer)
        if dataset_id not in datasets:
            raise DatasetNotFound(dataset_id)
        return datasets[dataset_id]

    def get_many(
        self, dataset_ids: Collection[DatasetId], viewer: Viewer
    ) -> Mapping[DatasetId, Dataset]:
        ids = [dataset_id for dataset_id in dataset_ids if storable(dataset_id)]
        if not ids:
            return {}
        rows = read(self.engine, lambda c: _of_viewer(c, ids, viewer))
        return {
            id_: dataset_from_row(row, viewer, self.schemes)
            for id_, row in rows.items()
        }

    def page(
        self,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
        *,
        search: str = "",
        labels: Collection[Label] = (),
    ) -> Page[Dataset | UnusableDataset]:
        if not storable(search):
            return Page((), None)
        wanted = _LIST
        if viewer.only is not None:
            wanted = wanted.where(_T.c.owner == viewer.only)
        if search:
            wanted = wanted.where(_has(search, viewer))
        for label in labels:
            wanted = wanted.where(_T.c.labels.contains({label.key: label.value}))
        return newest_first(
            self.engine,
            wanted,
            (_T.c.created_at, _T.c.dataset_id),
            lambda row: self._listed(row, viewer),
            limit=limit,
            after=after,
        )

    def change(
        self,
        dataset_id: DatasetId,
        viewer: Viewer,
        *,
        name: str | None = None,
        labels: LabelPatch = NO_CHANGE,
    ) -> Dataset:
        if not storable(dataset_id):
            raise DatasetNotFound(dataset_id)

        def work(connection: Connection) -> Row | None:
            row = _of_viewer(connection, [dataset_id], viewer).get(dataset_id)
            if row is None:
                return None
            parameters = {"id": row["dataset_id"]}
            # Read again under the lock: another change may have come in between.
            row = connection.execute(_ONE_LOCKED, parameters).mappings().first()
            if row is None:
                return None
            changes = {} if name is None else {"name": name}
            if labels != NO_CHANGE:
                changes["labels"] = changed_labels(row["labels"], labels)
            if not changes:
                return row
            changed = connection.execute(_CHANGE.values(changes), parameters)
            return changed.mappings().first()

        row = write(self.engine, work)
        if row is None:
            raise DatasetNotFound(dataset_id)
        return dataset_from_row(row, viewer, self.schemes)

    def remove(self, dataset_id: DatasetId, viewer: Viewer) -> None:
        def work(connection: Connection) -> None:
            row = _of_viewer(connection, [dataset_id], viewer).get(dataset_id)
            if row is None:
                raise DatasetNotFound(dataset_id)
            id_, owner = row["dataset_id"], row["owner"]
            called = Viewer(owner, sees_all=owner is None).id_of(id_)
            parameters = {"id": id_, "keys": [dataset_key(id_)]}
            if not connection.execute(_LOCK, parameters).first():
                raise DatasetNotFound(dataset_id)
            # In the order in which a submission becomes a job.
            for kind, statement, more in (
                ("submission", _SUBMISSION, {}),
                ("job", _JOB, {}),
                ("dataset", _COLLECTION, {"owner": owner, "called": called}),
            ):
                user = connection.execute(statement, parameters | more).first()
                if user is not None:
                    name = str(user[0]) if viewer.sees(user[1]) else None
                    raise DatasetInUse(dataset_id, kind, name)
            connection.execute(_REMOVE, parameters)

        if not storable(dataset_id):
            raise DatasetNotFound(dataset_id)
        write(self.engine, work)

    def _listed(self, row: Row, viewer: Viewer) -> Dataset | UnusableDataset:
        try:
            dataset = dataset_from_row(row, viewer, self.schemes)
        except InvalidSource as error:
            return UnusableDataset(
                dataset_id=viewer.id_of(row["dataset_id"]),
                owner=row["owner"],
                name=row["name"] or "",
                problem=str(error),
                created_at=row["created_at"],
            )
        return dataset.as_listed()


def _of_viewer(
    connection: Connection, ids: Sequence[DatasetId], viewer: Viewer
) -> dict[DatasetId, Row]:
    """Return the rows of the datasets that a viewer calls so, by these ids."""
    stored_ids = {id_: viewer.stored_ids(id_) for id_ in ids}
    wanted = [stored for several in stored_ids.values() for stored in several]
    parameters = {"ids": wanted, "only": viewer.only}
    rows = connection.execute(_MANY, parameters).mappings().all()
    found = {row["dataset_id"]: row for row in rows}
    return {
        id_: next(found[stored] for stored in several if stored in found)
        for id_, several in stored_ids.items()
        if found.keys() & set(several)
    }


def _has(search: str, viewer: Viewer) -> sa.ColumnElement[bool]:
    """Return the condition that a text is in the id or the name."""
    id_: sa.ColumnElement[str] = _T.c.dataset_id
    if viewer.only is not None:
        prefix = namespace(viewer.only)
        rest = sa.func.substr(_T.c.dataset_id, len(prefix) + 1)
        id_ = sa.case(
            (_T.c.dataset_id.startswith(prefix, autoescape=True), rest),
            else_=_T.c.dataset_id,
        )
    escaped = re.sub(r"([%_\\])", r"\\\1", search)
    # As a literal: PostgreSQL would make one plan for all texts, and not use the index.
    pattern: sa.BindParameter[str] = sa.bindparam(
        "pattern", f"%{escaped}%", literal_execute=True
    )
    return sa.or_(id_.ilike(pattern), _T.c.name.ilike(pattern))


def _described(connection: Connection, stored: Dataset, dataset: Dataset) -> Dataset:
    """Give a stored dataset the description of the same one, if it has one."""
    if dataset.description is None:
        return stored
    row = dataset_to_row(dataset)
    changes = {key: row[key] for key in ("description", "described_at")}
    connection.execute(_DESCRIBE.values(changes), {"id": stored.stored_id})
    return evolve(
        stored,
        description=dataset.description,
        described_at=dataset.described_at,
    )

"""Invocations in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.changes import (
    among,
    follow,
    record,
    replace,
)
from galaxy_jobs.adapters.postgres.engine import read, to_json, write
from galaxy_jobs.adapters.postgres.rows import (
    invocation_from_row,
    storable,
    transition_from_row,
)
from galaxy_jobs.domain.errors import InvalidValue, JobNotFound, StaleVersion
from galaxy_jobs.domain.model.invocation import (
    Invocation,
    InvocationState,
    Revision,
    Transition,
)
from galaxy_jobs.domain.model.values import LISTED_PARAMETERS_SIZE, InvocationId
from galaxy_jobs.domain.model.viewer import Viewer, namespace
from galaxy_jobs.domain.ports import Cursor, InvocationRepository, JobFilter, Page


_I = tables.invocations
_A = tables.active
_T = tables.transitions
_L = tables.labels
_D = tables.datasets

LOOKS = 20_000
"""Jobs that a page looks at, where no index has all that they are to match."""

COUNTED = 1000
"""Jobs that are counted of a label, to find the rarest of several."""

# While an invocation is polled, its latest observation is in the narrow table.
OBSERVED_AT = sa.func.coalesce(_A.c.observed_at, _I.c.observed_at)

# In the narrow table, too: of one that has ended, it is about the jobs left.
STOPPING = sa.func.coalesce(
    _A.c.cancelling & (_I.c.state == InvocationState.FAILED.value), sa.false()
)


def joined(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Select columns of invocations, joined with the narrow table."""
    return sa.select(*columns).outerjoin_from(
        _I, _A, _A.c.invocation_id == _I.c.invocation_id
    )


SELECT = joined(
    *(c for c in _I.c if c.name not in {"observed_at", "history_dealt_with_at"}),
    OBSERVED_AT.label("observed_at"),
    _A.c.stale_at,
    STOPPING.label("stopping"),
)

PARAMETERS_TRUNCATED = f"""
CASE WHEN pg_column_size(parameters) > {LISTED_PARAMETERS_SIZE + 4} THEN true
    ELSE octet_length(parameters::text) > {LISTED_PARAMETERS_SIZE} END
"""
"""SQL that tells which parameters lists leave out. Of large ones it reads the size
alone, with which four bytes of PostgreSQL's are counted."""

_LISTED = joined(
    *(c for c in SELECT.selected_columns if c.name not in {"parameters", "inputs"}),
    sa.null().label("inputs"),
    sa.literal_column(PARAMETERS_TRUNCATED).label("parameters_truncated"),
    sa.literal_column(
        f"CASE WHEN {PARAMETERS_TRUNCATED} THEN NULL ELSE parameters END",
        _I.c.parameters.type,
    ).label("parameters"),
)

ENDED = [state.value for state in InvocationState if state.is_terminal]

ONE = SELECT.where(_I.c.invocation_id == sa.bindparam("id"))

_only: sa.BindParameter[str | None] = sa.bindparam("only", type_=sa.Text)
"""The parameter with :attr:`Viewer.only`."""

_SEEN = sa.or_(_only.is_(None), _I.c.owner == _only)

_namespace = sa.bindparam("namespace", type_=sa.Text)
_part = sa.bindparam("part", type_=sa.Text)
_FOUND = sa.or_(
    # As its owner calls it.
    sa.case(
        (
            sa.func.starts_with(_I.c.dataset_id, _namespace),
            sa.func.substr(
                _I.c.dataset_id, sa.func.length(_namespace) + sa.literal_column("1")
            ),
        ),
        else_=_I.c.dataset_id,
    ).ilike(_part),
    _D.c.name.ilike(_part),
    _I.c.workflow_name.ilike(_part),
    _I.c.invocation_id.ilike(sa.bindparam("beginning", type_=sa.Text)),
    sa.text(
        "EXISTS (SELECT FROM jsonb_each_text(workflow_invocations.labels) AS label"
        " WHERE label.value ILIKE :part)"
    ).bindparams(_part),
)
_RAREST = f"""
    invocation_labels.label = (
        SELECT given.key || ':' || given.value
        FROM jsonb_each_text(CAST(:labels AS jsonb)) AS given
        ORDER BY (
            SELECT count(*) FROM (
                SELECT FROM invocation_labels AS counted
                WHERE counted.label = given.key || ':' || given.value
                -- The order of the index, or the table would be read.
                ORDER BY counted.state, counted.created_at, counted.invocation_id
                LIMIT {COUNTED}
            ) AS few
        ), given.key
        LIMIT 1
    )
"""  # noqa: S608 - a number of ours
_IS_RAREST = sa.text(_RAREST).bindparams(sa.bindparam("labels", type_=sa.Text))
_MANY = SELECT.where(among(_I.c.invocation_id), _SEEN)
_REVISIONS = joined(_I.c.invocation_id, _I.c.version, _I.c.state, _A.c.stale_at).where(
    among(_I.c.invocation_id), _SEEN
)
_EXISTS = sa.select(sa.exists().where(_I.c.invocation_id == sa.bindparam("id")))
_IS_SEEN = sa.select(sa.exists().where(_I.c.invocation_id == sa.bindparam("id"), _SEEN))
_STATES = frozenset(state.value for state in InvocationState)
_WORKFLOW_NAMES = sa.text(
    """
    WITH RECURSIVE names (name) AS (
        SELECT min(workflow_name) FROM workflow_invocations
        UNION ALL
        SELECT (
            SELECT min(workflow_name) FROM workflow_invocations
            WHERE workflow_name > names.name
        )
        FROM names WHERE name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL LIMIT :most
    """
)
"""Each name is looked up in an index after the one before, and no row is read twice."""

_OWN_WORKFLOW_NAMES = sa.text(
    str(_WORKFLOW_NAMES)
    .replace(
        "FROM workflow_invocations\n        UNION",
        "FROM workflow_invocations WHERE owner = :only\n        UNION",
    )
    .replace("WHERE workflow_name >", "WHERE owner = :only AND workflow_name >")
)

_LABELS, _OWN_LABELS = (
    sa.text(
        str(names)
        .replace("workflow_name", "label")
        .replace("workflow_invocations", "invocation_labels")
    )
    for names in (_WORKFLOW_NAMES, _OWN_WORKFLOW_NAMES)
)

_HISTORY = (
    sa.select(_T).where(_T.c.invocation_id == sa.bindparam("id")).order_by(_T.c.id)
)


@frozen
class PostgresInvocations(InvocationRepository):
    """Reads pages by their keys, each kind of list from an index of its own.

    Attributes:
        looks: Jobs that a page looks at, where no index has all that they are to match.
    """

    engine: Engine
    looks: int = LOOKS

    def get(self, invocation_id: InvocationId, viewer: Viewer) -> Invocation:
        invocations = self.get_many([invocation_id], viewer)
        if invocation_id not in invocations:
            raise JobNotFound(invocation_id)
        return invocations[invocation_id]

    def get_many(
        self, invocation_ids: Collection[InvocationId], viewer: Viewer
    ) -> Mapping[InvocationId, Invocation]:
        ids = [id_ for id_ in invocation_ids if storable(id_)]
        if not ids:
            return {}
        parameters = {"ids": ids, "only": viewer.only}
        rows = read(
            self.engine, lambda c: c.execute(_MANY, parameters).mappings().all()
        )
        return {
            row["invocation_id"]: invocation_from_row(row).shown_to(viewer)
            for row in rows
        }

    def revisions(
        self, invocation_ids: Collection[InvocationId], viewer: Viewer
    ) -> Mapping[InvocationId, Revision]:
        ids = [id_ for id_ in invocation_ids if storable(id_)]
        if not ids:
            return {}
        parameters = {"ids": ids, "only": viewer.only}
        rows = read(self.engine, lambda c: c.execute(_REVISIONS, parameters).all())
        return {
            row.invocation_id: Revision(
                version=row.version,
                state=InvocationState(row.state),
                stale_at=row.stale_at,
            )
            for row in rows
        }

    def page(
        self,
        wanted: JobFilter,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
    ) -> Page[Invocation]:
        query = page_parameters(wanted, viewer, after)
        if query is None:
            return Page((), None)
        parameters, states = query
        # One more than fits: whether there is another page.
        statement = _page(limit + 1, frozenset(parameters), states, self.looks)
        rows = read(
            self.engine, lambda c: c.execute(statement, parameters).mappings().all()
        )
        found = [row for row in rows if not row["is_end"]]
        items = tuple(
            invocation_from_row(row).shown_to(viewer) for row in found[:limit]
        )
        if len(found) > limit:
            last = found[limit - 1]
        elif len(found) < len(rows):
            last = rows[-1]
        else:
            return Page(items, None)
        return Page(items, Cursor(last["created_at"], last["invocation_id"]))

    def counts(
        self, wanted: JobFilter, viewer: Viewer, most: int
    ) -> Mapping[InvocationState, int]:
        query = page_parameters(wanted, viewer, None)
        if query is None:
            return {}
        parameters, _ = query
        statement = _counts(most, frozenset(parameters), self.looks)
        rows = read(self.engine, lambda c: c.execute(statement, parameters).all())
        return {InvocationState(state): min(count, most) for state, count in rows}

    def workflow_names(self, viewer: Viewer, most: int) -> Sequence[str]:
        parameters: dict[str, Any] = {"most": most}
        statement = _WORKFLOW_NAMES
        if viewer.only is not None:
            parameters["only"] = viewer.only
            statement = _OWN_WORKFLOW_NAMES
        return read(self.engine, lambda c: c.scalars(statement, parameters).all())

    def labels(self, viewer: Viewer, most: int) -> Sequence[str]:
        parameters: dict[str, Any] = {"most": most}
        statement = _LABELS
        if viewer.only is not None:
            parameters["only"] = viewer.only
            statement = _OWN_LABELS
        return read(self.engine, lambda c: c.scalars(statement, parameters).all())

    def transitions(
        self, invocation_id: InvocationId, viewer: Viewer
    ) -> Sequence[Transition]:
        if not storable(invocation_id):
            raise JobNotFound(invocation_id)

        def work(connection: Connection) -> Sequence[sa.RowMapping]:
            parameters = {"id": invocation_id, "only": viewer.only}
            if not connection.scalar(_IS_SEEN, parameters):
                raise JobNotFound(invocation_id)
            return connection.execute(_HISTORY, parameters).mappings().all()

        return [transition_from_row(row) for row in read(self.engine, work)]

    def save(self, before: Invocation, after: Invocation) -> None:
        def work(connection: Connection) -> None:
            if not replace(connection, [(before, after)]):
                if not connection.scalar(_EXISTS, {"id": before.invocation_id}):
                    raise JobNotFound(before.invocation_id)
                raise StaleVersion(f"Job {before.invocation_id!r}", before.version)
            follow(connection, [(before, after)])
            record(connection, [(before, after)])

        if not storable(before.invocation_id):
            raise JobNotFound(before.invocation_id)
        write(self.engine, work)


def page_parameters(
    wanted: JobFilter, viewer: Viewer, after: Cursor | None
) -> tuple[dict[str, Any], frozenset[str]] | None:
    """Return the parameters of the query for a page, and the states to list.

    Args:
        wanted: The filter.
        viewer: Whose jobs.
        after: Where the page begins; None: at the newest.

    Returns:
        For :func:`keys_of`. None: no job can match, since PostgreSQL could not hold
        its names, or those of its owner are not seen.

    Raises:
        InvalidValue: The cursor is malformed.
    """
    parameters = _place(after)
    owner = wanted.owner if viewer.only is None else viewer.only
    if wanted.owner not in {None, owner} or not storable(owner or ""):
        return None
    datasets = {id_ for given in wanted.dataset_ids for id_ in viewer.stored_ids(given)}
    for name, values in (
        ("dataset", datasets),
        ("workflow", wanted.workflow_names),
    ):
        possible = sorted(filter(storable, values))
        if values and not possible:
            return None
        if len(possible) == 1:
            parameters[name] = possible[0]
        elif possible:
            parameters[f"{name}s"] = possible
    states: frozenset[str] = frozenset()
    if wanted.states:
        states = frozenset(state.value for state in wanted.states)
    elif (
        wanted.dataset_ids or wanted.workflow_names or wanted.labels or wanted.batch_id
    ):
        states = _STATES
    if owner is not None:
        parameters["owner"] = owner
    if not storable(wanted.search, *(label.value for label in wanted.labels)):
        return None
    parameters |= _batch_labels_and_times(wanted) | _search(wanted.search, viewer)
    return parameters, states


def _batch_labels_and_times(wanted: JobFilter) -> dict[str, Any]:
    """Return parameters; with `label`, the rarest label is looked up."""
    parameters: dict[str, Any] = {
        "created_from": wanted.created_after,
        "batch": wanted.batch_id,
        "created_until": wanted.created_before,
    }
    labels = sorted(wanted.labels)
    if labels and not wanted.dataset_ids:
        parameters["label"] = str(labels[0])
        labels = labels if len(labels) > 1 else []
    if labels:
        parameters["labels"] = to_json({label.key: label.value for label in labels})
    return {name: value for name, value in parameters.items() if value is not None}


def _search(text: str, viewer: Viewer) -> dict[str, Any]:
    if not text:
        return {}
    pattern = re.sub(r"([\\%_])", r"\\\1", text)
    return {
        "part": f"%{pattern}%",
        "beginning": f"{pattern}%",
        "only": viewer.only,
        "namespace": "" if viewer.only is None else namespace(viewer.only),
    }


def _place(after: Cursor | None) -> dict[str, Any]:
    if after is None:
        return {}
    if not storable(after.id):
        raise InvalidValue("The cursor is malformed.")
    return {"created_at": after.created_at, "id": after.id}


@lru_cache(maxsize=1000)
def _page(
    limit: int, parameters: frozenset[str], states: frozenset[str], looks: int
) -> sa.Select[Any]:
    keys = keys_of(limit, parameters, states, looks)
    return (
        _LISTED.add_columns(keys.c.is_end)
        .join(keys, keys.c.invocation_id == _I.c.invocation_id)
        .order_by(_I.c.created_at.desc(), _I.c.invocation_id.desc(), keys.c.is_end)
    )


def keys_of(
    limit: int, parameters: frozenset[str], states: frozenset[str], looks: int
) -> sa.Subquery:
    """Return the keys of a page: `created_at`, `invocation_id` and `is_end`.

    What no index has is looked for among the newest *looks* jobs that an index leads
    to. If there are more of these, and too few match, the last key is that of the job
    that was looked at last, with `is_end`: the page ends there.

    Args:
        limit: The number of keys at most. It is written out: a plan for any limit
            would read the whole table.
        parameters: The names of the given parameters.
        states: The states to list; empty: there is no filter but the owner and times.
        looks: The number of jobs to look at.
    """
    if not _is_looked_at(parameters):
        newest = _newest(limit, parameters, states).subquery("newest")
        return sa.select(newest, sa.false().label("is_end")).subquery("page")
    looked_at = _newest(looks, parameters, states).cte("looked_at")
    found = (
        _matching(sa.select(looked_at), parameters, looked_at.c.invocation_id)
        .order_by(looked_at.c.created_at.desc(), looked_at.c.invocation_id.desc())
        .limit(sa.literal_column(str(limit), sa.Integer))
        .cte("found")
    )
    few = _count_of(found) < sa.literal_column(str(limit))
    more = _count_of(looked_at) == sa.literal_column(str(looks))
    last = (
        sa.select(looked_at, sa.true())
        .where(few, more)
        .order_by(looked_at.c.created_at, looked_at.c.invocation_id)
        .limit(sa.literal_column("1"))
        .subquery("last")
    )
    every = sa.select(found, sa.false().label("is_end")).union_all(sa.select(last))
    return every.subquery("page")


def _table(parameters: frozenset[str]) -> sa.Table:
    """Return the table that leads to the jobs: a label has one of its own."""
    return _L if "label" in parameters else _I


def _is_looked_at(parameters: frozenset[str]) -> bool:
    """Whether no index has all that the jobs are to match."""
    others = {"workflow", "workflows", "batch"}
    with_label = "label" in parameters and parameters & others
    return bool(with_label or parameters & {"labels", "part"})


def _conditions(
    table: sa.Table, parameters: frozenset[str]
) -> Iterator[sa.ColumnElement[bool]]:
    """Yield the conditions on what each index has."""
    if "owner" in parameters:
        yield table.c.owner == sa.bindparam("owner")
    if "batch" in parameters and table is _I:
        yield table.c.batch_id == sa.bindparam("batch", type_=sa.Uuid)
    if "created_from" in parameters:
        yield table.c.created_at >= sa.bindparam("created_from", type_=tables.Time)
    if "created_until" in parameters:
        yield table.c.created_at < sa.bindparam("created_until", type_=tables.Time)
    if "id" in parameters:
        yield sa.tuple_(table.c.created_at, table.c.invocation_id) < sa.tuple_(
            sa.bindparam("created_at", type_=tables.Time),
            sa.bindparam("id", type_=sa.Text),
        )


def _count_of(table: sa.CTE) -> Any:
    count = sa.select(sa.func.count()).select_from(table)
    return count.correlate(None).scalar_subquery()


def _matching(
    select: sa.Select[Any], parameters: frozenset[str], key: sa.ColumnElement[str]
) -> sa.Select[Any]:
    """Return a select of jobs that match what no index has."""
    select = select.join(_I, _I.c.invocation_id == key)
    if "label" in parameters:  # its table has no workflows and no batches
        if "batch" in parameters:
            select = select.where(_I.c.batch_id == sa.bindparam("batch", type_=sa.Uuid))
        if "workflow" in parameters:
            select = select.where(_I.c.workflow_name == sa.bindparam("workflow"))
        elif "workflows" in parameters:
            array = sa.bindparam("workflows", type_=ARRAY(sa.Text))
            select = select.where(_I.c.workflow_name == sa.func.any(array))
    if "labels" in parameters:
        labels = sa.cast(sa.bindparam("labels", type_=sa.Text), JSONB)
        select = select.where(_I.c.labels.contains(labels))
    if "part" in parameters:
        own = sa.or_(_only.is_(None), _D.c.owner == _only)
        select = select.outerjoin(
            _D, sa.and_(_D.c.dataset_id == _I.c.dataset_id, own)
        ).where(_FOUND)
    return select


def _newest(
    limit: int, parameters: frozenset[str], states: frozenset[str]
) -> sa.Select[Any]:
    """Return the newest keys, as far as an index leads to them.

    The newest of each state are looked up in an index that ends with
    (created_at, id), and the newest of these are the page: the entries of several
    states together would have to be sorted.
    """
    table = _table(parameters)
    keys = [table.c.created_at, table.c.invocation_id]
    newest = [key.desc() for key in keys]
    count = sa.literal_column(str(limit), sa.Integer)
    inner = sa.select(*keys).order_by(*newest).limit(count)
    inner = inner.where(*_conditions(table, parameters))
    if not states:
        return inner
    wanted, inner = _of_each(inner, parameters, states)
    each = inner.lateral("each")
    return (
        sa.select(each.c.created_at, each.c.invocation_id)
        .select_from(wanted.join(each, sa.true()))
        .order_by(each.c.created_at.desc(), each.c.invocation_id.desc())
        .limit(count)
    )


def _of_each(
    select: sa.Select[Any], parameters: frozenset[str], states: frozenset[str]
) -> tuple[sa.FromClause, sa.Select[Any]]:
    """Return the states, datasets and workflows to look up, and a select of each."""
    # The states are written out: PostgreSQL would make a new plan for each array,
    # which takes longer than the query.
    listed = ", ".join(f"'{state}'" for state in sorted(states))
    states_listed = _unnested(
        "wanted", sa.literal_column(f"CAST(ARRAY[{listed}] AS text[])")
    )
    wanted: sa.FromClause = states_listed
    select = select.correlate(states_listed)
    if "label" in parameters:
        select = select.where(_L.c.state == states_listed.c.value)
        if "labels" in parameters:
            return wanted, select.where(_IS_RAREST)
        label = sa.bindparam("label", type_=sa.Text)
        return wanted, select.where(_L.c.label == label)
    select = select.where(_I.c.state == states_listed.c.value)
    for name, column in (
        ("dataset", _I.c.dataset_id),
        ("workflow", _I.c.workflow_name),
    ):
        if name in parameters:
            select = select.where(column == sa.bindparam(name))
        elif f"{name}s" in parameters:
            array = sa.bindparam(f"{name}s", type_=ARRAY(sa.Text))
            several = _unnested(f"given_{name}s", array)
            wanted = wanted.join(several, sa.true())
            select = select.where(column == several.c.value).correlate(several)
    return wanted, select


def _unnested(name: str, array: sa.ColumnElement[Any]) -> sa.TableValuedAlias:
    values = sa.func.unnest(array).table_valued(sa.column("value", sa.Text))
    return values.render_derived(name=name)


@lru_cache(maxsize=100)
def _counts(most: int, parameters: frozenset[str], looks: int) -> sa.Select[Any]:
    table = _table(parameters)
    looked_at = _is_looked_at(parameters)
    limit = looks // len(_STATES) if looked_at else most
    found = (
        sa.select(table.c.state, table.c.invocation_id)
        .where(*_conditions(table, parameters))
        .limit(sa.literal_column(str(limit), sa.Integer))
    )
    if looked_at:
        found = found.order_by(table.c.created_at.desc(), table.c.invocation_id.desc())
    wanted, found = _of_each(found, parameters, _STATES)
    each = found.lateral("each")
    counts = sa.select(each.c.state, sa.func.count()).select_from(
        wanted.join(each, sa.true())
    )
    if looked_at:
        counts = _matching(counts, parameters, each.c.invocation_id)
    return counts.group_by(each.c.state)

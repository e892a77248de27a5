"""Changes of invocations, stored in bulk: the statements that transactions share.

Rule of the file: the order of the locks. A transaction that needs several takes them
in this order, so that there is no deadlock:

1. the lock on (Galaxy, dataset, workflow), where a run supersedes others;
2. the submission;
3. rows of ``workflow_invocations``, by their ids; where one gets another key, also its
   transitions and its submission, which has been accepted long since;
4. rows of ``active_invocations``, by their ids;
5. rows of ``sweep_totals``;
6. rows of ``batches``, by their ids; who begins or cancels items locks the row of their
   batch first, and no row that waits for it: items that wait are nobody else's;
7. the lock on transitions, which an insert takes and all other inserts wait for: the
   very last statement before the commit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from attrs import asdict
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.announce import announce, announce_batches
from galaxy_jobs.adapters.postgres.engine import to_json
from galaxy_jobs.adapters.postgres.rows import (
    cleaned,
    data_keys,
    failure_to_json,
    galaxy_id_to_column,
    steps_to_json,
)
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.submission import SubmissionState
from galaxy_jobs.domain.model.values import BatchId, InvocationId


Change: TypeAlias = tuple[Invocation | None, Invocation]
"""The stored invocation and the next; a new one has nothing before it."""

_I = tables.invocations
_A = tables.active
_T = tables.transitions
_S = tables.submissions
_B = tables.batches

_OPEN_STATES = [
    state.value
    for state in SubmissionState
    if state not in {SubmissionState.ACCEPTED, SubmissionState.REJECTED}
]
_ACTIVE_STATES = [state.value for state in InvocationState if not state.is_terminal]


def unnested(name: str, **columns: sa.types.TypeEngine[Any]) -> Any:
    """Return a table of rows that are passed as arrays, one for each column.

    Args:
        name: Its alias in the statement.
        columns: Types by name; the parameters are called ``name_column``.
    """
    given = [sa.bindparam(f"{name}_{c}", type_=ARRAY(t)) for c, t in columns.items()]
    return (
        sa.func.unnest(*given)
        .table_valued(*(sa.column(c, t) for c, t in columns.items()))
        .render_derived(name=name)
    )


def arrays(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the parameters of :func:`unnested` for these rows."""
    return {f"{name}_{column}": [row[column] for row in rows] for column in rows[0]}


def among(column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a column is one of the parameter ``ids``."""
    return column == sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.Text)))


_new = unnested(
    "new",
    invocation_id=sa.Text(),
    before=sa.BigInteger(),
    version=sa.BigInteger(),
    superseded_by=sa.Text(),
    state=sa.Text(),
    galaxy_state=sa.Text(),
    progress=sa.Text(),
    steps=sa.Text(),
    failure=sa.Text(),
    attention=sa.Text(),
    labels=sa.Text(),
    updated_at=tables.Time,
    observed_at=tables.Time,
    galaxy_id=sa.Text(),
    results_deleted_at=tables.Time,
    intermediates_deleted_at=tables.Time,
)
_ENTER = insert(_A).on_conflict_do_nothing()
_REPLACE = (
    sa.update(_I)
    .values(
        version=_new.c.version,
        superseded_by=_new.c.superseded_by,
        state=_new.c.state,
        galaxy_state=_new.c.galaxy_state,
        progress=sa.cast(_new.c.progress, JSONB),
        steps=sa.cast(_new.c.steps, JSONB),
        failure=sa.cast(_new.c.failure, JSONB),
        attention=_new.c.attention,
        labels=sa.cast(_new.c.labels, JSONB),
        updated_at=_new.c.updated_at,
        observed_at=_new.c.observed_at,
        galaxy_id=_new.c.galaxy_id,
        results_deleted_at=_new.c.results_deleted_at,
        intermediates_deleted_at=_new.c.intermediates_deleted_at,
    )
    .where(_I.c.invocation_id == _new.c.invocation_id, _I.c.version == _new.c.before)
    .returning(_I.c.invocation_id)
)

_LOCK_ACTIVE = (
    sa.select(_A.c.invocation_id, _A.c.lease_no, _A.c.woken)
    .where(among(_A.c.invocation_id))
    .order_by(_A.c.invocation_id)
    .with_for_update(key_share=True)
)
_LEAVE = sa.delete(_A).where(among(_A.c.invocation_id))

_woken = unnested(
    "woken",
    invocation_id=sa.Text(),
    cancelling=sa.Boolean(),
    moved=sa.Boolean(),
    observed_at=tables.Time,
)
_WAKE = (
    sa.update(_A)
    .values(
        cancelling=_woken.c.cancelling,
        observed_at=sa.func.greatest(_A.c.observed_at, _woken.c.observed_at),
        last_change_at=sa.func.now(),
        next_poll_at=sa.case((_woken.c.moved, sa.func.now()), else_=_A.c.next_poll_at),
        # An answer of Galaxy that a poller is waiting for now comes too early.
        woken=_A.c.woken | _woken.c.moved,
    )
    .where(_A.c.invocation_id == _woken.c.invocation_id)
)

_transition = unnested(
    "transition",
    invocation_id=sa.Text(),
    from_state=sa.Text(),
    to_state=sa.Text(),
    at=tables.Time,
    galaxy_state=sa.Text(),
    progress=sa.Text(),
    failure=sa.Text(),
    blocked=sa.BigInteger(),
)
_RECORD = sa.insert(_T).from_select(
    list(_transition.c.keys()),
    sa.select(
        *(
            sa.cast(column, JSONB) if column.name in {"progress", "failure"} else column
            for column in _transition.c
        )
    ),
)


def replace(connection: Connection, changes: Sequence[Change]) -> set[InvocationId]:
    """Store each change whose invocation is still at the version before.

    Rows must be locked already, unless there is only a single one.

    Returns:
        The ids of those that were stored.
    """
    rows = [
        {
            "invocation_id": after.invocation_id,
            "before": before.version,
            "version": after.version,
            "superseded_by": after.superseded_by,
            "state": after.state.value,
            "galaxy_state": cleaned(after.galaxy_state),
            "progress": to_json(asdict(after.progress)),
            "steps": to_json(steps_to_json(after.steps)),
            "failure": _optional_json(failure_to_json(after.failure)),
            "attention": cleaned(after.attention),
            "labels": to_json(dict(after.labels)),
            "updated_at": after.updated_at,
            "observed_at": after.observed_at,
            "galaxy_id": galaxy_id_to_column(after),
            "results_deleted_at": after.results_deleted_at,
            "intermediates_deleted_at": after.intermediates_deleted_at,
        }
        for before, after in changes
        if before is not None
    ]
    if not rows:
        return set()
    return set(connection.scalars(_REPLACE, arrays("new", rows)))


def lock_active(
    connection: Connection, ids: Collection[InvocationId]
) -> Mapping[InvocationId, Any]:
    """Lock the rows of those that are polled, in order.

    Returns:
        By id: the number of the lease, and whether it was woken during the lease.
    """
    rows = connection.execute(_LOCK_ACTIVE, {"ids": list(ids)})
    return {row.invocation_id: row for row in rows}


def enter(connection: Connection, invocation: Invocation, lease_no: int = 0) -> None:
    """Put an invocation that is followed into the poll queue, if it is not there.

    Args:
        connection: In a transaction.
        invocation: The invocation.
        lease_no: The number of the last lease that may be held under its key.
    """
    if not invocation.is_followed:
        return
    connection.execute(
        _ENTER,
        {
            "invocation_id": invocation.invocation_id,
            "galaxy_url": invocation.identity.url,
            "galaxy_user": invocation.identity.user_id,
            "draws": data_keys(
                {"parameters": invocation.parameters, "inputs": invocation.inputs or {}}
            ),
            "galaxy_id": galaxy_id_to_column(invocation),
            "lease_no": lease_no,
            "cancelling": invocation.needs_cancel,
            "observed_at": invocation.observed_at,
            "stale_at": invocation.stale_at,
        },
    )


def leave(connection: Connection, invocations: Sequence[Invocation]) -> None:
    """Remove those that are not followed any more from the poll queue."""
    ids = [each.invocation_id for each in invocations if not each.is_followed]
    if ids:
        connection.execute(_LEAVE, {"ids": ids})


def follow(connection: Connection, changes: Sequence[Change]) -> None:
    """Update the poll queue after changes that did not come from a poll.

    A change of state or attention makes an invocation due at once, as a cancel of its
    last jobs does. One that is not followed any more is removed, one that is reopened
    put back.
    """
    changes = sorted(changes, key=lambda change: change[1].invocation_id)
    for before, after in changes:
        if before is not None and before.state.is_terminal:
            enter(connection, after)
    rows = [
        {
            "invocation_id": after.invocation_id,
            "cancelling": after.needs_cancel,
            "moved": before is None
            or after.state is not before.state
            or after.attention != before.attention
            or after.stopping,
            "observed_at": after.observed_at,
        }
        for before, after in changes
        if after.is_followed
    ]
    if len(changes) > 1:
        lock_active(connection, [after.invocation_id for _, after in changes])
    if rows:
        connection.execute(_WAKE, arrays("woken", rows))
    leave(connection, [after for _, after in changes])


_LOCK_BATCHES = (
    sa.select(_B.c.batch_id)
    .where(
        sa.or_(
            _B.c.batch_id
            == sa.func.any(sa.bindparam("batch_ids", type_=ARRAY(sa.Uuid))),
            _B.c.batch_id.in_(
                sa.select(_I.c.batch_id).where(among(_I.c.invocation_id))
            ),
        ),
        _B.c.ended_at.is_(None),
    )
    .order_by(_B.c.batch_id)
    .with_for_update(key_share=True)
)
_END_BATCHES = (
    sa.update(_B)
    .values(ended_at=sa.func.now())
    .where(
        _B.c.batch_id == sa.func.any(sa.bindparam("locked", type_=ARRAY(sa.Uuid))),
        ~sa.exists().where(
            _S.c.batch_id == _B.c.batch_id, _S.c.state.in_(_OPEN_STATES)
        ),
        ~sa.exists().where(
            _I.c.batch_id == _B.c.batch_id, _I.c.state.in_(_ACTIVE_STATES)
        ),
    )
    .returning(_B.c.batch_id)
)


def end_batches(
    connection: Connection,
    *,
    batch_ids: Collection[BatchId] = (),
    of: Collection[InvocationId] = (),
) -> Sequence[BatchId]:
    """End batches whose last item has just ended, in this transaction.

    The one place where a batch ends. The rows are locked first, so that of two that end
    the last two items at the same time, the second sees what the first has done.

    Args:
        connection: In the transaction that has ended items.
        batch_ids: The batches whose items have ended.
        of: The jobs that have ended; their batches are looked up.

    Returns:
        The batches that have ended by it.
    """
    parameters = {"batch_ids": list(batch_ids), "ids": list(of)}
    locked = connection.scalars(_LOCK_BATCHES, parameters).all()
    if not locked:
        return []
    ended = connection.scalars(_END_BATCHES, {"locked": locked}).all()
    announce_batches(connection, ended)
    return ended


def record(connection: Connection, changes: Sequence[Change]) -> None:
    """Record the changes of state among them: the last statement before the commit.

    Batches whose last jobs end by them end, and what webhooks get of the changes is
    stored before that.
    """
    ended = [
        after.invocation_id
        for before, after in changes
        if after.state.is_terminal and not (before and before.state.is_terminal)
    ]
    if ended:
        end_batches(connection, of=ended)
    announce(connection, changes)
    rows = [
        {
            "invocation_id": after.invocation_id,
            "from_state": before and before.state.value,
            "to_state": after.state.value,
            "at": after.updated_at,
            "galaxy_state": cleaned(after.galaxy_state),
            "progress": to_json(asdict(after.progress)),
            "failure": _optional_json(failure_to_json(after.failure)),
            "blocked": after.blocked,
        }
        for before, after in changes
        if before is None or before.state is not after.state
    ]
    if rows:
        connection.execute(_RECORD, arrays("transition", rows))


def _optional_json(value: Any) -> str | None:
    return None if value is None else to_json(value)

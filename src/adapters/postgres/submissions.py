"""Submissions in PostgreSQL, and the creation of invocations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from threading import Lock
from weakref import WeakValueDictionary

import sqlalchemy as sa
import structlog
from attrs import evolve, field, frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from galaxy_jobs.adapters.postgres import tables, totals
from galaxy_jobs.adapters.postgres.changes import (
    Change,
    end_batches,
    enter,
    follow,
    leave,
    lock_active,
    record,
    replace,
)
from galaxy_jobs.adapters.postgres.engine import held, read, write
from galaxy_jobs.adapters.postgres.invocations import ENDED, ONE, SELECT
from galaxy_jobs.adapters.postgres.rows import (
    galaxy_id_to_column,
    invocation_from_row,
    invocation_to_row,
    storable,
    submission_from_row,
    submission_to_row,
)
from galaxy_jobs.domain.errors import (
    DatasetNotFound,
    StaleVersion,
    SubmissionNotFound,
)
from galaxy_jobs.domain.model.batch import CANCELLED
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.model.values import BatchId, Identity, SubmissionId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import SubmissionRepository


log = structlog.get_logger(__name__)

_S = tables.submissions
_I = tables.invocations
_A = tables.active
_T = tables.transitions

OWN = {"key_lifetime", "key_expires_at", "opened_at", "look_at", "position"}
"""Columns that the domain has no field for."""

_SELECT = sa.select(*(column for column in _S.c if column.name not in OWN))
_ONE = _SELECT.where(_S.c.submission_id == sa.bindparam("id"))
_OPEN = sa.insert(_S).values(
    opened_at=sa.func.clock_timestamp(),  # in the lock's order
    look_at=sa.func.now() + sa.bindparam("look_in", type_=sa.Interval),
)
_REPLACE = (
    sa.update(_S)
    .where(_S.c.submission_id == sa.bindparam("id"))
    .where(_S.c.version == sa.bindparam("before"))
    .values(look_at=sa.func.now() + sa.bindparam("look_in", type_=sa.Interval))
    .returning(_S.c.version)
)
_REPLACE_ACCEPTED = _REPLACE.values(key_expires_at=sa.func.now() + _S.c.key_lifetime)
_INSERT = (
    insert(_I)
    .on_conflict_do_nothing(index_elements=[_I.c.invocation_id])
    .returning(_I.c.invocation_id)
)
_HOLDER = (
    _SELECT.where(
        _S.c.key_caller == sa.bindparam("caller"),
        _S.c.key == sa.bindparam("name"),
        _S.c.state != SubmissionState.REJECTED.value,
        sa.or_(
            _S.c.state != SubmissionState.ACCEPTED.value,
            _S.c.key_expires_at > sa.func.now(),
        ),
    )
    .order_by(_S.c.opened_at.desc())
    .limit(1)
)
_CANCELLED = (
    sa.select(tables.batches.c.cancelled_at)
    .where(tables.batches.c.batch_id == sa.bindparam("batch"))
    .with_for_update(read=True, key_share=True)  # items do not wait for each other
)
_LOCK = sa.select(
    sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(sa.bindparam("name"), 0))
)
# Until this transaction ends, the dataset is not removed.
_DATASET = (
    sa.select(tables.datasets.c.dataset_id)
    .where(tables.datasets.c.dataset_id == sa.bindparam("id"))
    .with_for_update(read=True, key_share=True)
)

_due = (
    sa.select(_S.c.submission_id, _S.c.look_at)
    .where(
        _S.c.galaxy_url == sa.bindparam("url"),
        _S.c.galaxy_user == sa.bindparam("user"),
        _S.c.look_at <= sa.func.now(),
    )
    .order_by(_S.c.look_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
    # Materialized: evaluated again for each row of a join, it would claim more rows.
    .cte("due")
    .prefix_with("MATERIALIZED")
)
_CLAIM = (
    sa.update(_S)
    .values(look_at=sa.func.now() + sa.bindparam("lease", type_=sa.Interval))
    .where(_S.c.submission_id == _due.c.submission_id)
    .returning(*_SELECT.selected_columns, _due.c.look_at.label("was_due_at"))
)

# Each run is superseded once, by the first that overwrites it: however often that is
# repeated, a statement rewrites only what has come since the last time.
_earlier = (
    SELECT.add_columns(
        sa.or_(_I.c.state.not_in(ENDED), _A.c.invocation_id.isnot(None)).label("open")
    )
    .where(
        _I.c.galaxy_url == sa.bindparam("url"),
        _I.c.galaxy_user == sa.bindparam("user"),
        _I.c.dataset_id == sa.bindparam("dataset"),
        _I.c.workflow_name == sa.bindparam("workflow"),
        _I.c.invocation_id != sa.bindparam("later"),
        _I.c.superseded_by.is_(None),
        sa.or_(
            _I.c.owner.is_not_distinct_from(sa.bindparam("owned_by", type_=sa.Text)),
            sa.not_(sa.or_(_I.c.private, sa.bindparam("alone", type_=sa.Boolean))),
        ),
    )
    .order_by(_I.c.invocation_id)
    .with_for_update(of=_I, key_share=True)
    .cte("earlier")
    .prefix_with("MATERIALIZED")
)
_ended = (
    sa.update(_I)
    .values(
        superseded_by=sa.bindparam("later"),
        version=_I.c.version + 1,
        updated_at=sa.bindparam("at", type_=tables.Time),
    )
    .where(_I.c.invocation_id == _earlier.c.invocation_id, ~_earlier.c.open)
    .cte("ended")
)
_SUPERSEDE = sa.select(_earlier).where(_earlier.c.open).add_cte(_ended)

# Where an id is given out again. The names of the parameters are those of no columns:
# SQLAlchemy would set these.
_MET = ONE.with_for_update(of=_I)
_old: sa.BindParameter[str] = sa.bindparam("old_key")
_new: sa.BindParameter[str] = sa.bindparam("new_key")
_RENAME = [
    sa.update(_I)
    .values(invocation_id=_new, galaxy_id=sa.bindparam("engine_id"))
    .where(_I.c.invocation_id == _old),
    sa.update(_A)
    .values(invocation_id=_new, galaxy_id=sa.bindparam("engine_id"))
    .where(_A.c.invocation_id == _old),
    sa.update(_T).values(invocation_id=_new).where(_T.c.invocation_id == _old),
    sa.update(_S)
    .values(invocation_id=_new, version=_S.c.version + 1)
    .where(_S.c.submission_id == sa.bindparam("submission")),
    # An invocation and those that repeat or supersede it are of one dataset and one
    # workflow, by which there is an index.
    sa.update(_I)
    .values(
        superseded_by=sa.case(
            (_I.c.superseded_by == _old, _new), else_=_I.c.superseded_by
        ),
        rerun_of=sa.case((_I.c.rerun_of == _old, _new), else_=_I.c.rerun_of),
        version=_I.c.version + 1,
        updated_at=sa.bindparam("moment", type_=tables.Time),
    )
    .where(
        _I.c.dataset_id == sa.bindparam("dataset"),
        _I.c.workflow_name == sa.bindparam("workflow"),
        sa.or_(_I.c.superseded_by == _old, _I.c.rerun_of == _old),
    ),
]
"""Gives an invocation another key, also where others refer to it."""


@frozen
class PostgresSubmissions(SubmissionRepository):
    """Decides races by locks and versions in PostgreSQL.

    Runs that overwrite the same ones wait for each other in this process first,
    before they take a connection.
    """

    engine: Engine
    _overwriting: WeakValueDictionary[tuple[str, ...], Lock] = field(
        factory=WeakValueDictionary, init=False, eq=False, repr=False
    )

    def holder(self, key: IdempotencyKey) -> Submission | None:
        if not storable(key.caller, key.key):
            return None
        return read(self.engine, lambda connection: _holder(connection, key))

    def open(
        self, submission: Submission, *, deadline: timedelta, key_lifetime: timedelta
    ) -> Submission | None:
        key, dataset_id = submission.key, submission.request.dataset_id

        def work(connection: Connection) -> Submission | None:
            if key is not None:
                # A unique index alone would admit a second submission that looked
                # before the first was stored, and is stored after its acceptance.
                _lock(connection, "key", key.caller, key.key)
                holder = _holder(connection, key)
                if holder is not None:
                    return holder
            if connection.scalar(_DATASET, {"id": dataset_id}) is None:
                raise DatasetNotFound(submission.viewer.id_of(dataset_id))
            connection.execute(
                _OPEN,
                submission_to_row(submission)
                | {"key_lifetime": key_lifetime, "look_in": deadline},
            )
            return None

        return write(self.engine, work)

    def get(self, submission_id: SubmissionId, viewer: Viewer) -> Submission:
        row = read(
            self.engine,
            lambda c: c.execute(_ONE, {"id": submission_id}).mappings().first(),
        )
        if row is None or not viewer.sees(row["owner"]):
            raise SubmissionNotFound(submission_id)
        return submission_from_row(row)

    def save(
        self, before: Submission, after: Submission, *, look_in: timedelta | None
    ) -> None:
        batch_id = after.batch_id

        def work(connection: Connection) -> None:
            _replace(connection, before, after, look_in)
            state = after.state
            waits = state is SubmissionState.WAITING
            if waits and _is_cancelled(connection, batch_id):
                rejected = after.rejected(CANCELLED, after.updated_at)
                # Looked at soon, so that nothing is left behind in Galaxy.
                _replace(connection, after, rejected, timedelta(0))
                state = rejected.state
            if batch_id is not None and state is SubmissionState.REJECTED:
                end_batches(connection, batch_ids=[batch_id])

        write(self.engine, work)

    def accept(
        self, before: Submission, after: Submission, invocation: Invocation
    ) -> Invocation:
        overwritten = (
            invocation.identity.url,
            invocation.identity.user_id,
            invocation.dataset_id,
            invocation.workflow_name,
        )

        def work(connection: Connection) -> tuple[Invocation, list[Invocation]]:
            if invocation.overwrite:
                _lock(connection, "overwrite", *overwritten)
            _replace(connection, before, after, None)
            stored, apart = _store(connection, invocation)
            earlier = _supersede(connection, stored) if stored.overwrite else []
            again = sum(
                before.galaxy_id is not None and run.galaxy_id is None
                for before, run in apart
            )
            totals.add(connection, stored.identity, {"given_again": again})
            changes = [(None, stored), *apart, *earlier]
            if _is_cancelled(connection, after.batch_id):
                cancelled = stored.request_cancel(stored.created_at)
                replace(connection, [(stored, cancelled)])
                follow(connection, [(stored, cancelled)])
                changes.append((stored, cancelled))
                stored = cancelled
            record(connection, changes)
            return stored, [run for _, run in apart]

        if invocation.overwrite:
            with held(self._overwriting.setdefault(overwritten, Lock())):
                stored, apart = write(self.engine, work)
        else:
            stored, apart = write(self.engine, work)
        for run in apart:
            log.error(
                "an invocation id was given out again",
                invocation_id=stored.invocation_id,
                galaxy=str(stored.identity),
                submission_id=str(stored.submission_id),
                earlier_is_now=run.invocation_id,
                earlier_galaxy=str(run.identity),
                earlier_is_gone=run.galaxy_id is None,
            )
        return stored

    def claim_due(
        self, identity: Identity, *, limit: int, lease: timedelta
    ) -> Sequence[Submission]:
        parameters = {
            "url": identity.url,
            "user": identity.user_id,
            "limit": limit,
            "lease": lease,
        }
        rows = write(
            self.engine, lambda c: c.execute(_CLAIM, parameters).mappings().all()
        )
        rows = sorted(rows, key=lambda row: row["was_due_at"])
        return [submission_from_row(row) for row in rows]


def _is_cancelled(connection: Connection, batch_id: BatchId | None) -> bool:
    """Whether a batch is cancelled; if it is not, nor will it be before the commit."""
    if batch_id is None:
        return False
    return connection.scalar(_CANCELLED, {"batch": batch_id}) is not None


def _lock(connection: Connection, *name: str) -> None:
    """Hold a lock by that name until the transaction ends."""
    connection.execute(_LOCK, {"name": json.dumps(["galaxy-jobs", *name])})


def _holder(connection: Connection, key: IdempotencyKey) -> Submission | None:
    row = connection.execute(_HOLDER, {"caller": key.caller, "name": key.key})
    holder = row.mappings().first()
    return None if holder is None else submission_from_row(holder)


def _replace(
    connection: Connection,
    before: Submission,
    after: Submission,
    look_in: timedelta | None,
) -> None:
    is_accepted = after.state is SubmissionState.ACCEPTED is not before.state
    parameters = {"id": before.submission_id, "before": before.version}
    done = connection.execute(
        _REPLACE_ACCEPTED if is_accepted else _REPLACE,
        submission_to_row(after) | parameters | {"look_in": look_in},
    )
    if done.first() is None:
        if connection.execute(_ONE, {"id": before.submission_id}).first() is None:
            raise SubmissionNotFound(before.submission_id)
        raise StaleVersion(f"Submission {before.submission_id}", before.version)


def _insert(connection: Connection, invocation: Invocation, lease_no: int = 0) -> bool:
    """Store a run and queue it for polling, unless its id is taken."""
    stored = connection.execute(_INSERT, invocation_to_row(invocation))
    if stored.first() is None:
        return False
    enter(connection, invocation, lease_no)
    return True


def _store(
    connection: Connection, later: Invocation
) -> tuple[Invocation, list[tuple[Invocation, Invocation]]]:
    """Store a run; those that had its id before get other keys.

    Returns:
        The run as it is stored, and the changes of the others.
    """
    lease_no = 0
    changes: list[tuple[Invocation, Invocation]] = []
    # Repeated where another transaction was faster: its run has the key by then.
    while not _insert(connection, later, lease_no):
        connection.execute(sa.text("SET CONSTRAINTS ALL DEFERRED"))
        for key in (later.invocation_id, later.key_aside):
            row = connection.execute(_MET, {"id": key}).mappings().first()
            if row is None:
                continue
            before = invocation_from_row(row)
            run, later = before.set_apart(later)
            if lease := lock_active(connection, [key]).get(key):
                lease_no = max(lease_no, lease.lease_no + 1)
            _rename(connection, before, run)
            changes.append((before, run))
    return later, changes


def _rename(connection: Connection, before: Invocation, after: Invocation) -> None:
    """Store a run under another key."""
    parameters = {
        "old_key": before.invocation_id,
        "new_key": after.invocation_id,
        "engine_id": galaxy_id_to_column(after),
        "submission": after.submission_id,
        "dataset": after.dataset_id,
        "workflow": after.workflow_name,
        "moment": after.updated_at,
    }
    for statement in _RENAME:
        connection.execute(statement, parameters)
    replace(connection, [(before, after)])
    leave(connection, [after])


def _supersede(connection: Connection, later: Invocation) -> list[Change]:
    """Mark the runs that a later run supersedes; request the cancel of active ones.

    Returns:
        The changes of those that have not ended, or have jobs left.
    """
    rows = connection.execute(
        _SUPERSEDE,
        {
            "url": later.identity.url,
            "user": later.identity.user_id,
            "dataset": later.dataset_id,
            "workflow": later.workflow_name,
            "later": later.invocation_id,
            "owned_by": later.owner,
            "alone": later.private,
            "at": later.created_at,
        },
    ).mappings()
    changes: list[Change] = []
    for row in rows:
        before = invocation_from_row(row)
        at = later.created_at
        after = evolve(
            before.request_cancel(at) if before.is_followed else before,
            superseded_by=later.invocation_id,
            version=before.version + 1,
            updated_at=later.created_at,
        )
        changes.append((before, after))
    if changes:
        replace(connection, changes)
        follow(connection, changes)
    return changes

"""Webhooks and their deliveries in PostgreSQL.

A webhook that is removed keeps its row, without its address and secrets: for what was
delivered to it, and for transactions that see it still.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.changes import arrays, unnested
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.adapters.postgres.paging import newest_first
from galaxy_jobs.adapters.postgres.rows import (
    Row,
    cleaned,
    delivery_from_row,
    delivery_to_row,
    storable,
    webhook_from_row,
    webhook_to_row,
)
from galaxy_jobs.domain.errors import InvalidValue, QuotaExceeded, WebhookNotFound
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.model.webhook import (
    RETRY_TIME,
    Delivery,
    DeliveryId,
    DeliveryState,
    Webhook,
    WebhookId,
    WebhookState,
)
from galaxy_jobs.domain.ports import (
    Attempt,
    Cursor,
    DeliveryBacklog,
    Page,
    WebhookRepository,
)


_W = tables.webhooks
_D = tables.deliveries
_now = sa.func.now()
_PENDING = DeliveryState.PENDING.value
_ACTIVE = WebhookState.ACTIVE.value

_id = sa.bindparam("id", type_=sa.Text)
_kept = _W.c.removed_at.is_(None)
_ONE = sa.select(_W).where(_W.c.webhook_id == _id, _kept)
_LOCK = sa.select(
    sa.func.pg_advisory_xact_lock(
        sa.func.hashtextextended(sa.bindparam("lock", type_=sa.Text), 0)
    )
)
_COUNT = sa.select(sa.func.count()).where(
    _kept, _W.c.owner.is_not_distinct_from(sa.bindparam("owner", type_=sa.Text))
)
_is_due = sa.and_(_D.c.state == _PENDING, _D.c.next_attempt_at <= _now)
_DUE = sa.select(_W).where(
    _kept,
    _W.c.state == _ACTIVE,
    _W.c.rests_until <= _now,
    sa.exists().where(_D.c.webhook_id == _W.c.webhook_id, _is_due),
)

_earlier = _D.alias("earlier")
_first = (
    sa.select(_earlier.c.number)
    .where(
        _earlier.c.webhook_id == _D.c.webhook_id,
        _earlier.c.subject == _D.c.subject,
        _earlier.c.state == _PENDING,
    )
    .order_by(_earlier.c.number)
    .limit(sa.literal_column("1", sa.Integer))
    .correlate(_D)
    .scalar_subquery()
)
_due = (
    sa.select(_D.c.delivery_id)
    .where(
        _D.c.webhook_id == _id,
        _is_due,
        sa.exists().where(_W.c.webhook_id == _id, _W.c.state == _ACTIVE, _kept),
        # Looked up for each row until there are enough: for NOT EXISTS, and for `=`,
        # which it expects to be true of few, PostgreSQL reads all that are pending.
        sa.or_(_D.c.subject.is_(None), _D.c.number <= _first),
    )
    # By the index alone: of thousands that are due, the first few are read.
    .order_by(_D.c.next_attempt_at)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(of=_D, skip_locked=True)
    # Materialized: evaluated again for each row of a join, it would claim more rows.
    .cte("due")
    .prefix_with("MATERIALIZED")
)
_CLAIM = (
    sa.update(_D)
    .values(
        attempts=_D.c.attempts + 1,
        next_attempt_at=_now + sa.bindparam("lease", type_=sa.Interval),
    )
    .where(_D.c.delivery_id == _due.c.delivery_id)
    .returning(_D)
)
_settled = unnested(
    "settled",
    delivery_id=sa.Text(),
    attempts=sa.BigInteger(),
    status=sa.BigInteger(),
    problem=sa.Text(),
    retry_in=sa.Interval(),
    outcome=sa.Text(),
)
_over = _D.c.retried_since <= _now - sa.literal(RETRY_TIME, sa.Interval)
_outcome = sa.case(
    (_settled.c.outcome == "delivered", DeliveryState.DELIVERED.value),
    (sa.and_(_settled.c.outcome == "failed", _over), DeliveryState.DEAD.value),
    else_=_PENDING,
)
_begun = _settled.c.outcome != "given back"
_SETTLE = (
    sa.update(_D)
    .values(
        state=_outcome,
        attempts=sa.case((_begun, _D.c.attempts), else_=_D.c.attempts - 1),
        status=sa.case((_begun, _settled.c.status), else_=_D.c.status),
        problem=sa.case((_begun, _settled.c.problem), else_=_D.c.problem),
        next_attempt_at=sa.case(
            (_outcome == _PENDING, _now + _settled.c.retry_in), else_=None
        ),
        ended_at=sa.case((_outcome == _PENDING, None), else_=_now),
    )
    .where(
        _D.c.delivery_id == _settled.c.delivery_id,
        _D.c.attempts == _settled.c.attempts,
        _D.c.state == _PENDING,
    )
    .returning(_D.c.state)
)
_GIVE_UP = (
    sa.update(_D)
    .values(state=DeliveryState.DEAD.value, next_attempt_at=None, ended_at=_now)
    .where(_D.c.webhook_id == _id, _is_due, _over)
)
_count = {
    name: sa.bindparam(f"{name}_now", type_=sa.BigInteger)
    for name in ("delivered", "dead")
}
_NOTE = (
    sa.update(_W)
    .values({_W.c[name]: _W.c[name] + count for name, count in _count.items()})
    .where(_W.c.webhook_id == _id)
)
_AGAIN = (
    sa.update(_D)
    .values(
        state=_PENDING,
        attempts=0,
        next_attempt_at=_now,
        retried_since=_now,
        ended_at=None,
    )
    .where(_D.c.webhook_id == _id, _D.c.state != _PENDING)
)
_waiting = (
    sa.select(_D.c.delivery_id)
    .where(_D.c.webhook_id == _id, _D.c.state == _PENDING)
    # Not those that are being settled: who does that waits for the row of the webhook,
    # which a replay has locked.
    .with_for_update(skip_locked=True)
)
_ANEW = sa.update(_D).values(retried_since=_now).where(_D.c.delivery_id.in_(_waiting))
_REMOVE = (
    sa.update(_W)
    .values(removed_at=_now, url="", secrets=[])
    .where(_W.c.webhook_id == _id)
)
_gone = sa.exists().where(
    _W.c.webhook_id == _D.c.webhook_id, _W.c.removed_at.isnot(None)
)
_OLD = (
    sa.select(_D.c.delivery_id)
    .where(_D.c.ended_at <= _now - sa.bindparam("age", type_=sa.Interval))
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
_OF_REMOVED = (
    sa.select(_D.c.delivery_id)
    .where(_D.c.webhook_id == sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.Text))))
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
_REMOVED = sa.select(_W.c.webhook_id).where(
    _W.c.removed_at.isnot(None),
    sa.exists().where(_D.c.webhook_id == _W.c.webhook_id),
)
_TOTALS = sa.select(
    sa.cast(sa.func.coalesce(sa.func.sum(_W.c.delivered), 0), sa.BigInteger),
    sa.cast(sa.func.coalesce(sa.func.sum(_W.c.dead), 0), sa.BigInteger),
)
_BACKLOG = sa.select(
    sa.func.count(),
    sa.func.greatest(
        _now - sa.func.min(_D.c.next_attempt_at), sa.cast("0", sa.Interval)
    ),
).where(_D.c.state == _PENDING, ~_gone)


@frozen
class PostgresWebhooks(WebhookRepository):
    """Keeps webhooks in a table, and deliveries in another one."""

    engine: Engine

    def add(self, webhook: Webhook, *, most: int) -> None:
        texts = [webhook.url, *webhook.workflow_names, *webhook.labels.values()]
        if not storable(*texts, webhook.owner or ""):
            raise InvalidValue("A text cannot be stored.")

        def work(connection: Connection) -> None:
            connection.execute(_LOCK, {"lock": f"webhooks of {webhook.owner}"})
            count = connection.scalars(_COUNT, {"owner": webhook.owner}).one()
            if count >= most:
                raise QuotaExceeded(
                    f"There are {count} webhooks, and no more than {most} may be."
                )
            connection.execute(sa.insert(_W), webhook_to_row(webhook))

        write(self.engine, work)

    def get(self, webhook_id: WebhookId, viewer: Viewer) -> Webhook:
        return read(self.engine, lambda c: _get(c, webhook_id, viewer))

    def page(
        self, viewer: Viewer, limit: int, after: Cursor | None = None
    ) -> Page[Webhook]:
        seen = sa.select(_W).where(_kept)
        if viewer.only is not None:
            seen = seen.where(_W.c.owner == viewer.only)
        return newest_first(
            self.engine,
            seen,
            (_W.c.created_at, _W.c.webhook_id),
            webhook_from_row,
            limit=limit,
            after=after,
        )

    def replace_secrets(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        change: Callable[[Webhook], Webhook],
    ) -> Webhook:
        def work(connection: Connection) -> Webhook:
            webhook = change(_get(connection, webhook_id, viewer, lock=True))
            connection.execute(
                sa.update(_W)
                .values(secrets=list(webhook.secrets))
                .where(_W.c.webhook_id == webhook_id)
            )
            return webhook

        return write(self.engine, work)

    def remove(self, webhook_id: WebhookId, viewer: Viewer) -> None:
        def work(connection: Connection) -> None:
            _get(connection, webhook_id, viewer, lock=True)
            connection.execute(_REMOVE, {"id": webhook_id})

        write(self.engine, work)

    def send(self, delivery: Delivery, viewer: Viewer) -> None:
        def work(connection: Connection) -> None:
            _get(connection, delivery.webhook_id, viewer)
            connection.execute(sa.insert(_D), delivery_to_row(delivery))

        write(self.engine, work)

    def deliveries(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
        *,
        states: Collection[DeliveryState] = (),
    ) -> Page[Delivery]:
        wanted = (
            sa.select(_D)
            .where(_D.c.webhook_id == webhook_id)
            .order_by(_D.c.number.desc())
            .limit(limit + 1)
        )
        if after is not None:
            if not (after.id.isascii() and after.id.isdecimal() and len(after.id) < 19):  # noqa: PLR2004
                raise InvalidValue("The cursor is malformed.")
            wanted = wanted.where(_D.c.number < int(after.id))
        if states:
            wanted = wanted.where(_D.c.state.in_([state.value for state in states]))

        def work(connection: Connection) -> Sequence[Row]:
            _get(connection, webhook_id, viewer)
            return connection.execute(wanted).mappings().all()

        rows = read(self.engine, work)
        items = tuple(map(delivery_from_row, rows[:limit]))
        if len(rows) <= limit:
            return Page(items, None)
        return Page(items, Cursor(items[-1].at, str(items[-1].number)))

    def replay(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        delivery_ids: Collection[DeliveryId] | None,
    ) -> int:
        def work(connection: Connection) -> int:
            _get(connection, webhook_id, viewer, lock=True)
            connection.execute(
                sa.update(_W)
                .values(state=_ACTIVE, failures=0, rests_until=_now)
                .where(_W.c.webhook_id == webhook_id)
            )
            again = _AGAIN.where(_D.c.state == DeliveryState.DEAD.value)
            if delivery_ids is not None:
                ids = [id_ for id_ in delivery_ids if storable(id_)]
                again = _AGAIN.where(_D.c.delivery_id.in_(ids))
            connection.execute(_ANEW, {"id": webhook_id})
            return connection.execute(again, {"id": webhook_id}).rowcount

        return write(self.engine, work)

    def due(self) -> Sequence[Webhook]:
        rows = read(self.engine, lambda c: c.execute(_DUE).mappings().all())
        return [webhook_from_row(row) for row in rows]

    def claim(
        self, webhook_id: WebhookId, *, limit: int, lease: timedelta
    ) -> Sequence[Delivery]:
        parameters = {"id": webhook_id, "limit": limit, "lease": lease}
        rows = write(
            self.engine, lambda c: c.execute(_CLAIM, parameters).mappings().all()
        )
        return sorted(
            map(delivery_from_row, rows), key=lambda delivery: delivery.number
        )

    def settle(
        self,
        webhook_id: WebhookId,
        attempts: Sequence[Attempt],
        *,
        rest: timedelta,
        gone: bool = False,
    ) -> None:
        begun = [attempt for attempt in attempts if attempt.begun]
        failed = bool(begun) and begun[-1].failed
        # In order: rows that others settle, too, are locked without a deadlock.
        rows = sorted(map(_settled_row, attempts), key=lambda row: row["delivery_id"])
        parameters = arrays("settled", rows)

        def work(connection: Connection) -> None:
            states = connection.scalars(_SETTLE, parameters).all()
            dead = states.count(DeliveryState.DEAD.value)
            if failed:
                dead += connection.execute(_GIVE_UP, {"id": webhook_id}).rowcount
            counts = {
                "id": webhook_id,
                "delivered_now": states.count(DeliveryState.DELIVERED.value),
                "dead_now": dead,
            }
            note = _NOTE
            if failed:
                note = note.values(failures=_W.c.failures + 1, rests_until=_now + rest)
            elif begun:
                note = note.values(failures=0)
            if gone:
                note = note.values(state=WebhookState.DISABLED.value)
            # Last: other workers of this webhook wait for its row.
            connection.execute(note, counts)

        write(self.engine, work)

    def prune(self, age: timedelta, *, limit: int = 10_000) -> int:
        def work(connection: Connection) -> int:
            old = sa.delete(_D).where(_D.c.delivery_id.in_(_OLD))
            count = connection.execute(old, {"age": age, "most": limit}).rowcount
            if ids := list(connection.scalars(_REMOVED)):
                removed = sa.delete(_D).where(_D.c.delivery_id.in_(_OF_REMOVED))
                values = {"ids": ids, "most": limit - count}
                count += connection.execute(removed, values).rowcount
            return count

        return write(self.engine, work)

    def backlog(self) -> DeliveryBacklog:
        def work(connection: Connection) -> tuple[Any, Any]:
            totals = connection.execute(_TOTALS).one()
            return totals, connection.execute(_BACKLOG).one()

        (delivered, dead), (pending, overdue) = read(self.engine, work)
        return DeliveryBacklog(
            pending=pending,
            overdue=overdue or timedelta(0),
            delivered=delivered,
            dead=dead,
        )


def _get(
    connection: Connection, webhook_id: WebhookId, viewer: Viewer, *, lock: bool = False
) -> Webhook:
    row = None
    if storable(webhook_id):
        one = _ONE.with_for_update(key_share=True) if lock else _ONE
        row = connection.execute(one, {"id": webhook_id}).mappings().first()
    if row is None or not viewer.sees(row["owner"]):
        raise WebhookNotFound(webhook_id)
    return webhook_from_row(row)


def _settled_row(attempt: Attempt) -> dict[str, Any]:
    outcome = "failed" if attempt.failed else "delivered"
    return {
        "delivery_id": attempt.delivery.delivery_id,
        "attempts": attempt.delivery.attempts,
        "status": attempt.status,
        "problem": cleaned(attempt.problem),
        "retry_in": attempt.retry_in,
        "outcome": outcome if attempt.begun else "given back",
    }

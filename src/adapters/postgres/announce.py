"""The deliveries of changes, stored in the transaction that stores these."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.rows import (
    batch_from_row,
    delivery_to_row,
    webhook_from_row,
)
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.submission import SubmissionState
from galaxy_jobs.domain.model.values import BatchId
from galaxy_jobs.domain.model.webhook import (
    Delivery,
    Webhook,
    WebhookState,
    batch_deliveries,
    deliveries,
)


_W = tables.webhooks
_ACTIVE = sa.select(_W).where(
    _W.c.state == WebhookState.ACTIVE.value, _W.c.removed_at.is_(None)
)

_B = tables.batches
_S = tables.submissions
_I = tables.invocations
_id = sa.bindparam("id", type_=sa.Uuid)
_BATCH = sa.select(_B).where(_B.c.batch_id == _id)
_COUNTS = sa.union_all(
    sa.select(_S.c.state, sa.func.count())
    .where(_S.c.batch_id == _id, _S.c.state != SubmissionState.ACCEPTED.value)
    .group_by(_S.c.state),
    sa.select(_I.c.state, sa.func.count())
    .where(_I.c.batch_id == _id)
    .group_by(_I.c.state),
)


def announce(
    connection: Connection, changes: Sequence[tuple[Invocation | None, Invocation]]
) -> None:
    """Store the deliveries of changes, in the transaction that stores these."""
    news = [
        (before, after)
        for before, after in changes
        if before is None
        or before.state is not after.state
        or before.attention != after.attention
    ]
    if not news:
        return
    webhooks = _webhooks(connection)
    _store(
        connection,
        [
            delivery
            for before, after in news
            for delivery in deliveries(before, after, webhooks, uuid4)
        ],
    )


def announce_batches(connection: Connection, batch_ids: Collection[BatchId]) -> None:
    """Store the deliveries of the end of batches, in the transaction that ends them."""
    if not batch_ids or not (webhooks := _webhooks(connection)):
        return
    for batch_id in batch_ids:
        ended = {"id": batch_id}
        batch = batch_from_row(connection.execute(_BATCH, ended).mappings().one())
        counts = {
            str(state): int(count)
            for state, count in connection.execute(_COUNTS, ended)
        }
        _store(connection, batch_deliveries(batch, counts, webhooks, uuid4))


def _webhooks(connection: Connection) -> list[Webhook]:
    return [webhook_from_row(row) for row in connection.execute(_ACTIVE).mappings()]


def _store(connection: Connection, new: Sequence[Delivery]) -> None:
    if new:
        connection.execute(
            sa.insert(tables.deliveries), list(map(delivery_to_row, new))
        )

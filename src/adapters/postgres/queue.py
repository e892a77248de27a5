"""The poll queue in PostgreSQL, which shares out the work among pollers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine

from galaxy_jobs.adapters.postgres import tables, totals
from galaxy_jobs.adapters.postgres.changes import (
    among,
    arrays,
    leave,
    lock_active,
    record,
    replace,
    unnested,
)
from galaxy_jobs.adapters.postgres.engine import read, reason, write
from galaxy_jobs.adapters.postgres.rows import cleaned
from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.ports import (
    MAY_BE_LATE,
    Backlog,
    Claim,
    Look,
    PollQueue,
    Stored,
)


_I = tables.invocations
_A = tables.active
_now = sa.func.now()

_mine = sa.and_(
    _A.c.galaxy_url == sa.bindparam("url"), _A.c.galaxy_user == sa.bindparam("user")
)
# As a rule few rows are due, and the index on next_poll_at finds them: sorting them
# costs less than another index, which every poll would have to write.
_urgency = _A.c.next_poll_at + sa.func.least(
    _A.c.next_poll_at - _A.c.last_change_at, sa.literal(MAY_BE_LATE, sa.Interval)
)
_due = (
    sa.select(_A.c.invocation_id, _A.c.woken, _urgency.label("urgency"))
    .where(
        _mine,
        _A.c.next_poll_at <= _now - sa.bindparam("due_for", type_=sa.Interval),
        sa.or_(_A.c.lease_until.is_(None), _A.c.lease_until <= _now),
    )
    .order_by(_A.c.woken.desc(), _urgency, _A.c.invocation_id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True, key_share=True)
    # Materialized: evaluated again for each row of a join, it would claim more rows.
    .cte("due")
    .prefix_with("MATERIALIZED")
)
# Indexed columns stay as they are, so that a claim costs no index entry.
CLAIM = (
    sa.update(_A)
    .values(
        lease_no=_A.c.lease_no + 1,
        lease_until=_now + sa.bindparam("lease", type_=sa.Interval),
        woken=sa.false(),
    )
    .where(_A.c.invocation_id == _due.c.invocation_id)
    .returning(
        _A.c.invocation_id,
        sa.func.coalesce(_A.c.galaxy_id, _A.c.invocation_id).label("galaxy_id"),
        _A.c.lease_no,
        _A.c.cancelling,
        _A.c.summary,
        (_now - _A.c.accepted_at).label("age"),
        (_now - _A.c.last_change_at).label("quiet_for"),
        (_now - _A.c.last_full_look_at).label("unlooked_for"),
        (_now - _A.c.missing_since).label("missing_for"),
        _A.c.misses,
        _A.c.failures,
        _due.c.woken,
        _due.c.urgency,
    )
)

_held = unnested("held", invocation_id=sa.Text(), fence=sa.BigInteger())
# A row that is locked is being written back, or cancelled: the next time will do.
_renewable = (
    sa.select(_A.c.invocation_id)
    .join(_held, _held.c.invocation_id == _A.c.invocation_id)
    .where(_A.c.lease_no == _held.c.fence, _A.c.lease_until.isnot(None))
    .with_for_update(of=_A, skip_locked=True, key_share=True)
    .cte("renewable")
    .prefix_with("MATERIALIZED")
)
# As with a claim, no index entry is written.
RENEW = (
    sa.update(_A)
    .values(lease_until=_now + sa.bindparam("lease", type_=sa.Interval))
    .where(_A.c.invocation_id == _renewable.c.invocation_id)
)

_VERSIONS = (
    sa.select(_I.c.invocation_id, _I.c.version)
    .where(among(_I.c.invocation_id))
    .order_by(_I.c.invocation_id)
)
_LOCK_VERSIONS = _VERSIONS.with_for_update(key_share=True)

_GIVE_BACK = sa.update(_A).values(lease_until=None).where(among(_A.c.invocation_id))
_AT_ONCE = _GIVE_BACK.values(next_poll_at=_now)

_look = unnested(
    "look",
    invocation_id=sa.Text(),
    next_in=sa.Interval(),
    stale_in=sa.Interval(),
    answered=sa.Boolean(),
    full=sa.Boolean(),
    missing=sa.Boolean(),
    summary=sa.Text(),
    observed_at=tables.Time,
    cancelling=sa.Boolean(),
)
_changed = _look.c.cancelling.isnot(None)
_NOTE = (
    sa.update(_A)
    .values(
        lease_until=None,
        next_poll_at=_now + _look.c.next_in,
        stale_at=sa.case(
            (_look.c.answered, _now + _look.c.stale_in), else_=_A.c.stale_at
        ),
        summary=sa.func.coalesce(_look.c.summary, _A.c.summary),
        observed_at=sa.case(
            (_look.c.answered, sa.func.coalesce(_look.c.observed_at, _now)),
            else_=_A.c.observed_at,
        ),
        last_full_look_at=sa.case((_look.c.full, _now), else_=_A.c.last_full_look_at),
        last_change_at=sa.case((_changed, _now), else_=_A.c.last_change_at),
        cancelling=sa.func.coalesce(_look.c.cancelling, _A.c.cancelling),
        missing_since=sa.case(
            (_look.c.missing, sa.func.coalesce(_A.c.missing_since, _now)),
            (_look.c.answered, None),
            else_=_A.c.missing_since,
        ),
        misses=sa.case(
            (_look.c.missing, _A.c.misses + 1),
            (_look.c.answered, 0),
            else_=_A.c.misses,
        ),
        failures=sa.case(
            (_look.c.missing | _look.c.answered, 0), else_=_A.c.failures + 1
        ),
    )
    .where(_A.c.invocation_id == _look.c.invocation_id)
)

_T = tables.sweep_totals
_TOTALS = sa.select(_T)
_BACKLOG = sa.select(
    _A.c.galaxy_url,
    _A.c.galaxy_user,
    sa.func.count().label("active"),
    sa.func.count().filter(_A.c.next_poll_at <= _now).label("due"),
    sa.func.greatest(
        _now - sa.func.min(_A.c.next_poll_at), sa.cast("0", sa.Interval)
    ).label("overdue"),
).group_by(_A.c.galaxy_url, _A.c.galaxy_user)


@frozen
class PostgresPollQueue(PollQueue):
    """Leases rows; a number that each claim increases fences off late writers."""

    engine: Engine

    def claim(
        self,
        identity: Identity,
        *,
        limit: int,
        lease: timedelta,
        due_for: timedelta = timedelta(0),
    ) -> Sequence[Claim]:
        parameters = {
            "url": identity.url,
            "user": identity.user_id,
            "limit": limit,
            "lease": lease,
            "due_for": due_for,
        }
        rows = write(self.engine, lambda c: c.execute(CLAIM, parameters).all())
        return [
            Claim(
                invocation_id=row.invocation_id,
                galaxy_id=row.galaxy_id,
                fence=row.lease_no,
                cancelling=row.cancelling,
                summary=row.summary,
                age=row.age,
                quiet_for=row.quiet_for,
                unlooked_for=row.unlooked_for,
                missing_for=row.missing_for,
                misses=row.misses,
                failures=row.failures,
            )
            for row in sorted(
                rows, key=lambda row: (not row.woken, row.urgency, row.invocation_id)
            )
        ]

    def renew(self, claims: Sequence[Claim], *, lease: timedelta) -> None:
        if not claims:
            return
        rows = [{"invocation_id": c.invocation_id, "fence": c.fence} for c in claims]
        parameters = {"lease": lease, **arrays("held", rows)}
        write(self.engine, lambda c: c.execute(RENEW, parameters))

    def write_back(self, looks: Sequence[Look]) -> Stored:
        if not looks:
            return Stored()
        try:
            changes = write(self.engine, lambda c: _write_back(c, looks))
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one oddity must not keep the others
            if len(looks) == 1:
                return Stored(unstorable={looks[0].claim.invocation_id: reason(error)})
            middle = len(looks) // 2
            return self.write_back(looks[:middle]) + self.write_back(looks[middle:])
        return Stored(changes=changes)

    def tally(self, identity: Identity, counts: Mapping[str, float]) -> None:
        write(self.engine, lambda c: totals.add(c, identity, counts))

    def backlog(self) -> Mapping[Identity, Backlog]:
        rows, sums_of = read(
            self.engine, lambda c: (c.execute(_BACKLOG).all(), c.execute(_TOTALS).all())
        )
        sums: dict[Identity, dict[str, float]] = {}
        for row in sums_of:
            identity = Identity(row.galaxy_url, row.galaxy_user)
            sums.setdefault(identity, {})[row.name] = row.total
        active = {Identity(row.galaxy_url, row.galaxy_user): row for row in rows}
        return {
            identity: Backlog(
                active=active[identity].active,
                due=active[identity].due,
                overdue=active[identity].overdue,
                totals=sums.get(identity, {}),
            )
            if identity in active
            else Backlog(totals=sums[identity])
            for identity in [*active, *(sums.keys() - active.keys())]
        }


def _write_back(connection: Connection, looks: Sequence[Look]) -> int:
    versions = _versions(connection, looks)
    leases = lock_active(connection, [look.claim.invocation_id for look in looks])
    given_back: list[InvocationId] = []
    overtaken: list[InvocationId] = []
    noted: list[Look] = []
    changes: list[tuple[Invocation, Invocation]] = []
    for look in looks:
        id_ = look.claim.invocation_id
        held = leases.get(id_)
        if held is None or held.lease_no != look.claim.fence:
            continue
        if not look.asked:
            given_back.append(id_)
        elif held.woken or (look.before and look.before.version != versions.get(id_)):
            overtaken.append(id_)
        else:
            if look.before is not None and look.after is not None:
                changes.append((look.before, look.after))
            if look.after is None or look.after.is_followed:
                noted.append(look)
    if given_back:
        connection.execute(_GIVE_BACK, {"ids": given_back})
    if overtaken:
        connection.execute(_AT_ONCE, {"ids": overtaken})
    if noted:
        connection.execute(_NOTE, arrays("look", list(map(_look_row, noted))))
    stored = replace(connection, changes)
    leave(connection, [after for _, after in changes])
    record(connection, changes)
    return len(stored)


def _versions(
    connection: Connection, looks: Sequence[Look]
) -> Mapping[InvocationId, int]:
    """Return the stored versions; lock the rows that are to change.

    The others are only read: a look without news writes no wide row.
    """
    news = [look.claim.invocation_id for look in looks if look.after is not None]
    rest = [
        look.claim.invocation_id
        for look in looks
        if look.after is None and look.before is not None
    ]
    versions: dict[InvocationId, int] = {}
    for ids, statement in (news, _LOCK_VERSIONS), (rest, _VERSIONS):
        if ids:
            rows = connection.execute(statement, {"ids": ids})
            versions.update((row.invocation_id, row.version) for row in rows)
    return versions


def _look_row(look: Look) -> dict[str, Any]:
    return {
        "invocation_id": look.claim.invocation_id,
        "next_in": look.next_in,
        "stale_in": look.stale_in,
        "answered": look.answered,
        "full": look.full,
        "missing": look.missing,
        "summary": cleaned(look.summary),
        "observed_at": look.after and look.after.observed_at,
        "cancelling": None if look.after is None else look.after.needs_cancel,
    }

"""Lists of jobs as JSON that PostgreSQL builds: it is sent as it is.

The names and the spelling are those that the API has for a listed job, and what is
stale is what the domain says is; a test compares the two, for whatever rows there
can be.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.dialects.postgresql import JSON, aggregate_order_by

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.invocations import (
    OBSERVED_AT,
    asked_for,
    joined,
    keys_of,
)
from galaxy_jobs.adapters.postgres.quick import QuickReader
from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.domain.ports import Cursor, JobFilter, JobListing, ListedJobs
from galaxy_jobs.domain.use_cases import PollPolicy
from galaxy_jobs.domain.use_cases.poll.schedule import STALE_INTERVALS


_I = tables.invocations
_DIALECT = sa.make_url("postgresql+psycopg://").get_dialect()()


# Each value that is always the same is written out: a parameter would be sent, and
# be prepared for sending, with every question.
def _text(value: str) -> sa.ColumnElement[str]:
    return sa.literal_column(f"'{value}'", sa.Text)


def _time(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Spell a time as the API does: UTC, and no fraction where it is zero."""
    utc = sa.func.timezone(_text("UTC"), column)
    text = sa.func.to_char(utc, _text('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
    return sa.func.replace(text, _text(".000000Z"), _text("Z"))


def _object(**members: Any) -> sa.ColumnElement[Any]:
    said = [part for name, one in members.items() for part in (_text(name), one)]
    return sa.func.json_build_object(*said, type_=JSON)


_ENDED = [_text(one.value) for one in InvocationState if one.is_terminal]


def _stale(policy: PollPolicy) -> sa.ColumnElement[bool]:
    """Say :meth:`PollPolicy.stale` in SQL; a test holds the one to the other."""
    quiet = _times(repr(policy.backoff_ratio), OBSERVED_AT - _I.c.updated_at)
    usual = sa.func.least(
        sa.func.greatest(quiet, _interval(policy.min_interval)),
        _interval(policy.max_interval),
    )
    unseen = sa.bindparam("now", type_=tables.Time) - OBSERVED_AT
    return sa.and_(
        _I.c.state.not_in(_ENDED),
        unseen > _times(str(STALE_INTERVALS), usual) + _interval(policy.stale_after),
    )


def _times(number: str, length: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return length.op("*", precedence=10, return_type=sa.Interval())(
        sa.literal_column(number)
    )


def _interval(length: timedelta) -> sa.ColumnElement[timedelta]:
    microseconds = length // timedelta(microseconds=1)
    return sa.literal_column(f"interval '{microseconds} us'", sa.Interval)


def _job(stale: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
    return _object(
        invocation_id=_I.c.invocation_id,
        dataset_id=_I.c.dataset_id,
        workflow_name=_I.c.workflow_name,
        state=_I.c.state,
        galaxy_state=_I.c.galaxy_state,
        parameters=_I.c.parameters,
        overwrite=_I.c.overwrite,
        rerun_of=_I.c.rerun_of,
        superseded_by=_I.c.superseded_by,
        created_at=_time(_I.c.created_at),
        updated_at=_time(_I.c.updated_at),
        observed_at=_time(OBSERVED_AT),
        stale=stale,
        attention=_I.c.attention,
        # As they are stored, their members in PostgreSQL's order: to put them into
        # ours would take up to a quarter of the query's time.
        progress=_I.c.progress,
        failure=_I.c.failure,
    )


@frozen
class PostgresJobListing(JobListing):
    """One query a page, and one row of answer.

    Attributes:
        reader: Asks for it.
        policy: Says what is stale.
    """

    reader: QuickReader
    policy: PollPolicy

    async def page(
        self,
        wanted: JobFilter,
        limit: int,
        after: Cursor | None = None,
        *,
        now: datetime,
    ) -> ListedJobs:
        asked = asked_for(wanted, after)
        if asked is None:
            return ListedJobs(items="", tag="", next=None)
        said, states = asked
        text = _statement(self.policy, limit, frozenset(said), states)
        row = await self.reader.first(text, said | {"now": now})
        items, tag, created_at, id_ = row
        return ListedJobs(
            items=items or "",
            tag=tag or "",
            next=None if id_ is None else Cursor(created_at, id_),
        )


@lru_cache(maxsize=1000)
def _statement(
    policy: PollPolicy, limit: int, said: frozenset[str], states: frozenset[str]
) -> str:
    """Return the statement for a page, as psycopg takes it; see :func:`keys_of`."""
    # One more than is shown tells whether there is another page.
    keys = keys_of(limit + 1, said, states)
    place = sa.func.row_number().over(
        order_by=(keys.c.created_at.desc(), keys.c.invocation_id.desc())
    )
    found = sa.select(keys.c.invocation_id, place.label("place")).subquery("found")
    shown = found.c.place <= sa.literal_column(str(limit))
    last = found.c.place == sa.literal_column(str(limit))
    more = sa.func.max(found.c.place) > sa.literal_column(str(limit))
    stale = _stale(policy)

    def all_of(one: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
        in_order = aggregate_order_by(_text(","), found.c.place)
        return sa.func.string_agg(sa.cast(one, sa.Text), in_order).filter(shown)

    mark = sa.func.concat(_I.c.invocation_id, _text(" "), _I.c.version, stale)
    made = joined(
        all_of(_job(stale)),
        all_of(mark),
        sa.case((more, sa.func.max(_I.c.created_at).filter(last))),
        sa.case((more, sa.func.max(_I.c.invocation_id).filter(last))),
    ).join(found, found.c.invocation_id == _I.c.invocation_id)
    return str(made.compile(dialect=_DIALECT))

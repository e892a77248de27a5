"""Lists of jobs as JSON that PostgreSQL builds: it is sent as it is.

The names, the order and the spelling are those that the API has for a listed job;
a test compares the two, for whatever rows there can be.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import JSON

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.invocations import (
    OBSERVED_AT,
    joined,
    page_of,
    rows_of_page,
)
from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.domain.ports import Cursor, JobFilter, JobListing, ListedJob, Page


_I = tables.invocations


def _time(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Spell a time as the API does: UTC, and no fraction where it is zero."""
    utc = sa.func.timezone("UTC", column)
    text = sa.func.to_char(utc, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    return sa.func.replace(text, ".000000Z", "Z")


def _object(**members: Any) -> sa.ColumnElement[Any]:
    said = [part for name, one in members.items() for part in (_name(name), one)]
    return sa.func.json_build_object(*said, type_=JSON)


def _name(name: str) -> sa.ColumnElement[Any]:
    return sa.literal_column(f"'{name}'")  # ours, and the same in each statement


def _members(column: sa.ColumnElement[Any], *names: str) -> sa.ColumnElement[Any]:
    """Put a jsonb object into the order of the API: PostgreSQL has one of its own."""
    return _object(**{name: column.op("->")(_name(name)) for name in names})


_BEFORE = _object(
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
)
_BEHIND = _object(
    attention=_I.c.attention,
    progress=_members(_I.c.progress, "total", "ok", "running", "waiting", "failed"),
    failure=sa.case(
        (
            _I.c.failure.isnot(None),
            _members(
                _I.c.failure,
                "reason",
                "step",
                "step_index",
                "path",
                "tool",
                "exit_code",
                "stderr",
                "message",
            ),
        )
    ),
)
_LISTED = joined(
    _I.c.invocation_id,
    _I.c.version,
    _I.c.state,
    _I.c.created_at,
    _I.c.updated_at,
    OBSERVED_AT.label("observed_at"),
    sa.cast(_BEFORE, sa.Text).label("before"),
    sa.cast(_BEHIND, sa.Text).label("behind"),
)


@frozen
class PostgresJobListing(JobListing):
    """One query a page."""

    engine: Engine

    def page(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> Page[ListedJob]:
        rows, following = rows_of_page(self.engine, statement, wanted, limit, after)
        return Page(
            tuple(
                ListedJob(
                    invocation_id=id_,
                    version=version,
                    state=InvocationState(state),
                    updated_at=updated_at,
                    observed_at=observed_at,
                    before=before,
                    behind=behind,
                )
                # Taken apart by place: by name would take longer than the query.
                for (
                    id_,
                    version,
                    state,
                    _,
                    updated_at,
                    observed_at,
                    before,
                    behind,
                ) in rows
            ),
            following,
        )


@cache
def statement(said: frozenset[str], states: frozenset[str]) -> sa.Select[Any]:
    """Return the statement for a page; see :func:`page_of`."""
    return page_of(_LISTED, said, states)

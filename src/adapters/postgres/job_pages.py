"""Pages of the list of jobs as JSON that PostgreSQL builds: it is sent as it is.

Names and spelling are those of a listed job in the HTTP API; a test compares this
JSON with what the API makes of the domain's objects, for arbitrary rows.
"""

from __future__ import annotations

from functools import lru_cache

import sqlalchemy as sa
from attrs import frozen

from galaxy_jobs.adapters.postgres.invocations import (
    LOOKS,
    PARAMETERS_TRUNCATED,
    keys_of,
    page_parameters,
)
from galaxy_jobs.adapters.postgres.pool import AsyncReader
from galaxy_jobs.domain.model.viewer import Viewer, namespace
from galaxy_jobs.domain.ports import Cursor, JobFilter


_DIALECT = sa.make_url("postgresql+psycopg://").get_dialect()()


@frozen
class PostgresJobPages:
    """Reads a page in one query that returns one row.

    It is awaited: a thread for each request would take longer than the query.

    Attributes:
        looks: As for :class:`PostgresInvocations`.
    """

    reader: AsyncReader
    looks: int = LOOKS

    async def page(
        self,
        wanted: JobFilter,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
    ) -> tuple[str, str, Cursor | None]:
        """Return what :meth:`InvocationRepository.page` returns, as JSON.

        Args:
            wanted: The filter.
            viewer: Whose jobs.
            limit: The number of jobs at most; 1 or more.
            after: Only older jobs than at this cursor.

        Returns:
            The members of a JSON array, newest first; a text that differs wherever
            anything else in them than `observed_at` does; and the cursor of the next
            page, or None if this is the last.

        Raises:
            InvalidValue: The cursor is malformed.
            StoreUnavailable: The database could not be reached.
        """
        query = page_parameters(wanted, viewer, after)
        if query is None:
            return "", "", None
        parameters, states = query
        statement = _statement(limit, frozenset(parameters), states, self.looks)
        row = await self.reader.fetch_row(statement, parameters)
        assert row is not None
        items, tag, created_at, id_ = row
        following = None if id_ is None else Cursor(created_at, id_)
        if items and viewer.only is not None:
            # No text within the JSON can have these quotation marks.
            for start in ('"dataset_id":"', '"dataset_id": "'):
                items = items.replace(start + namespace(viewer.only), start)
        return items or "", tag or "", following

    async def close(self) -> None:
        """Close the connections."""
        await self.reader.close()


def _time(column: str) -> str:
    """Return SQL that spells a time as the API does: in UTC, with microseconds."""
    text = f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return f"replace({text}, '.000000Z', 'Z')"  # none where they are zero


# Most runs have no failed job, and a constant is the fastest there.
_PROGRESS = """CASE i.progress->'failed' WHEN '0' THEN i.progress || '{{"blocked": 0}}'
    ELSE i.progress || jsonb_build_object('blocked', (
        SELECT coalesce(sum((step->'jobs'->>'blocked')::int), 0)
        FROM jsonb_array_elements(i.steps) AS step
    ))
END"""
_LAST = "i.failure->'path'->>-1"
# See `failure_to_json` for how an element is stored.
_SHOWN_FAILURE = f"""i.failure || CASE
    WHEN starts_with({_LAST}, '[') AND {_LAST} IS DISTINCT FROM i.failure->>'step'
    THEN jsonb_build_object(
        'path', (i.failure->'path') - -1,
        'element', left(right({_LAST}, -1), -1)
    )
    ELSE '{{{{"element": null}}}}'
END"""

# `row_to_json` takes a third less time than `json_build_object` does. The members of
# `progress` and `failure` stay in PostgreSQL's order: sorting them would take up to a
# quarter of the query's time.
_PAGE = f"""
SELECT string_agg(row_to_json(job)::text, ',' ORDER BY place)
        FILTER (WHERE NOT is_end) AS items,
    string_agg(concat_ws(' ', i.invocation_id, i.version, job.stale), ','
        ORDER BY place) FILTER (WHERE NOT is_end) AS tag,
    max(i.created_at) FILTER (WHERE is_last) AS next_created_at,
    max(i.invocation_id) FILTER (WHERE is_last) AS next_id
FROM (
    SELECT *, is_end OR place = {{limit}} AND more AS is_last
    FROM (
        SELECT invocation_id, is_end,
            count(*) FILTER (WHERE NOT is_end) OVER () > {{limit}} AS more,
            row_number() OVER (
                ORDER BY created_at DESC, invocation_id DESC, is_end
            ) AS place
        FROM ({{keys}}) AS keys
    ) AS numbered
) AS page
JOIN workflow_invocations AS i ON i.invocation_id = page.invocation_id
LEFT JOIN active_invocations AS a ON a.invocation_id = i.invocation_id,
LATERAL (SELECT {PARAMETERS_TRUNCATED} AS large) AS size,
LATERAL (
    SELECT i.invocation_id, i.dataset_id, i.workflow_name, i.workflow_id,
        i.workflow_version, i.version_note, i.state, i.galaxy_state,
        CASE WHEN size.large THEN NULL ELSE i.parameters END AS parameters,
        size.large AS parameters_truncated, i.overwrite, i.rerun_of, i.superseded_by,
        i.labels, {_time("i.created_at")} AS created_at,
        {_time("i.updated_at")} AS updated_at,
        {_time("coalesce(a.observed_at, i.observed_at)")} AS observed_at,
        coalesce(a.stale_at < now(), false) AS stale,
        CASE WHEN i.results_deleted_at IS NULL THEN 'kept' ELSE 'deleted' END
            AS results,
        {_time("i.results_deleted_at")} AS results_deleted_at,
        i.attention, i.owner, {_PROGRESS} AS progress, {_SHOWN_FAILURE} AS failure
) AS job
WHERE place <= {{limit}} OR is_end
"""  # noqa: S608 - no value of anybody's is in it


@lru_cache(maxsize=1000)
def _statement(
    limit: int, parameters: frozenset[str], states: frozenset[str], looks: int
) -> bytes:
    """Return the statement for a page, with psycopg's placeholders.

    The arguments are those of :func:`keys_of`; the limit is written out there.
    """
    # One more than is shown: whether there is another page.
    keys = keys_of(limit + 1, parameters, states, looks).element
    return _PAGE.format(limit=limit, keys=keys.compile(dialect=_DIALECT)).encode()

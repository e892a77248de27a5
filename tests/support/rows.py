"""Rows in bulk, as years of use would leave them: made by PostgreSQL itself."""

from __future__ import annotations

import psycopg


OF_ONE_DATASET = 10_000
"""How many jobs ``dataset 0`` has, whatever the number of all jobs."""

_JOBS = """
INSERT INTO workflow_invocations (
    invocation_id, submission_id, galaxy_url, galaxy_user, history_id, dataset_id,
    workflow_name, parameters, overwrite, rerun_of, superseded_by, state,
    galaxy_state, progress, steps, failure, attention, created_at, updated_at,
    observed_at, version, owner)
SELECT left(md5(n::text), 16), gen_random_uuid(), 'https://galaxy.test', 'user1',
    left(md5('h' || n), 16),
    CASE WHEN n %% greatest(%(rows)s / %(one)s, 1) = 0 THEN 'dataset 0'
         ELSE 'dataset ' || 1 + n %% 5000 END,
    'workflow ' || n %% 7, '{"text": {"src": "hda", "id": "5a1c"}, "sleep_s": 2}',
    false, NULL, NULL,
    CASE WHEN n %% 1000 = 1 THEN 'queued' WHEN n %% 1000 = 2 THEN 'in_progress'
         WHEN n %% 10000 = 3 THEN 'cancelling' WHEN n %% 20 = 4 THEN 'failed'
         WHEN n %% 50 = 5 THEN 'cancelled' ELSE 'completed' END,
    'scheduled', '{"total": 4, "ok": 3, "running": 1, "waiting": 0, "failed": 0}',
    (SELECT jsonb_agg(jsonb_build_object('index', s, 'label', 'step ' || s, 'tool',
        'some_tool/1.0', 'state', 'ok', 'jobs', jsonb_build_object('ok', 1)))
     FROM generate_series(0, 4) s),
    CASE WHEN n %% 20 = 4 THEN '{"reason": "job-failed", "step": "sort",
        "step_index": 2, "path": ["sort"], "tool": "sort1/1.2.0", "exit_code": 1,
        "stderr": "sort: write failed: No space left", "message": null}'::jsonb
    END,
    NULL, at, at + interval '3 min', at + interval '4 min', 3, 'lab ' || n %% 3
FROM generate_series(1, %(rows)s) n,
    LATERAL (SELECT now() - n * interval '7 s' AS at) times
"""

_ACTIVE = """
INSERT INTO active_invocations (
    invocation_id, galaxy_url, galaxy_user, draws, cancelling, observed_at)
SELECT invocation_id, galaxy_url, galaxy_user, '{}', state = 'cancelling', now()
FROM workflow_invocations WHERE state IN ('queued', 'in_progress', 'cancelling')
"""


def fill(url: str, rows: int) -> None:
    """Put so many jobs into a database that has the schema and no jobs."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute(_JOBS, {"rows": rows, "one": OF_ONE_DATASET})
        connection.execute(_ACTIVE)
        connection.execute("VACUUM ANALYZE workflow_invocations, active_invocations")

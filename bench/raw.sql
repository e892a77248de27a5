SELECT '{"items":[' || string_agg(job::text, ','
    ORDER BY created_at DESC, invocation_id DESC) || '],"next_cursor":null}'
FROM (
SELECT i.created_at, i.invocation_id,
  json_build_object('invocation_id', i.invocation_id, 'dataset_id', i.dataset_id,
    'workflow_name', i.workflow_name, 'state', i.state,
    'galaxy_state', i.galaxy_state, 'parameters', i.parameters,
    'overwrite', i.overwrite, 'rerun_of', i.rerun_of,
    'superseded_by', i.superseded_by,
    'created_at', replace(to_char(i.created_at AT TIME ZONE 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z'),
    'updated_at', replace(to_char(i.updated_at AT TIME ZONE 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z'),
    'observed_at', replace(to_char(coalesce(a.observed_at, i.observed_at)
      AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z'),
    'stale', false, 'attention', i.attention,
    'progress', i.progress, 'failure', i.failure) AS job
FROM (
  SELECT each.invocation_id FROM (
    SELECT %s::text AS dataset, unnest(%s::text[]) AS state) AS wanted
  JOIN LATERAL (
    SELECT w.created_at, w.invocation_id FROM workflow_invocations w
    WHERE w.dataset_id = wanted.dataset AND w.state = wanted.state
    ORDER BY w.created_at DESC, w.invocation_id DESC LIMIT 50) AS each ON true
  ORDER BY each.created_at DESC, each.invocation_id DESC LIMIT 50) AS page
JOIN workflow_invocations i ON i.invocation_id = page.invocation_id
LEFT JOIN active_invocations a ON a.invocation_id = i.invocation_id
) AS jobs

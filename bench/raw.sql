SELECT '{"items":[' || string_agg(row_to_json(job)::text, ','
    ORDER BY job.created_at DESC, job.invocation_id DESC) || '],"next_cursor":null}'
FROM (
  SELECT each.invocation_id FROM (
    SELECT %s::text AS dataset, unnest(%s::text[]) AS state) AS wanted
  JOIN LATERAL (
    SELECT w.created_at, w.invocation_id FROM workflow_invocations w
    WHERE w.dataset_id = wanted.dataset AND w.state = wanted.state
    ORDER BY w.created_at DESC, w.invocation_id DESC LIMIT 50) AS each ON true
  ORDER BY each.created_at DESC, each.invocation_id DESC LIMIT 50) AS page
JOIN workflow_invocations i ON i.invocation_id = page.invocation_id
LEFT JOIN active_invocations a ON a.invocation_id = i.invocation_id,
LATERAL (
  SELECT i.invocation_id, i.dataset_id, i.workflow_name, i.state, i.galaxy_state,
    i.parameters, false AS parameters_truncated, i.overwrite, i.rerun_of,
    i.superseded_by, i.workflow_id, i.workflow_version, i.version_note, i.owner,
    replace(to_char(i.created_at AT TIME ZONE 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z') AS created_at,
    replace(to_char(i.updated_at AT TIME ZONE 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z') AS updated_at,
    replace(to_char(coalesce(a.observed_at, i.observed_at) AT TIME ZONE 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z') AS observed_at,
    false AS stale, i.attention, i.progress || '{"blocked": 0}' AS progress,
    i.failure || '{"element": null}' AS failure
) AS job

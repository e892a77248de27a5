// A client in TypeScript, with types generated from the OpenAPI document: submits a
// job, finds it in the list, waits for it, cancels it, and reads a refusal.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

type Job = components["schemas"]["JobDetailJson"];
type Problem = components["schemas"]["ProblemDetails"];

const [, , baseUrl = "", token = ""] = process.argv;
const api = createClient<paths>({
  baseUrl,
  headers: { Authorization: `Bearer ${token}` },
});

/** The body of a response; a problem is thrown. */
function body<T>(response: { data?: T; error?: Problem }): T {
  if (response.data === undefined) throw new Error(response.error?.detail);
  return response.data;
}

async function wait(invocation_id: string): Promise<Job> {
  return body(
    await api.GET("/jobs/{invocation_id}", {
      params: { path: { invocation_id }, query: { wait: 1, until: "ended" } },
    }),
  );
}

const dataset = body(
  await api.POST("/datasets", {
    body: { name: "Reads", source: { src: "url", url: "https://example.org/r", ext: "txt" } },
  }),
);
const { dataset_id } = dataset;
const job = { dataset_id, workflow_name: "sort-and-count", parameters: { sleep_s: 2 } };
const plan = body(await api.POST("/jobs/validate", { body: job }));
const { invocation_id } = body(
  await api.POST("/jobs", {
    body: job,
    params: { header: { "Idempotency-Key": "once" } },
  }),
);
const jobs = body(
  await api.GET("/jobs", { params: { query: { dataset_id } } }),
);
const waited = await wait(invocation_id);
const cancelled = body(
  await api.POST("/jobs/{invocation_id}/cancel", { params: { path: { invocation_id } } }),
);
const { error } = await api.GET("/jobs/{invocation_id}", {
  params: { path: { invocation_id: "nothing" } },
});

const code: Problem["type"] | undefined = error?.type;
console.log(
  JSON.stringify({
    inputs: plan.inputs,
    listed: jobs.items.map((each) => each.invocation_id),
    waited: [waited.invocation_id, waited.state, waited.parameters?.["sleep_s"]],
    cancelled: cancelled.invocation_id,
    code,
  }),
);

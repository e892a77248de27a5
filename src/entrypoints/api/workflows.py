"""Routes of workflows: which may be run, and their inputs."""

from __future__ import annotations

from typing import Annotated

from galaxy_jobs.domain import Allowlist, Viewer, use_cases
from galaxy_jobs.entrypoints.api import cursors, parameters, schemas, workflow_schema
from galaxy_jobs.entrypoints.api.parameters import Needs, path
from galaxy_jobs.entrypoints.api.routing import Routes


ROUTES = Routes("/workflows", tags=["workflows"])


@ROUTES.get("/", asks_galaxy=True)
def list_workflows(
    list_workflows: Needs[use_cases.ListWorkflows],
    viewer: Needs[Viewer],
    limit: parameters.Limit = 50,
    cursor: parameters.CursorText = None,
) -> schemas.Workflows:
    """List the workflows that may be run.

    Those that are configured and that Galaxy lacks are marked. What Galaxy lists is
    requested once a minute at most, and no workflow by itself.
    """
    here = ["workflows"]
    page = list_workflows(viewer, limit=limit, after=cursors.read(cursor, here))
    return schemas.Workflows(
        items=[
            schemas.view(schemas.ListedWorkflowJson, workflow)
            for workflow in page.items
        ],
        next_cursor=cursors.write(page.next, here),
    )


@ROUTES.get(
    "/{name:str}",
    "workflow-not-allowed",
    "workflow-not-found",
    "workflow-ambiguous",
    "workflow-unreadable",
    "workflow-version-not-found",
    asks_galaxy=True,
)
def show_workflow(
    name: Annotated[
        str, path("As in `GET /workflows`, percent-encoded.", "sort-and-count")
    ],
    show_workflow: Needs[use_cases.ShowWorkflow],
    allowlist: Needs[Allowlist],
    viewer: Needs[Viewer],
) -> schemas.WorkflowJson:
    """Show a workflow and its inputs.

    As Galaxy declares them now; `parameters` is their JSON Schema.
    """
    workflow = show_workflow(name, viewer)
    allowed = allowlist.admit(name, viewer)
    target = allowlist.dataset_input(name, viewer, workflow)
    return schemas.WorkflowJson(
        name=workflow.name,
        workflow_id=workflow.workflow_id,
        version=workflow.version,
        updated_at=workflow.updated_at,
        annotation=workflow.annotation,
        dataset_input=target.name if target else None,
        dataset_inputs=[
            input_.name for input_ in allowlist.dataset_inputs(name, viewer, workflow)
        ],
        data_inputs=[
            schemas.view(
                schemas.DataInputJson,
                input_,
                kind=input_.kind.value,
                formats=list(input_.formats),
            )
            for input_ in workflow.data_inputs
        ],
        missing_tools=list(workflow.missing_tools),
        run_time_parameters=list(workflow.run_time_parameters),
        parameters=workflow_schema.parameters(workflow, allowed),
    )

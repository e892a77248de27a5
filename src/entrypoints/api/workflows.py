"""Workflows: which may be run, and what they take."""

from __future__ import annotations

from litestar import get
from litestar.params import FromPath

from galaxy_jobs.domain.model.workflow import Allowlist
from galaxy_jobs.domain.use_cases import ListWorkflows, ShowWorkflow
from galaxy_jobs.entrypoints.api import schemas
from galaxy_jobs.entrypoints.api.parameters import Needs
from galaxy_jobs.entrypoints.api.problems import refusals
from galaxy_jobs.entrypoints.api.threads import asks_galaxy


@get(
    "/",
    operation_id="list_workflows",
    summary="List the workflows that may be run",
    description="Galaxy is asked only where every workflow may be run.",
    response_description="All of them, by name.",
    responses=refusals("galaxy-refused-us", "galaxy-unavailable"),
)
@asks_galaxy
def get_workflows(list_workflows: Needs[ListWorkflows]) -> schemas.Workflows:
    """List the workflows that may be run."""
    return schemas.Workflows(
        items=[schemas.WorkflowName(name=one) for one in list_workflows()]
    )


@get(
    "/{name:str}",
    operation_id="show_workflow",
    summary="Show what a workflow takes",
    description="As Galaxy declares it now.",
    response_description="Its inputs, as a JSON Schema of a job's `parameters`.",
    responses=refusals(
        "workflow-not-allowed",
        "workflow-not-found",
        "workflow-ambiguous",
        "galaxy-refused-us",
        "galaxy-unavailable",
        addressed=True,
    ),
)
@asks_galaxy
def get_workflow(
    name: FromPath[str],
    show_workflow: Needs[ShowWorkflow],
    allowlist: Needs[Allowlist],
) -> schemas.WorkflowJson:
    """Show what a workflow takes."""
    found = show_workflow(name)
    target = allowlist.dataset_input(name, found)
    return schemas.workflow(found, target.name if target else None)


ROUTES = [get_workflows, get_workflow]
"""Below ``/workflows``."""

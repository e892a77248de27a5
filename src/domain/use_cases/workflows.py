"""The workflows that may be run."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from galaxy_jobs.domain.model.workflow import Allowlist, Workflow
from galaxy_jobs.domain.ports import WorkflowCatalog


@frozen
class ListWorkflows:
    """Lists the names of the workflows that may be run."""

    catalog: WorkflowCatalog
    allowlist: Allowlist

    def __call__(self) -> Sequence[str]:
        """Return the names, sorted; Galaxy is asked only if there is no allowlist.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        if self.allowlist.rows:
            return sorted(row.name for row in self.allowlist.rows)
        return self.catalog.names()


@frozen
class ShowWorkflow:
    """Returns a workflow with the inputs that it declares."""

    catalog: WorkflowCatalog
    allowlist: Allowlist

    def __call__(self, name: str) -> Workflow:
        """Return the workflow as Galaxy declares it now.

        Raises:
            WorkflowNotAllowed: It is not on the allowlist.
            WorkflowNotFound, WorkflowAmbiguous: Galaxy has none, or several.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        return self.catalog.find(self.allowlist.admit(name))

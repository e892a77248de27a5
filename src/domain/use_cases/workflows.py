"""The workflows that may be run."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import frozen

from galaxy_jobs.domain.model.workflow import Allowlist, Workflow
from galaxy_jobs.domain.ports import Cursor, Page, WorkflowCatalog


@frozen
class ListWorkflows:
    """Lists the names of the workflows that may be run."""

    catalog: WorkflowCatalog
    allowlist: Allowlist

    def __call__(
        self, limit: int | None = None, after: Cursor | None = None
    ) -> Page[str]:
        """Return names, sorted; Galaxy is asked only if there is no allowlist.

        Args:
            limit: The most to return; None: all.
            after: The place where the page begins; its `id` is a name.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        names = sorted(row.name for row in self.allowlist.rows) or self.catalog.names()
        names = [name for name in names if after is None or name > after.id]
        if limit is None or len(names) <= limit:
            return Page(tuple(names), None)
        return Page(tuple(names[:limit]), Cursor(_UNDATED, names[limit - 1]))


_UNDATED = datetime.min.replace(tzinfo=UTC)


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
            WorkflowUnreadable: Galaxy cannot show it.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        return self.catalog.find(self.allowlist.admit(name))

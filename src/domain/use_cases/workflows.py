"""The workflows that may be run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import evolve, frozen

from galaxy_jobs.domain.errors import RunnerError
from galaxy_jobs.domain.model.workflow import (
    AllowedWorkflow,
    Allowlist,
    ListedWorkflow,
    Workflow,
)
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
class FindWorkflows:
    """Finds workflows that may be run, by parts of what Galaxy shows of them."""

    catalog: WorkflowCatalog
    allowlist: Allowlist

    def __call__(self, search: str = "") -> Sequence[ListedWorkflow]:
        """Return the workflows whose name, annotation, tag or owner has a text.

        Sorted by name, upper and lower case alike. With an allowlist, the names are
        those that clients use, and of one that Galaxy does not list that is all.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked, and there is
                no allowlist.
        """
        listed: Sequence[ListedWorkflow] = ()
        try:
            listed = self.catalog.listed()
        except RunnerError:
            if not self.allowlist.rows:
                raise
        if self.allowlist.rows:
            listed = [self._allowed(row, listed) for row in self.allowlist.rows]
        found = [workflow for workflow in listed if workflow.has(search)]
        return sorted(found, key=lambda workflow: workflow.name.casefold())

    @staticmethod
    def _allowed(
        row: AllowedWorkflow, listed: Sequence[ListedWorkflow]
    ) -> ListedWorkflow:
        for workflow in listed:
            if row.workflow_id in {None, workflow.workflow_id} and (
                row.workflow_id is not None or workflow.name == row.name
            ):
                return evolve(workflow, name=row.name)
        return ListedWorkflow(name=row.name)


@frozen
class ShowWorkflow:
    """Returns a workflow with the inputs that it declares."""

    catalog: WorkflowCatalog
    allowlist: Allowlist

    def __call__(self, name: str, version: int | None = None) -> Workflow:
        """Return the workflow as Galaxy declares it now.

        Args:
            name: The name that clients use.
            version: That version; None: the newest, or that which is configured.

        Raises:
            WorkflowNotAllowed: It is not on the allowlist.
            WorkflowNotFound, WorkflowAmbiguous: Galaxy has none, or several.
            WorkflowUnreadable: Galaxy cannot show it.
            WorkflowVersionNotFound: It has no such version, or another one is
                configured.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        return self.catalog.find(self.allowlist.admit(name).pinned(version))

"""The workflows that may be run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from attrs import evolve, frozen

from galaxy_jobs.domain.errors import (
    RunnerError,
    ToolsMissing,
    WorkflowAmbiguous,
    WorkflowNotFound,
    WorkflowVersionNotFound,
)
from galaxy_jobs.domain.model.values import WorkflowId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.model.workflow import (
    AllowedWorkflow,
    Allowlist,
    ListedWorkflow,
    Workflow,
)
from galaxy_jobs.domain.ports import Cursor, Page, WorkflowCatalog


@frozen
class ListWorkflows:
    """Lists the workflows that may be run, with those that Galaxy lacks."""

    catalog: WorkflowCatalog
    allowlist: Allowlist

    def __call__(
        self,
        viewer: Viewer,
        search: str = "",
        limit: int | None = None,
        after: Cursor | None = None,
    ) -> Page[ListedWorkflow]:
        """Return workflows, each name once, sorted without regard to case.

        With an allowlist, they have the names that clients use, and all of them are
        there: one that Galaxy lacks is not available. It is not known whether one is
        that is allowed by an id which Galaxy does not list: it may be shared by its
        address only. No more than two lists are requested of Galaxy, whatever the
        number of workflows.

        Args:
            viewer: Who may run them.
            search: A part of the name, the annotation, a tag or the owner, in any case.
            limit: The most to return; None: all.
            after: The place where the page begins; its `id` is a name.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked, and there is
                no allowlist.
        """
        allowed = self.allowlist.rows_for(viewer)
        rows = self._all(search) if allowed is None else self._allowed(allowed)
        found = sorted((row for row in rows if row.has(search)), key=_place)
        if after is not None:
            place = _place(ListedWorkflow(name=after.id))
            found = [row for row in found if _place(row) > place]
        if limit is None or len(found) <= limit:
            return Page(tuple(found), None)
        return Page(tuple(found[:limit]), Cursor(_UNDATED, found[limit - 1].name))

    def _all(self, search: str) -> Iterator[ListedWorkflow]:
        for twins in _indexed(self.catalog.listed()).values():
            fitting = [workflow for workflow in twins if workflow.has(search)]
            yield _checked((fitting or twins)[0], twins)

    def _allowed(self, rows: Sequence[AllowedWorkflow]) -> Iterable[ListedWorkflow]:
        try:
            listed = _indexed(self.catalog.listed(), rows)
            if any(_key(row) not in listed for row in rows):
                hidden = self.catalog.listed(hidden=True)
                listed = {**_indexed(hidden, rows), **listed}
        except RunnerError as error:
            unknown = ListedWorkflow(name="", available=None, problem=str(error))
            return [evolve(unknown, name=row.name) for row in rows]
        return [_row(row, listed.get(_key(row), [])) for row in rows]


_UNDATED = datetime.min.replace(tzinfo=UTC)

_Key: TypeAlias = tuple[WorkflowId | None, str]
"""The id of a workflow and no name, or no id and its name."""


def _place(workflow: ListedWorkflow) -> tuple[str, str]:
    return workflow.name.casefold(), workflow.name


def _key(allowed: AllowedWorkflow) -> _Key:
    return allowed.workflow_id, "" if allowed.workflow_id else allowed.name


def _indexed(
    listed: Iterable[ListedWorkflow], rows: Sequence[AllowedWorkflow] = ()
) -> Mapping[_Key, Sequence[ListedWorkflow]]:
    """Return workflows by their names, and by those of their ids that are allowed."""
    ids = {row.workflow_id for row in rows} - {None}
    found: dict[_Key, list[ListedWorkflow]] = {}
    for workflow in listed:
        found.setdefault((None, workflow.name), []).append(workflow)
        if workflow.workflow_id in ids:
            found[workflow.workflow_id, ""] = [workflow]
    return found


def _row(allowed: AllowedWorkflow, found: Sequence[ListedWorkflow]) -> ListedWorkflow:
    """Return a workflow of the allowlist.

    Args:
        allowed: Its entry.
        found: The workflows in Galaxy that have its id or name.
    """
    if found:
        workflow = evolve(found[0], name=allowed.name)
        return _checked(workflow, found, allowed.options.version)
    workflow = ListedWorkflow(name=allowed.name, workflow_id=allowed.workflow_id)
    if allowed.workflow_id is None:
        return workflow.unavailable(WorkflowNotFound(allowed.name))
    return evolve(
        workflow,
        available=None,
        problem=f"Galaxy does not list a workflow with id {allowed.workflow_id!r}: it "
        "is deleted, or of another user who shares it by its address.",
    )


def _checked(
    workflow: ListedWorkflow,
    twins: Sequence[ListedWorkflow],
    version: int | None = None,
) -> ListedWorkflow:
    """Return a workflow with what is known to be wrong with it.

    Args:
        workflow: The workflow, by the name that clients use.
        twins: All that have its name.
        version: The version that may be run; None: the newest.
    """
    newest = workflow.version
    if len(twins) > 1:
        ids = [twin.workflow_id or "" for twin in twins]
        error = WorkflowAmbiguous(workflow.name, ids, [twin.facts for twin in twins])
        return evolve(workflow, workflow_id=None, version=None).unavailable(error)
    if version is not None and newest is not None and version > newest:
        detail = f"The newest is version {newest}."
        return workflow.unavailable(
            WorkflowVersionNotFound(workflow.name, version, detail)
        )
    if version not in {None, newest}:  # the missing tools are those of the newest
        return evolve(workflow, version=version)
    if workflow.missing_tools:
        return workflow.unavailable(ToolsMissing(workflow.name, workflow.missing_tools))
    return workflow


@frozen
class ShowWorkflow:
    """Returns a workflow with the inputs that it declares."""

    catalog: WorkflowCatalog
    allowlist: Allowlist

    def __call__(
        self, name: str, viewer: Viewer, version: int | None = None
    ) -> Workflow:
        """Return the workflow as Galaxy declares it now.

        Args:
            name: The name that clients use.
            viewer: Who may run it.
            version: That version; None: the newest, or that which is configured.

        Raises:
            WorkflowNotAllowed: It is not on the allowlist.
            WorkflowNotFound, WorkflowAmbiguous: Galaxy has none, or several.
            WorkflowUnreadable: Galaxy cannot show it.
            WorkflowVersionNotFound: It has no such version, or another one is
                configured.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        return self.catalog.find(self.allowlist.admit(name, viewer).pinned(version))

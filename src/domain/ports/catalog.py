"""The port to the engine's workflows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from galaxy_jobs.domain.model.workflow import (
    AllowedWorkflow,
    ListedWorkflow,
    Workflow,
)


class WorkflowCatalog(Protocol):
    """The workflows of the engine, and the inputs that they declare."""

    @abstractmethod
    def find(self, wanted: AllowedWorkflow) -> Workflow:
        """Return the workflow that *wanted* names, ready to be invoked.

        It is found by ``workflow_id`` if that is given, else by its exact name
        among those that the key can see and that are not deleted; a hidden one, where
        no other has that name. The engine is asked each time: a workflow imported a
        moment ago is found, a second one of the same name is noticed, and a deleted
        one, which Galaxy would run without complaint, is not returned. Its inputs are
        those of the version in the options of *wanted*, or of the newest; they are read
        again where it has changed, and else about once an hour. The ``name`` of the
        result is the one in *wanted*.

        Raises:
            WorkflowNotFound: There is none, or it is deleted.
            WorkflowAmbiguous: Several have that name.
            WorkflowVersionNotFound: It has no such version.
        """

    @abstractmethod
    def listed(self, *, hidden: bool = False) -> Sequence[ListedWorkflow]:
        """Return all workflows that the key can see, sorted by name.

        Deleted ones are not among them. The list may be up to a minute old. No
        workflow is asked about by itself: the version and the missing tools are those
        that :meth:`find` has seen, where the workflow has not changed since.

        Args:
            hidden: Return those that the engine hides in its own lists, and only those.
        """

    def names(self) -> Sequence[str]:
        """Return the names of those that are :meth:`listed`, each once, sorted."""
        return sorted({workflow.name for workflow in self.listed()})

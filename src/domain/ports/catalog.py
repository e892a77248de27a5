"""The port to the workflows of the engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from galaxy_jobs.domain.model.workflow import AllowedWorkflow, Workflow


class WorkflowCatalog(Protocol):
    """Tells which workflows there are and what inputs they declare."""

    @abstractmethod
    def find(self, wanted: AllowedWorkflow) -> Workflow:
        """Return the workflow that *wanted* names, fit to be invoked now.

        By ``workflow_id`` if that is given, else by exact name among those the
        key can see, deleted ones aside. A name may be remembered for up to a
        minute, but that the workflow is not deleted is looked at anew each
        time: Galaxy runs deleted workflows without a word. The ``name`` of the
        result is the one in *wanted*.

        Raises:
            WorkflowNotFound: There is none, or it is deleted.
            WorkflowAmbiguous: Several have that name.
        """

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the names of all workflows that the key can see, sorted.

        A name that several have stands there once; deleted ones do not.
        """

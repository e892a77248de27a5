"""Workflows by name, and the cached list of all names.

Rule of the file: a workflow is looked up when it is to be run, so that neither a new
workflow nor a second one of the same name is missed. Only the list is cached.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client, Refused
from galaxy_jobs.adapters.galaxy.declarations import Stored
from galaxy_jobs.domain.errors import WorkflowAmbiguous, WorkflowNotFound
from galaxy_jobs.domain.model.values import WorkflowId
from galaxy_jobs.domain.model.workflow import ListedWorkflow


NAMES_TTL = 60.0
"""Seconds for which the list is cached."""


class Names:
    """The workflows that the key can see, by name; listed by one thread at a time."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read_at = -float("inf")
        self._all: Sequence[ListedWorkflow] = ()

    def stored(self, name: str) -> Stored:
        """Return the one workflow of exactly that name, as of now.

        Hidden ones count only if no other has that name.

        Raises:
            WorkflowNotFound: There is none.
            WorkflowAmbiguous: There are several.
        """
        search = {}
        # Galaxy's search has no escape for quotes, and strips blanks.
        if name == name.strip() and name.isprintable() and not set(name) & set("'\""):
            search["search"] = f"name:'{name}'"
        found = [Stored.read(row) for row in self._read(**search) if _name(row) == name]
        if not found:
            hidden = self._read(show_hidden="true", **search)
            found = [Stored.read(row) for row in hidden if _name(row) == name]
        if len(found) > 1:
            ids = [stored.id for stored in found]
            raise WorkflowAmbiguous(name, ids, [stored.facts for stored in found])
        if not found:
            raise WorkflowNotFound(name)
        return found[0]

    def stored_by_id(self, workflow_id: WorkflowId) -> Stored | None:
        """Return the workflow of that id, as of now; None where none is listed."""
        rows = self._read(show_published="true")
        found = map(Stored.read, rows)
        return next((stored for stored in found if stored.id == workflow_id), None)

    def all(self) -> Sequence[ListedWorkflow]:
        """Return all of them, sorted by name; at most :data:`NAMES_TTL` old."""
        with self._lock:
            began = self._monotonic()
            if self._read_at < began - NAMES_TTL:
                with self._client.domain_errors(Refused.unexpected):
                    found = [translate.listed_workflow(row) for row in self._read()]
                self._all = sorted(found, key=lambda workflow: workflow.name)
                self._read_at = began
            return self._all

    def _read(self, **search: str) -> Iterator[Mapping[str, Any]]:
        with self._client.domain_errors(Refused.unexpected):
            # Counting the steps of thousands of workflows takes Galaxy seconds.
            workflows = self._client.get("workflows", skip_step_counts="true", **search)
            for workflow in translate.objects(workflows):
                if not workflow.get("deleted"):
                    translate.part(workflow, "name", str)
                    translate.id_of(workflow)
                    yield workflow


def _name(row: Mapping[str, Any]) -> str:
    return translate.name(row["name"]) or ""

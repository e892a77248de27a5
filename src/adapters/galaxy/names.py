"""Ids of workflows by name.

Rule of the file: Galaxy lists all workflows or none, so the list is cached, and an
id taken from it is verified before it is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client, Refused
from galaxy_jobs.domain.errors import WorkflowAmbiguous, WorkflowNotFound
from galaxy_jobs.domain.model.values import WorkflowId


NAMES_TTL = 60.0
"""Seconds for which the list is cached."""

PROBLEM_TTL = 1.0
"""Seconds for which it is cached that no workflow, or several, have a name."""


class Names:
    """The workflows that the key can see, by name; read by one thread at a time."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read_at = -float("inf")
        self._ids: Mapping[str, Sequence[WorkflowId]] = {}

    def id_of(self, name: str, since: float) -> WorkflowId:
        """Return the id of the one workflow of that name.

        Args:
            name: Exactly.
            since: The age limit of the list: read at that moment or later.

        Raises:
            WorkflowNotFound: There is none.
            WorkflowAmbiguous: There are several.
        """
        ids: Sequence[WorkflowId] = ()
        for moment in (since, self._monotonic() - PROBLEM_TTL):
            ids = self.since(moment).get(name, ())
            if len(ids) == 1:
                return ids[0]
        raise WorkflowAmbiguous(name, ids) if ids else WorkflowNotFound(name)

    def since(self, moment: float) -> Mapping[str, Sequence[WorkflowId]]:
        """Return all ids by name, read at that moment or later."""
        with self._lock:
            if self._read_at < moment:
                began = self._monotonic()
                self._ids = self._read()
                self._read_at = began
            return self._ids

    def _read(self) -> Mapping[str, Sequence[WorkflowId]]:
        ids: dict[str, list[WorkflowId]] = {}
        with self._client.domain_errors(Refused.unexpected):
            # Counting the steps of thousands of workflows takes Galaxy seconds.
            workflows = self._client.get("workflows", skip_step_counts="true")
            for workflow in translate.objects(workflows):
                if not workflow.get("deleted"):
                    name = translate.name(translate.part(workflow, "name", str))
                    id_ = WorkflowId(translate.id_of(workflow))
                    ids.setdefault(name or "", []).append(id_)
        return ids

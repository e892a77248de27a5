"""Workflows by name, and the cached list of all names.

Rule of the file: a workflow is looked up when it is to be run, so that neither a new
workflow nor a second one of the same name is missed. Only the list is cached.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client, Refused
from galaxy_jobs.adapters.galaxy.declarations import Stored
from galaxy_jobs.domain.errors import (
    RunnerUnavailable,
    WorkflowAmbiguous,
    WorkflowNotFound,
)
from galaxy_jobs.domain.model.values import WorkflowId
from galaxy_jobs.domain.model.workflow import ListedWorkflow


NAMES_TTL = 60.0
"""Seconds for which a list is cached."""

RETRY_AFTER = 5.0
"""Seconds for which a list that Galaxy did not give is not requested again."""

HIDDEN = {"show_hidden": "true"}
"""What makes Galaxy list hidden workflows, and only those."""

Listed: TypeAlias = Sequence[tuple[ListedWorkflow, Stored]]
"""Workflows as lists show them, and for the cache of declarations."""


class Names:
    """The workflows that the key can see, by name; listed by one thread at a time."""

    def __init__(self, client: Client, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._lists: dict[bool, tuple[float, Listed | RunnerUnavailable]] = {}

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
        found = [row for row in self._read(**search) if _name(row) == name]
        if not found:
            hidden = self._read(**HIDDEN, **search)
            found = [row for row in hidden if _name(row) == name]
        if len(found) > 1:
            twins = [translate.listed_workflow(row).facts for row in found]
            raise WorkflowAmbiguous(name, [twin["id"] for twin in twins], twins)
        if not found:
            raise WorkflowNotFound(name)
        return Stored.read(found[0])

    def stored_by_id(self, workflow_id: WorkflowId) -> Stored | None:
        """Return the workflow of that id, as of now; None where none is listed."""
        rows = self._read(show_published="true")
        found = map(Stored.read, rows)
        return next((stored for stored in found if stored.id == workflow_id), None)

    def all(self, *, hidden: bool = False) -> Listed:
        """Return all of them, sorted by name; at most :data:`NAMES_TTL` old.

        While Galaxy does not answer, it is asked once in :data:`RETRY_AFTER`.

        Args:
            hidden: Return the hidden ones, and only those.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        with self._lock:
            expiry, kept = self._lists.get(hidden, (-math.inf, ()))
            if expiry <= (began := self._monotonic()):
                try:
                    kept = self._listed(hidden=hidden)
                    expiry = began + NAMES_TTL
                except RunnerUnavailable as error:
                    kept = _copied(error)
                    expiry = self._monotonic() + RETRY_AFTER
                self._lists[hidden] = expiry, kept
        if isinstance(kept, RunnerUnavailable):
            raise _copied(kept)
        return kept

    def _listed(self, *, hidden: bool) -> Listed:
        with self._client.domain_errors(Refused.unexpected):
            found = [
                (translate.listed_workflow(row), Stored.read(row))
                for row in self._read(**(HIDDEN if hidden else {}))
            ]
        return sorted(found, key=lambda pair: pair[0].name)

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


def _copied(error: RunnerUnavailable) -> RunnerUnavailable:
    """Return the same error without a traceback, which would keep Galaxy's answers."""
    return RunnerUnavailable(
        str(error), retry_after=error.retry_after, lasting=error.lasting
    )

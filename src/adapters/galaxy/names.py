"""Which workflow goes by a name.

Rule of the file: Galaxy can only be asked for all workflows at once, so the list
is remembered for a while, and whatever follows from it is looked at again before
it is relied on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client, Refused
from galaxy_jobs.domain.errors import WorkflowAmbiguous, WorkflowNotFound
from galaxy_jobs.domain.model.values import WorkflowId


NAMES_KEPT = 60.0
"""Seconds for which the list is remembered."""

NAMES_DOUBTED = 1.0
"""Seconds for which it is believed that there is none of a name, or several."""


class Names:
    """The workflows that the key can see, by name; one thread at a time reads them."""

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
            since: The list must have been read at that moment or later.

        Raises:
            WorkflowNotFound: There is none.
            WorkflowAmbiguous: There are several.
        """
        ids: Sequence[WorkflowId] = ()
        for moment in (since, self._monotonic() - NAMES_DOUBTED):
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
        with self._client.asking(Refused.unexpected):
            # Counting the steps of thousands of workflows takes Galaxy seconds.
            listed = self._client.get("workflows", skip_step_counts="true")
            for one in translate.objects(listed):
                if not one.get("deleted"):
                    id_ = WorkflowId(translate.part(one, "id", str))
                    ids.setdefault(translate.part(one, "name", str), []).append(id_)
        return ids

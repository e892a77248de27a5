"""Record who did what.

Rule of the file: an entry is recorded right after the deed, by the use case that did
it, so that every way to it is covered. Not in the same transaction: most deeds are
several, or a request to Galaxy. So a deed is done even if the record cannot be
written; that is reported, with all that the entry would have held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from galaxy_jobs.domain.errors import InvalidValue, StoreUnavailable
from galaxy_jobs.domain.model.audit import Action, AuditEntry, Kind
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import AuditLog


Recorder: TypeAlias = Callable[[Viewer, Action, Kind, str], object]
"""Called after a deed: who did it, what, and the kind and the id of the object."""


def no_record(*_: object) -> None:
    """Record nothing (a :data:`Recorder`)."""


@frozen
class Record:
    """Records deeds (a :data:`Recorder`).

    Attributes:
        request_id: Returns the id of the request that is served; None: there is none.
        failed: Called with what could not be recorded, and why.
    """

    log: AuditLog
    failed: Callable[[AuditEntry, Exception], object]
    request_id: Callable[[], str | None] = lambda: None

    def __call__(
        self, viewer: Viewer, action: Action, kind: Kind, object_id: str
    ) -> None:
        """Record a deed. It has been done, so this raises no error."""
        entry = AuditEntry(
            owner=viewer.owner,
            action=action,
            kind=kind,
            object_id=object_id,
            request_id=self.request_id(),
        )
        try:
            self.log.record(entry)
        except (StoreUnavailable, InvalidValue) as error:
            self.failed(entry, error)

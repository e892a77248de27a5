"""The record of who did what."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import field, frozen

from galaxy_jobs.domain.model.values import aware


class Action(Enum):
    """Something that was done. The values are stored, shown and typed."""

    SUBMIT = "submit"
    RERUN = "rerun"
    CANCEL = "cancel"
    LABEL = "label"
    REFRESH = "refresh"
    REVIEW = "review"
    REGISTER = "register"
    RENAME = "rename"
    DELETE = "delete"
    DELETE_RESULTS = "delete-results"
    CREATE = "create"
    REVOKE = "revoke"
    ADOPT = "adopt"
    ROTATE = "rotate"
    REPLAY = "replay"
    SIGN_IN = "sign-in"


class Kind(Enum):
    """What it was done to. The values are stored and shown."""

    BATCH = "batch"
    JOB = "job"
    SUBMISSION = "submission"  #: one of which it is not known whether it runs
    DATASET = "dataset"
    SESSION = "session"
    WEBHOOK = "webhook"
    TOKEN = "token"  # noqa: S105 - the word itself


@frozen(kw_only=True)
class AuditEntry:
    """Something that was done, and by whom.

    Attributes:
        owner: Who did it: see :class:`Viewer`; None: anybody while no token is needed,
            or somebody on the machine of the service.
        action: What was done.
        kind: The kind of the object that it was done to.
        object_id: The id of that object.
        request_id: The id of the HTTP request, as in logs; None: there was none.
        at: When it was recorded, time-zone aware; None: it is not recorded yet.
    """

    owner: str | None
    action: Action
    kind: Kind
    object_id: str
    request_id: str | None = None
    at: datetime | None = field(default=None, validator=aware)

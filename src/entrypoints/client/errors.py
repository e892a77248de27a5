"""How a client command can fail, and with which exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


Problem = Mapping[str, Any]

_DATASETS = "See which there are: galaxy-jobs datasets list"
_WORKFLOWS = "See which there are: galaxy-jobs workflows list"
_DOCTOR = "Where the service runs, find out more: galaxy-jobs doctor"
_CREATE = (
    "Where the service runs, create one: galaxy-jobs token create NAME --scope submit"
)

HINTS: Mapping[str, str] = {
    "unauthenticated": f"Set GALAXY_JOBS_TOKEN. {_CREATE}",
    "forbidden": f"Set GALAXY_JOBS_TOKEN to a token that may do this. {_CREATE}",
    "job-not-found": "See which there are: galaxy-jobs list",
    "dataset-not-found": f"{_DATASETS}; register one: galaxy-jobs datasets add",
    "dataset-exists": _DATASETS,
    "workflow-not-found": _WORKFLOWS,
    "workflow-not-allowed": _WORKFLOWS,
    "workflow-ambiguous": _DOCTOR,
    "invalid-parameters": "See what it takes: galaxy-jobs workflows show WORKFLOW",
    "galaxy-refused-us": _DOCTOR,
    "galaxy-unavailable": _DOCTOR,
    "database-unavailable": _DOCTOR,
    "already-ended": "Run it again: galaxy-jobs rerun JOB",
    "output-not-found": "See its outputs: galaxy-jobs outputs JOB",
    "no-review": "See whether it waits for one: galaxy-jobs show JOB",
    "step-not-found": "See its steps: galaxy-jobs show JOB",
    "idempotency-key-reused": "Choose another --key, or leave it out.",
}
"""What to do about a problem, by its code."""


class CommandFailed(Exception):
    """A command failed; its message, and a hint at what to type, are for people."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Usage(CommandFailed):
    """The arguments do not fit the command."""

    exit_code = 2


class Unreachable(CommandFailed):
    """No answer that could be understood; `sent`: the request may have arrived."""

    exit_code = 3

    def __init__(
        self, message: str, hint: str | None = None, *, sent: bool = True
    ) -> None:
        super().__init__(message, hint)
        self.sent = sent


class Refused(CommandFailed):
    """The service answered with a problem (RFC 9457), whose type ends with `code`.

    `retry_after` is the number of seconds to wait, if it gave any.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        self.problem = problem
        self.code = str(problem.get("type", "")).rpartition(":")[2]
        self.retry_after = retry_after
        title, detail = (problem.get(name) or "" for name in ("title", "detail"))
        message = f"{title or 'Refused'}. {detail}".strip()
        super().__init__(message, HINTS.get(self.code))

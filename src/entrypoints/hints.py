"""Hints: what to type, to send or to configure after an error of the core.

The messages of the core name no command, route, header or setting, since a service
that embeds it may have none of them. This service has, and adds them here.
"""

from __future__ import annotations

from collections.abc import Mapping

from galaxy_jobs.domain import errors
from galaxy_jobs.domain.errors import DomainError


HINTS: Mapping[type[DomainError], str] = {
    errors.BadToken: "`galaxy-jobs token create` makes one.",
    errors.TokenNotFound: "`galaxy-jobs token list` lists all tokens.",
    errors.WorkflowAmbiguous: "Set the `id` of this workflow in the "
    "[[workflows]] of GALAXY_JOBS_CONFIG.",
    errors.DataMismatch: "`POST /datasets?check=false` registers it without asking "
    "Galaxy.",
    errors.DataNotChecked: "`POST /datasets?check=false` registers it without asking "
    "Galaxy.",
    errors.KeyInProgress: "See `GET /submissions/{submission_id}`.",
    errors.OutcomeUnknown: "See `GET /submissions/{submission_id}`.",
}
"""The hint for each error that has one, with the members of its `extra` in braces."""


def explain(error: DomainError) -> str:
    """Return the message of an error, and the hint for it if there is one."""
    known = error.extra()
    hint = HINTS.get(type(error), "")
    if "{submission_id}" in hint and "submission_id" not in known:
        hint = ""
    return f"{error} {hint.format(**known)}".rstrip()

"""``galaxy-jobs audit``: who did what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from galaxy_jobs.domain.model.audit import Action
from galaxy_jobs.entrypoints import settings
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import opened, prepare_database


def audit(
    *,
    owner: str | None = None,
    # Cyclopts fails to show that there is no default.
    action: Annotated[Action | None, Parameter(show_default=False)] = None,
    since: datetime | None = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))] = 100,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """List who did what, newest first.

    Args:
        owner: Only what this one did: the name of a token.
        action: Only this.
        since: Only what was done at this time or later, such as 2026-11-01, or
            2026-11-01T12:00:00; in UTC, unless it says another zone.
        limit: The most to list.
        as_json: Print JSON instead.
    """
    if since is not None and since.utcoffset() is None:
        since = since.replace(tzinfo=UTC)
    with opened(settings.load()) as container:
        prepare_database(container)
        entries = container.audit_log().entries(
            owner=owner, action=action, since=since, limit=limit
        )
    items = [
        {
            "at": entry.at and f"{entry.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "owner": entry.owner,
            "action": entry.action.value,
            "object_kind": entry.kind.value,
            "object_id": entry.object_id,
            "request_id": entry.request_id,
        }
        for entry in entries
    ]
    if as_json:
        output.document(items)
    elif items:
        output.show(_table(items))
    else:
        output.line("Nothing is recorded.")
    return 0


_table = output.listing(
    {
        "at": "at",
        "owner": lambda item: item["owner"] or "-",
        "action": lambda item: f"{item['action']} {item['object_kind']}",
        "object": "object_id",
        "request": lambda item: item["request_id"] or "-",
    },
    cut="owner object request",
)

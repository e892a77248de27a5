"""How much of Galaxy's disk our user has, and how much of it is in our histories."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client


HISTORIES_LIMIT = 100
"""Histories whose sizes are added up: Galaxy computes each."""

_MARK = "galaxy-jobs "
"""In the name of every history of ours."""


@frozen(kw_only=True)
class DiskUsage:
    """What our user has on Galaxy's disk, in bytes.

    Attributes:
        used: All of it; None: not known.
        quota: What it may have; None: there is no limit, or it is not known.
        ours: In the newest histories of ours that were counted.
        histories: The number of these.
        all_counted: Whether these are all.
    """

    used: int | None
    quota: int | None
    ours: int
    histories: int
    all_counted: bool


def disk_usage(client: Client) -> DiskUsage:
    """Return what our user has, by two requests.

    Raises:
        Refused, Unreadable: Galaxy does not show it.
    """
    user = client.get("users/current")
    histories = translate.objects(
        client.get(
            "histories",
            q=["name-contains", "deleted"],
            qv=[_MARK, "None"],
            keys="id,size",
            order="create_time-dsc",
            limit=HISTORIES_LIMIT,
        )
    )
    return DiskUsage(
        used=_bytes(user, "total_disk_usage"),
        quota=_bytes(user, "quota_bytes") or None,
        ours=sum(_bytes(history, "size") or 0 for history in histories),
        histories=len(histories),
        all_counted=len(histories) < HISTORIES_LIMIT,
    )


def _bytes(shown: Any, key: str) -> int | None:
    value: Any = shown.get(key) if isinstance(shown, dict) else None
    try:
        count = int(value)  # a text, too, in some releases
    except (TypeError, ValueError, OverflowError):
        return None
    return count if count >= 0 else None

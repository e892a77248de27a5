"""Purging, which some Galaxies do not allow their users (``allow_user_dataset_purge``).

Rule of the file: what may not be purged is deleted alone, and that counts as done.
"""

from __future__ import annotations

from galaxy_jobs.adapters.galaxy.client import Client, Refused


NOT_ALLOWED = 403004
"""Galaxy's code for what its configuration does not allow."""

_SETTING = "allow_user_dataset_purge"


def is_allowed(client: Client) -> bool:
    """Return whether users may purge; True where Galaxy does not show it."""
    try:
        shown = client.get("configuration", keys=_SETTING)
    except Refused:
        return True
    return not isinstance(shown, dict) or shown.get(_SETTING) is not False


def delete_history(client: Client, history_id: str, *, purge: bool) -> None:
    """Delete a history; with *purge* also its data, where users may do that.

    Raises:
        Refused: Galaxy does not delete it.
    """
    try:
        client.histories.delete_history(history_id, purge=purge)
    except Refused as refusal:
        if not purge or refusal.code != NOT_ALLOWED:
            raise
        client.histories.delete_history(history_id, purge=False)

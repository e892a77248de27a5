"""Who may read the data that our user makes.

Galaxy gives the data of a history the permissions that were its owner's default when
the history was made. A key can change that default, but not those of one history.
"""

from __future__ import annotations

from typing import Any

from galaxy_jobs.adapters.galaxy import translate
from galaxy_jobs.adapters.galaxy.client import Client, NoAnswer


ACCESS = "DATASET_ACCESS"
"""The permission to read: of all users who have its roles; without any, of everyone."""

MANAGE = "DATASET_MANAGE_PERMISSIONS"


def is_private(client: Client) -> bool:
    """Whether only our user may read the data of histories that are made from now on.

    Raises:
        Refused: Galaxy does not show it.
    """
    _, own, roles = _permissions(client)
    return own in roles[ACCESS]


def make_private(client: Client) -> None:
    """Let only our user read the data of histories that are made from now on.

    Raises:
        NoAnswer: It could not be had.
        Refused: Galaxy declines.
    """
    path, own, roles = _permissions(client)
    if own in roles[ACCESS]:
        return
    wanted = {name: sorted({*roles[name], own}) for name in (ACCESS, MANAGE)}
    client.make_put_request(f"{client.url}/{path}", wanted)
    if not is_private(client):
        raise NoAnswer("Galaxy did not make the data of our user private.")


def _permissions(client: Client) -> tuple[str, int, dict[str, list[int]]]:
    """Return the path of the defaults, our user's own role, and the roles of each."""
    user = client.get("users/current")
    path = f"users/{translate.id_of(user)}/permissions/inputs"
    inputs: list[dict[str, Any]] = client.get(path)["inputs"]
    roles = {item["name"]: list(item["value"]) for item in inputs}
    own = next(
        role
        for item in inputs
        if item["name"] == ACCESS
        for name, role in item["options"]
        # The role that is a user's own has their address for its name.
        if name == user["email"]
    )
    return path, own, roles

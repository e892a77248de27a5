"""Owners, and the objects that each of them sees.

Rule of the file: every query that serves a caller takes a :class:`Viewer`, and asks it
alone. What a viewer does not see does not exist for them.

The ids of datasets are unique in the store. For a viewer who sees their own objects
only, each id stands in a namespace of its owner: their ``reads-1`` is stored as
``lab-a::reads-1``, and another owner may have a ``reads-1``, too. So nothing that goes
by the id of a dataset, such as a lock or a list, can concern two owners.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import Enum
from urllib.parse import quote

from attrs import frozen

from galaxy_jobs.domain.model.values import DatasetId, Json, Parameters


ME = "me"
"""The name by which a viewer calls themselves where an owner is asked for."""

NAMESPACE_LENGTH = 62
"""The most characters of the namespace of an owner."""


def namespace(owner: str) -> str:
    """Return what the ids of an owner's datasets begin with in the store.

    It is the owner, or its beginning and a digest if that is long, and two colons. It
    has no quotation mark, no backslash and ASCII alone, and no two owners share it.
    """
    text = quote(owner, safe=" /|@").replace("~", "%7E")
    if len(text) > NAMESPACE_LENGTH - 2:
        digest = hashlib.sha256(owner.encode()).hexdigest()[:20]
        text = f"{text[: NAMESPACE_LENGTH - 23]}~{digest}"
    return f"{text}::"


class Sees(Enum):
    """Whose objects a token sees. The values are shown and typed."""

    OWN = "own"  #: those that it made
    ALL = "all"  #: those of all owners, and those without an owner


@frozen
class Viewer:
    """Someone who asks, and the objects that they see.

    Attributes:
        owner: Is recorded with what they make, and names what is theirs; None: they
            own nothing.
        sees_all: Whether they see the objects of all owners, and those without one.
    """

    owner: str | None
    sees_all: bool

    @property
    def only(self) -> str | None:
        """The owner whose objects alone they see; None: they see all.

        Someone who sees their own and owns nothing gets ``""``, which no owner is
        called.
        """
        return None if self.sees_all else self.owner or ""

    def owner_called(self, name: str | None) -> str | None:
        """Return the owner that they mean: :data:`ME` is themselves.

        ``""``, which no owner is called, where they own nothing.
        """
        return self.owner or "" if name == ME else name

    def may_run(self, owners: frozenset[str]) -> bool:
        """Return whether they may run what is limited to some owners; none: to all."""
        return not owners or self == SERVICE or self.owner in owners

    def stored_ids(self, dataset_id: DatasetId) -> tuple[DatasetId, ...]:
        """Return the ids in the store of what they call *dataset_id*, best first.

        The first is that of a dataset that they register. Whatever has another one of
        these ids is theirs only if they are its owner.
        """
        if self.sees_all:
            return (dataset_id,)
        return (DatasetId(self._namespace + dataset_id), dataset_id)

    def id_of(self, stored_id: DatasetId) -> DatasetId:
        """Return what they call a dataset of theirs."""
        if self.sees_all:
            return stored_id
        return DatasetId(stored_id.removeprefix(self._namespace))

    def shown(self, parameters: Parameters) -> Parameters:
        """Return stored parameters with the ids of datasets as they call them."""
        if self.sees_all:
            return parameters
        return {name: self._shown(value) for name, value in parameters.items()}

    def _shown(self, value: Json) -> Json:
        match value:
            case {"dataset_id": str(id_)} if isinstance(value, Mapping):
                return {**value, "dataset_id": self.id_of(DatasetId(id_))}
            case _:
                return value

    @property
    def _namespace(self) -> str:
        return namespace(self.owner or "")

    def sees(self, owner: str | None) -> bool:
        """Return whether they see an object of an owner; None: it has no owner."""
        return self.sees_all or (owner is not None and owner == self.owner)


SERVICE = Viewer(owner=None, sees_all=True)
"""The service itself: its pollers, and a program that embeds it. Also the viewer of
every request while no token is needed. It sees all, and owns nothing."""

"""Owners, and the objects that each of them sees.

Rule of the file: every query that serves a caller takes a :class:`Viewer`, and asks it
alone. What a viewer does not see does not exist for them.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen


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

    def sees(self, owner: str | None) -> bool:
        """Return whether they see an object of an owner; None: it has no owner."""
        return self.sees_all or (owner is not None and owner == self.owner)


SERVICE = Viewer(owner=None, sees_all=True)
"""The service itself: its pollers, and a program that embeds it. Also the viewer of
every request while no token is needed. It sees all, and owns nothing."""

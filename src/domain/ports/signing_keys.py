"""The port to the keys that addresses are signed with."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from galaxy_jobs.domain.model.signing import SigningKey


class SigningKeys(Protocol):
    """The key that all processes share where none is configured."""

    @abstractmethod
    def ensure(self, key: SigningKey) -> SigningKey:
        """Return the key that is stored; *key* is stored if there is none.

        Of several callers at once all get the same one.
        """

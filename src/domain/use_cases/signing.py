"""The signer of the service."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from attrs import define, field

from galaxy_jobs.domain.model.signing import SECRET_LENGTH, Signer, SigningKey
from galaxy_jobs.domain.ports import SigningKeys


@define
class LoadSigner:
    """Returns what signs addresses; the stored key is read once.

    Attributes:
        stored: Holds the key that is used where none is configured.
        configured: Keys to use instead: the first one signs, the others only verify.
    """

    stored: SigningKeys
    configured: Sequence[SigningKey] = ()
    new_secret: Callable[[int], bytes] = secrets.token_bytes
    _signer: Signer | None = field(default=None, init=False)

    def __call__(self) -> Signer:
        """Return the signer.

        Raises:
            StoreUnavailable: The stored key could not be read.
        """
        if self._signer is None:
            keys = self.configured or [
                self.stored.ensure(SigningKey(self.new_secret(SECRET_LENGTH)))
            ]
            self._signer = Signer(keys)
        return self._signer

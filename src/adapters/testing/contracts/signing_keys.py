"""The contract of :class:`SigningKeys`."""

from __future__ import annotations

import pytest

from galaxy_jobs.adapters.testing.contracts.repositories import (
    CROWD,
    Repositories,
    at_once,
)
from galaxy_jobs.domain.model.signing import SigningKey


class SigningKeysContract:
    """What :class:`SigningKeys` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    def test_the_first_key_is_kept(self, repositories: Repositories) -> None:
        first = SigningKey(bytes(range(32)))
        assert repositories.signing_keys.ensure(first) == first
        other = SigningKey(b"\xff" * 40)
        assert repositories.signing_keys.ensure(other) == first

    def test_of_several_at_once_all_get_the_same(
        self, repositories: Repositories
    ) -> None:
        keys = at_once(
            *(
                lambda n=n: repositories.signing_keys.ensure(
                    SigningKey(bytes([n]) * 32)
                )
                for n in range(CROWD)
            )
        )
        assert len(set(keys)) == 1
        assert isinstance(keys[0], SigningKey)

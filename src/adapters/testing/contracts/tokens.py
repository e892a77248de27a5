"""The contract of :class:`TokenRepository`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from galaxy_jobs.adapters.testing.contracts.repositories import (
    CROWD,
    DAY,
    HOUR,
    LATER,
    MINUTE,
    NOON,
    Repositories,
    about,
    at_once,
)
from galaxy_jobs.domain.errors import InvalidValue, TokenExists, TokenNotFound
from galaxy_jobs.domain.model.token import Scope, Token, TokenId
from galaxy_jobs.domain.model.viewer import Sees


NAME = "Ü日本 👩 '\"\\ %s :x"


def a_token(
    token_id: str = "t1",  # noqa: S107 - an id is no secret
    name: str = "web",
    scope: Scope = Scope.READ,
    sees: Sees = Sees.ALL,
) -> Token:
    """Return a token that is not stored."""
    return Token(
        token_id=TokenId(token_id),
        name=name,
        scope=scope,
        sees=sees,
        digest=f"digest of {token_id}",
        created_at=NOON,
    )


class TokenRepositoryContract:
    """What a :class:`TokenRepository` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    @pytest.mark.parametrize("sees", list(Sees))
    @pytest.mark.parametrize("scope", list(Scope))
    def test_returns_what_was_added(
        self, repositories: Repositories, scope: Scope, sees: Sees
    ) -> None:
        token = a_token("t1", NAME, scope, sees)
        assert repositories.tokens.add(token, None) == token
        assert repositories.tokens.in_force([token.token_id]) == {"t1": token}
        assert list(repositories.tokens.all()) == [token]

    def test_lists_the_newest_first(self, repositories: Repositories) -> None:
        for n in (2, 0, 1):
            token = a_token(f"t{n}", f"n{n}")
            repositories.tokens.add(token, None)
        assert [token.token_id for token in repositories.tokens.all()] == [
            "t2",
            "t1",
            "t0",
        ]

    def test_one_expires_when_its_time_is_over(
        self, repositories: Repositories
    ) -> None:
        stored = repositories.tokens.add(a_token(), HOUR)
        assert stored.expires_at is not None
        repositories.tokens.add(a_token("t2", "other"), DAY)
        repositories.pass_time(HOUR - MINUTE)
        assert repositories.tokens.in_force([stored.token_id])
        repositories.pass_time(MINUTE)
        assert not repositories.tokens.in_force([stored.token_id])
        assert repositories.tokens.in_force([TokenId("t2")])
        assert len(repositories.tokens.all()) == 2  # noqa: PLR2004 - both

    def test_two_that_expire_do_so_apart(self, repositories: Repositories) -> None:
        first = repositories.tokens.add(a_token(), HOUR).expires_at
        second = repositories.tokens.add(a_token("t2", "other"), DAY).expires_at
        assert first is not None
        assert second is not None
        assert about(DAY - HOUR, second - first)

    def test_a_revoked_one_is_no_good_and_stays_known(
        self, repositories: Repositories
    ) -> None:
        token = repositories.tokens.add(a_token(), None)
        revoked = repositories.tokens.revoke(token.token_id, LATER)
        assert revoked.revoked_at == LATER
        other = repositories.tokens.add(a_token("t2", "other"), None)
        ids = [token.token_id, other.token_id, TokenId("none")]
        assert repositories.tokens.in_force(ids) == {"t2": other}
        assert set(repositories.tokens.all()) == {revoked, other}
        again = repositories.tokens.revoke(token.token_id, LATER + DAY)
        assert again.revoked_at == LATER

    def test_a_revoked_one_gives_its_name_free(
        self, repositories: Repositories
    ) -> None:
        repositories.tokens.add(a_token(), None)
        with pytest.raises(TokenExists, match="'web'"):
            repositories.tokens.add(a_token("t2"), None)
        assert not repositories.tokens.in_force([TokenId("t2")])
        repositories.tokens.revoke(TokenId("t1"), LATER)
        repositories.tokens.add(a_token("t2"), None)
        assert repositories.tokens.in_force([TokenId("t2")])

    def test_an_expired_one_keeps_its_name(self, repositories: Repositories) -> None:
        repositories.tokens.add(a_token(), HOUR)
        repositories.pass_time(DAY)
        with pytest.raises(TokenExists):
            repositories.tokens.add(a_token("t2"), None)

    @pytest.mark.parametrize("name", ["none", "", "a\0b", "\ud800", "web"])
    def test_misses_by_id(self, repositories: Repositories, name: str) -> None:
        repositories.tokens.add(a_token(), None)
        assert not repositories.tokens.in_force([TokenId(name)])
        with pytest.raises(TokenNotFound):
            repositories.tokens.revoke(TokenId(name), LATER)

    def test_refuses_a_name_that_nobody_could_type(self) -> None:
        for name in ("", "a\0b", "\ud800", "a\nb", "x" * 101):
            with pytest.raises(InvalidValue, match="name"):
                a_token(name=name)

    def test_whether_one_was_ever_made(self, repositories: Repositories) -> None:
        assert repositories.tokens.ever_made() is False
        token = repositories.tokens.add(a_token(), timedelta(seconds=1))
        assert repositories.tokens.ever_made() is True
        repositories.tokens.revoke(token.token_id, LATER)
        repositories.pass_time(DAY)
        assert repositories.tokens.ever_made() is True

    def test_of_several_with_one_name_at_once_one_is_made(
        self, repositories: Repositories
    ) -> None:
        answers = at_once(
            *(
                lambda n=n: repositories.tokens.add(a_token(f"t{n}"), None)
                for n in range(CROWD)
            )
        )
        assert sum(isinstance(answer, Token) for answer in answers) == 1
        assert sum(isinstance(answer, TokenExists) for answer in answers) == CROWD - 1
        assert len(repositories.tokens.all()) == 1

"""The contract of :class:`SessionRepository`."""

from __future__ import annotations

import pytest

from galaxy_jobs.adapters.testing.contracts.repositories import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    UNICODE,
    Repositories,
)
from galaxy_jobs.domain.model.token import Scope, TokenId
from galaxy_jobs.domain.model.user import Session, User
from galaxy_jobs.domain.model.viewer import Sees


def a_session(
    session_id: str = "s1", scope: Scope = Scope.READ, sees: Sees = Sees.OWN
) -> Session:
    """Return a session that is not stored."""
    user = User(
        owner="https://login.example.org|7",
        name=UNICODE,
        scope=scope,
        sees=sees,
        expires_at=NOON,
    )
    return Session(
        session_id=TokenId(session_id), digest=f"digest of {session_id}", user=user
    )


class SessionRepositoryContract:
    """What a :class:`SessionRepository` must do."""

    @pytest.fixture
    def repositories(self) -> Repositories:
        """Return the adapters; to be supplied."""
        raise NotImplementedError

    @pytest.mark.parametrize("sees", list(Sees))
    @pytest.mark.parametrize("scope", list(Scope))
    def test_returns_what_was_added(
        self, repositories: Repositories, scope: Scope, sees: Sees
    ) -> None:
        sessions = repositories.sessions
        added = sessions.add(a_session("s1", scope, sees), HOUR)
        assert sessions.in_force([TokenId("s1"), TokenId("s2")]) == {"s1": added}
        assert added.digest == "digest of s1"
        user = added.user
        assert (user.owner, user.name) == ("https://login.example.org|7", UNICODE)
        assert (user.scope, user.sees, user.session_id) == (scope, sees, "s1")

    def test_one_expires_when_its_time_is_over(
        self, repositories: Repositories
    ) -> None:
        sessions, ids = repositories.sessions, [TokenId("s1"), TokenId("s2")]
        first = sessions.add(a_session(), HOUR)
        other = sessions.add(a_session("s2"), DAY)
        apart = other.user.expires_at - first.user.expires_at
        assert abs(apart - (DAY - HOUR)) < MINUTE
        repositories.pass_time(HOUR - MINUTE)
        assert sessions.in_force(ids).keys() == {"s1", "s2"}
        repositories.pass_time(MINUTE)
        assert sessions.in_force(ids).keys() == {"s2"}

    def test_a_new_one_removes_those_that_have_expired(
        self, repositories: Repositories
    ) -> None:
        sessions = repositories.sessions
        for name in ("s1", "s2"):
            sessions.add(a_session(name), HOUR)
            repositories.pass_time(DAY)
        # Their ids can be used again.
        for name in ("s3", "s1"):
            sessions.add(a_session(name), HOUR)
        ids = [TokenId(f"s{number}") for number in range(5)]
        assert sessions.in_force(ids).keys() == {"s1", "s3"}

    @pytest.mark.parametrize("name", ["s2", "", "a\0b", "\ud800"])
    def test_removes_one_and_no_other(
        self, repositories: Repositories, name: str
    ) -> None:
        sessions, id_ = repositories.sessions, TokenId("s1")
        sessions.add(a_session(), HOUR)
        sessions.remove(TokenId(name))
        assert not sessions.in_force([TokenId(name)])
        assert sessions.in_force([id_])
        for _ in range(2):
            sessions.remove(id_)
            assert not sessions.in_force([id_])

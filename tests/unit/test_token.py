"""Tokens: their text, what is kept of it, and the use cases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.adapters.testing.memory import ManualClock, MemoryStore, MemoryTokens
from galaxy_jobs.domain.errors import BadToken, InvalidValue, TokenExists, TokenNotFound
from galaxy_jobs.domain.model.token import ENTROPY, Scope, digest_of, id_in, text_of
from galaxy_jobs.domain.model.viewer import SERVICE, Sees, Viewer
from galaxy_jobs.domain.use_cases import (
    CreateToken,
    ListTokens,
    RevokeToken,
)
from tests.support.api import authenticate


DAY = timedelta(days=1)


class World:
    """The use cases, over a store in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.tokens = MemoryTokens(MemoryStore(self.clock))
        self.create = CreateToken(self.tokens, self.clock)
        self.list = ListTokens(self.tokens)
        self.revoke = RevokeToken(self.tokens, self.clock)
        self.authenticate = authenticate(self.tokens, clock=self.clock)


@pytest.fixture
def world() -> World:
    return World()


@given(entropy=st.binary(min_size=ENTROPY, max_size=ENTROPY))
def test_a_text_carries_its_id_and_nothing_else_is_one(entropy: bytes) -> None:
    text = text_of(entropy)
    assert text.startswith("gjt_")
    assert id_in(text) == entropy[:8].hex()
    for other in (text[:-1], text + "=", text.upper(), f" {text}", text + "\n"):
        assert id_in(other) is None


@given(text=st.text())
def test_any_other_text_is_none(text: str) -> None:
    assert id_in(text) is None


def test_who_reads_the_secret_of_another_token_is_still_nobody(world: World) -> None:
    first, other = (world.create(name, Scope.READ).text for name in "ab")
    mixed = first[:20] + other[20:]
    assert id_in(mixed) == id_in(first)
    with pytest.raises(BadToken):
        world.authenticate(mixed)


def test_two_tokens_have_nothing_in_common(world: World) -> None:
    texts = [world.create(f"n{n}", Scope.READ).text for n in range(50)]
    assert len({text[4:20] for text in texts}) == len({text[21:] for text in texts})
    assert len(set(texts)) == 50


def test_the_text_is_not_kept_and_does_not_show(world: World) -> None:
    made = world.create("web", Scope.READ)
    (kept,) = world.list()
    secret = made.text[21:]
    assert secret not in repr(made)
    assert secret not in repr(evolve(kept, digest=""))
    assert kept.digest == digest_of(made.text)
    assert kept.digest not in repr(kept)


def test_a_token_is_known_by_its_text_until_it_is_revoked(world: World) -> None:
    made = world.create("web", Scope.SUBMIT)
    assert world.authenticate(made.text) == made.token
    world.revoke("web")
    with pytest.raises(BadToken):
        world.authenticate(made.text)


def test_a_token_is_no_good_when_its_life_is_over(world: World) -> None:
    made = world.create("web", Scope.SUBMIT, 30 * DAY)
    assert made.token.expires_at == world.clock() + 30 * DAY
    world.clock.advance(30 * DAY - timedelta(microseconds=1))
    world.authenticate(made.text)
    world.clock.advance(timedelta(microseconds=1))
    with pytest.raises(BadToken):
        world.authenticate(made.text)


def test_why_a_token_is_bad_is_not_told(world: World) -> None:
    revoked = world.create("a", Scope.READ).text
    world.revoke("a")
    expired = world.create("b", Scope.READ, DAY).text
    world.clock.advance(DAY)
    messages = set()
    for text in (revoked, expired, text_of(bytes(ENTROPY)), "", "gjt_", "é"):
        with pytest.raises(BadToken) as caught:
            world.authenticate(text)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_token_is_revoked_by_name_or_id_once(world: World) -> None:
    first = world.create("web", Scope.READ).token
    world.clock.advance(DAY)
    at = world.revoke("web").revoked_at
    assert at == world.clock()
    world.clock.advance(DAY)
    assert world.revoke(first.token_id).revoked_at == at
    with pytest.raises(TokenNotFound, match="'web'"):
        world.revoke("web")


def test_a_name_is_free_again_when_its_token_is_revoked(world: World) -> None:
    world.create("web", Scope.READ)
    with pytest.raises(TokenExists, match="'web'"):
        world.create("web", Scope.SUBMIT)
    world.revoke("web")
    second = world.create("web", Scope.SUBMIT)
    assert world.revoke("web").token_id == second.token.token_id


@pytest.mark.parametrize(
    ("name", "days"),
    [("", 1), ("x" * 101, 1), ("a\nb", 1), ("a", 0), ("a", -1), ("a", 36_501)],
)
def test_what_can_never_be_a_token_is_not_made(
    world: World, name: str, days: int
) -> None:
    with pytest.raises(InvalidValue, match="expected"):
        world.create(name, Scope.READ, days * DAY)
    assert not world.authenticate.needed()


def test_tokens_are_needed_from_the_first_one_on_for_ever(world: World) -> None:
    assert not world.authenticate.needed()
    world.create("web", Scope.READ, DAY)
    world.revoke("web")
    world.clock.advance(2 * DAY)
    assert world.authenticate.needed()


def test_each_scope_includes_those_before_it() -> None:
    included = {
        scope: {needed for needed in Scope if scope.includes(needed)} for scope in Scope
    }
    assert included == {
        Scope.READ: {Scope.READ},
        Scope.SUBMIT: {Scope.READ, Scope.SUBMIT},
        Scope.ADMIN: set(Scope),
    }


def test_a_token_sees_all_unless_it_is_made_to_see_its_own(world: World) -> None:
    own = world.create("lab-a", Scope.SUBMIT, sees=Sees.OWN).token
    assert own.viewer == Viewer(owner="lab-a", sees_all=False)
    for token in (
        world.create("portal", Scope.READ).token,
        world.create("operator", Scope.ADMIN).token,
    ):
        assert token.viewer == Viewer(owner=token.name, sees_all=True)
    # As an identity provider may have it.
    assert evolve(own, scope=Scope.ADMIN).viewer.sees_all
    with pytest.raises(InvalidValue, match="sees all"):
        world.create("other", Scope.ADMIN, sees=Sees.OWN)


def test_a_viewer_sees_their_own_or_all() -> None:
    own, other = (Viewer(owner=name, sees_all=False) for name in ("a", "b"))
    everyone = Viewer(owner="a", sees_all=True)
    nobody = Viewer(owner=None, sees_all=False)
    seen = {
        viewer: [viewer.sees(owner) for owner in ("a", "b", "", None)]
        for viewer in (own, other, everyone, nobody, SERVICE)
    }
    assert seen == {
        own: [True, False, False, False],
        other: [False, True, False, False],
        everyone: [True] * 4,
        nobody: [False] * 4,
        SERVICE: [True] * 4,
    }
    assert [viewer.only for viewer in seen] == ["a", "b", None, "", None]

"""Limits and CORS: how often one may ask, how much at once, and from which pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from galaxy_jobs.adapters.testing.memory import MemoryStore, MemoryTokens
from galaxy_jobs.domain.ports import Page
from galaxy_jobs.entrypoints.api.limits import Rate, StreamSlots, network_of
from galaxy_jobs.entrypoints.api.problems import Refused
from galaxy_jobs.entrypoints.settings import HttpTable
from tests.support.api import StandIn, a_token, an_api, bearer, code_of


APP = "https://app.example.org"
EMPTY: Page[str] = Page((), None)


@define
class Watch:
    """A clock that is moved by hand."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def allowed(rate: Rate, caller: str = "a") -> bool:
    try:
        rate.take(caller)
    except Refused:
        return False
    return True


def test_so_many_may_come_at_once_and_then_so_many_a_second() -> None:
    watch = Watch()
    rate = Rate(2, 5, watch)
    assert [allowed(rate) for _ in range(7)] == [True] * 5 + [False] * 2
    watch.now += 0.49
    assert not allowed(rate)
    watch.now += 0.02
    assert allowed(rate)
    assert not allowed(rate)
    watch.now += 100
    assert sum(allowed(rate) for _ in range(50)) == 5


def test_each_has_his_own() -> None:
    rate = Rate(1, 1, Watch())
    assert [allowed(rate, one) for one in "aabb"] == [True, False, True, False]


def test_who_is_refused_is_told_when_to_come_back() -> None:
    watch = Watch()
    rate = Rate(0.1, 1, watch)
    rate.take("a")
    with pytest.raises(Refused) as caught:
        rate.take("a")
    assert caught.value.code == "too-many-requests"
    assert caught.value.headers == {"Retry-After": "10"}
    watch.now += 10
    rate.take("a")


@given(
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=200),
    per_second=st.floats(0.5, 50),
    burst=st.integers(1, 20),
)
def test_nobody_ever_gets_more_than_his_share(
    gaps: list[float], per_second: float, burst: int
) -> None:
    watch = Watch()
    rate = Rate(per_second, burst, watch)
    taken: list[float] = []
    for gap in gaps:
        watch.now += gap
        if allowed(rate):
            taken.append(watch.now)
    for first, began in enumerate(taken):
        for last in range(first, len(taken)):
            share = burst + per_second * (taken[last] - began)
            assert last - first + 1 <= share + 1e-6


def test_only_so_many_callers_are_remembered() -> None:
    rate = Rate(1, 1, Watch(), max_callers=3)
    for one in "abcd":
        rate.take(one)
    assert allowed(rate, "a")
    assert not allowed(rate, "d")


def test_places_are_given_and_given_back() -> None:
    slots = StreamSlots(total=3, per_caller=2)
    with ExitStack() as held:
        held.enter_context(slots.hold("a"))
        held.enter_context(slots.hold("a"))
        with pytest.raises(Refused, match="You have 2"), slots.hold("a"):
            pass
        held.enter_context(slots.hold("b"))
        with pytest.raises(Refused, match="All 3") as caught, slots.hold("c"):
            pass
        assert caught.value.headers == {"Retry-After": "5"}
    with slots.hold("a"), slots.hold("a"), slots.hold("c"):
        pass


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_neighbours_in_one_network_are_one_caller(host: str, network: str) -> None:
    assert network_of(host) == network


def few(burst: int) -> HttpTable:
    return HttpTable(rate=0.001, burst=burst)


def test_without_tokens_an_address_is_limited() -> None:
    with an_api(http=few(2), list_workflows=StandIn(EMPTY)) as api:
        answers = [api.get("/workflows") for _ in range(3)]
        assert [one.status_code for one in answers] == [200, 200, 429]
        assert code_of(answers[2]) == "too-many-requests"
        assert int(answers[2].headers["retry-after"]) >= 900
        assert api.get("/health/live").status_code == 200


def test_with_tokens_each_of_them_is() -> None:
    tokens = MemoryTokens(MemoryStore())
    one, other = (bearer(a_token(tokens, name)) for name in ("one", "other"))
    with an_api(http=few(3), tokens=tokens, list_workflows=StandIn(EMPTY)) as api:
        statuses = [api.get("/workflows", headers=one).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert api.get("/workflows", headers=other).status_code == 200


def test_guessing_is_limited_and_harms_nobody_who_knows() -> None:
    tokens = MemoryTokens(MemoryStore())
    known = bearer(a_token(tokens))
    with an_api(http=few(3), tokens=tokens, list_workflows=StandIn(EMPTY)) as api:
        assert api.get("/workflows", headers=known).status_code == 200
        guesses = [api.get("/workflows", headers=bearer(f"x{n}")) for n in range(4)]
        # The first request above was a guess, too, for all that was known then.
        assert [one.status_code for one in guesses] == [401, 401, 429, 429]
        assert api.get("/sign-in").status_code == 429
        assert api.get("/workflows", headers=known).status_code == 200
        assert api.get("/health/live").status_code == 200


# --- CORS -----------------------------------------------------------------------


@pytest.fixture
def door() -> Iterator[tuple[TestClient[Litestar], dict[str, str]]]:
    tokens = MemoryTokens(MemoryStore())
    text = a_token(tokens)
    with an_api(
        http=HttpTable(allow_origins=[APP]),
        tokens=tokens,
        list_workflows=StandIn(EMPTY),
    ) as api:
        yield api, bearer(text)


def preflight(api: TestClient[Litestar], origin: str) -> tuple[int, str | None]:
    answer = api.options(
        "/jobs",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        },
    )
    return answer.status_code, answer.headers.get("access-control-allow-origin")


def test_a_page_that_may_ask_is_told_so_without_a_token(
    door: tuple[TestClient[Litestar], dict[str, str]],
) -> None:
    assert preflight(door[0], APP) == (204, APP)
    for other in ("https://other.example", "https://app.example.org.evil.example"):
        assert preflight(door[0], other)[1] is None


def test_it_can_read_what_it_is_answered_refusals_too(
    door: tuple[TestClient[Litestar], dict[str, str]],
) -> None:
    api, known = door
    for headers, status in ((known, 200), ({}, 401)):
        answer = api.get("/workflows", headers={**headers, "Origin": APP})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["vary"] == "Origin"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


def test_another_page_is_answered_and_cannot_read_it(
    door: tuple[TestClient[Litestar], dict[str, str]],
) -> None:
    api, known = door
    answer = api.get("/workflows", headers={**known, "Origin": "https://evil.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_without_tokens_only_origins_named_may_ask() -> None:
    for origins, expected in (([APP], 200), (["*"], 403), ([], 403)):
        http = HttpTable(allow_origins=origins)
        with an_api(http=http, list_workflows=StandIn(EMPTY)) as api:
            answer = api.get("/workflows", headers={"Origin": APP})
            assert answer.status_code == expected
            evil = {"Origin": "https://evil.example"}
            assert api.get("/workflows", headers=evil).status_code == 403
            allowed = APP if origins == [APP] else "*" if origins else None
            assert preflight(api, APP)[1] == allowed


# --- where people are led -----------------------------------------------------------


def test_a_person_without_a_token_is_led_to_where_one_is_entered() -> None:
    tokens = MemoryTokens(MemoryStore())
    a_token(tokens)
    html = {"Accept": "text/html,*/*;q=0.8"}
    with an_api(tokens=tokens) as people:
        for path, next_ in (
            ("/", "%2F"),
            ("/ui/jobs/1?a=b", "%2Fui%2Fjobs%2F1%3Fa%3Db"),
            ("/docs", "%2Fdocs"),
        ):
            answer = people.get(path, headers=html, follow_redirects=False)
            assert answer.status_code == 303
            assert answer.headers["location"] == f"/sign-in?next={next_}"
        # Of a part of a page, to the page: by itself a part is nothing to read.
        for page, next_ in (
            ("http://a.example/ui/jobs/1?a=b", "%2Fui%2Fjobs%2F1%3Fa%3Db"),
            ("http://a.example", "%2F"),
            ("http://[a.example", "%2F"),
        ):
            sent = {"HX-Request": "true", "HX-Current-URL": page}
            part = people.get("/ui/jobs/1", headers=sent)
            assert part.status_code == 401
            assert part.headers["hx-redirect"] == f"/sign-in?next={next_}"
        assert people.get("/ui/jobs/1").status_code == 401
        assert people.get("/jobs", headers=html).status_code == 401
        assert people.get("/sign-in", headers=html).status_code == 200

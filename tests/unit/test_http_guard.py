"""Who may do what: tokens and scopes, as a client meets them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from threading import Event
from typing import Any

import pytest
from attrs import define, field
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient

from galaxy_jobs.adapters.testing.memory import MemoryStore, MemoryTokens
from galaxy_jobs.domain.errors import BadToken, StoreUnavailable
from galaxy_jobs.domain.model.submission import IdempotencyKey
from galaxy_jobs.domain.model.token import ENTROPY, Scope, Token, text_of
from galaxy_jobs.domain.ports import Page
from galaxy_jobs.domain.use_cases import Authenticate, RevokeToken
from galaxy_jobs.entrypoints.api import auth
from galaxy_jobs.entrypoints.api.auth import COOKIE, Guard, same_origin
from tests.support.api import StandIn, a_token, an_api, bearer, code_of
from tests.support.build import NOON, an_invocation


JOB = {"dataset_id": "d", "workflow_name": "w"}


@define
class Door:
    """The API, with tokens, and what was submitted through it."""

    api: TestClient[Litestar]
    tokens: MemoryTokens
    submit: StandIn
    read: str
    write: str

    def get(self, path: str, **headers: str) -> Response:
        return self.api.get(path, headers=spelt(headers), follow_redirects=False)

    def post(self, path: str, body: object = None, **headers: str) -> Response:
        return self.api.post(path, json=body, headers=spelt(headers))


def spelt(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): text for name, text in headers.items()}


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(auth, "BELIEVED_FOR", 0)
    monkeypatch.setattr(auth, "NEEDED_FOR", 0)
    tokens = MemoryTokens(MemoryStore())
    submit = StandIn(BadToken())  # whoever comes so far meets an answer of its own
    with an_api(
        tokens=tokens,
        submit=submit,
        list_jobs=StandIn(Page((), None)),
        list_workflows=StandIn([]),
        cancel_job=StandIn(an_invocation()),
    ) as api:
        yield Door(
            api,
            tokens,
            submit,
            a_token(tokens, "reader", Scope.READ),
            a_token(tokens, "writer", Scope.SUBMIT),
        )


CLOSED = [
    "/jobs",
    "/jobs/1",
    "/jobs/1/history",
    "/jobs/1/outputs",
    "/jobs/events",
    "/submissions/1",
    "/datasets",
    "/workflows",
    "/workflows/w",
    "/schema/openapi.json",
    "/docs",
    "/metrics",
    "/",
    "/ui/jobs/1",
    "/nothing",
    "/health",
    "/healthy/live",
    "/health%2Flive",
    "/sign-in/x",
]


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_is_shown_without_a_token(door: Door, path: str) -> None:
    answer = door.get(path)
    assert answer.status_code == 401
    assert code_of(answer) == "unauthenticated"
    assert answer.headers["www-authenticate"] == 'Bearer realm="galaxy-jobs"'
    assert "galaxy-jobs token create" in answer.json()["detail"]


def test_health_is_told_without_one(door: Door) -> None:
    assert door.get("/health/live").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_done_without_a_token(door: Door, method: str) -> None:
    assert door.api.request(method, "/jobs", json=JOB).status_code == 401
    assert door.submit.calls == []


@pytest.mark.parametrize(
    "given",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "bearer gjt_",
        "Basic dXNlcjpwYXNz",
        "gjt_x",
        f"Bearer {text_of(bytes(ENTROPY))}",
        "Bearer é",
    ],
)
def test_a_bad_token_is_refused_always_in_the_same_words(
    door: Door, given: str
) -> None:
    answer = door.api.get("/jobs", headers={b"Authorization": given.encode()})
    assert answer.status_code == 401
    assert code_of(answer) == "unauthenticated"
    assert answer.headers["www-authenticate"].endswith('error="invalid_token"')
    assert "unknown, revoked or expired" in answer.json()["detail"]


def test_a_reader_may_look_and_change_nothing(door: Door) -> None:
    assert door.get("/jobs", **bearer(door.read)).status_code == 200
    for path, body in (("/jobs", JOB), ("/jobs/1/cancel", None), ("/datasets", {})):
        answer = door.post(path, body, **bearer(door.read))
        assert answer.status_code == 403
        assert code_of(answer) == "forbidden"
        assert answer.headers["www-authenticate"] == (
            'Bearer realm="galaxy-jobs", error="insufficient_scope", scope="submit"'
        )
    assert door.submit.calls == []


def test_a_submitter_may_do_both(door: Door) -> None:
    assert door.get("/jobs", **bearer(door.write)).status_code == 200
    assert door.post("/jobs/1/cancel", **bearer(door.write)).status_code == 202


def test_the_kind_is_spelt_in_any_case(door: Door) -> None:
    assert door.get("/jobs", Authorization=f"bEARER {door.read}").status_code == 200


def test_a_revoked_token_is_refused(door: Door) -> None:
    RevokeToken(door.tokens, lambda: NOON)("reader")
    assert door.get("/jobs", **bearer(door.read)).status_code == 401


def test_with_tokens_any_name_and_any_origin_will_do(door: Door) -> None:
    away = {"Host": "jobs.example.org", "Origin": "https://app.example.org"}
    assert door.get("/jobs", **away).status_code == 401
    assert door.get("/jobs", **away, **bearer(door.read)).status_code == 200
    assert door.get("/health/live", Host="10.0.0.7").status_code == 200


def test_from_the_first_token_on_everybody_needs_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "NEEDED_FOR", 0)
    tokens = MemoryTokens(MemoryStore())
    with an_api(tokens=tokens, list_workflows=StandIn([])) as api:
        assert api.get("/workflows").status_code == 200
        assert api.get("/workflows", headers={"Host": "a.b"}).status_code == 403
        text = a_token(tokens)
        assert api.get("/workflows").status_code == 401
        assert api.get("/workflows", headers=bearer(text)).status_code == 200
        RevokeToken(tokens, lambda: NOON)("web")
        assert api.get("/workflows").status_code == 401
        assert api.get("/workflows", headers={"Host": "a.b"}).status_code == 401


def test_where_none_is_needed_a_token_does_no_harm() -> None:
    with an_api(list_workflows=StandIn([])) as api:
        answer = api.get("/workflows", headers=bearer("left over"))
    assert answer.status_code == 200


def test_each_token_has_idempotency_keys_of_its_own(door: Door) -> None:
    other = a_token(door.tokens, "other")
    for text in (door.write, other):
        door.post("/jobs", JOB, Idempotency_Key="k", **bearer(text))
    keys = [args[1] for args, _ in door.submit.calls]
    ids = {one.name: one.token_id for one in door.tokens.all()}
    assert keys == [
        IdempotencyKey(ids["writer"], "k"),
        IdempotencyKey(ids["other"], "k"),
    ]


def test_what_only_its_caller_may_see_is_kept_nowhere(door: Door) -> None:
    for answer in (door.get("/jobs"), door.get("/jobs", **bearer(door.read))):
        assert answer.headers["cache-control"] in {"no-store", "private, no-cache"}


def test_without_the_database_nobody_is_let_in(door: Door) -> None:
    down = StandIn(StoreUnavailable("The database is away."))
    with an_api(authenticate=Lost(down)) as api:
        answer = api.get("/jobs", headers=bearer(door.read))
        assert answer.status_code == 503
        assert code_of(answer) == "database-unavailable"
        assert answer.headers["retry-after"] == "5"
        assert api.get("/health/live").status_code == 200


class Lost:
    """Stands in for what knows the tokens, when it cannot be asked."""

    def __init__(self, answer: StandIn) -> None:
        self.needed = answer


# --- by cookie ------------------------------------------------------------------


def by_cookie(text: str) -> dict[str, str]:
    return {"Cookie": f"theme=dark; {COOKIE}={text}; other=1"}


def from_our_page(text: str) -> dict[str, str]:
    return {
        **by_cookie(text),
        "Host": "jobs.example.org",
        "Origin": "https://jobs.example.org",
    }


@pytest.mark.parametrize("path", ["/jobs", "/workflows", "/docs"])
def test_a_browser_that_has_signed_in_may_look(door: Door, path: str) -> None:
    assert door.get(path, **by_cookie(door.read)).status_code == 200


def test_a_header_says_more_than_a_cookie(door: Door) -> None:
    answer = door.get("/jobs", **by_cookie(door.read), **bearer("x"))
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "cookie",
    ["", COOKIE, f"{COOKIE}=", f"{COOKIE}=x", f"x{COOKIE}=", "a=b; ;;;", f'{COOKIE}="'],
)
def test_another_cookie_is_no_token(door: Door, cookie: str) -> None:
    assert door.get("/jobs", Cookie=cookie).status_code == 401


FORM = "/ui/submit"
"""Whose route refuses what is no form of its page, with a 415: that is coming in."""


def test_our_page_may_do_what_its_user_may(door: Door) -> None:
    assert door.post(FORM, **from_our_page(door.write)).status_code == 415
    answer = door.post(FORM, **from_our_page(door.read))
    assert answer.status_code == 403
    assert "insufficient_scope" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "twisted",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://jobs.example.org.evil.example"},
        {"Origin": "https://jobs.example.org@evil.example"},
        {"Origin": "https://jobs.example.org:8443"},
        {"Origin": "https://[jobs.example.org"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_page_of_another_site_may_not(door: Door, twisted: dict[str, str]) -> None:
    said = {**from_our_page(door.write), **twisted}
    headers = [(name.encode(), text.encode()) for name, text in said.items()]
    answer = door.api.post(FORM, headers=headers)
    assert answer.status_code == 403
    assert code_of(answer) == "forbidden"


def test_nor_may_who_does_not_say_where_it_comes_from(door: Door) -> None:
    assert door.post(FORM, **by_cookie(door.write)).status_code == 403


def test_by_cookie_nothing_is_changed_but_through_a_form(door: Door) -> None:
    for path in ("/jobs", "/jobs/1/cancel", "/datasets"):
        answer = door.post(path, JOB, **from_our_page(door.write))
        assert answer.status_code == 403
        assert code_of(answer) == "forbidden"
    assert door.submit.calls == []


def test_a_browser_behind_a_proxy_says_itself_where_a_request_is_from(
    door: Door,
) -> None:
    said = {**from_our_page(door.write), "Host": "10.0.0.7:8000"}
    assert door.post(FORM, **said).status_code == 403
    said["Sec-Fetch-Site"] = "same-origin"
    assert door.post(FORM, **said).status_code == 415


def test_a_token_is_entered_on_our_page_alone(door: Door) -> None:
    theirs = {"Origin": "https://evil.example"}
    assert door.post("/sign-in", **theirs).status_code == 403
    ours = {"Origin": "http://127.0.0.1:8000"}
    assert door.post("/sign-in", **ours).status_code != 403


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"host": "a"}, False),
        ({"origin": "http://a"}, False),
        ({"host": "a", "origin": "http://a"}, True),
        ({"host": "A", "origin": "https://a"}, True),
        ({"host": "a:1", "origin": "http://a:1"}, True),
        ({"host": "a:1", "origin": "http://a:2"}, False),
        ({"host": "a", "origin": "http://b", "sec-fetch-site": "same-origin"}, True),
        ({"host": "a", "origin": "http://a", "sec-fetch-site": "cross-site"}, False),
    ],
)
def test_what_a_browser_says_of_where_a_request_is_from(
    headers: dict[str, str],
    expected: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert same_origin(headers) is expected


# --- what is believed, and for how long --------------------------------------------


@define
class Counting:
    """Knows tokens, and counts how often it is asked."""

    inner: Authenticate
    asked: list[str] = field(factory=list)
    held: Event | None = None

    def needed(self) -> bool:
        self.asked.append("needed")
        return self.inner.needed()

    def __call__(self, text: str) -> Token:
        self.asked.append(text)
        if self.held is not None:
            assert self.held.wait(10)
        return self.inner(text)


@define
class Watch:
    """A clock that is moved by hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def watched(tokens: MemoryTokens) -> tuple[Guard, Counting, Watch]:
    counting, watch = Counting(Authenticate(tokens)), Watch()
    return Guard(counting, clock=watch), counting, watch  # type: ignore[arg-type]


def test_a_token_is_looked_up_once_in_a_while() -> None:
    tokens = MemoryTokens(MemoryStore())
    text = a_token(tokens)
    guarding, counting, watch = watched(tokens)

    async def story() -> None:
        for _ in range(5):
            assert (await guarding.verify(text)).name == "web"
        assert len(counting.asked) == 1
        RevokeToken(tokens, lambda: NOON)("web")
        watch.now += auth.BELIEVED_FOR - 0.01
        await guarding.verify(text)
        watch.now += 0.02
        with pytest.raises(BadToken):
            await guarding.verify(text)

    asyncio.run(story())
    guarding.close()


def test_many_who_ask_the_same_at_once_are_answered_by_one_look() -> None:
    tokens = MemoryTokens(MemoryStore())
    text = a_token(tokens)
    guarding, counting, _ = watched(tokens)
    counting.held = Event()

    async def story() -> None:
        waiting = [asyncio.ensure_future(guarding.verify(text)) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # who asked first goes away
        assert counting.held is not None
        counting.held.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in answers[1:]] == [Token] * 49

    asyncio.run(story())
    assert len(counting.asked) == 1
    guarding.close()


def test_whether_a_token_is_needed_is_asked_until_it_is() -> None:
    tokens = MemoryTokens(MemoryStore())
    guarding, counting, watch = watched(tokens)

    async def story() -> None:
        assert [await guarding.needed() for _ in range(3)] == [False] * 3
        assert len(counting.asked) == 1
        a_token(tokens)
        assert await guarding.needed() is False
        watch.now += auth.NEEDED_FOR
        assert await guarding.needed() is True
        watch.now += 1000
        assert await guarding.needed() is True
        assert len(counting.asked) == 2

    asyncio.run(story())
    guarding.close()


def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REMEMBERED", 3)
    tokens = MemoryTokens(MemoryStore())
    guarding, counting, _ = watched(tokens)
    texts: list[Any] = [a_token(tokens, f"n{n}") for n in range(5)]

    async def story() -> None:
        for text in texts:
            await guarding.verify(text)
        for text in texts[::-1]:
            await guarding.verify(text)

    asyncio.run(story())
    assert counting.asked == [*texts, texts[1], texts[0]]
    guarding.close()

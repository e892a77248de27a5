"""Who may do what: tokens and scopes, as a client meets them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from threading import Event
from typing import Any, cast

import pytest
from attrs import define, field
from httpx import Response
from litestar import Litestar
from litestar.routes import ASGIRoute, HTTPRoute
from litestar.testing import TestClient

from galaxy_jobs.adapters.testing.memory import MemoryStore, MemoryTokens
from galaxy_jobs.domain.errors import BadToken, StoreUnavailable
from galaxy_jobs.domain.model.submission import IdempotencyKey
from galaxy_jobs.domain.model.token import ENTROPY, Scope, Token, text_of
from galaxy_jobs.domain.model.user import User
from galaxy_jobs.domain.ports import Page
from galaxy_jobs.domain.use_cases import Authenticate, RevokeToken
from galaxy_jobs.entrypoints.api.auth import ANONYMOUS, COOKIE, Caller, TokenCache
from galaxy_jobs.entrypoints.api.host_and_origin import is_same_origin
from tests.support.api import (
    StandIn,
    a_token,
    an_api,
    authenticate,
    bearer,
    code_of,
    forgetful,
)
from tests.support.build import NOON, an_invocation


EMPTY: Page[str] = Page((), None)
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
def door() -> Iterator[Door]:
    tokens = MemoryTokens(MemoryStore())
    submit = StandIn(BadToken())  # whoever comes so far meets an answer of its own
    with an_api(
        tokens=tokens,
        token_cache=forgetful(tokens),
        submit=submit,
        list_jobs=StandIn(EMPTY),
        list_workflows=StandIn(EMPTY),
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
    "/ui/nothing",
]


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_is_shown_without_a_token(door: Door, path: str) -> None:
    answer = door.get(path)
    assert answer.status_code == 401
    assert code_of(answer) == "unauthenticated"
    assert answer.headers["www-authenticate"] == 'Bearer realm="galaxy-jobs"'
    assert "galaxy-jobs token create" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/health", "/healthy/live", "/health%2Flive", "/sign-in/x"]
)
def test_what_is_no_route_is_not_found_with_or_without_one(
    door: Door, path: str
) -> None:
    for headers in ({}, bearer(door.read)):
        answer = door.get(path, **headers)
        assert answer.status_code == 404
        assert code_of(answer) == "not-found"


def test_every_route_that_changes_something_needs_the_scope_for_it(door: Door) -> None:
    """What a reader may send without being refused for its scope."""
    open_to_readers = set()
    for route in door.api.app.routes:
        assert isinstance(route, HTTPRoute | ASGIRoute)
        for method in sorted(route.methods - {"GET", "HEAD", "OPTIONS"}):
            path = re.sub(r"{[^}]*}", "x", route.path)
            headers = {**bearer(door.read), "Sec-Fetch-Site": "same-origin"}
            answer = door.api.request(method, path, headers=headers)
            if "insufficient_scope" not in answer.headers.get("www-authenticate", ""):
                open_to_readers.add((method, route.path))
    assert open_to_readers == {
        ("POST", "/sign-in"),
        ("POST", "/sign-out"),
        ("PUT", "/uploads/{upload_id:str}/parts/{number:str}"),  # signed
    }


def test_health_is_told_without_one(door: Door) -> None:
    assert door.get("/health/live").status_code == 200


def test_nothing_is_done_without_a_token(door: Door) -> None:
    for path in ("/jobs", "/jobs/1/rerun", "/jobs/1/cancel", "/datasets"):
        assert door.api.post(path, json=JOB).status_code == 401
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


def test_from_the_first_token_on_everybody_needs_one() -> None:
    tokens = MemoryTokens(MemoryStore())
    with an_api(
        tokens=tokens,
        token_cache=forgetful(tokens),
        list_workflows=StandIn(EMPTY),
    ) as api:
        assert api.get("/workflows").status_code == 200
        assert api.get("/workflows", headers={"Host": "a.b"}).status_code == 403
        text = a_token(tokens)
        assert api.get("/workflows").status_code == 401
        assert api.get("/workflows", headers=bearer(text)).status_code == 200
        RevokeToken(tokens, lambda: NOON)("web")
        assert api.get("/workflows").status_code == 401
        assert api.get("/workflows", headers={"Host": "a.b"}).status_code == 401


def test_where_none_is_needed_a_token_does_no_harm() -> None:
    with an_api(list_workflows=StandIn(EMPTY)) as api:
        answer = api.get("/workflows", headers=bearer("left over"))
    assert answer.status_code == 200


def test_each_token_has_idempotency_keys_of_its_own(door: Door) -> None:
    other = a_token(door.tokens, "other")
    for text in (door.write, other):
        door.post("/jobs", JOB, Idempotency_Key="k", **bearer(text))
    keys = [args[2] for args, _ in door.submit.calls]
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
    ours = from_our_page(door.write)
    theirs = {**ours, "Origin": "https://evil.example"}
    for path, sent in (
        ("/jobs", ours),
        ("/jobs/1/cancel", ours),
        ("/datasets", theirs),
        ("/uploads", theirs),
        ("/uploads", by_cookie(door.write)),
        ("/uploads", {**ours, "Sec-Fetch-Site": "cross-site"}),
    ):
        answer = door.post(path, JOB, **sent)
        assert answer.status_code == 403
        assert code_of(answer) == "forbidden"
    assert door.submit.calls == []


@pytest.mark.parametrize("path", ["/datasets", "/uploads"])
def test_by_cookie_the_script_of_our_page_may_upload(door: Door, path: str) -> None:
    assert door.post(path, {}, **from_our_page(door.write)).status_code == 400
    assert door.post(path, {}, **from_our_page(door.read)).status_code == 403


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
    assert is_same_origin(headers) is expected


# --- how long an answer of the database is good for ---------------------------------


@define
class Counting:
    """Knows tokens, and counts how often it is asked."""

    inner: Authenticate
    asked: list[str] = field(factory=list)
    held: Event | None = None
    checked: list[set[Token | User]] = field(factory=list)
    failure: Exception | None = None

    def in_force(self, senders: Collection[Token | User]) -> Collection[Token | User]:
        self.checked.append({*senders})
        if self.failure is not None:
            raise self.failure
        return self.inner.in_force(senders)

    def needed(self) -> bool:
        self.asked.append("needed")
        return self.inner.needed()

    def __call__(self, text: str) -> Token | User:
        self.asked.append(text)
        if self.held is not None:
            assert self.held.wait(10)
        return self.inner(text)


def cached(tokens: MemoryTokens, **settings: Any) -> tuple[TokenCache, Counting]:
    counting = Counting(authenticate(tokens))
    return TokenCache(cast("Authenticate", counting), **settings), counting


def test_a_token_is_looked_up_once_until_its_time_is_up() -> None:
    tokens = MemoryTokens(MemoryStore())
    text = a_token(tokens)

    async def story(ttl: float) -> Counting:
        cache, counting = cached(tokens, token_ttl=ttl)
        for _ in range(5):
            assert (await cache.verify(text)).name == "web"
            await asyncio.sleep(0.01)
        return counting

    assert len(asyncio.run(story(60)).asked) == 1
    assert len(asyncio.run(story(0.001)).asked) == 5


def test_a_token_that_was_revoked_is_refused_once_its_time_is_up() -> None:
    tokens = MemoryTokens(MemoryStore())
    text = a_token(tokens)

    async def story() -> None:
        cache, _ = cached(tokens, token_ttl=0.2)
        await cache.verify(text)
        assert cache.knows(text)
        RevokeToken(tokens, lambda: NOON)("web")
        await cache.verify(text)
        async with asyncio.timeout(10):
            while cache.knows(text):  # noqa: ASYNC110 - its time is to pass
                await asyncio.sleep(0.01)
        with pytest.raises(BadToken):
            await cache.verify(text)
        assert not cache.knows(text)

    asyncio.run(story())


def test_many_who_ask_the_same_at_once_are_answered_by_one_look() -> None:
    tokens = MemoryTokens(MemoryStore())
    text = a_token(tokens)
    cache, counting = cached(tokens)
    counting.held = Event()

    async def story() -> None:
        waiting = [asyncio.ensure_future(cache.verify(text)) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # who asked first goes away
        assert counting.held is not None
        counting.held.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers[1:]] == [Token] * 49

    asyncio.run(story())
    assert len(counting.asked) == 1


def test_whether_a_token_is_needed_is_asked_until_it_is() -> None:
    tokens = MemoryTokens(MemoryStore())

    async def story() -> None:
        cache, counting = cached(tokens, exist_ttl=0.2)
        assert [await cache.required() for _ in range(3)] == [False] * 3
        assert len(counting.asked) == 1
        a_token(tokens)
        async with asyncio.timeout(10):
            while not await cache.required():  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        asked = len(counting.asked)
        await asyncio.sleep(0.3)
        assert await cache.required() is True
        assert len(counting.asked) == asked

    asyncio.run(story())


def test_only_so_many_tokens_are_remembered() -> None:
    tokens = MemoryTokens(MemoryStore())
    cache, counting = cached(tokens, size=3)
    texts = [a_token(tokens, f"n{n}") for n in range(5)]

    async def story() -> None:
        for text in texts:
            await cache.verify(text)
        for text in texts[::-1]:
            await cache.verify(text)

    asyncio.run(story())
    assert counting.asked == [*texts, texts[1], texts[0]]


def test_a_long_request_is_ended_when_its_caller_is_let_in_no_more() -> None:
    tokens = MemoryTokens(MemoryStore())

    async def story() -> None:
        cache, counting = cached(tokens, watch_interval=0.01, exist_ttl=0.001)
        ends: list[str] = []

        async def ended(*names: str) -> None:
            async with asyncio.timeout(10):
                while {*ends} != {*names}:  # noqa: ASYNC110 - it is called back
                    await asyncio.sleep(0.001)

        with ExitStack() as held:

            def watch(name: str, caller: Caller) -> None:
                held.enter_context(cache.watch(caller, lambda: ends.append(name)))

            watch("anonymous", ANONYMOUS)
            await asyncio.sleep(0.1)
            assert ends == []
            web, other = a_token(tokens), a_token(tokens, "other")
            await ended("anonymous")
            for name in ("first", "second"):
                watch(name, Caller(await cache.verify(web)))
            watch("other", Caller(await cache.verify(other)))
            await asyncio.sleep(0.1)
            assert {*ends} == {"anonymous"}
            RevokeToken(tokens, lambda: NOON)("web")
            await ended("anonymous", "first", "second")
            # One query for all of them.
            assert len(counting.checked[-1]) == 2
        await asyncio.sleep(0.05)
        checked = len(counting.checked)
        await asyncio.sleep(0.05)
        assert len(counting.checked) == checked  # nobody is left

    asyncio.run(story())


def test_nothing_is_ended_while_the_tokens_cannot_be_checked() -> None:
    tokens = MemoryTokens(MemoryStore())
    text = a_token(tokens)

    async def story() -> None:
        cache, counting = cached(tokens, watch_interval=0.001)
        ends: list[str] = []
        caller = Caller(await cache.verify(text))
        counting.failure = StoreUnavailable("away")
        with cache.watch(caller, lambda: ends.append("ended")):
            RevokeToken(tokens, lambda: NOON)("web")
            await asyncio.sleep(0.1)
            assert (ends, len(counting.checked) > 2) == ([], True)
            counting.failure = None
            async with asyncio.timeout(10):
                while not ends:  # noqa: ASYNC110 - it is called back
                    await asyncio.sleep(0.001)

    asyncio.run(story())

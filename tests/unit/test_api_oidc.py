"""Users of an identity provider, as clients of the API and of the pages meet them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import define, evolve, field
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient

from galaxy_jobs.adapters.oidc import OidcProviders
from galaxy_jobs.adapters.testing.memory import (
    MemorySessions,
    MemoryStore,
    MemoryTokens,
)
from galaxy_jobs.domain import Invocation, Scope
from galaxy_jobs.domain.ports import Page
from galaxy_jobs.domain.use_cases.tokens import SESSION_LIFETIME
from galaxy_jobs.entrypoints.api.auth import COOKIE, Caller, TokenCache
from galaxy_jobs.entrypoints.web.sign_in import PENDING
from tests.support.api import StandIn, an_api, authenticate, bearer, code_of
from tests.support.issuer import CLIENT, LocalIssuer, answer, local_issuer, rsa_key


NO_JOBS: Page[Invocation] = Page((), None)
ROOT = "http://127.0.0.1:8000"
JOB = {"dataset_id": "d", "workflow_name": "w"}


@define
class Clock:
    now: datetime = field(factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now


@define
class Door:
    """The service, which trusts one identity provider."""

    api: TestClient[Litestar]
    issuer: LocalIssuer
    submit: StandIn
    clock: Clock
    sessions: MemorySessions
    cache: TokenCache

    def get(self, path: str, **headers: str) -> Response:
        return self.api.get(path, headers=headers, follow_redirects=False)

    def jobs(self, **token: Any) -> Response:
        """Ask for the jobs with a token of the provider."""
        return self.get("/jobs", **bearer(self.issuer.token(**token)))

    def begin(self, target: str = "/ui/submit") -> dict[str, str]:
        """Go to the provider, and return the parameters that it gets."""
        params = {"issuer": self.issuer.url, "next": target}
        led = self.api.get("/sign-in/provider", params=params, follow_redirects=False)
        assert led.status_code == 303, led.text
        assert led.headers["location"].startswith(f"{self.issuer.url}/authorize?")
        query = parse_qs(urlsplit(led.headers["location"]).query)
        return {name: value for name, [value] in query.items()}

    def come_back(self, query: dict[str, str], **claims: Any) -> Response:
        """Come back from the provider as a user."""
        self.issuer.tokens["c1"] = {
            "id_token": self.issuer.token(aud=CLIENT, nonce=query["nonce"], **claims),
            "access_token": self.issuer.token(**claims),
        }
        params = {"code": "c1", "state": query["state"], "session_state": "theirs"}
        return self.api.get(
            "/sign-in/callback",
            params=params,
            headers={"Accept": "text/html"},
            follow_redirects=False,
        )

    def sign_in(self, **claims: Any) -> str:
        """Sign in, and return the text of the session."""
        assert self.come_back(self.begin(), **claims).status_code == 303
        text = self.api.cookies[COOKIE]
        assert text.startswith("gjs_")
        return text

    def send(self, path: str, **fields: str) -> Response:
        """Send a form as our pages do."""
        return self.api.post(
            path, data=fields, headers={"Origin": ROOT}, follow_redirects=False
        )


@pytest.fixture
def door() -> Iterator[Door]:
    clock = Clock()
    store = MemoryStore(clock)
    tokens, sessions = MemoryTokens(store), MemorySessions(store)
    submit = StandIn()
    with local_issuer() as issuer:
        providers = OidcProviders((issuer.issuer(client_id=CLIENT),), clock)
        known = authenticate(tokens, providers, sessions, clock)
        cache = TokenCache(known, token_ttl=0, exist_ttl=0)
        with an_api(
            tokens=tokens,
            sessions=sessions,
            identity_providers=providers,
            token_cache=cache,
            list_jobs=StandIn(NO_JOBS),
            submit=submit,
        ) as api:
            yield Door(api, issuer, submit, clock, sessions, cache)


def test_every_request_needs_a_token_though_none_was_ever_created(door: Door) -> None:
    assert code_of(door.get("/jobs")) == "unauthenticated"
    assert door.jobs().status_code == 200
    assert door.get("/health/live").status_code == 200


def test_a_token_that_is_not_valid_is_refused_as_any_other(door: Door) -> None:
    refused = door.jobs(key=rsa_key("other"))
    assert (refused.status_code, code_of(refused)) == (401, "unauthenticated")
    assert refused.headers["www-authenticate"].endswith('error="invalid_token"')
    assert "unknown, revoked or expired" in refused.json()["detail"]


def test_scopes_permit_what_they_do_for_other_tokens(door: Door) -> None:
    reader = bearer(door.issuer.token(scope="jobs:read"))
    refused = door.api.post("/jobs", json=JOB, headers=reader)
    assert (refused.status_code, code_of(refused)) == (403, "forbidden")
    assert 'scope="submit"' in refused.headers["www-authenticate"]
    nothing = door.jobs(scope="openid")
    assert (nothing.status_code, code_of(nothing)) == (403, "forbidden")
    assert "no permission" in nothing.json()["detail"]


def test_while_the_provider_is_away_a_new_key_is_not_known_yet(door: Door) -> None:
    assert door.jobs().status_code == 200
    door.issuer.answers["/jwks"] = answer(b"{}", 500)
    # As after a start: nobody is let in, and own tokens count.
    providers = OidcProviders((door.issuer.issuer(),), door.clock)
    with an_api(identity_providers=providers, list_jobs=StandIn(NO_JOBS)) as api:
        away = api.get("/jobs", headers=bearer(door.issuer.token()))
    assert (away.status_code, code_of(away)) == (503, "issuer-unavailable")
    assert away.headers["retry-after"] == "5"
    assert door.jobs(sub="another").status_code == 200


def test_idempotency_keys_are_those_of_the_user_whatever_the_token(door: Door) -> None:
    for name, number in (("ada", "1"), ("ada", "2"), ("bob", "3")):
        token = door.issuer.token(sub=name, jti=number)
        headers = {"Idempotency-Key": "k", **bearer(token)}
        door.api.post("/jobs", json=JOB, headers=headers)
    owners = [args[2].caller for args, _ in door.submit.calls]
    assert owners == [f"{door.issuer.url}|{name}" for name in ("ada", "ada", "bob")]


def test_streams_end_with_the_token_or_the_session(door: Door) -> None:
    providers = OidcProviders((door.issuer.issuer(client_id=CLIENT),), door.clock)
    store = MemoryStore(door.clock)
    sessions = MemorySessions(store)
    known = authenticate(MemoryTokens(store), providers, sessions, door.clock)

    async def story() -> None:
        cache = TokenCache(known, watch_interval=0.001)
        user = await cache.verify(door.issuer.token())
        ends: list[str] = []
        with cache.watch(Caller(user), lambda: ends.append("token")):
            await asyncio.sleep(0.05)
            assert ends == []
            door.clock.now += timedelta(minutes=10)  # the issuer goes by the real time
            async with asyncio.timeout(10):
                while not ends:  # noqa: ASYNC110 - it is called back
                    await asyncio.sleep(0.001)

    asyncio.run(story())


# --- pages ----------------------------------------------------------------------


def test_the_sign_in_page_leads_to_the_provider_and_back(door: Door) -> None:
    page = door.get("/sign-in?next=/ui/submit", Accept="text/html").text
    assert f"Sign in at {door.issuer.url.removeprefix('http://')}" in page
    assert "next=%2Fui%2Fsubmit" in page
    query = door.begin()
    assert query["redirect_uri"] == f"{ROOT}/sign-in/callback"
    back = door.come_back(query)
    assert (back.status_code, back.headers["location"]) == (303, "/ui/submit")
    cookies = back.headers.get_list("set-cookie")
    (session,) = [cookie for cookie in cookies if cookie.startswith(COOKIE)]
    assert "HttpOnly" in session
    assert "SameSite=lax" in session
    assert "Secure" not in session
    assert PENDING not in door.api.cookies
    assert "Signed in as Ada L." in door.get("/", Accept="text/html").text


def test_behind_a_proxy_the_address_is_that_of_the_browser(door: Door) -> None:
    led = door.api.get(
        "/sign-in/provider",
        params={"issuer": door.issuer.url},
        headers={"Host": "jobs.example.org", "X-Forwarded-Proto": "https"},
        follow_redirects=False,
    )
    query = parse_qs(urlsplit(led.headers["location"]).query)
    assert query["redirect_uri"] == ["https://jobs.example.org/sign-in/callback"]
    for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/sign-in", "Max-Age=600"):
        assert part in led.headers["set-cookie"]


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "x"])
def test_signing_in_ends_on_a_page_of_this_service(door: Door, target: str) -> None:
    assert door.come_back(door.begin(target)).headers["location"] == "/"


def test_a_session_ends_by_signing_out_and_by_itself(door: Door) -> None:
    text = door.sign_in()
    assert door.get("/jobs").status_code == 200
    out = door.send("/sign-out")
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert door.get("/jobs", Cookie=f"{COOKIE}={text}").status_code == 401
    door.sign_in()
    door.clock.now += SESSION_LIFETIME - timedelta(seconds=1)
    assert door.get("/jobs").status_code == 200
    door.clock.now += timedelta(seconds=1)
    assert door.get("/jobs").status_code == 401


def test_signing_out_is_not_kept_waiting_by_what_is_remembered(door: Door) -> None:
    door.cache.token_ttl = 60
    door.cache.__attrs_post_init__()
    text = door.sign_in()
    assert door.get("/jobs").status_code == 200
    door.send("/sign-out")
    assert door.get("/jobs", Cookie=f"{COOKIE}={text}").status_code == 401


def test_the_id_of_a_session_is_not_enough(door: Door) -> None:
    text = door.sign_in()
    door.api.cookies.clear()
    last = "B" if text.endswith("A") else "A"
    for other in (text[:-1] + last, f"gjt{text[3:]}", text[:20]):
        assert door.get("/jobs", Cookie=f"{COOKIE}={other}").status_code == 401
    assert door.get("/jobs", Cookie=f"{COOKIE}={text}").status_code == 200


def test_a_session_goes_on_while_the_provider_is_away(door: Door) -> None:
    door.sign_in()
    for path in ("/jwks", "/.well-known/openid-configuration"):
        door.issuer.answers[path] = answer(b"", 500)
    assert door.get("/jobs").status_code == 200


def test_a_session_of_a_provider_that_is_no_longer_trusted_is_none(door: Door) -> None:
    cookie = {"Cookie": f"{COOKIE}={door.sign_in()}"}
    for trusted, status in ((door.issuer.url, 200), ("https://other.example", 401)):
        providers = OidcProviders((door.issuer.issuer(issuer=trusted),), door.clock)
        with an_api(
            identity_providers=providers,
            sessions=door.sessions,
            list_jobs=StandIn(NO_JOBS),
        ) as api:
            assert api.get("/jobs", headers=cookie).status_code == status


@pytest.mark.parametrize(
    ("cookie", "state"),
    [("", None), ("x", None), ("secret%3Dx%26issuer%3Dy", None), (None, "x")],
)
def test_a_response_for_another_browser_signs_nobody_in(
    door: Door, cookie: str | None, state: str | None
) -> None:
    query = door.begin()
    if cookie is not None:
        door.api.cookies.clear()
        door.api.cookies.set(PENDING, cookie)
    refused = door.come_back({**query, **({"state": state} if state else {})})
    assert refused.status_code == 401
    assert "did not confirm" in refused.text
    assert COOKIE not in door.api.cookies
    assert door.issuer.redeemed == []


def test_the_sign_in_page_says_why_it_failed(door: Door) -> None:
    refused = door.come_back(door.begin(), scope="openid")
    assert refused.status_code == 403
    assert "has no permission here" in refused.text
    query = door.begin()
    door.issuer.answers["/token"] = answer(b"", 500)
    refused = door.come_back(query)
    assert refused.status_code == 503
    assert "is not available" in refused.text
    refused = door.get("/sign-in/provider?issuer=https://other", Accept="text/html")
    assert refused.status_code == 401
    assert COOKIE not in door.api.cookies


def test_a_form_is_sent_in_the_name_of_the_cookie(door: Door) -> None:
    """A form that a user left open is another one's, once that one has signed in."""
    door.sign_in(sub="ada")
    form = {"workflow_name": "w", "dataset_id": "d", "key": "k" * 32}
    door.sign_in(sub="bob", scope="jobs:read")
    refused = door.send("/ui/submit", **form)
    assert refused.status_code == 403
    assert door.submit.calls == []


def test_a_session_changes_nothing_but_by_our_forms(door: Door) -> None:
    door.sign_in()
    refused = door.api.post("/jobs", json=JOB, headers={"Origin": ROOT})
    assert (refused.status_code, code_of(refused)) == (403, "forbidden")
    refused = door.api.post(
        "/sign-out", headers={"Origin": "https://evil.example"}, follow_redirects=False
    )
    assert refused.status_code == 403
    assert door.get("/jobs").status_code == 200


def test_a_user_is_named_by_owner_in_what_they_see() -> None:
    with local_issuer() as issuer:
        user = issuer.issuer().user(issuer.claims())
    assert user.viewer.only == user.owner == user.token_id
    assert evolve(user, scope=Scope.ADMIN).viewer.only is None

"""Tokens of identity providers: which are believed, and what a provider can do."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from attrs import define, field
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from galaxy_jobs.adapters.oidc import OidcProviders, asking, metadata, providers
from galaxy_jobs.domain import Issuer, Scope, Sees, User, Viewer
from galaxy_jobs.domain.errors import (
    BadToken,
    InvalidValue,
    IssuerUnavailable,
    NoPermission,
    SignInRefused,
)
from galaxy_jobs.entrypoints.container import opened
from galaxy_jobs.entrypoints.doctor import CHECKS, Doctor, Finding, Verdict
from galaxy_jobs.entrypoints.settings import Settings
from tests.support.issuer import (
    AUDIENCE,
    CLIENT,
    DISCOVERY,
    LocalIssuer,
    answer,
    challenge_of,
    ec_key,
    local_issuer,
    public,
    rsa_key,
)
from tests.support.wait import until


@define
class Trust:
    """A provider, and what trusts it; time passes for that as a test wants."""

    issuer: LocalIssuer
    now: datetime = field(factory=lambda: datetime.now(UTC))
    providers: OidcProviders = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.configure()

    def configure(self, client_secret: str | None = None, **more: Any) -> None:
        """Trust it from the beginning, configured so."""
        issuer = self.issuer.issuer(**more)
        self.providers = OidcProviders((issuer,), lambda: self.now, client_secret)
        self.source.clock = self.seconds

    @property
    def source(self) -> metadata.MetadataSource:
        (provider,) = self.providers._providers.values()
        return provider.source

    def seconds(self) -> float:
        return self.now.timestamp()

    def verify(self, **token: Any) -> User:
        return self.providers.verify(self.issuer.token(**token))

    def refuses(self, **token: Any) -> bool:
        try:
            self.verify(**token)
        except BadToken:
            return True
        return False

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def trust() -> Iterator[Trust]:
    with local_issuer() as issuer:
        yield Trust(issuer)


def test_a_valid_token_is_a_user_with_an_owner_a_name_and_a_scope(trust: Trust) -> None:
    user = trust.verify()
    assert user.owner == f"{trust.issuer.url}|ada"
    assert user.name == "Ada L."
    assert user.scope is Scope.SUBMIT
    assert user.viewer == Viewer(owner=user.owner, sees_all=False)
    assert user.issuer == trust.issuer.url
    assert user.session_id is None


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("jobs:read", Scope.READ),
        ("jobs:submit jobs:read", Scope.SUBMIT),
        (["x", "jobs:read", "jobs:admin", 7], Scope.ADMIN),
    ],
)
def test_the_widest_scope_counts(trust: Trust, scope: object, expected: Scope) -> None:
    user = trust.verify(scope=scope)
    assert user.scope is expected
    assert user.viewer.sees_all is (expected is Scope.ADMIN)


@pytest.mark.parametrize(
    "scope", [None, "", "jobs", "jobs:submit2", 7, {"jobs:read": 1}]
)
def test_a_user_without_a_scope_is_known_and_may_do_nothing(
    trust: Trust, scope: object
) -> None:
    with pytest.raises(NoPermission, match=r"'Ada L\.' has no permission.*'jobs:read'"):
        trust.verify(scope=scope)


def test_claims_and_what_users_see_are_as_configured(trust: Trust) -> None:
    trust.configure(scope_claim="groups", owner_claim="email", sees=Sees.ALL)
    user = trust.verify(groups=["jobs:read"], email="ada@example.org")
    assert (user.name, user.scope) == ("ada@example.org", Scope.READ)
    assert user.viewer.sees_all


@pytest.mark.parametrize("name", [None, "", 7, "a\nb", "a\0"])
def test_a_user_without_a_usable_name_is_called_by_the_subject(
    trust: Trust, name: object
) -> None:
    assert trust.verify(preferred_username=name).name == "ada"
    assert len(trust.verify(preferred_username="x" * 999).name) == 100


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "AT+JWT", "application/at+jwt", None])
def test_access_tokens_and_plain_ones_are_accepted(
    trust: Trust, typ: str | None
) -> None:
    assert trust.verify(headers={"typ": typ}).name == "Ada L."


@pytest.mark.parametrize("algorithm", metadata.ALGORITHMS)
def test_the_algorithms_of_the_list_are_asymmetric(algorithm: str) -> None:
    assert not algorithm.startswith("HS")
    assert algorithm in jwt.algorithms.get_default_algorithms()


def test_other_kinds_of_keys_are_accepted(trust: Trust) -> None:
    trust.issuer.keys.append(public(ec_key(), "curve"))
    trust.issuer.keys.append(public(rsa_key("pss"), "pss", alg="PS256"))
    trust.verify(key=ec_key(), key_id="curve", algorithm="ES256")
    trust.verify(key=rsa_key("pss"), key_id="pss", algorithm="PS256")
    # A key signs by its own algorithm alone.
    assert trust.refuses(key=rsa_key("pss"), key_id="pss", algorithm="RS256")


def public_pem() -> bytes:
    return (
        rsa_key()
        .public_key()
        .public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def signed_by_hand(claims: dict[str, Any], secret: bytes, **header: Any) -> str:
    """Sign as no library would: with a public key as the secret."""
    signer = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"kid": "first", "typ": "JWT", **header}, claims)
    ]
    signature = signer.sign(".".join(parts).encode(), secret)
    return ".".join((*parts, base64.urlsafe_b64encode(signature).decode().rstrip("=")))


NOW = int(time.time())

FORGED = {
    "none": {"key": "", "algorithm": "none"},
    "wrong audience": {"aud": "https://other.example.org"},
    "no audience": {"aud": None},
    "wrong issuer": {"iss": "https://other.example.org"},
    "issuer with a slash more": {"iss": "http://127.0.0.1/"},
    "no issuer": {"iss": None},
    "no subject": {"sub": None},
    "empty subject": {"sub": ""},
    "subject that cannot be stored": {"sub": "a\0b"},
    "long subject": {"sub": "x" * 256},
    "no expiry": {"exp": None},
    "expired": {"exp": NOW - 3600},
    "expiry that is none": {"exp": "soon"},
    "expiry beyond time": {"exp": 1e300},
    "infinite expiry": {"exp": float("inf")},
    "from the future": {"nbf": NOW + 3600},
    "issued in the future": {"iat": NOW + 3600},
    "signed by another key": {"key": rsa_key("other")},
    "of another type": {"headers": {"typ": "logout+jwt"}},
    "of no type": {"headers": {"typ": 7}},
    "unknown critical header": {"headers": {"crit": ["x"], "x": 1}},
    "key without id": {"key_id": None},
    "key of an unknown id": {"key_id": "second"},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_token_that_is_wrong_in_one_way_is_refused(
    trust: Trust, forged: dict[str, Any]
) -> None:
    assert not trust.refuses()
    assert trust.refuses(**forged)


@pytest.mark.parametrize(
    "algorithm", ["HS256", "RS256", "none", "", None, 7, ["RS256"]]
)
def test_a_public_key_is_no_secret(trust: Trust, algorithm: object) -> None:
    for secret in (public_pem(), json.dumps(trust.issuer.keys[0]).encode()):
        token = signed_by_hand(trust.issuer.claims(), secret, alg=algorithm)
        with pytest.raises(BadToken):
            trust.providers.verify(token)
    # Nothing is asked for their sake, but of the one that could be valid.
    assert trust.issuer.asked["/jwks"] == (algorithm == "RS256")


def test_a_key_in_the_token_itself_is_not_used(trust: Trust) -> None:
    theirs = public(rsa_key("other"), "other")
    for headers in (
        {"jwk": theirs},
        {"jku": f"{trust.issuer.url}/theirs", "kid": "other"},
        {"x5u": f"{trust.issuer.url}/theirs"},
    ):
        assert trust.refuses(key=rsa_key("other"), headers=headers)
    assert not trust.issuer.asked["/theirs"]


@pytest.mark.parametrize("length", [0, 59])
def test_clocks_may_differ_by_a_minute(trust: Trust, length: int) -> None:
    trust.verify(exp=int(time.time()) - length)
    trust.verify(nbf=int(time.time()) + length)


def nested(depth: int) -> str:
    return base64.urlsafe_b64encode(b'{"a":' + b"[" * depth).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    ["", "a.b.c", "..", "é.é.é", f"{nested(5000)}.e30.e30", f"e30.{nested(5000)}.e30"],
)
def test_what_is_no_token_is_refused(trust: Trust, text: str) -> None:
    with pytest.raises(BadToken):
        trust.providers.verify(text)
    assert not trust.issuer.asked


@given(text=st.text() | st.from_regex(r"e30\.[\w-]+\.[\w-]*", fullmatch=True))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(BadToken):
        OidcProviders((), lambda: datetime.now(UTC)).verify(text)


def test_a_signature_is_verified_once(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = trust.issuer.token()
    user = trust.providers.verify(token)
    monkeypatch.setattr(jwt, "decode", None)
    assert trust.providers.verify(token) is user
    monkeypatch.undo()
    trust.pass_time(400)  # PyJWT's clock is the system's
    assert trust.providers.verify(token) is not user


def test_only_so_many_users_are_remembered(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "CACHE_SIZE", 3)
    for number in range(5):
        trust.verify(sub=str(number))
    assert len(trust.providers._users) == 3


# --- keys -----------------------------------------------------------------------


def test_unknown_keys_are_asked_for_twice_a_minute(trust: Trust) -> None:
    trust.verify()
    for second in range(60):
        for number in range(1000 // 60):
            assert trust.refuses(key_id=f"unknown {second} {number}")
        trust.pass_time(1)
    assert trust.issuer.asked == {DISCOVERY: 2, "/jwks": 2}


def test_a_thousand_unknown_keys_at_once_cost_one_question(trust: Trust) -> None:
    trust.verify()
    trust.pass_time(31)
    tokens = [trust.issuer.token(key_id=f"unknown {n}") for n in range(1000)]

    def refused(token: str) -> bool:
        try:
            trust.providers.verify(token)
        except (BadToken, IssuerUnavailable):
            return True
        return False

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(refused, tokens))
    assert trust.issuer.asked["/jwks"] == 2


def test_a_new_key_is_found(trust: Trust) -> None:
    trust.verify()
    trust.issuer.keys.append(public(rsa_key("new"), "new"))
    assert trust.refuses(key=rsa_key("new"), key_id="new")
    trust.pass_time(31)
    trust.verify(key=rsa_key("new"), key_id="new")


def test_old_keys_are_used_until_the_new_ones_are_there(trust: Trust) -> None:
    trust.verify()
    trust.issuer.keys[:] = [public(rsa_key("new"), "new")]
    trust.pass_time(601)
    trust.verify(sub="b")  # which has them asked for again
    until(lambda: trust.issuer.asked["/jwks"] == 2)
    until(lambda: trust.refuses(sub="c"))


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{}],
        [7],
        [{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}],
        [public(rsa_key(), "first", use="enc")],
        [{**public(rsa_key(), "first"), "kid": None}],
        [{**public(rsa_key(), "first"), "n": "!"}],
    ],
)
def test_keys_that_cannot_be_used_are_none(trust: Trust, keys: list[Any]) -> None:
    trust.issuer.keys[:] = keys
    with pytest.raises(IssuerUnavailable, match="no keys"):
        trust.verify()


# --- a provider that misbehaves -------------------------------------------------


def hang(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.flush()
    handler.connection.settimeout(20)
    handler.connection.recv(1)  # until the other side closes it


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.02)


def break_off(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def compressed(handler: BaseHTTPRequestHandler) -> None:
    answer(b"\x1f\x8b" + b"x" * 100, headers={"Content-Encoding": "gzip"})(handler)


MISBEHAVIOURS: dict[str, Any] = {
    "redirects": answer(b"", 302, {"Location": "/elsewhere"}),
    "has an error": answer(b"{}", 500),
    "knows nothing": answer(b"{}", 404),
    "sends no JSON": answer(b"<html>"),
    "sends another kind": answer(b"[]"),
    "nests": answer(b"[" * 100_000),
    "sends 10 MB": None,  # around the right document
    "breaks off": break_off,
    "compresses": compressed,
    "hangs": hang,
    "drips": drip,
}


@pytest.mark.parametrize("path", [DISCOVERY, "/jwks"])
@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_provider_that_misbehaves_lets_nobody_in_and_throws_nobody_out(
    trust: Trust, monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    trust.verify()
    trust.issuer.keys.append(public(rsa_key("new"), "new"))
    document = {
        DISCOVERY: trust.issuer.document(),
        "/jwks": {"keys": trust.issuer.keys},
    }
    trust.issuer.answers[path] = MISBEHAVIOURS[name] or answer(
        json.dumps(document[path]).encode() + b" " * 10_000_000
    )
    trust.pass_time(601)
    with monkeypatch.context() as impatient:
        impatient.setattr(asking, "TIMEOUT", 0.05)
        began = time.monotonic()
        with pytest.raises(IssuerUnavailable, match=trust.issuer.url) as refusal:
            trust.verify(key=rsa_key("new"), key_id="new")
        assert time.monotonic() - began < 10
    assert "/elsewhere" not in trust.issuer.asked
    assert "Traceback" not in str(refusal.value)
    assert trust.verify(sub="someone else").name == "Ada L."
    # It is asked again, but not at once.
    before = trust.issuer.asked[path]
    with pytest.raises(IssuerUnavailable):
        trust.verify(key=rsa_key("new"), key_id="new")
    assert trust.issuer.asked[path] == before
    del trust.issuer.answers[path]
    trust.pass_time(31)
    trust.verify(key=rsa_key("new"), key_id="new")


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": "https://other.example.org"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": "http://example.org/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
    ],
)
def test_a_provider_that_lies_about_itself_is_not_trusted(
    trust: Trust, said: dict[str, Any]
) -> None:
    trust.issuer.said |= said
    with pytest.raises(IssuerUnavailable):
        trust.verify()


def test_no_more_is_read_than_a_document_may_have(trust: Trust) -> None:
    document = json.dumps(trust.issuer.document()).encode()
    limit = asking.MAX_DOCUMENT
    for size in (limit, limit + 1):
        trust.issuer.answers[DISCOVERY] = answer(document.ljust(size))
        if size == limit:
            asking.ask(trust.issuer.url, f"{trust.issuer.url}{DISCOVERY}")
        else:
            with pytest.raises(IssuerUnavailable, match="exceeds 256 KiB"):
                asking.ask(trust.issuer.url, f"{trust.issuer.url}{DISCOVERY}")


def test_who_is_known_does_not_wait_while_a_provider_hangs(trust: Trust) -> None:
    trust.verify()
    trust.pass_time(31)
    asked, release = threading.Event(), threading.Event()

    def hold(handler: BaseHTTPRequestHandler) -> None:
        asked.set()
        release.wait(10)
        break_off(handler)

    trust.issuer.answers[DISCOVERY] = hold

    def wait() -> None:
        with pytest.raises(IssuerUnavailable):
            trust.verify(key_id="new")

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        assert asked.wait(10)
        began = time.monotonic()
        for number in range(50):
            trust.verify(sub=str(number))
            with pytest.raises(IssuerUnavailable, match="being asked"):
                trust.verify(key_id=f"unknown {number}")
        assert time.monotonic() - began < asking.TIMEOUT
    finally:
        release.set()
        waiting.join()


# --- signing in -----------------------------------------------------------------

SECRET = "s" * 43
HERE = "https://jobs.example.org/sign-in/callback"


def query_of(url: str) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}


@define
class Flow:
    """A browser that has been at the provider."""

    trust: Trust
    query: dict[str, str] = field(init=False)
    response: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        url = self.trust.providers.sign_in_url(self.trust.issuer.url, SECRET, HERE)
        assert url.startswith(f"{self.trust.issuer.url}/authorize?")
        self.query = query_of(url)
        self.response = {"code": "c1", "state": self.query["state"]}
        self.answer()

    def answer(self, access: Any = None, **claims: Any) -> None:
        """Have the provider answer with these tokens."""
        issuer = self.trust.issuer
        values = {"aud": CLIENT, "nonce": self.query["nonce"], "scope": None, **claims}
        issuer.tokens["c1"] = {
            "id_token": issuer.token(**values),
            "access_token": issuer.token() if access is None else access,
        }

    def come_back(self, **changed: str) -> User:
        return self.trust.providers.signed_in(
            self.trust.issuer.url, SECRET, HERE, {**self.response, **changed}
        )


@pytest.fixture
def flow(trust: Trust) -> Flow:
    trust.configure(client_id=CLIENT)
    return Flow(trust)


def test_a_browser_is_sent_with_pkce_a_state_and_a_nonce(flow: Flow) -> None:
    query = flow.query
    assert query["response_type"] == "code"
    assert query["client_id"] == CLIENT
    assert query["redirect_uri"] == HERE
    assert query["code_challenge_method"] == "S256"
    assert query["scope"] == "openid profile jobs:read jobs:submit jobs:admin"
    secrets = [query[name] for name in ("state", "nonce", "code_challenge")]
    assert len({*secrets}) == 3
    assert all(len(text) == 43 for text in secrets)


def test_the_user_may_do_what_the_token_may(flow: Flow) -> None:
    user = flow.come_back()
    assert (user.name, user.scope) == ("Ada L.", Scope.SUBMIT)
    (form,) = flow.trust.issuer.redeemed
    assert challenge_of(form.pop("code_verifier")) == flow.query["code_challenge"]
    assert form == {
        "grant_type": "authorization_code",
        "code": "c1",
        "redirect_uri": HERE,
        "client_id": CLIENT,
    }


def test_where_tokens_are_opaque_the_id_token_counts_if_it_is_for_us(
    trust: Trust,
) -> None:
    trust.configure(client_id=CLIENT, audience=CLIENT, scope_claim="groups")
    flow = Flow(trust)
    assert flow.query["scope"] == "openid profile"
    flow.answer("opaque", groups=["jobs:read"])
    assert flow.come_back().scope is Scope.READ


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "x"},
        {"state": ""},
        {"state": "é"},
        {"code": ""},
        {"code": "c2"},
        {"iss": "https://other.example.org"},
        {"code": "", "error": "access_denied"},
    ],
)
def test_a_response_to_another_request_is_refused(
    flow: Flow, changed: dict[str, str]
) -> None:
    with pytest.raises(SignInRefused):
        flow.come_back(**changed)
    assert len(flow.trust.issuer.redeemed) == (changed == {"code": "c2"})


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": None},
        {"nonce": "x"},
        {"aud": "other"},
        {"azp": "other"},
        {"sub": "someone else"},
        {"iss": "https://other.example.org"},
        {"exp": NOW - 3600},
        {"exp": None},
        {"key": rsa_key("other")},
    ],
)
def test_an_id_token_for_something_else_is_refused(
    flow: Flow, claims: dict[str, Any]
) -> None:
    flow.answer(**claims)
    with pytest.raises(SignInRefused):
        flow.come_back()


@pytest.mark.parametrize("access", ["opaque", "a.b.c"])
def test_a_token_that_is_not_for_us_gives_nothing(flow: Flow, access: str) -> None:
    flow.answer(access)
    with pytest.raises(SignInRefused):
        flow.come_back()


def test_a_user_without_permission_is_told_so(flow: Flow) -> None:
    flow.answer(flow.trust.issuer.token(scope="openid"))
    with pytest.raises(NoPermission):
        flow.come_back()


def test_a_code_is_redeemed_once(flow: Flow) -> None:
    flow.come_back()
    with pytest.raises(SignInRefused):
        flow.come_back()


def test_where_the_provider_names_itself_its_name_is_needed(trust: Trust) -> None:
    trust.issuer.said["authorization_response_iss_parameter_supported"] = True
    trust.configure(client_id=CLIENT)
    flow = Flow(trust)
    with pytest.raises(SignInRefused):
        flow.come_back()
    flow.come_back(iss=trust.issuer.url)


@pytest.mark.parametrize(
    "methods", [None, ["client_secret_basic"], ["client_secret_post"]]
)
def test_a_client_with_a_secret_sends_it_to_the_provider_alone(
    trust: Trust, methods: list[str] | None
) -> None:
    trust.issuer.said["token_endpoint_auth_methods_supported"] = methods
    trust.configure("s/e c", client_id=CLIENT)
    assert "s/e c" not in repr(trust.providers)
    flow = Flow(trust)
    flow.come_back()
    (form,) = trust.issuer.redeemed
    if methods == ["client_secret_post"]:
        assert form["client_secret"] == "s/e c"
        assert "authorization" not in form
    else:
        assert "client_secret" not in form
        _, _, basic = form["authorization"].partition(" ")
        assert base64.b64decode(basic).decode() == f"{CLIENT}:s%2Fe+c"


def test_parameters_are_added_and_replace_none_that_protect(trust: Trust) -> None:
    trust.configure(
        client_id=CLIENT,
        parameters={"resource": AUDIENCE, "scope": "openid", "state": "known"},
    )
    query = Flow(trust).query
    assert query["resource"] == AUDIENCE
    assert query["scope"] == "openid"
    assert query["state"] != "known"


def test_only_so_many_sign_in_at_once(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    (provider,) = flow.trust.providers._providers.values()
    for _ in range(providers.SIGN_INS):
        assert provider.places.acquire(blocking=False)
    with pytest.raises(IssuerUnavailable):
        flow.come_back()
    provider.places.release()
    flow.come_back()


def test_nobody_signs_in_where_it_is_not_offered(trust: Trust) -> None:
    for issuer in (trust.issuer.url, "https://other.example.org"):
        with pytest.raises(SignInRefused):
            trust.providers.sign_in_url(issuer, SECRET, HERE)
        with pytest.raises(SignInRefused):
            trust.providers.signed_in(issuer, SECRET, HERE, {})
    assert list(trust.providers.offering_sign_in) == []
    assert not trust.issuer.asked


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.org",
        "login.example.org",
        "",
        "https://a b",
        "https://user@example.org",
        "https://login.example.org/|x",
        "http://localhost.example.org",
        "ftp://login.example.org",
    ],
)
def test_an_issuer_needs_an_address_that_nobody_can_tamper_with(
    trust: Trust, url: str
) -> None:
    with pytest.raises(InvalidValue, match="issuer"):
        trust.issuer.issuer(issuer=url)
    for good in (
        "https://login.example.org/a/",
        "http://localhost:8080",
        "http://[::1]",
    ):
        assert trust.issuer.issuer(issuer=good).issuer == good


def test_its_issuers_and_keys_are_known(trust: Trust) -> None:
    assert list(trust.providers.issuers) == [trust.issuer.url]
    assert trust.providers.key_count(trust.issuer.url) == 1


def test_the_doctor_asks_each_provider(trust: Trust) -> None:
    def found(*trusted: Issuer) -> list[Finding]:
        settings = Settings(home=Path("/nowhere"), issuers=trusted)
        with opened(settings) as parts:
            outcomes = Doctor(parts)._outcomes("issuers", CHECKS["issuers"], {})
            return [Finding("issuers", *outcome) for outcome in outcomes]

    (none,) = found()
    assert (none.verdict, none.remedy) == (Verdict.OK, None)
    with local_issuer() as bad:
        bad.said["issuer"] = "https://login.example.org"
        good, wrong = found(trust.issuer.issuer(), bad.issuer())
    assert good.verdict is Verdict.OK
    assert good.message == f"{trust.issuer.url} answers, with 1 key."
    assert wrong.verdict is Verdict.FAIL
    assert "names itself otherwise" in wrong.message
    assert "[[oidc]]" in (wrong.remedy or "")

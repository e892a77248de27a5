"""Users of a real identity provider: with its tokens, and signed in by a browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from galaxy_jobs.adapters.oidc import OidcProviders
from galaxy_jobs.domain import InvocationState
from tests.support.browser import browser
from tests.support.identity_provider import IdentityProvider, identity_provider
from tests.support.npm import needs_npm
from tests.support.page import Site, seen, site
from tests.support.tab import opened


pytestmark = needs_npm

PICTURES = Path(__file__).parents[2] / ".local/pictures"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with identity_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture
def there(database_url: str, provider: IdentityProvider) -> Iterator[Site]:
    providers = OidcProviders((provider.issuer(),), lambda: datetime.now(UTC))
    with site(database_url, identity_providers=providers) as pages:
        yield pages


def get(url: str, token: str) -> httpx.Response:
    return httpx.get(url, headers={"Authorization": f"Bearer {token}"})


def test_a_program_comes_with_a_token_of_the_provider(
    there: Site, provider: IdentityProvider
) -> None:
    assert httpx.get(f"{there.url}/jobs").status_code == 401
    reader, submitter = (
        provider.token(f"jobs:{scope}") for scope in ("read", "submit")
    )
    assert get(f"{there.url}/jobs", reader).status_code == 200
    body = {"dataset_id": "d1", "name": "Reads", "source": {"src": "hda", "id": "1"}}
    for token, status in ((reader, 403), (submitter, 201)):
        answer = httpx.post(
            f"{there.url}/datasets?check=false",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code == status, answer.text
    assert get(f"{there.url}/jobs", submitter[:-9] + "A" * 9).status_code == 401


def sign_in(page: Page, name: str) -> None:
    """Sign in at the provider, and agree that we are told who it is."""
    page.get_by_role("link", name="Sign in at 127.0.0.1").click()
    page.get_by_placeholder("Enter any login").fill(name)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_a_browser_signs_in_at_the_provider_and_out_here(
    chrome: Browser, there: Site, provider: IdentityProvider
) -> None:
    there.dataset("reads")
    running = seen(InvocationState.IN_PROGRESS, running=2)
    id_ = there.job("sort", "reads", running, owner=f"{provider.url}|ada")
    other = there.job("align", "reads", running, owner=f"{provider.url}|bob")
    with opened(chrome, there.url) as tab:
        page = tab.page
        page.goto(f"{there.url}/ui/jobs/{id_}")
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / "sign-in.png")
        sign_in(page, "ada")
        page.wait_for_url(f"{there.url}/ui/jobs/{id_}")
        tab.troubles.clear()  # it was at the provider
        cookies = {cookie["name"]: cookie for cookie in page.context.cookies(there.url)}
        # Cookies are those of a host, whatever the port: the provider has some, too.
        assert "galaxy_jobs_sign_in" not in cookies
        session = cookies["galaxy_jobs_token"]
        assert session["httpOnly"]
        assert session["sameSite"] == "Lax"
        expect(page.locator(f"#bar-{id_}-running")).to_be_attached()
        page.goto(f"{there.url}/?owner=me")
        expect(page.get_by_text("sort", exact=True)).to_be_visible()
        page.screenshot(path=PICTURES / "signed-in.png")
        assert tab.troubles == []
        # What others have does not exist for her.
        page.goto(there.url)
        expect(page.get_by_text("align", exact=True)).to_have_count(0)
        page.goto(f"{there.url}/ui/jobs/{other}")
        expect(page.get_by_role("heading")).to_contain_text("not found")
        tab.troubles.clear()  # the console shows the 404
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
    # The session has ended, whoever may still have its text.
    cookie = {"Cookie": f"galaxy_jobs_token={session['value']}"}
    assert httpx.get(f"{there.url}/jobs", headers=cookie).status_code == 401

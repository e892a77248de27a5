"""The pages in a real browser, over a real PostgreSQL; once on a real Galaxy.

No tab may end with a message in the browser's console, a script that failed or a
request to another host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from galaxy_jobs.adapters.testing.memory.galaxy import TEXT
from galaxy_jobs.domain import (
    DatasetId,
    Failure,
    InputKind,
    InvocationId,
    InvocationState,
    Request,
    WorkflowInput,
)
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.viewer import SERVICE
from galaxy_jobs.domain.ports import JobFilter
from tests.integration.screenshots import furnish
from tests.support.browser import browser
from tests.support.galaxy import Lab
from tests.support.page import Site, seen, site, steps
from tests.support.service import service
from tests.support.tab import PHONE, WIDE, opened
from tests.support.wait import until


STATE = InvocationState

N = WorkflowInput(name="n", kind=InputKind.INTEGER, minimum=1, maximum=9, default=3)
MODE = WorkflowInput(name="mode", kind=InputKind.TEXT, options=("fast", "exact"))

LAYOUT = (Path(__file__).parents[1] / "support/layout.js").read_text()
CONTRAST = (Path(__file__).parents[1] / "support/contrast.js").read_text()


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    expect.set_options(timeout=15_000)
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def there(module_database_url: str) -> Iterator[Site]:
    with site(module_database_url) as pages:
        pages.dataset("reads", "Reads for tests")
        pages.galaxy.add_workflow("sort", TEXT, N, MODE)
        yield pages


@pytest.fixture(scope="module")
def furnished(postgres_url: str, there: Site) -> dict[str, Any]:
    """Jobs in all states, on all pages."""
    return dict(furnish(there))


def widths(page: Page, id_: str) -> list[str | None]:
    parts = [page.locator(f"#bar-{id_}-{part}") for part in ("ok", "running")]
    return [part.get_attribute("width") for part in parts]


# --- reading ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_every_page_can_be_read_in_any_light_and_on_a_phone(
    chrome: Browser,
    there: Site,
    furnished: dict[str, Any],
    scheme: str,
    size: tuple[int, int],
) -> None:
    with opened(chrome, there.url, size, color_scheme=scheme) as tab:
        for path in (
            "/",
            *(f"/ui/jobs/{id_}" for id_ in furnished.values()),
            "/ui/submit",
            "/ui/submit?workflow_name=variant-calling",
        ):
            page = tab.go(path)
            page.wait_for_load_state("load")
            contrasts = page.evaluate(CONTRAST)
            assert len(contrasts) > 5
            assert [text for ratio, text in contrasts if ratio < 4.5] == []
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size[0], path
        red, green, blue = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert (max(red, green, blue) < 60) is (scheme == "dark")


def test_a_failure_is_seen_without_scrolling(
    chrome: Browser, there: Site, furnished: dict[str, Any]
) -> None:
    for size in (WIDE, PHONE):
        with opened(chrome, there.url, size) as tab:
            page = tab.go(f"/ui/jobs/{furnished['failed']}")
            for text in ("Failed", "Step “align” failed", "bwa_mem/0.7.19"):
                expect(page.get_by_text(text, exact=True).first).to_be_in_viewport()
            expect(
                page.get_by_text("paired reads have different names")
            ).to_be_visible()


def test_without_javascript_everything_is_read_and_done(
    chrome: Browser, there: Site, furnished: dict[str, Any]
) -> None:
    with opened(chrome, there.url, java_script_enabled=False) as tab:
        page = tab.page
        page.goto(there.url)
        expect(page.get_by_text("24 of 24 ok").first).to_be_visible()
        page.get_by_role("link", name="Failed 1", exact=True).click()
        expect(page.locator(".job")).to_have_count(1)
        page.locator(".name").click()
        expect(page.get_by_role("heading", name="Step “align” failed")).to_be_visible()
        expect(
            page.get_by_role("link", name="Ask Galaxy for the outputs")
        ).to_be_visible()
        page.get_by_role("link", name="New job").click()
        page.get_by_role("link", name="sort", exact=True).click()
        page.get_by_label("Dataset").fill("reads")
        page.get_by_label("mode").select_option("fast")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_role("heading", name="sort")).to_be_visible()
        page.get_by_text("Cancel", exact=True).click()
        page.get_by_role("button", name="Stop this job").click()
        expect(page.locator(".now")).to_contain_text("Cancelling")


# --- following ---


def test_a_bar_moves_as_the_job_does_and_the_page_is_not_loaded_again(
    chrome: Browser, there: Site
) -> None:
    id_ = there.job("sort", "reads")
    with opened(chrome, there.url) as tab, opened(chrome, there.url) as other:
        job, jobs = tab.go(f"/ui/jobs/{id_}"), other.go("/")
        for page in (job, jobs):
            expect(page.locator(f"#bar-{id_}")).to_be_visible()
            assert widths(page, id_) == ["0.0%", "0.0%"]
        for ok, running in ((0, 2), (1, 2), (3, 1)):
            there.see(
                id_,
                seen(
                    STATE.IN_PROGRESS,
                    ok=ok,
                    running=running,
                    waiting=4 - ok - running,
                    steps=steps(text="input", sort="running"),
                ),
            )
            for page in (job, jobs):
                for part, count in (("ok", ok), ("running", running)):
                    expect(page.locator(f"#bar-{id_}-{part}")).to_have_attribute(
                        "width", f"{25 * count:.1f}%"
                    )
        expect(job.locator("#news")).to_have_text("In progress: 3 of 4 ok, 1 running")
        there.see(id_, seen(STATE.COMPLETED, ok=4))
        expect(job.locator(".now")).to_contain_text("Completed")
        expect(job.locator("#timeline li")).to_have_count(3)
        expect(job.get_by_text("Cancel", exact=True)).to_have_count(0)
        expect(job.locator("[sse-connect]")).to_have_count(0)
        row = jobs.locator(".job").filter(has=jobs.locator(f"#job-{id_}"))
        expect(row.locator(".badge")).to_have_text("Completed")
        tab.stayed()
        other.stayed()


def test_the_title_of_a_job_stays_that_of_the_job(chrome: Browser, there: Site) -> None:
    id_ = there.job("sort", "reads", seen(STATE.IN_PROGRESS, running=2))
    with opened(chrome, there.url) as tab:
        page = tab.go(f"/ui/jobs/{id_}")
        expect(page.locator("#outputs:not([hx-get])")).to_be_visible()
        expect(page).to_have_title("In progress: sort · galaxy-jobs")
        there.see(id_, seen(STATE.COMPLETED, ok=2))
        expect(page).to_have_title("Completed: sort · galaxy-jobs")
        expect(page.locator("#outputs:not([hx-get])")).to_be_visible()
        page.wait_for_timeout(500)
        expect(page).to_have_title("Completed: sort · galaxy-jobs")


def test_a_new_job_appears_in_the_list_by_itself(chrome: Browser, there: Site) -> None:
    with opened(chrome, there.url) as tab:
        page = tab.go("/")
        id_ = there.job("sort", "reads")
        expect(page.locator(f"#job-{id_}")).to_be_visible()
        tab.stayed()


def test_a_submission_becomes_its_job_once_galaxy_has_accepted_it(
    chrome: Browser, there: Site
) -> None:
    request = Request(dataset_id=DatasetId("reads"), workflow_name="sort")
    now = datetime.now(UTC)
    submission = there.submission(request, now)
    with opened(chrome, there.url) as tab:
        page = tab.go(f"/ui/submissions/{submission.submission_id}")
        with page.expect_response("**/ui/submissions/*") as asked:
            expect(page.get_by_role("heading", name="Being submitted")).to_be_visible()
        assert asked.value.status == 200
        there.accept(submission, InvocationId("accepted"), now)
        page.wait_for_url("**/ui/jobs/accepted")


def test_what_has_the_focus_keeps_it_while_the_page_follows_the_job(
    chrome: Browser, there: Site
) -> None:
    id_ = there.job("sort", "reads", seen(STATE.IN_PROGRESS, running=2))
    with opened(chrome, there.url) as tab:
        page = tab.go("/")
        page.locator(f"#job-{id_}").focus()
        there.see(id_, seen(STATE.IN_PROGRESS, ok=1, running=1))
        expect(page.locator(f"#bar-{id_}-ok")).to_have_attribute("width", "50.0%")
        expect(page.locator(f"#job-{id_}")).to_be_focused()


def test_a_page_says_when_the_service_answers_no_more(
    chrome: Browser, database_url: str
) -> None:
    with opened(chrome, "") as tab:
        with site(database_url) as short:
            tab.base = short.url
            short.dataset("reads")
            short.job("sort", "reads")
            page = tab.go("/")
            expect(page.locator("#offline")).to_be_hidden()
        expect(page.locator("#offline")).to_be_visible()
        tab.troubles.clear()  # the console shows the failed requests


# --- doing ---


def test_a_job_is_run_by_the_form_and_a_double_click_runs_it_once(
    chrome: Browser, there: Site
) -> None:
    before = len(there.galaxy.runs)
    with opened(chrome, there.url) as tab:
        page = tab.go("/ui/submit?workflow_name=sort")
        page.get_by_label("Dataset").fill("reads")
        page.get_by_label("n", exact=True).fill("7")
        page.get_by_label("mode").select_option("exact")
        page.get_by_role("button", name="Run", exact=True).dblclick()
        page.wait_for_url(re.compile("/ui/jobs/"))
        expect(page.locator("#parameters + dl")).to_contain_text("exact")
    assert len(there.galaxy.runs) == before + 1


def test_a_script_that_sends_a_form_twice_at_once_runs_it_once(
    chrome: Browser, there: Site
) -> None:
    before = len(there.galaxy.runs)
    with opened(chrome, there.url) as tab:
        page = tab.go("/ui/submit?workflow_name=sort")
        page.get_by_label("Dataset").fill("reads")
        page.get_by_label("mode").select_option("fast")
        urls = page.evaluate(
            """() => {
              const form = document.querySelector("form.fields");
              const send = () => fetch(form.action, {
                method: "POST", body: new URLSearchParams(new FormData(form)),
              }).then((answer) => answer.url);
              return Promise.all([send(), send(), send(), send()]);
            }"""
        )
        assert all(re.search(r"/ui/(jobs|submissions)/\w+", url) for url in urls), urls
        jobs = {url for url in urls if "/ui/jobs/" in url}
        assert len(jobs) == 1
    assert len(there.galaxy.runs) == before + 1


def test_what_does_not_fit_is_said_beside_its_field(
    chrome: Browser, there: Site
) -> None:
    with opened(chrome, there.url) as tab:
        page = tab.go("/ui/submit?workflow_name=sort")
        page.get_by_label("Dataset").fill("nothing-like-that")
        page.get_by_label("mode").select_option("fast")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("The job was not run")
        expect(page.get_by_label("Dataset")).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label("mode")).to_have_value("fast")
        tab.troubles.clear()  # the console shows the 422


def test_a_failed_job_is_run_again_with_something_changed(
    chrome: Browser, there: Site
) -> None:
    failed = there.job(
        "sort",
        "reads",
        seen(STATE.FAILED, failed=1, failure=Failure(reason="job-failed", step="sort")),
        parameters={"n": 2, "mode": "fast"},
    )
    with opened(chrome, there.url) as tab:
        page = tab.go(f"/ui/jobs/{failed}")
        page.get_by_role("link", name="Run again").click()
        expect(page.get_by_label("n", exact=True)).to_have_value("2")
        page.get_by_label("mode").select_option("exact")
        page.get_by_role("button", name="Run again").click()
        page.wait_for_url(lambda url: "/ui/jobs/" in url and failed not in url)
        expect(page.locator("#facts")).to_contain_text(f"Rerun of{failed}")
        expect(page.locator("#parameters + dl")).to_contain_text("exact")


def test_a_job_is_cancelled_by_keyboard_alone(chrome: Browser, there: Site) -> None:
    id_ = there.job("sort", "reads", seen(STATE.IN_PROGRESS, running=1))

    def tab_to(page: Page, wanted: Callable[[str], bool]) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            label = page.evaluate("document.activeElement.textContent.trim()")
            outline = page.evaluate(
                "getComputedStyle(document.activeElement).outlineStyle"
            )
            assert outline != "none", label
            if wanted(label):
                return
        raise AssertionError("not reached")

    with opened(chrome, there.url) as tab:
        page = tab.go("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.locator(f"#job-{id_}").focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/ui/jobs/{id_}")
        tab_to(page, lambda label: label == "Cancel")
        page.keyboard.press("Enter")
        tab_to(page, lambda label: label == "Stop this job")
        page.keyboard.press("Enter")
        expect(page.locator(".now")).to_contain_text("Cancelling")


def test_selected_jobs_are_cancelled_or_run_again_one_by_one(
    chrome: Browser, there: Site
) -> None:
    running = [
        there.job(
            "sort",
            "reads",
            seen(STATE.IN_PROGRESS, running=1),
            parameters={"n": number, "mode": "exact"},
        )
        for number in (4, 5, 6)
    ]
    done = there.job("sort", "reads", seen(STATE.COMPLETED, ok=1))
    before = len(there.galaxy.runs)
    with opened(chrome, there.url, PHONE) as tab:
        page = tab.go("/?workflow_name=sort")
        bar = page.locator("#selection")
        expect(bar).to_be_hidden()
        for id_ in (*running, done):
            page.locator(f"#select-{id_}").check()
        expect(bar.get_by_text("4 selected")).to_be_visible()
        # The list is replaced meanwhile.
        there.see(running[0], seen(STATE.IN_PROGRESS, ok=1, running=1))
        expect(page.locator(f"#bar-{running[0]}-ok")).to_have_attribute(
            "width", "50.0%"
        )
        expect(page.locator(f"#select-{running[0]}")).to_be_checked()
        assert page.evaluate(LAYOUT) == []
        bar.get_by_text("Cancel", exact=True).click()
        assert page.evaluate(LAYOUT) == []
        bar.get_by_role("button", name="Stop these jobs").click()
        expect(bar.locator("#outcome")).to_have_text("3 cancelled, 1 not.")
        expect(bar.locator("#refused a")).to_have_text("sort on reads")
        expect(bar.locator("#refused")).to_contain_text("cannot be cancelled")
        for id_ in running:
            state = there.container.invocations().get(id_, SERVICE).state
            assert state is STATE.CANCELLING
        # What was refused stays selected.
        expect(page.locator(f"#select-{done}")).to_be_checked()
        page.locator(f"#select-{done}").uncheck()
        for id_ in running[:2]:
            page.locator(f"#select-{id_}").check()
        bar.get_by_text("Run again", exact=True).click()
        bar.get_by_role("button", name="Run these jobs again").click()
        expect(bar.locator("#outcome")).to_have_text("2 run again.")
        tab.troubles.clear()  # the console shows the 409
    assert len(there.galaxy.runs) == before + 2
    again = there.container.invocations().page(JobFilter(), SERVICE, 2).items
    assert {job.rerun_of for job in again} == {*running[:2]}
    assert {job.parameters["n"] for job in again} == {4, 5}
    assert {job.parameters["mode"] for job in again} == {"exact"}


def test_without_javascript_there_is_nothing_to_select(
    chrome: Browser, there: Site
) -> None:
    with opened(chrome, there.url, java_script_enabled=False) as tab:
        tab.page.goto(there.url)
        expect(tab.page.locator(".job .select").first).to_be_hidden()
        expect(tab.page.locator("#selection")).to_be_hidden()


def test_a_page_of_another_site_can_make_the_browser_do_nothing(
    chrome: Browser, there: Site
) -> None:
    id_ = there.job("sort", "reads", seen(STATE.IN_PROGRESS, running=1))
    with opened(chrome, there.url) as tab:
        tab.go("/")  # whatever cookies there are, the browser has them
        tab.page.goto("about:blank")
        tab.page.set_content(
            f'<form method="post" action="{there.url}/ui/jobs/{id_}/cancel">'
            "<button>Win a prize</button></form>"
        )
        with tab.page.expect_navigation() as navigation:
            tab.page.get_by_role("button").click()
        assert navigation.value is not None
        assert navigation.value.status == 403
        tab.troubles.clear()  # the console shows the 403
    assert there.container.invocations().get(id_, SERVICE).state is STATE.IN_PROGRESS


# --- with tokens ---


def led_to_sign_in(page: Page, url: str) -> bool:
    """Go there, and say whether that led to the sign-in page."""
    # A part of a page that was still let in may lead there while we are on our way.
    with suppress(Error):
        page.goto(url)
    return "sign-in" in page.url


def test_signing_in_and_out_and_what_a_token_allows(
    chrome: Browser, database_url: str
) -> None:
    with site(database_url) as closed, opened(chrome, closed.url) as tab:
        closed.dataset("reads")
        id_ = closed.job("sort", "reads", seen(STATE.IN_PROGRESS, running=2))
        make = closed.container.create_token()
        read, write = (
            make(scope.value, scope).text for scope in (Scope.READ, Scope.SUBMIT)
        )
        page = tab.page
        # As soon as there is a token, nobody is let in without.
        until(lambda: led_to_sign_in(page, f"{closed.url}/ui/jobs/{id_}"))
        page.get_by_label("Token").fill("gjt_nothing")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        tab.troubles.clear()  # the console shows the 401
        page.get_by_label("Token").fill(read)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**/ui/jobs/{id_}")
        expect(page.get_by_role("link", name="Run again")).to_have_count(0)
        closed.see(id_, seen(STATE.IN_PROGRESS, ok=1, running=1))  # it is let in, too
        expect(page.locator(f"#bar-{id_}-ok")).to_have_attribute("width", "50.0%")
        [cookie] = [
            cookie
            for cookie in page.context.cookies()
            if cookie["name"] == "galaxy_jobs_token"
        ]
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
        page.goto(closed.url)
        page.wait_for_url("**/sign-in?next=%2F")
        page.get_by_label("Token").fill(write)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{closed.url}/")
        page.locator(f"#job-{id_}").click()
        page.get_by_text("Cancel", exact=True).click()
        page.get_by_role("button", name="Stop this job").click()
        expect(page.locator(".now")).to_contain_text("Cancelling")


def test_a_form_of_another_site_is_refused_though_the_browser_is_signed_in(
    chrome: Browser, database_url: str
) -> None:
    with site(database_url) as closed, opened(chrome, closed.url) as tab:
        closed.dataset("reads")
        id_ = closed.job("sort", "reads", seen(STATE.IN_PROGRESS, running=2))
        token = closed.container.create_token()("web", Scope.SUBMIT).text
        page = tab.page
        until(lambda: led_to_sign_in(page, f"{closed.url}/"))
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{closed.url}/")
        # Of another site the browser sends no cookie; of another port here, it does.
        neighbor = "http://127.0.0.1:1/"
        page.route(neighbor, lambda route: route.fulfill(body="<p>A prize!</p>"))
        for base in ("about:blank", neighbor):
            page.goto(base)
            page.evaluate(
                """(url) => {
                  document.body.innerHTML = `<form method="post" action="${url}">
                    <button id="win">Win</button></form>`;
                }""",
                f"{closed.url}/ui/jobs/{id_}/cancel",
            )
            with page.expect_navigation() as navigation:
                page.locator("#win").click()
            assert navigation.value is not None
            led = "/sign-in" in page.url
            assert led if base == "about:blank" else navigation.value.status == 403
        tab.troubles.clear()  # the console shows both
        assert (
            closed.container.invocations().get(id_, SERVICE).state is STATE.IN_PROGRESS
        )


# --- a real Galaxy ---


def test_a_real_job_from_the_form_to_its_outputs(
    chrome: Browser, lab: Lab, database_url: str, tmp_path: Any
) -> None:
    with service(tmp_path, database=database_url, galaxy=lab.url, key=lab.key) as jobs:
        jobs.serve()
        jobs.poll()
        dataset = jobs.dataset("hda", lab.text)
        with opened(chrome, jobs.url) as tab:
            page = tab.go("/ui/submit?workflow_name=two%20steps")
            page.get_by_label("Dataset").fill(dataset)
            page.get_by_label("sleep_s").fill("2")
            page.get_by_role("button", name="Run", exact=True).click()
            page.wait_for_url(re.compile("/ui/jobs/"))
            page.evaluate("window.notReloaded = true")
            patient = expect(page.locator(".now"))
            patient.to_contain_text("In progress", timeout=60_000)
            patient.to_contain_text("Completed", timeout=120_000)
            expect(page.locator("#outputs")).to_contain_text("sort_out")
            expect(page.locator("#live")).to_contain_text("2 of 2 ok")
            tab.stayed()

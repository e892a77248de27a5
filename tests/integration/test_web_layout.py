"""The layout of every page at the widths of phones, tablets and desktops, and axe-core.

Nothing scrolls sideways, overlaps or is cut off, and no word of a heading is broken.
axe-core (https://github.com/dequelabs/axe-core) looks for what keeps people with a
screen reader, a keyboard or weak eyes from using a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from galaxy_jobs.domain import DatasetId, Element, Output, Request
from galaxy_jobs.domain.model.submission import Problem
from tests.integration.screenshots import LOGS, STEPS, furnish, furnish_batch, output
from tests.support.api import StandIn
from tests.support.browser import browser
from tests.support.page import Site, site
from tests.support.tab import opened


LAYOUT = (Path(__file__).parents[1] / "support/layout.js").read_text()
WIDTHS = (360, 390, 768, 820, 1366)
SCHEMES: dict[Literal["light", "dark"], dict[str, Any]] = {
    "light": {},
    "dark": {"runOnly": ["color-contrast"]},
}
"""The colors of a page, and axe-core's rules for them: all, or the one about colors."""


PARTS = Output(
    label="coverage per sample",
    src="hdca",
    id="bbd44e69cb8906b0",
    name="Coverage of SRR7889045",
    state="error",
    elements=tuple(
        Element(name=f"plate-1/sample-{n:02}", id=f"bbd44e69cb8906{n}", state=state)
        for n, state in enumerate(["error", "ok", "ok"], 10)
    ),
)
OUTPUTS = [
    output("report", "MultiQC report", "html", 1843120),
    output("variants", "Variants", "vcf", 48213),
    PARTS,
]


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    expect.set_options(timeout=15_000)
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def there(module_database_url: str) -> Iterator[Site]:
    with site(
        module_database_url,
        job_outputs=StandIn(OUTPUTS),
        job_steps=StandIn(STEPS),
        job_logs=StandIn((LOGS, 3)),
    ) as pages:
        yield pages


@pytest.fixture(scope="module")
def paths(postgres_url: str, there: Site) -> dict[str, str]:
    """The paths of all pages, each by what is to be seen on it."""
    jobs: dict[str, Any] = dict(furnish(there))
    form = "/ui/submit?workflow_name=variant-calling"
    failed = f"/ui/jobs/{jobs['failed']}"
    request = Request(
        dataset_id=DatasetId("SRR7889041"), workflow_name="variant-calling"
    )
    now = datetime.now(UTC)
    pending, refused = (there.submission(request, now) for _ in range(2))
    detail = "Galaxy refused the request: the tool 'toolshed/bwa_mem' is not installed."
    rejected = refused.rejected(Problem("galaxy-rejected", detail), now)
    there.container.submissions().save(refused, rejected, look_in=None)
    batch_id = furnish_batch(there)
    return {
        "batches": "/ui/batches",
        "a batch": f"/ui/batches/{batch_id}",
        "the jobs of a batch": f"/?batch_id={batch_id}",
        "the list": "/",
        "a filtered list": "/?dataset_id=SRR7889041&workflow_name=rna-seq&state=failed",
        "the end of the list": "/?workflow_name=variant-calling&state=completed",
        **{f"a {name} job": f"/ui/jobs/{id_}" for name, id_ in jobs.items()},
        "outputs": f"{failed}/outputs",
        "steps": f"{failed}/steps",
        "logs": f"{failed}/logs",
        "workflows": "/ui/submit",
        "upload": "/ui/upload",
        "a form": form,
        "a form for data": "/ui/submit?workflow_name=differential-expression",
        "workflows found": "/ui/submit?search=variant",
        "a rerun": f"{failed}/rerun",
        "workflows not found": "/ui/submit?search=nothing",
        "a submission": f"/ui/submissions/{pending.submission_id}",
        "a rejected submission": f"/ui/submissions/{refused.submission_id}",
        "documentation": "/docs",
        "sign-in": "/sign-in",
        "nothing": "/ui/nothing",
    }


def settled(page: Page, path: str) -> Page:
    """Wait for all parts of a page."""
    page.wait_for_load_state("load")
    if path.startswith("/ui/jobs/") and path.count("/") == 3:
        page.wait_for_selector("#outputs:not([hx-get])")
        if page.locator("#logs a").count():
            page.locator("#logs a").click()
            expect(page.locator("#logs h2")).to_have_count(len(LOGS))
        expect(page.locator("#timed[hx-get]")).to_have_count(0)
    return page


def test_nothing_overlaps_and_nothing_is_cut_off(
    chrome: Browser, there: Site, paths: dict[str, str]
) -> None:
    wrong = {}
    with opened(chrome, there.url, (WIDTHS[0], 844)) as tab:
        for name, path in paths.items():
            page = settled(tab.go(path), path)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 844})
                if found := page.evaluate(LAYOUT):
                    wrong[name, width] = found
        tab.troubles.clear()  # the console shows the 404
    assert wrong == {}


@pytest.mark.parametrize("width", WIDTHS)
def test_a_refused_value_is_shown_at_its_field(
    chrome: Browser, there: Site, paths: dict[str, str], width: int
) -> None:
    with opened(chrome, there.url, (width, 844)) as tab:
        page = tab.go(paths["a form for data"])
        page.get_by_label("Dataset", exact=True).fill("plate-7-treated")
        page.get_by_label("Input for the dataset").select_option("treated")
        page.get_by_label("control").fill("plate-7-control")
        page.get_by_label("annotation of genes").fill("SRR7889041")
        page.get_by_label("genome").select_option("dm6")
        page.get_by_label("adapter", exact=True).fill("not bases")
        page.get_by_role("button", name="Run", exact=True).click()
        field = page.get_by_label("adapter", exact=True)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_value("not bases")
        error = page.locator("fieldset", has=field).locator(".error")
        expect(error).to_contain_text("Bases, or N.")
        expect(page.get_by_label("genome")).to_have_value("dm6")
        assert page.evaluate(LAYOUT) == []
        assert Axe().run(page).response["violations"] == []
        # What is the matter leads to the field.
        page.get_by_role("alert").get_by_role("link", name="adapter").click()
        assert urlsplit(page.url).fragment == field.get_attribute("id")
        tab.troubles.clear()  # the console shows the 422


def test_typing_chooses_a_text_and_choosing_takes_it_back(
    chrome: Browser, there: Site, paths: dict[str, str]
) -> None:
    with opened(chrome, there.url) as tab:
        page = tab.go(paths["a form for data"])
        title = page.get_by_label("title of the report", exact=True)
        choices = page.locator("fieldset", has=title)
        expect(choices.get_by_label("default")).to_be_checked()
        title.fill("Mine")
        expect(choices.get_by_label("this text")).to_be_checked()
        choices.get_by_label("the empty text").check()
        expect(title).to_have_value("")
        choices.get_by_label("default").check()
        expect(title).to_have_value("Differentially expressed genes")


def test_a_picker_finds_what_it_did_not_offer_at_first(
    chrome: Browser, there: Site, paths: dict[str, str]
) -> None:
    def offered(page: Page) -> list[str]:
        options = page.get_by_label("control").evaluate_handle("(f) => f.list.options")
        return list(options.evaluate("(options) => [...options].map((o) => o.value)"))

    with opened(chrome, there.url) as tab:
        page = tab.go(paths["a form for data"])
        assert sorted(offered(page)) == ["plate-7-control", "plate-7-treated"]
        with page.expect_response("**/ui/datasets?*"):
            page.get_by_label("control").press_sequentially("CONTROLS")
        page.wait_for_function(
            "document.querySelectorAll('#p1-list option').length == 1"
        )
        assert offered(page) == ["plate-7-control"]
        tab.stayed()


@pytest.mark.parametrize("width", [390, 1366])
def test_axe_finds_nothing(
    chrome: Browser, there: Site, paths: dict[str, str], width: int
) -> None:
    axe, wrong = Axe(), {}
    with opened(chrome, there.url, (width, 844), color_scheme="light") as tab:
        for name, path in paths.items():
            page = settled(tab.go(path), path)
            for scheme, rules in SCHEMES.items():
                page.emulate_media(color_scheme=scheme)
                options = {**rules, "resultTypes": ["violations"]}
                for violation in axe.run(page, options=options).response["violations"]:
                    parts = [node["html"][:200] for node in violation["nodes"]]
                    wrong[name, scheme, violation["help"]] = parts
        tab.troubles.clear()  # the console shows the 404
    assert wrong == {}

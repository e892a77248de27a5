"""The page to upload files in a real browser, into a folder and into SeaweedFS."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from galaxy_jobs.adapters.clock import SystemClock
from galaxy_jobs.adapters.embedded.store import LocalStore
from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.domain import Scope
from galaxy_jobs.domain.model import upload as model
from galaxy_jobs.domain.model.signing import Signer
from galaxy_jobs.domain.model.upload import MIB, UploadId, store_key
from galaxy_jobs.domain.use_cases import uploads as use_cases
from galaxy_jobs.domain.use_cases.uploads import UploadPolicy
from galaxy_jobs.entrypoints.settings import HttpTable
from tests.integration.test_s3_store import s3
from tests.support.browser import browser
from tests.support.page import Site, site
from tests.support.tab import WIDE, opened
from tests.support.wait import until


EXAMPLES = Path(__file__).parents[2] / "docs/examples"
SMALL = (360, 844)
HANG = """(pattern) => {
  const { open, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, url) {
    this.hangs = RegExp(pattern).test(url);
    open.call(this, method, url);
  };
  XMLHttpRequest.prototype.send = function (body) {
    if (!this.hangs) send.call(this, body);
  };
}"""
"""Never sends some requests. (To intercept them, Playwright reads all bodies.)"""

LAYOUT = (Path(__file__).parents[1] / "support/layout.js").read_text()


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    expect.set_options(timeout=30_000)
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def folder(module_database_url: str) -> Iterator[Site]:
    with site(module_database_url) as pages:
        yield pages


@pytest.fixture(scope="module")
def seaweed(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    local = LocalStore(tmp_path_factory.mktemp("store"), port=18533)
    try:
        with site(module_database_url, object_store=s3(local.start())) as pages:
            yield pages
    finally:
        local.remove()


@pytest.fixture(params=["folder", "seaweed"])
def there(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PART_SIZE", 5 * MIB)
    monkeypatch.setattr(use_cases, "PART_SIZE", 5 * MIB)


def store_of(there: Site) -> str:
    """Return the address of its store; empty: the service itself."""
    return getattr(there.container.object_store(), "endpoint", "")


def written(folder: Path, *names: str, size: int = 40) -> list[str]:
    for name in names:
        (folder / name).write_bytes(os.urandom(size))
    return [str(folder / name) for name in names]


def choose(page: Page, *paths: str) -> None:
    before = page.locator(".file").count()
    page.set_input_files("#files", paths)
    expect(page.locator(".file")).to_have_count(before + len(paths))


def send(page: Page) -> None:
    page.locator("#send").click()


def registered(there: Site, page: Page) -> list[Any]:
    """Wait until the page shows datasets, and return them."""
    expect(page.locator("#done")).to_be_visible(timeout=30_000)
    ids = page.locator("#registered code").all_text_contents()
    return [dataset_of(there, id_) for id_ in ids]


def dataset_of(there: Site, id_: str) -> Any:
    return httpx.get(f"{there.url}/datasets/{id_}").json()


def content(there: Site, id_: str) -> bytes:
    upload_id = dataset_of(there, id_)["source"]["upload_id"]
    with there.container.object_store().read(f"uploads/{upload_id}") as pieces:
        return b"".join(pieces)


def test_pairs_are_corrected_and_registered(
    chrome: Browser, there: Site, tmp_path: Path
) -> None:
    names = [f"{sample}_R{read}.fastq.gz" for sample in ("s1", "s2") for read in (1, 2)]
    paths = written(tmp_path, *names, "x.fq", "notes.txt", "y z ä'%.fq")
    with opened(chrome, there.url, also=store_of(there)) as tab:
        page = tab.go("/ui/upload")
        choose(page, *paths)
        page.get_by_label("list of pairs").check()
        expect(page.get_by_role("button", name="Swap s1")).to_be_visible()
        page.get_by_role("button", name="Remove notes.txt").click()
        page.get_by_role("button", name="Swap s1").click()
        page.get_by_role("button", name="Unpair s2").click()
        expect(page.get_by_text("It has no mate")).to_have_count(4)
        send(page)
        expect(page.locator("#name:invalid")).to_have_count(1)
        page.locator("#name").fill("Plate 1")
        send(page)
        expect(page.locator("#problem")).to_contain_text("Nothing was sent")
        # Of four single files, two pairs.
        mate = page.locator(".mate:visible select").first
        mate.select_option(label="y z ä'%.fq")
        page.locator(".mate:visible select").first.select_option(label="x.fq")
        page.locator("#sample-1").fill("s1")
        page.locator("#sample-1").blur()
        expect(page.get_by_text("Another one has this name.")).to_have_count(2)
        page.locator("#sample-1").fill("second")
        page.locator("#sample-1").blur()
        send(page)
        [dataset] = registered(there, page)
        tab.stayed()
    assert dataset["name"] == "Plate 1"
    assert dataset["source"]["collection_type"] == "list:paired"
    found = {
        (sample["name"], read["name"]): read["dataset_id"]
        for sample in dataset["source"]["elements"]
        for read in sample["elements"]
    }
    files = {place: dataset_of(there, id_)["name"] for place, id_ in found.items()}
    assert files == {
        ("s1", "forward"): names[1],
        ("s1", "reverse"): names[0],
        ("second", "forward"): names[2],
        ("second", "reverse"): "y z ä'%.fq",
        ("s2_R2", "forward"): names[3],
        ("s2_R2", "reverse"): "x.fq",
    }
    for place, id_ in found.items():
        assert content(there, id_) == (tmp_path / files[place]).read_bytes()


def parts_of(page: Page) -> list[int]:
    """Return the numbers of parts, which grow as the page stores them."""
    numbers: list[int] = []

    def finished(request: Any) -> None:
        found = re.search(r"/parts/(\d+)\?|partNumber=(\d+)", request.url)
        if request.method == "PUT" and found:
            numbers.append(int(found[1] or found[2]))

    page.on("requestfinished", finished)
    return numbers


def stored_are(page: Page, stored: list[int], *numbers: int) -> None:
    """Wait until these parts are stored, each once."""

    # Events come while the page is waited for.
    def are_there() -> bool:
        page.wait_for_timeout(50)
        return len(stored) >= len(numbers)

    until(are_there, timeout=60)
    assert sorted(stored) == [*numbers]


def is_part(number: int) -> re.Pattern[str]:
    return re.compile(rf"/parts/{number}\?|partNumber={number}(&|$)")


def test_a_closed_page_goes_on_where_it_was(
    chrome: Browser, there: Site, tmp_path: Path
) -> None:
    [path] = written(tmp_path, "large.unknown", size=16 * MIB)
    with opened(chrome, there.url, also=store_of(there)) as tab, there.sweeping():
        page = tab.go("/ui/upload")
        stored = parts_of(page)
        page.evaluate(HANG, "(/parts/3[?])|(partNumber=3&)")
        page.locator("#ext").fill("bam")
        choose(page, path)
        send(page)
        stored_are(page, stored, 1, 2, 4)
        expect(page.locator(".count")).to_have_text("68 %")
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        begun = page.locator(".begun", has_text="large.unknown")
        expect(begun).to_contain_text("16.0 MiB, bam, kept until")
        expect(page.locator("#ext")).to_have_value("")
        with page.expect_file_chooser() as chooser:
            begun.get_by_role("button", name="Go on").click()
        chooser.value.set_files(path)
        expect(page.locator(".file")).to_contain_text("bam")
        send(page)
        [dataset] = registered(there, page)
        stored_are(page, stored, 1, 2, 3, 4)
    assert dataset["name"] == "large.unknown"
    assert content(there, dataset["dataset_id"]) == Path(path).read_bytes()


def test_an_upload_that_was_begun_can_be_aborted(chrome: Browser, folder: Site) -> None:
    name = "<b>&'\"  long-" * 14
    file = {"name": name, "size": 7, "ext": "txt"}
    opened_ = httpx.post(f"{folder.url}/uploads", json=file).json()
    with opened(chrome, folder.url, SMALL) as tab:
        page = tab.go("/ui/upload")
        expect(page.locator(".begun", has_text="long-")).to_be_visible()
        assert page.evaluate(LAYOUT) == []
        page.get_by_role("button", name=f"Abort {name}").click()
        expect(page.locator(".begun", has_text="long-")).to_have_count(0)
    shown = httpx.get(f"{folder.url}/uploads/{opened_['upload_id']}").json()
    assert shown["state"] == "aborted"


def test_a_part_that_is_lost_is_sent_again(
    chrome: Browser, there: Site, tmp_path: Path
) -> None:
    [path] = written(tmp_path, "lost.bam", size=12 * MIB)
    with opened(chrome, there.url, also=store_of(there)) as tab, there.sweeping():
        page = tab.go("/ui/upload")
        page.route(is_part(2), lambda route: route.abort(), times=1)
        page.route(
            re.compile(r"/complete\?"), lambda route: route.fulfill(status=503), times=1
        )
        choose(page, path)
        send(page)
        [dataset] = registered(there, page)
        tab.troubles.clear()  # the console shows both
    assert content(there, dataset["dataset_id"]) == Path(path).read_bytes()


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (SMALL, "dark")])
def test_chosen_files_fit_and_axe_finds_nothing(
    chrome: Browser,
    folder: Site,
    tmp_path: Path,
    size: tuple[int, int],
    scheme: Literal["light", "dark"],
) -> None:
    names = ("s1_R1.fq", "s1_R2.fq", f"{'long-' * 20}_1.fq", "notes", "empty.txt")
    paths = written(tmp_path, *names)
    Path(paths[-1]).write_bytes(b"")
    with opened(chrome, folder.url, size, color_scheme=scheme) as tab:
        page = tab.go("/ui/upload")
        choose(page, *paths)
        for kind in ("list of pairs", "one list", "each file"):
            page.get_by_label(kind, exact=False).first.check()
            page.wait_for_load_state("networkidle")
            assert page.evaluate(LAYOUT) == []
            assert Axe().run(page).response["violations"] == []
        send(page)
        expect(page.get_by_text("does not show its format")).to_be_visible()
        page.get_by_label("Format").fill("txt")
        send(page)
        expect(page.get_by_text("has 1 byte or more")).to_be_visible()
        expect(page.locator("#outcome")).to_have_text("4 of 5 files are uploaded.")
        assert page.evaluate(LAYOUT) == []
        assert Axe().run(page).response["violations"] == []
        tab.troubles.clear()  # the console shows the 400
        page.get_by_role("button", name="Remove empty.txt").click()
        send(page)
        assert len(registered(folder, page)) == 4
        assert page.evaluate(LAYOUT) == []
        assert Axe().run(page).response["violations"] == []


def test_who_has_signed_in_uploads_by_the_cookie(
    chrome: Browser, database_url: str, tmp_path: Path
) -> None:
    [path] = written(tmp_path, "mine.txt")
    with site(database_url) as closed, opened(chrome, closed.url) as tab:
        token = closed.container.create_token()("web", Scope.SUBMIT).text
        # That the service has a token is noticed a moment later.
        until(lambda: httpx.get(f"{closed.url}/uploads").status_code == 401)
        page = tab.go("/ui/upload")
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/upload")
        choose(page, path)
        send(page)
        assert len(registered(closed, page)) == 1


# --- what goes wrong ---


def test_cancelled_files_are_given_up_and_can_be_sent_again(
    chrome: Browser, there: Site, tmp_path: Path
) -> None:
    paths = written(tmp_path, "one.bam", "two.bam", size=6 * MIB)
    with opened(chrome, there.url, also=store_of(there)) as tab, there.sweeping():
        page = tab.go("/ui/upload")
        page.evaluate(HANG, "(/parts/2[?])|(partNumber=2&)")
        choose(page, *paths)
        send(page)
        expect(page.locator(".count").last).to_have_text("83 %")
        page.get_by_role("button", name="Cancel one.bam").click()
        expect(page.locator(".count").first).to_have_text("cancelled")
        page.get_by_role("button", name="Cancel", exact=True).click()
        expect(page.locator("#problem")).to_have_text("Cancelled.")
        until(lambda: not httpx.get(f"{there.url}/uploads").json()["items"])
        page.reload()
        choose(page, *paths)
        send(page)
        assert len(registered(there, page)) == 2


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"max_bytes": 100}, "no more than 100 are allowed"),
        ({"upload_lifetime": timedelta(milliseconds=1)}, "expired"),
        (None, "The store failed: File exists."),
    ],
    ids=["quota", "expired", "store"],
)
def test_what_the_service_refuses_is_shown_at_its_file(
    chrome: Browser,
    database_url: str,
    tmp_path: Path,
    policy: dict[str, Any] | None,
    problem: str,
) -> None:
    [small, large] = [*written(tmp_path, "a.txt"), *written(tmp_path, "b.txt", size=99)]
    instead: dict[str, Any] = {"upload_policy": UploadPolicy(**(policy or {}))}
    if policy is None:
        Path(tmp_path / "file").touch()
        instead["object_store"] = FolderStore(
            tmp_path / "file", lambda: Signer([]), SystemClock()
        )
    with site(database_url, **instead) as there, opened(chrome, there.url) as tab:
        page = tab.go("/ui/upload")
        page.clock.install()
        choose(page, small, large)
        send(page)

        def is_shown() -> bool:
            page.clock.run_for(8000)
            return page.get_by_role("button", name="Try again").count() > 0

        until(is_shown, timeout=60)
        # Of two at once, either may be the one that exceeds the quota.
        refused = page.locator(".file .error:visible").first
        expect(refused).to_contain_text(problem)
        tab.troubles.clear()  # the console shows the status


def test_a_file_can_be_removed_while_names_are_asked_about(
    chrome: Browser, folder: Site, tmp_path: Path
) -> None:
    [first, second] = written(tmp_path, "s.x_R1.fq", "s.x_R2.fq")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    with opened(chrome, folder.url) as tab:
        page = tab.go("/ui/upload")
        page.get_by_label("list of pairs").check()
        choose(page, first)
        page.route("**/ui/upload/names", hold, times=1)
        page.set_input_files("#files", second)
        page.get_by_role("button", name="Remove s.x_R1.fq").click()
        expect(page.locator("#sample-0")).to_have_value("s.x_R2")
        with page.expect_response("**/ui/upload/names"):
            held[0].continue_()
        page.wait_for_timeout(200)  # its answer changes nothing
        expect(page.locator("#problem")).to_be_hidden()
        expect(page.locator(".file b")).to_have_text(["s.x_R2.fq"])
        expect(page.get_by_text("It has no mate")).to_have_count(1)


def test_a_file_that_cannot_be_used_is_named(
    chrome: Browser, folder: Site, tmp_path: Path
) -> None:
    odd = written(tmp_path, "a\nb.txt", "<b>c.txt", "changed.txt", "same.txt")
    (tmp_path / "other").mkdir()
    same = written(tmp_path / "other", "same.txt", size=41)
    with opened(chrome, folder.url) as tab:
        page = tab.go("/ui/upload")
        choose(page, *odd, *same)
        page.set_input_files("#files", same)
        expect(page.locator("#problem")).to_have_text("same.txt is chosen already.")
        page.get_by_label("all as one list", exact=True).check()
        expect(page.get_by_text("Another one has this name.")).to_have_count(2)
        page.get_by_label("each file as a dataset").check()
        expect(page.get_by_text("Another one has this name.")).to_have_count(0)
        Path(odd[2]).write_bytes(b"It has changed since it was chosen.")
        send(page)
        expect(page.locator("#outcome")).to_have_text("3 of 5 files are uploaded.")
        for name, problem in (
            ("b.txt", "expected the name of a file"),
            ("changed.txt", "The file has changed"),
        ):
            file = page.locator(".file", has=page.get_by_text(name, exact=True))
            if name == "b.txt":
                file = page.locator(".file").first
            expect(file.locator(".error")).to_contain_text(problem)
            file.get_by_role("button").click()
        tab.troubles.clear()  # the console shows the 400
        send(page)
        names = [dataset["name"] for dataset in registered(folder, page)]
    assert names == ["<b>c.txt", "same.txt", "same.txt"]


# --- a page of another origin ---


@pytest.fixture(scope="module")
def examples() -> Iterator[str]:
    """Serve docs/examples, and return the origin."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(EXAMPLES))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("stored_in", ["folder", "seaweed"])
def test_the_example_uploads_from_another_origin(
    chrome: Browser,
    database_url: str,
    stored_in: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    there: Site = request.getfixturevalue(stored_in)
    elsewhere: str = request.getfixturevalue("examples")
    instead = (
        {"object_store": there.container.object_store()} if store_of(there) else {}
    )
    http = HttpTable(allow_origins=[elsewhere])
    [path] = written(tmp_path, "a b.txt", size=11 * MIB)
    with (
        site(database_url, http=http, **instead) as service,
        service.sweeping(),
        chrome.new_context() as context,
    ):
        page = context.new_page()
        page.goto(f"{elsewhere}/upload.html")
        page.get_by_label("Service").fill(service.url)
        page.get_by_label("Token").fill(
            service.container.create_token()("web", Scope.SUBMIT).text
        )
        page.get_by_label("File").set_input_files(path)
        page.evaluate(
            """() => {
              const before = window.fetch;
              window.fetch = (url, options) => {
                const second = /(parts.2[?])|(partNumber=2&)/.test(url);
                if (!second) return before(url, options);
                window.fetch = before;
                throw new TypeError("Failed to fetch");
              };
            }"""
        )
        page.get_by_role("button", name="Upload").click()
        expect(page.locator("output")).to_contain_text("Upload it again to go on.")
        page.get_by_role("button", name="Upload").click()
        expect(page.locator("output")).to_contain_text("is registered", timeout=60_000)
        words = page.locator("output").text_content() or ""
        upload_id = UploadId(words.split()[1])
        with service.container.object_store().read(store_key(upload_id)) as pieces:
            assert b"".join(pieces) == Path(path).read_bytes()
        # A page of an origin that is not listed gets nothing.
        page.goto(f"{elsewhere.replace('127.0.0.1', 'localhost')}/upload.html")
        page.get_by_label("Service").fill(service.url)
        page.get_by_label("File").set_input_files(path)
        page.get_by_role("button", name="Upload").click()
        expect(page.locator("output")).to_contain_text("Failed to fetch")

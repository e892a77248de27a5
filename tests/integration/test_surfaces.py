"""Every kind of input and value, over HTTP, on the command line and in a form.

The surfaces are real: a server on a socket, our program, Chromium. The core is real,
too, and the workflows are those that a real Galaxy declared; only what would be run is
taken down. What a real Galaxy makes of that was recorded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from attrs import define, field
from dependency_injector import providers
from playwright.sync_api import Page

from galaxy_jobs.domain import IdempotencyKey, Request, Viewer
from galaxy_jobs.domain.errors import InvalidParameters
from galaxy_jobs.domain.use_cases import Submit, Submitted
from galaxy_jobs.entrypoints import cli
from galaxy_jobs.entrypoints.settings import HttpTable
from tests.support import surfaces
from tests.support.browser import browser
from tests.support.declared import LEFT_OUT
from tests.support.filling import Inexpressible, fill, options
from tests.support.page import Site, site
from tests.support.surfaces import Answer
from tests.support.tab import opened


@define
class Core:
    """Submits, and keeps what requests have for one input, and what becomes of it."""

    submit: Submit
    there: Site
    label: str = ""
    answers: list[Answer] = field(factory=list)

    def __call__(
        self,
        request: Request,
        viewer: Viewer,
        key: IdempotencyKey | None = None,
        **more: Any,
    ) -> Submitted:
        answer = Answer(sent=request.parameters.get(self.label, LEFT_OUT))
        self.answers.append(answer)
        try:
            done = self.submit(request, viewer, key, **more)
        except InvalidParameters as error:
            answer.refusal = error.problems[self.label]
            raise
        answer.galaxy = self.there.galaxy.runs[-1].inputs.get(self.label, LEFT_OUT)
        return done

    def answer(self, label: str, send: Callable[[], None]) -> Answer:
        """Return what becomes of what is sent, if the surface sends anything."""
        self.label = label
        self.answers.clear()
        try:
            send()
        except Inexpressible as error:
            assert not self.answers
            return Answer(inexpressible=error.reason)
        [answer] = self.answers
        return answer


@pytest.fixture(scope="module")
def core(module_database_url: str) -> Iterator[Core]:
    generous = HttpTable(rate=1e6, burst=1e6)
    with site(module_database_url, http=generous) as there:
        there.dataset("reads")
        folder = surfaces.RECORDED / surfaces.RELEASE
        for label, workflow in surfaces.workflows(folder).items():
            there.galaxy.add_workflow(label, *workflow.inputs)
        core = Core(there.container.submit(), there)
        there.container.submit.override(providers.Object(core))
        yield core


Send = Callable[[str, Any], None]


def over_http(core: Core) -> Send:
    def send(label: str, value: Any) -> None:
        body = {
            "dataset_id": "reads",
            "workflow_name": label,
            "parameters": {} if value == LEFT_OUT else {label: value},
        }
        url = f"{core.there.url}/jobs"
        answer = requests.post(url, json=body, timeout=60)
        assert answer.status_code in {201, 422}, answer.text

    return send


def on_the_command_line(core: Core, monkeypatch: pytest.MonkeyPatch) -> Send:
    monkeypatch.setenv("GALAXY_JOBS_URL", core.there.url)

    def send(label: str, value: Any) -> None:
        code = cli.run(["submit", "reads", label, *options(label, value)])
        assert code == (0 if core.answers[-1].is_accepted else 1)

    return send


# --- the form ---------------------------------------------------------------------


def in_the_form(core: Core, page: Page) -> Send:
    sent: dict[str, Answer] = {}

    def send(label: str, value: Any) -> None:
        url = f"{core.there.url}/ui/submit?{urlencode({'workflow_name': label})}"
        if page.url == url:  # nothing was sent from it
            page.evaluate("document.querySelector('form.fields').reset()")
        else:
            page.goto(url)
        fields = page.locator(f'[name="p.{label}"]:not([type=hidden])')
        page.get_by_label("Dataset", exact=True).fill("reads")
        if value != LEFT_OUT:
            fill(page, label, value)
        for problem in fields.evaluate_all(INVALID):
            raise Inexpressible(f"the browser asks for {ASKED[problem]}")
        if (content := page.evaluate(CONTENT)) in sent:
            core.answers.append(sent[content])
            return
        with page.expect_response(lambda response: response.request.method == "POST"):
            page.get_by_role("button", name="Run", exact=True).click()
        sent[content] = answer = core.answers[-1]
        if answer.refusal is not None:
            error = page.locator(".field .error")
            assert error.inner_text().strip() == answer.refusal

    return send


CONTENT = """() => {
  const data = new FormData(document.querySelector("form.fields"));
  data.delete("key");
  return new URLSearchParams(data).toString();
}"""

INVALID = """(fields) => fields.flatMap(({ validity }) => {
  for (const problem in validity) {
    if (problem !== "valid" && validity[problem]) return problem;
  }
  return [];
})"""

ASKED = {
    "valueMissing": "a value",
    "stepMismatch": "an integer",
    "rangeUnderflow": "a larger number",
    "rangeOverflow": "a smaller number",
}


# --- the tests --------------------------------------------------------------------


def check(core: Core, surface: str, send: Send) -> None:
    """Compare all answers of a surface with the recorded ones, or record them."""
    found = [
        core.answer(label, partial(send, label, value)).as_json()
        for label, value in surfaces.cells()
    ]
    if os.environ.get("RECORD"):
        surfaces.record(surface, found)
    recorded = [row[surface].as_json() for row in surfaces.answers().values()]
    # As JSON, where 1, 1.0 and true are not the same.
    assert [*map(json.dumps, found)] == [*map(json.dumps, recorded)]


def test_over_http(core: Core) -> None:
    check(core, "HTTP", over_http(core))


def test_on_the_command_line(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    check(core, "command line", on_the_command_line(core, monkeypatch))


def test_in_a_form(core: Core) -> None:
    with browser() as chrome, opened(chrome, core.there.url) as tab:
        check(core, "form", in_the_form(core, tab.page))
        tab.troubles.clear()  # the console shows each 422

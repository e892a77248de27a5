"""A tab of the browser, which notes what goes wrong in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field
from playwright.sync_api import Browser, Page


WIDE, PHONE = (1120, 760), (390, 844)


@define
class Tab:
    """A tab of the browser, and what went wrong in it.

    Requests go to *base* and *also* alone.
    """

    page: Page
    base: str
    also: str = ""
    troubles: list[str] = field(factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        self.page.evaluate("window.notReloaded = true")
        return self.page

    def stayed(self) -> None:
        """Make sure that it was not loaded again since."""
        assert self.page.evaluate("window.notReloaded") is True

    def note(self, what: str) -> None:
        self.troubles.append(what)

    def requested(self, url: str) -> None:
        hosts = {urlsplit(base).netloc for base in (self.base, self.also)}
        if url.startswith("http") and urlsplit(url).netloc not in hosts:
            self.note(f"requested {url}")


@contextmanager
def opened(
    chrome: Browser,
    base: str,
    size: tuple[int, int] = WIDE,
    *,
    also: str = "",
    **context: Any,
) -> Iterator[Tab]:
    width, height = size
    there = chrome.new_context(viewport={"width": width, "height": height}, **context)
    there.set_default_timeout(15_000)
    tab = Tab(there.new_page(), base, also)
    tab.page.on("console", lambda message: tab.note(f"console: {message.text}"))
    tab.page.on("pageerror", lambda error: tab.note(f"error: {error}"))
    tab.page.on("request", lambda request: tab.requested(request.url))
    yield tab
    there.close()
    assert not tab.troubles

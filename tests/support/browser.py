"""A real browser, without a window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright


NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str:
    """Find the browser of this machine.

    Raises:
        RuntimeError: There is none: the pages cannot be tested.
    """
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else NAMES:
        if found := shutil.which(name):
            return found
    raise RuntimeError(
        f"CHROMIUM is {named!r}, which is no program."
        if named
        else "There is no Chromium, which tests of the pages need. Install it "
        "(Debian, Ubuntu: apt-get install chromium), or set CHROMIUM to its path."
    )


@contextmanager
def browser() -> Iterator[Browser]:
    """Run it; it speaks to nobody of its own accord."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium(),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        try:
            yield running
        finally:
            running.close()

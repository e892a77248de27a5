"""The demo, left running as README has it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.support.wait import until


@frozen
class Demo:
    """A demo that has come to its end and serves.

    Attributes:
        printed: All that it printed.
        url: Where it serves.
        process: It.
    """

    printed: str
    url: str
    process: subprocess.Popen[bytes]

    def to_type(self) -> list[str]:
        """Return what it says to type next."""
        return re.findall(
            r"^    (.+)$", self.printed.partition("second terminal")[2], re.MULTILINE
        )

    def stop(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def environment(home: Path, url: str, key: str) -> dict[str, str]:
    """Return what a demo is told: a Galaxy, and no database but its own."""
    wanted = {"GALAXY_URL": url, "GALAXY_API_KEY": key, "GALAXY_JOBS_HOME": str(home)}
    return {**os.environ, **wanted, "DATABASE_URL": ""}


@contextmanager
def left_running(home: Path, env: Mapping[str, str]) -> Iterator[Demo]:
    """Run the demo and leave it running; at the end nothing of it runs."""
    log = home / "demo.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "galaxy_jobs.entrypoints", "demo"],
            env=dict(env),
            cwd=home,
            stdout=out,
            stderr=out,
        )

    def finished() -> str | None:
        text = log.read_text()
        assert process.poll() is None, text
        return text if "second terminal" in text else None

    try:
        text = until(finished, 240)
        (url,) = re.findall(r"serving at (\S+) until Ctrl-C", text)
        yield Demo(text, url, process)
    finally:
        process.terminate()
        process.wait(60)

"""Our client commands, typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.support import forks
from tests.support.terminal import Terminal


@frozen
class Client:
    """Types commands for one service.

    Attributes:
        env: Nothing but the service's address is set: a client needs no more.
        folder: Where they are typed.
    """

    env: dict[str, str]
    folder: Path

    @classmethod
    def of(cls, url: str, folder: Path) -> Client:
        """Return a client of the service at that address."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GALAXY", "DATABASE", "COLUMNS"))
        }
        return cls({**env, "GALAXY_JOBS_URL": url}, folder)

    def __call__(
        self, *arguments: str, code: int = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Type a command that must end with that exit code."""
        done = forks.run(
            arguments, env={**self.env, **env}, folder=self.folder, timeout=300
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Type a command that goes on."""
        return subprocess.Popen(
            [sys.executable, "-m", "galaxy_jobs.entrypoints", *arguments],
            env=self.env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def on_terminal(self, *arguments: str, **env: str) -> Terminal:
        return Terminal(arguments, {**self.env, **env}, self.folder)

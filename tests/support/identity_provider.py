"""A real OpenID Connect provider: `oidc-provider`, in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen
from playwright._impl._driver import compute_driver_executable

from galaxy_jobs.domain import Issuer, Scope
from tests.support.npm import node_modules


SOURCE = Path(__file__).parent / "oidc_provider"
AUDIENCE = "https://jobs.example.org"
SCOPES = {"jobs:read": Scope.READ, "jobs:submit": Scope.SUBMIT}
"""What the provider gives to everybody who asks."""


@frozen
class IdentityProvider:
    """The provider, by its address."""

    url: str
    process: subprocess.Popen[str]

    def issuer(self, **more: Any) -> Issuer:
        """Return what is configured of it."""
        values = {"issuer": self.url, "audience": AUDIENCE, "scopes": SCOPES}
        return Issuer(**{**values, "client_id": "galaxy-jobs", **more})

    def token(self, scope: str) -> str:
        """Return a token of the portal, as it gets one for itself."""
        answer = httpx.post(
            f"{self.url}/token",
            auth=("portal", "a%20secret"),
            data={"grant_type": "client_credentials", "scope": scope},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def identity_provider(folder: Path) -> Iterator[IdentityProvider]:
    """Run it until the end of the block, from an empty folder."""
    shutil.copy(SOURCE / "provider.js", folder)
    shutil.copy(SOURCE / "package.json", folder)
    (folder / "node_modules").symlink_to(node_modules(SOURCE))
    node, *_ = compute_driver_executable()
    with subprocess.Popen(
        [node, "provider.js"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        provider = IdentityProvider(url, process)
        try:
            yield provider
        finally:
            provider.stop()

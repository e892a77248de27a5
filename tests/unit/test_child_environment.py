"""The environment of the programs that we start: no secret of ours is in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from galaxy_jobs.adapters.embedded.galaxy_package import clean_environment
from galaxy_jobs.adapters.embedded.system import own_environment
from galaxy_jobs.entrypoints.settings import LIBPQ_SECRETS, SETTINGS


@pytest.mark.parametrize("environment", [own_environment, clean_environment])
def test_no_setting_and_no_password_is_passed_on(
    environment: Callable[[], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*(setting["name"] for setting in SETTINGS), *LIBPQ_SECRETS, "PGPORT"):
        monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    passed = environment()
    assert passed["PATH"] == "/usr/bin:/bin"
    assert "sesame" not in passed.values()


def test_the_installers_of_galaxy_know_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    assert clean_environment()["HTTPS_PROXY"] == "http://proxy.example.org:3128"
    assert "HTTPS_PROXY" not in own_environment()

"""Ids as a Galaxy of ours makes them."""

from __future__ import annotations

import re
import subprocess
from functools import cache

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy


@cache
def absent_id(galaxy: LocalGalaxy) -> str:
    """Return an id that is well-formed, and of nothing there will ever be.

    Galaxy encrypts its numbers, so an invented id is malformed, not absent.
    """
    written = (galaxy.home / "galaxy.yml").read_text(encoding="utf-8")
    secret = re.search(r"^\s*id_secret:\s*(\w+)", written, re.MULTILINE)
    assert secret
    code = (
        "import sys; from galaxy.security.idencoding import IdEncodingHelper as H; "
        "print(H(id_secret=sys.argv[1]).encode_id(10**9))"
    )
    made = subprocess.run(
        [galaxy.home / "venv/bin/python", "-c", code, secret[1]],
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.strip()

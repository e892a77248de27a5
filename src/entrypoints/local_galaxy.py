"""``galaxy-jobs galaxy start|stop|status``: the local Galaxy by itself."""

from __future__ import annotations

import sys
from typing import Literal

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.entrypoints.settings import load


def run(action: Literal["start", "stop", "status"]) -> int:
    """Start or stop it, or print its status.

    Returns:
        0; for ``status``, 1 where it is not running.

    Raises:
        EmbeddedError: It could not be installed or started.
    """
    galaxy = LocalGalaxy(load().home / "galaxy")
    if action == "start":
        access = galaxy.start(lambda stage: print(f"{stage} …", file=sys.stderr))
        print(f"GALAXY_URL={access.url}\nGALAXY_API_KEY={access.key}")
    elif action == "stop":
        galaxy.stop()
        print("stopped")
    else:
        status = galaxy.status()
        print(status)
        return 0 if status.running else 1
    return 0

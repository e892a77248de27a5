"""A Litestar application with one JSON route, on the server of the service."""

from __future__ import annotations

import logging

from litestar import Litestar, get

from galaxy_jobs.adapters.http_server import run_server
from galaxy_jobs.entrypoints import logs


@get("/health/live", sync_to_thread=False)
def live() -> dict[str, str]:
    """Return what the service's route of this path returns."""
    return {"status": "alive"}


def main() -> None:
    """Serve until told to stop."""
    logs.configure(level=logging.ERROR)
    run_server(
        Litestar([live], openapi_config=None, logging_config=None),
        "127.0.0.1",
        0,
        on_ready=lambda url: print(url, flush=True),
        shutdown_timeout=15,
    )


if __name__ == "__main__":
    main()

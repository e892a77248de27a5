"""``galaxy-jobs serve``: the HTTP API in one process, until told to stop."""

from __future__ import annotations

import ipaddress
import sys
import threading

import structlog

from galaxy_jobs.domain.errors import RunnerError
from galaxy_jobs.entrypoints import logs, settings
from galaxy_jobs.entrypoints.api.app import create_app
from galaxy_jobs.entrypoints.api.server import run_server
from galaxy_jobs.entrypoints.container import Container, opened, prepare


log = structlog.get_logger()


def serve(host: str, port: int) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        0 once stopped; 1 where the port could not be had; 2 where the address
        may not be served.
    """
    logs.configure()
    with opened(settings.load()) as container:
        prepare(container)
        if not is_loopback(host) and not container.authenticate().needed():
            print(
                f"galaxy-jobs: not serving on {host}: there are no tokens yet, so "
                "anybody who reaches that address could run workflows. Make one first "
                "(`galaxy-jobs token create NAME --scope submit`), or serve on "
                "127.0.0.1.",
                file=sys.stderr,
            )
            return 2
        # In the background: reads are served whether Galaxy is there or not.
        threading.Thread(target=_greet, args=(container,), daemon=True).start()
        return run_server(
            create_app(container),
            host,
            port,
            on_ready=lambda url: log.info(
                "serving",
                url=url,
                docs=f"{_openable(url)}/docs",
                database=container.database().where(),
            ),
            on_stop=lambda: container.fanout().stop(),
        )


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach *host*."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _openable(url: str) -> str:
    """Return an address for a browser of this machine, where any will do."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _greet(container: Container) -> None:
    try:
        identity = container.whoami().ask()
    except RunnerError as error:
        log.warning("no Galaxy yet; reads work without it", problem=str(error))
    else:
        log.info("Galaxy answers", url=identity.url, user=identity.user_id)

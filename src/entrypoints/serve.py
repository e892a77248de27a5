"""``galaxy-jobs serve``: the HTTP API in one process, until told to stop."""

from __future__ import annotations

import shlex
import threading

import attrs
import structlog

from galaxy_jobs.adapters.http_server import (
    CannotListen,
    allow_connections,
    run_server,
)
from galaxy_jobs.domain.errors import RunnerError
from galaxy_jobs.entrypoints import logs, settings
from galaxy_jobs.entrypoints.api.host_and_origin import is_loopback
from galaxy_jobs.entrypoints.app import create_app
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import Container, opened, prepare


log = structlog.get_logger()


def serve(host: str, port: int) -> int:
    """Serve the API until SIGTERM or SIGINT.

    Returns:
        0 once stopped; 1 if the address is not available; 2 if it may not be served.
    """
    logs.configure()
    connections = allow_connections()
    with opened(_bounded(settings.load(), connections)) as container:
        prepare(container)
        setting = "DATABASE_URL=…"
        if container.database().is_embedded:
            container.embedded().service_mark.touch()
            setting = f"GALAXY_JOBS_HOME={shlex.quote(str(container.settings().home))}"
        remedy = f"{setting} galaxy-jobs token create NAME --scope submit"
        has_tokens = container.authenticate().needed()
        if not is_loopback(host) and not has_tokens:
            output.error(
                f"not serving on {host}: there are no tokens yet, so anybody who "
                "reaches that address could run workflows. Make one first "
                f"(`{remedy}`), or serve on 127.0.0.1."
            )
            return 2
        if not has_tokens:
            log.warning(
                "no tokens: everybody on this machine has access", remedy=remedy
            )
        # In the background: reads are served without Galaxy, too.
        threading.Thread(target=_greet, args=(container,), daemon=True).start()
        try:
            started = run_server(
                create_app(container),
                host,
                port,
                on_ready=lambda url: log.info(
                    "serving",
                    url=url,
                    docs=f"{_local(url)}/docs",
                    database=container.database().where(),
                    connections=connections,
                ),
                on_stop=lambda: container.broadcast().stop(),
                max_connections=connections,
            )
        except CannotListen as error:
            output.error(
                f"{error}. Choose another --host or --port; 0 takes a free port."
            )
            return 1
        return 0 if started else 1


def _bounded(loaded: settings.Settings, connections: int) -> settings.Settings:
    """Return the settings with no more streams than three of four connections."""
    streams = connections * 3 // 4
    if loaded.http.streams <= streams:
        return loaded
    log.warning(
        "fewer streams than [http] streams: raise the limit of descriptors (ulimit -n)",
        setting=loaded.http.streams,
        streams=streams,
        connections=connections,
    )
    return attrs.evolve(loaded, http=attrs.evolve(loaded.http, streams=streams))


def _local(url: str) -> str:
    """Return the URL for a browser on this machine."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _greet(container: Container) -> None:
    try:
        identity = container.whoami().ask()
    except RunnerError as error:
        log.warning("no Galaxy yet; reads work without it", problem=str(error))
    else:
        log.info("Galaxy answers", url=identity.url, user=identity.user_id)

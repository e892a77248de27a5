"""``galaxy-jobs serve``: the HTTP API in one process, until told to stop."""

from __future__ import annotations

import os
import shlex
import threading
from contextlib import suppress
from functools import partial

import attrs
import structlog
from dependency_injector.providers import Object

from galaxy_jobs.adapters.http_server import (
    CannotListen,
    allow_connections,
    run_server,
)
from galaxy_jobs.adapters.threads import limit_arenas
from galaxy_jobs.domain.errors import IssuerUnavailable, RunnerError
from galaxy_jobs.entrypoints import logs, settings
from galaxy_jobs.entrypoints.api.host_and_origin import is_loopback
from galaxy_jobs.entrypoints.app import create_app
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import Container, opened, prepare


log = structlog.get_logger()

ASKING, ANSWERING = 0.6, 0.8
"""The shares of the time to stop in which Galaxy may still answer, and in which running
requests are answered. What Galaxy has not answered is recorded between the two."""


def serve(host: str, port: int) -> int:
    """Serve the API until SIGTERM or SIGINT.

    Returns:
        0 once stopped; 1 if the address is not available; 2 if it may not be served.
    """
    logs.configure()
    limit_arenas()
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
        container.batch_worker().start()
        try:
            started = run_server(
                create_app(container),
                host,
                port,
                on_ready=partial(_ready, container, connections),
                on_stop=partial(_stop, container),
                shutdown_timeout=ANSWERING * container.http().shutdown,
                max_connections=connections,
            )
        except CannotListen as error:
            output.error(
                f"{error}. Choose another --host or --port; 0 takes a free port."
            )
            return 1
        container.batch_worker().join()
        return 0 if started else 1


def _ready(container: Container, connections: int, url: str) -> None:
    local = _local(url)
    if container.settings().data.public_url is None:
        container.public_url.override(Object(local))
    log.info(
        "serving",
        url=url,
        docs=f"{local}/docs",
        database=container.database().where(),
        connections=connections,
    )


def _stop(container: Container) -> None:
    """End what would not end by itself, now and in the time to stop."""
    container.batch_worker().stop()
    container.broadcast().stop()
    seconds = container.http().shutdown
    for delay, end in (
        (ASKING * seconds, container.galaxy().stop),
        # The poller settles whatever is still running, as after a kill.
        (seconds, partial(os._exit, 1)),
    ):
        timer = threading.Timer(delay, end)
        timer.daemon = True
        timer.start()


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
    providers = container.identity_providers()
    for issuer in providers.issuers:
        with suppress(IssuerUnavailable):  # which the log has
            providers.key_count(issuer)
    try:
        identity = container.whoami().ask()
    except RunnerError as error:
        log.warning("no Galaxy yet; reads work without it", problem=str(error))
    else:
        log.info("Galaxy answers", url=identity.url, user=identity.user_id)

"""A whole Galaxy in one process: API, job handler, workflow scheduler, task worker.

    GALAXY_CONFIG_FILE=galaxy.yml python serve.py 127.0.0.1 8085

It runs in Galaxy's environment, never in ours, and detaches itself at once. The
application is built by Galaxy's own factory. Rule of the file: the additions make it
start sooner, run with fewer processes or obey its settings, and change no other answer.

It relies on internals of the versions in ``releases/*.lock``.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import socket
import sys
import threading
import types
import warnings
from multiprocessing import forkserver
from typing import Any


WORKERS = 2
PRELOADED = [
    "__main__",
    "galaxy.celery.tasks",
    "galaxy.datatypes.registry",
    "galaxy.metadata.set_metadata",
]
SHUTDOWN_TIMEOUT = 3


def start_fork_server() -> None:
    """Start the fork server of metadata tasks, which imports on the other core.

    Galaxy would start it only after importing the same modules itself.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()


def warm_fork_pool() -> None:
    """Start the pool of metadata tasks before the first job needs it."""
    from galaxy.celery import celery_app, setup_worker_pool

    setup_worker_pool(sender=types.SimpleNamespace(concurrency=WORKERS))
    # The first task starts it, and waits for the fork server.
    threading.Thread(
        target=celery_app.fork_pool.submit, args=(os.getpid, None), daemon=True
    ).start()


def defer_routes() -> None:
    """Analyse each of Galaxy's API routes at its first request.

    FastAPI analyses the parameters of every route on definition, and each route is
    defined three times on its way into the application: half of the start time. Most
    routes are never used. Until then, a route has its path, method and name.
    """
    from fastapi import routing

    def nothing(*_: Any, **__: Any) -> Any:
        return types.SimpleNamespace(
            body_params=[],
            dependencies=[],
            is_async_gen_callable=False,
            is_gen_callable=False,
        )

    expensive = (
        "create_model_field",
        "get_body_field",
        "get_dependant",
        "get_flat_dependant",
        "get_parameterless_sub_dependant",
        "get_request_handler",
    )
    skipped = dict.fromkeys(expensive, nothing)
    real = {name: getattr(routing, name) for name in expensive}
    define, handle = routing.APIRoute.__init__, routing.APIRoute.handle

    def define_later(route: Any, *args: Any, **options: Any) -> None:
        route.deferred = (args, options)
        vars(routing).update(skipped)
        try:
            define(route, *args, **options)
        finally:
            vars(routing).update(real)

    def define_now(route: Any) -> None:
        if deferred := vars(route).pop("deferred", None):
            args, options = deferred
            define(route, *args, **options)

    async def define_and_handle(
        route: Any, scope: Any, receive: Any, send: Any
    ) -> None:
        define_now(route)
        await handle(route, scope, receive, send)

    routing.APIRoute.__init__ = define_later
    routing.APIRoute.handle = define_and_handle
    defer_openapi(define_now)


def defer_openapi(define_now: Any) -> None:
    """Build the description of the API at its first request."""
    from galaxy.webapps.galaxy import fast_app

    merge = fast_app.include_legacy_openapi

    def include_later(app: Any, galaxy_app: Any) -> None:
        def openapi() -> Any:
            for route in app.routes:
                define_now(route)
            return merge(app, galaxy_app)

        app.openapi = openapi

    fast_app.include_legacy_openapi = include_later


def allow_local_addresses() -> None:
    """Let runs fetch data from the addresses of ``fetch_url_allowlist``.

    Galaxy 24.2 compares addresses with the texts of the setting: none is equal.
    """
    from galaxy.files.sources.http import HTTPFilesSource
    from galaxy.util.config_parsers import parse_allowlist_ips

    def allowlist(source: Any) -> Any:
        allowed = source._file_sources_config.fetch_url_allowlist
        return parse_allowlist_ips([str(address) for address in allowed])

    HTTPFilesSource._allowlist = property(allowlist)


def start_task_worker() -> None:
    """Run Galaxy's tasks in threads of this process, without another one's memory."""
    from celery._state import _set_task_join_will_block
    from celery.worker import WorkController
    from galaxy.celery import celery_app

    worker = WorkController(
        app=celery_app,
        pool_cls="threads",
        concurrency=WORKERS,
        queues=["celery", "galaxy.internal", "galaxy.external"],
        hostname="tasks@localhost",
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
    )
    # The job runner waits for metadata tasks in this same process. Celery forbids its
    # workers to do so, against deadlocks; the runner is not one of them.
    _set_task_join_will_block(False)
    threading.Thread(target=worker.start, name="tasks", daemon=True).start()


def main() -> None:
    """Serve on the host and port of the command line until a signal."""
    host, port = sys.argv[1:]
    if os.fork():
        os._exit(0)
    os.setsid()
    # Bound now and listening later: until then clients are refused and do not wait.
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))

    sys.dont_write_bytecode = False
    warnings.simplefilter("ignore")
    # Objects built now live to the end: collecting garbage would free nothing.
    gc.disable()
    start_fork_server()
    warm_fork_pool()
    defer_routes()
    allow_local_addresses()

    import uvicorn
    from galaxy.webapps.galaxy.fast_factory import factory

    app = factory()
    gc.freeze()
    gc.enable()
    start_task_worker()
    config = uvicorn.Config(
        app,
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

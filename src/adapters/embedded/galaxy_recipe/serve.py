"""A whole Galaxy in one process: API, job handler, workflow scheduler, task worker.

    GALAXY_CONFIG_FILE=galaxy.yml python serve.py 127.0.0.1 8085

It runs in Galaxy's environment, never in ours, and leaves at once for the
background. The application is the one that Galaxy's own factory builds. Rule of the
file: what is added makes it start sooner or run with fewer processes, and changes
no answer.

It leans on the insides of the versions in ``requirements.lock``.
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
SECONDS_TO_SAY_GOODBYE = 3


def start_fork_server() -> None:
    """Let the server of metadata tasks import its modules on the other core.

    Galaxy would start it only after importing the same modules itself.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()


def warm_fork_pool() -> None:
    """Have the pool of metadata tasks ready before the first job asks for it."""
    from galaxy.celery import celery_app, setup_worker_pool

    setup_worker_pool(sender=types.SimpleNamespace(concurrency=WORKERS))
    # To submit is what starts it, and that waits for the fork server.
    threading.Thread(
        target=celery_app.fork_pool.submit, args=(os.getpid, None), daemon=True
    ).start()


def put_off_routes() -> None:
    """Analyse each of Galaxy's API routes when it is first asked for.

    FastAPI analyses the parameters of every route on definition, and each route is
    defined three times on its way into the application: half of the time to start.
    Most are never asked for. Until then, a route knows its path, method and name.
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
    spared = dict.fromkeys(expensive, nothing)
    real = {name: getattr(routing, name) for name in expensive}
    define, handle = routing.APIRoute.__init__, routing.APIRoute.handle

    def define_later(route: Any, *args: Any, **options: Any) -> None:
        route.put_off = (args, options)
        vars(routing).update(spared)
        try:
            define(route, *args, **options)
        finally:
            vars(routing).update(real)

    def define_now(route: Any) -> None:
        if put_off := vars(route).pop("put_off", None):
            args, options = put_off
            define(route, *args, **options)

    async def define_and_handle(
        route: Any, scope: Any, receive: Any, send: Any
    ) -> None:
        define_now(route)
        await handle(route, scope, receive, send)

    routing.APIRoute.__init__ = define_later
    routing.APIRoute.handle = define_and_handle
    put_off_openapi(define_now)


def put_off_openapi(define_now: Any) -> None:
    """Build the description of the API when it is first asked for."""
    from galaxy.webapps.galaxy import fast_app

    merge = fast_app.include_legacy_openapi

    def include_later(app: Any, galaxy_app: Any) -> None:
        def openapi() -> Any:
            for route in app.routes:
                define_now(route)
            return merge(app, galaxy_app)

        app.openapi = openapi

    fast_app.include_legacy_openapi = include_later


def start_task_worker() -> None:
    """Run Galaxy's tasks in threads of this process, out of its memory."""
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
    # The job runner waits for metadata tasks in this same process. Celery forbids
    # that to its workers, lest all wait for each other; the runner is none of them.
    _set_task_join_will_block(False)
    threading.Thread(target=worker.start, name="tasks", daemon=True).start()


def main() -> None:
    """Serve on the host and port of the command line until told to stop."""
    host, port = sys.argv[1:]
    if os.fork():
        os._exit(0)
    os.setsid()
    # Taken now, answered later: until then who asks is refused, and need not wait.
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))

    sys.dont_write_bytecode = False
    warnings.simplefilter("ignore")
    # What is built now stays to the end: to look through it for garbage is in vain.
    gc.disable()
    start_fork_server()
    warm_fork_pool()
    put_off_routes()

    import uvicorn
    from galaxy.webapps.galaxy.fast_factory import factory

    app = factory()
    gc.freeze()
    gc.enable()
    start_task_worker()
    config = uvicorn.Config(
        app,
        access_log=False,
        timeout_graceful_shutdown=SECONDS_TO_SAY_GOODBYE,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

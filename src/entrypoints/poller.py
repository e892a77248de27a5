"""The polling loop, and the single sweep for cron.

A sweep that is cut short because Galaxy or the database is away does not end the
loop: they come back, and nothing was changed meanwhile.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

import structlog
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.use_cases import Sweep
from galaxy_jobs.entrypoints import logs, settings
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import Container, opened, prepare


log = structlog.get_logger()


def sweep_once(metrics_port: int | None = None) -> int:
    """Sweep once, and print a line of counts.

    Args:
        metrics_port: Where metrics are served meanwhile; None: nowhere.

    Returns:
        0; 1 where Galaxy or the database could not be reached.
    """
    logs.configure()
    with opened(settings.load()) as container, _metrics(container, metrics_port):
        prepare(container)
        database = container.database().where()
        with _progress_bar(container) as progress:
            sweep, seconds = _sweep(container, progress=progress)
    counts = {
        **sweep.counts(),
        "seconds": seconds,
        # Nothing else would show that the setting of another one got lost.
        "database": shlex.quote(database),
    }
    print(" ".join(f"{name}={value}" for name, value in counts.items()))
    if sweep.problem is not None:
        output.error(str(sweep.problem))
        return 1
    return 0


def sweep_for_ever(every: float, metrics_port: int | None = None) -> int:
    """Sweep until SIGTERM or SIGINT; the sweep under way is ended.

    Args:
        every: Seconds from the start of one sweep to that of the next.
        metrics_port: Where metrics are served; None: nowhere.
    """
    logs.configure()
    stop = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set():  # the second time: expired leases bring back the rest
            os._exit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    with opened(settings.load()) as container, _metrics(container, metrics_port):
        prepare(container)
        log.info(
            "polling",
            every=every,
            galaxy=container.settings().galaxy_url,
            database=container.database().where(),
        )
        while not stop.is_set():
            began = time.monotonic()
            pause = _log_sweep(container, every)
            stop.wait(max(pause, every - (time.monotonic() - began)))
    log.info("stopped")
    return 0


def _log_sweep(container: Container, every: float) -> float:
    """Sweep, and return for how many seconds Galaxy is left alone at least."""
    try:
        sweep, seconds = _sweep(container, timedelta(seconds=every))
    except StoreUnavailable as error:
        log.warning("sweep failed", problem=str(error))
        return 0.0
    counts = sweep.counts()
    idle = not any(counts.values())
    if is_terminal := sys.stderr.isatty():  # programs read all of them
        counts = {name: count for name, count in counts.items() if count}
    fields: dict[str, object] = {**counts, "seconds": seconds}
    if sweep.failure is not None:
        fields["failure"] = str(sweep.failure)
    if sweep.problem is not None:
        pause = sweep.retry_after.total_seconds()
        log.warning("sweep cut short", problem=str(sweep.problem), rest=pause, **fields)
        return pause
    (log.debug if is_terminal and idle else log.info)("sweep", **fields)
    return 0.0


def _sweep(
    container: Container,
    at_most: timedelta | None = None,
    progress: Callable[[Sweep], None] = lambda _: None,
) -> tuple[Sweep, float]:
    began = time.monotonic()
    sweep = container.poll()(at_most, progress)
    return sweep, round(time.monotonic() - began, 3)


@contextmanager
def _metrics(container: Container, port: int | None) -> Iterator[None]:
    if port is None:
        yield
        return
    server, port = container.metrics().serve(port)
    log.info("metrics", url=f"http://127.0.0.1:{port}/metrics")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _progress_bar(container: Container) -> Iterator[Callable[[Sweep], None]]:
    """Show the progress of a sweep, on a terminal alone."""
    console = Console(stderr=True)
    due = 0
    if console.is_terminal:
        due = sum(backlog.due for backlog in container.queue().backlog().values())
    if not due:
        yield lambda _: None
        return
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("asking Galaxy", total=due)
        yield lambda sweep: bar.update(
            task, completed=sweep.asked + sweep.failed + sweep.missing
        )

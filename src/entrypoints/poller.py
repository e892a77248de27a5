"""The polling loop, and the single sweep for cron.

A sweep that is cut short because Galaxy or the database is away does not end the
loop: they come back, and nothing was changed meanwhile.
"""

from __future__ import annotations

import logging
import os
import select
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import FrameType

import structlog
from rich.progress import MofNCompleteColumn, Progress

from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.use_cases import Sweep
from galaxy_jobs.entrypoints import logs, settings
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import Container, opened, prepare


log = structlog.get_logger()


class StopSignals:
    """SIGTERM and SIGINT, which stop the polling loop; the second one at once.

    A pipe and no :class:`threading.Event`: a handler runs within the call that it
    interrupts, and would wait for the lock that `Event.wait` holds there.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def wait(self, seconds: float) -> bool:
        """Return whether one has come, after at most this time."""
        return bool(select.select([self._reader], [], [], seconds)[0])

    def _stop(self, number: int, _: FrameType | None) -> None:
        if self.wait(0):  # expired leases bring back the rest
            os._exit(128 + number)
        os.write(self._writer, b"\0")


def sweep_once(metrics_port: int | None = None) -> int:
    """Sweep once, print a line of counts, and return the exit code.

    It is 1 where Galaxy or the database could not be reached.
    """
    with _prepared(metrics_port) as container:
        # Nothing else would show that the setting of another one got lost.
        database = shlex.quote(container.database().where())
        with _progress_bar(container) as progress:
            sweep, seconds = _sweep(container, progress=progress)
    counts = {**sweep.counts(), "seconds": seconds, "database": database}
    output.line(" ".join(f"{name}={value}" for name, value in counts.items()))
    if sweep.problem is not None:
        output.error(str(sweep.problem))
        return 1
    return 0


def sweep_for_ever(every: float, metrics_port: int | None = None) -> int:
    """Sweep every so many seconds until SIGTERM or SIGINT; end the one under way."""
    signals = StopSignals()
    with _prepared(metrics_port) as container:
        log.info(
            "polling",
            every=every,
            galaxy=container.settings().galaxy_url,
            database=container.database().where(),
        )
        pause = 0.0
        while not signals.wait(pause):
            began = time.monotonic()
            rest = _log_sweep(container, every)
            pause = max(rest, every - (time.monotonic() - began))
    log.info("stopped")
    return 0


def _log_sweep(container: Container, every: float) -> float:
    """Sweep, and return for how many seconds Galaxy is left alone at least."""
    try:
        sweep, seconds = _sweep(container, timedelta(seconds=every))
    except StoreUnavailable as error:
        log.warning("sweep failed", problem=str(error))
        return 0.0
    fields: dict[str, object] = dict(sweep.counts())
    level = logging.INFO
    if sys.stderr.isatty():  # programs read all of them
        fields = {name: count for name, count in fields.items() if count}
        level = logging.INFO if fields else logging.DEBUG
    fields["seconds"] = seconds
    if sweep.failure is not None:
        fields["failure"] = str(sweep.failure)
    if sweep.problem is None:
        log.log(level, "sweep", **fields)
        return 0.0
    rest = sweep.retry_after.total_seconds()
    log.warning("sweep cut short", problem=str(sweep.problem), rest=rest, **fields)
    return rest


def _sweep(
    container: Container,
    at_most: timedelta | None = None,
    progress: Callable[[Sweep], None] = lambda _: None,
) -> tuple[Sweep, float]:
    began = time.monotonic()
    sweep = container.poll()(at_most, progress)
    return sweep, round(time.monotonic() - began, 3)


@contextmanager
def _prepared(metrics_port: int | None) -> Iterator[Container]:
    logs.configure()
    with ExitStack() as stack:
        container = stack.enter_context(opened(settings.load()))
        if metrics_port is not None:
            port = stack.enter_context(container.metrics().served(metrics_port))
            log.info("metrics", url=f"http://127.0.0.1:{port}/metrics")
        prepare(container)
        yield container


@contextmanager
def _progress_bar(container: Container) -> Iterator[Callable[[Sweep], None]]:
    """Show the progress of a sweep, on a terminal alone."""
    console = output.Screen(stderr=True)
    backlogs = container.queue().backlog() if console.is_terminal else {}
    due = sum(backlog.due for backlog in backlogs.values())
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not due) as bar:
        task = bar.add_task("asking Galaxy", total=due)
        yield lambda sweep: bar.update(
            task, completed=sweep.asked + sweep.failed + sweep.missing
        )

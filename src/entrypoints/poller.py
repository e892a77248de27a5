"""The cron entry point and the polling loop: one use case, said and logged.

A sweep that Galaxy's or the database's absence cuts short is no reason for the
loop to end: they come back, and nothing was changed meanwhile.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from types import FrameType

import structlog

from galaxy_jobs.domain.errors import StoreUnavailable
from galaxy_jobs.domain.use_cases import Sweep
from galaxy_jobs.entrypoints import logs, settings
from galaxy_jobs.entrypoints.container import Container, opened, prepare


log = structlog.get_logger()


def counts(sweep: Sweep, seconds: float) -> Mapping[str, int | float]:
    """Return what is told of a sweep, in the order in which it is told."""
    return {
        "due": sweep.due,
        "asked": sweep.asked,
        "bulk": sweep.bulk,
        "untold": sweep.untold,
        "looks": sweep.looks,
        "routine": sweep.routine,
        "put_off": sweep.put_off,
        "changed": sweep.changed,
        "ended": sweep.ended,
        "failed": sweep.failed,
        "missing": sweep.missing,
        "adopted": sweep.reconciled.adopted,
        "rejected": sweep.reconciled.rejected,
        "open": sweep.reconciled.waiting,
        "cleared": sweep.cleared,
        "seconds": round(seconds, 3),
    }


def sweep_once() -> int:
    """Sweep once, print a line of counts.

    Returns:
        0; 1 where Galaxy or the database could not be reached.
    """
    logs.configure()
    with opened(settings.load()) as container:
        prepare(container)
        sweep, seconds = _sweep(container)
    print(" ".join(f"{name}={n}" for name, n in counts(sweep, seconds).items()))
    if sweep.problem is not None:
        print(f"galaxy-jobs: {sweep.problem}", file=sys.stderr)
        return 1
    return 0


def sweep_for_ever(every: float) -> int:
    """Sweep until told to stop (SIGTERM, SIGINT); the sweep under way is ended.

    Args:
        every: Seconds from the start of one sweep to that of the next.
    """
    logs.configure()
    stop = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set():  # asked twice: leases bring back what is left undone
            os._exit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    with opened(settings.load()) as container:
        prepare(container)
        log.info("polling", every=every, galaxy=container.settings().galaxy_url)
        while not stop.is_set():
            began = time.monotonic()
            rest = _log_sweep(container, every)
            stop.wait(max(rest, every - (time.monotonic() - began)))
    log.info("stopped")
    return 0


def _log_sweep(container: Container, every: float) -> float:
    """Sweep, and return for how many seconds Galaxy is to be left alone, at least."""
    try:
        sweep, seconds = _sweep(container, timedelta(seconds=every))
    except StoreUnavailable as error:
        log.warning("sweep failed", problem=str(error))
        return 0.0
    told: dict[str, object] = {**counts(sweep, seconds)}
    if sweep.failure is not None:
        told["failure"] = str(sweep.failure)
    if sweep.untold and (why := container.galaxy().bulk.problem) is not None:
        told["not_in_bulk"] = why
    if sweep.problem is not None:
        rest = sweep.rest.total_seconds()
        log.warning("sweep cut short", problem=str(sweep.problem), rest=rest, **told)
        return rest
    log.info("sweep", **told)
    return 0.0


def _sweep(
    container: Container, at_most: timedelta | None = None
) -> tuple[Sweep, float]:
    began = time.monotonic()
    sweep = container.poll()(at_most)
    return sweep, time.monotonic() - began

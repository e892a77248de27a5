"""The polling loop, and the single sweep for cron.

Only a wrong setting ends the loop. Galaxy, the database or memory may be missing, at
the start too, or the schema behind: that is logged, and tried again after a pause.
"""

from __future__ import annotations

import logging
import os
import select
import shlex
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from itertools import islice
from types import FrameType

import attrs
import structlog
from rich.progress import MofNCompleteColumn, Progress

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.threads import limit_arenas
from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.domain.use_cases import Sweep
from galaxy_jobs.entrypoints import logs, settings
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import Container, opened, prepare_database
from galaxy_jobs.entrypoints.environment import BadSetting


log = structlog.get_logger()

MAX_PAUSE = 15.0
"""Seconds until the next attempt after several that failed, at most."""

DELIVERY_TIME = 30.0
"""Seconds for which a single sweep delivers events, at most."""

MAX_INVOKING = 60.0
"""Seconds for which a single sweep begins items of batches, at most."""

READING_TIME = timedelta(seconds=60)
"""After this, a single sweep begins to read no further uploaded file."""

CLEANING_TIME = timedelta(seconds=60)
"""For how long what is not kept any longer is deleted in one go."""

REPORT_INTERVAL = 3600.0
"""Seconds between two reports of a poller that has nothing to do."""


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
    logs.configure()
    limit_arenas()
    try:
        with ExitStack() as stack:
            container = stack.enter_context(opened(settings.load()))
            for step in _preparations(stack, container, metrics_port):
                step()
            # Nothing else would show that the setting of another one got lost.
            database = shlex.quote(container.database().where())
            with _progress_bar(container) as progress:
                sweep, seconds = _sweep(container, progress=progress)
            _sweep_uploads(container, READING_TIME)
            container.delivery_threads().run(
                until=time.monotonic() + DELIVERY_TIME, until_idle=True
            )
            # Else Galaxy could not be asked about these, either.
            if sweep.problem is None:
                container.batch_worker().run_out(MAX_INVOKING)
                _clean(container)
            _prune(container)
    except (BadSetting, DomainError, EmbeddedError):
        raise
    except Exception as error:  # noqa: BLE001 - cron gets one line of it
        output.error(_problem(error))
        return 1
    counts = {**sweep.counts(), "seconds": seconds, "database": database}
    output.line(" ".join(f"{name}={value}" for name, value in counts.items()))
    if sweep.problem is not None:
        output.error(str(sweep.problem))
        return 1
    return 0


def sweep_for_ever(every: float, metrics_port: int | None = None) -> int:
    """Sweep every so many seconds until SIGTERM or SIGINT; end the one under way.

    Raises:
        BadSetting: A setting is missing or malformed. Nothing else ends it.
    """
    signals = StopSignals()
    logs.configure()
    limit_arenas()
    with ExitStack() as stack:
        container = stack.enter_context(opened(settings.load()))
        steps = deque(_preparations(stack, container, metrics_port))
        # Beside the sweeps, once all is prepared: a large file is read for minutes,
        # receivers hang, and to purge a history may take long.
        for work in (
            partial(_sweep_uploads, container),
            partial(_clean, container),
            container.delivery_threads().run,
        ):
            thread = threading.Thread(
                target=_keep_repeating, args=(work, every), daemon=True
            )
            steps.append(thread.start)
        steps.append(lambda: container.batch_worker().start())
        url, database = container.settings().galaxy()[0], container.database().where()
        pause, failures, next_report = 0.0, 0, 0.0
        while not signals.wait(pause):
            began = time.monotonic()
            if reports := began >= next_report:
                next_report = began + REPORT_INTERVAL
                log.info("polling", every=every, galaxy=url, database=database)
            try:
                while steps:
                    steps[0]()
                    steps.popleft()
                if reports:
                    _prune(container)
                rest = _log_sweep(container, every)
                failures = 0
            except BadSetting:
                raise
            except Exception as error:  # noqa: BLE001 - what a supervisor would catch
                rest = _rest_after(failures)
                failures += 1
                log.warning("sweep failed", problem=_problem(error), rest=rest)
            pause = max(rest, every - (time.monotonic() - began))
        # Slow looks that no sweep waits for: their leases expire.
        container.batch_worker().stop()
        container.galaxy().stop()
        container.batch_worker().join()
    log.info("stopped")
    return 0


def _rest_after(failures: int) -> float:
    """Return the seconds until the next attempt: twice as many after each failure."""
    return min(2.0 ** min(failures, 10), MAX_PAUSE)


def _keep_repeating(work: Callable[[], object], every: float) -> None:
    rest, failures = every, 0
    while True:
        time.sleep(rest)
        try:
            work()
            rest, failures = every, 0
        except Exception as error:  # noqa: BLE001 - it may be right later
            failures += 1
            rest = max(every, _rest_after(failures))
            log.warning("left for later", problem=_problem(error), rest=rest)


def _clean(container: Container) -> None:
    """Delete a part of what is not kept any longer."""
    cleaned = container.clean()(CLEANING_TIME)
    _report("cleaned", cleaned.counts(), "not all could be deleted", cleaned.problem)


def _sweep_uploads(container: Container, at_most: timedelta = timedelta.max) -> None:
    swept = container.sweep_uploads()(at_most)
    counts = attrs.asdict(swept, filter=lambda field, _: field.name != "problem")
    _report("swept uploads", counts, "uploads are left", swept.problem)


def _report(
    done: str, counts: Mapping[str, int], left: str, problem: object | None
) -> None:
    if fields := {name: count for name, count in counts.items() if count}:
        log.info(done, **fields)
    if problem is not None:
        log.warning(left, problem=str(problem))


def _preparations(
    stack: ExitStack, container: Container, metrics_port: int | None
) -> list[Callable[[], object]]:
    """Return the steps before the first sweep. Each can be repeated if it failed."""

    def serve_metrics() -> None:
        if metrics_port is not None:
            port = stack.enter_context(container.metrics().served(metrics_port))
            log.info("metrics", url=f"http://127.0.0.1:{port}/metrics")

    # Galaxy is not asked yet: wrong settings show before anything is waited for.
    return [container.galaxy, serve_metrics, partial(prepare_database, container)]


def _prune(container: Container) -> None:
    """Remove a part of what is older than it is kept."""
    settings = container.settings()
    container.audit_log().prune(settings.retention.audit)
    # Of these there can be more than one call removes.
    while container.webhooks().prune(timedelta(days=settings.webhooks.keep_days)):
        pass
    container.prune_uploads()()


def _problem(error: Exception) -> str:
    """Return an error in one line."""
    expected = isinstance(error, DomainError | EmbeddedError)
    return str(error) if expected else logs.unexpected(error)


def _log_sweep(container: Container, every: float) -> float:
    """Sweep, and return for how many seconds Galaxy is left alone at least."""
    sweep, seconds = _sweep(container, timedelta(seconds=every))
    fields: dict[str, object] = {k: n for k, n in sweep.counts().items() if n}
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
    for news in (sweep.unstorable, sweep.reconciled.unstorable):
        for id_, reason in islice(news.items(), 20):
            log.warning("could not be stored", id=str(id_), problem=reason)
    return sweep, round(time.monotonic() - began, 3)


@contextmanager
def _progress_bar(container: Container) -> Iterator[Callable[[Sweep], None]]:
    """Show the progress of a sweep, on a terminal alone."""
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    bar = output.progress_bar(*columns)
    backlogs = {} if bar.disable else container.queue().backlog()
    due = sum(backlog.due for backlog in backlogs.values())
    bar.disable = not due
    with bar:
        task = bar.add_task("asking Galaxy", total=due)
        yield lambda sweep: bar.update(
            task, completed=sweep.asked + sweep.failed + sweep.missing
        )

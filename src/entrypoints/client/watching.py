"""A job followed to its end.

Rule of the file: the stream of events only tells *when* to read the job; what is
shown is the job as it is read then. So a stream that breaks off, or that there is
none of, costs promptness and nothing else.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime

from attrs import define, field

from galaxy_jobs.entrypoints.client import job_views, output
from galaxy_jobs.entrypoints.client.errors import Refused, Unreachable
from galaxy_jobs.entrypoints.client.http import Answer, Api


POLL_INTERVAL = 1.0
"""Seconds between two reads: changes of Galaxy jobs within a state make no event."""

UNREACHABLE_TIMEOUT = 120.0
"""Seconds for which a service that does not answer is waited for."""

STREAM_TIMEOUT = 60.0
"""Seconds without a line after which a stream is opened again."""


@define
class ChangeSignal:
    """Is set by each event of a job, in a thread of its own.

    Attributes:
        api: The service.
        invocation_id: Of the job.
        connected: Whether events arrive.
    """

    api: Api
    invocation_id: str
    connected: bool = field(default=False, init=False)
    _changed: threading.Event = field(factory=threading.Event, init=False)

    def start(self) -> None:
        """Start to listen."""
        threading.Thread(target=self._listen, daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait for the next event, at most so long."""
        self._changed.wait(seconds)
        self._changed.clear()

    def _listen(self) -> None:
        while True:
            delay = POLL_INTERVAL
            try:
                with self.api.stream(
                    *("jobs", "events"),
                    silence=STREAM_TIMEOUT,
                    invocation_id=self.invocation_id,
                ) as lines:
                    self.connected = True
                    self._changed.set()  # for what happened before
                    for line in lines:
                        if line.startswith(b"data:"):
                            self._changed.set()
            except Unreachable:
                pass
            except Refused as refusal:
                if refusal.retry_after is None:
                    return  # there are no streams here
                delay = refusal.retry_after
            finally:
                self.connected = False
            time.sleep(delay)


@define
class Stopwatch:
    """The end of the time that is shown for a job.

    The end of a job is seen later than it happened: the time stands still then,
    and does not go back.
    """

    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def __call__(self, job: job_views.Job, now: datetime) -> datetime:
        """Return the moment up to which a job has taken its time."""
        ended = job["state"] in job_views.ENDED
        at = datetime.fromisoformat(job["updated_at"]) if ended else now
        self.at = max(self.at, at)
        return self.at


def changes(
    api: Api, invocation_id: str, check: Callable[[], None] = lambda: None
) -> Generator[Answer]:
    """Yield a job, and again after each change of it, to its end.

    Args:
        api: The service.
        invocation_id: Of the job.
        check: Is called before each read; raises to give up.

    Raises:
        Refused: There is none.
        Unreachable: The service has not answered for :data:`UNREACHABLE_TIMEOUT`.
    """
    signal = ChangeSignal(api, invocation_id)
    signal.start()
    last = None
    answered = time.monotonic()
    while True:
        check()
        asked = time.monotonic()
        try:
            # Without a stream the service is asked to answer when it changes.
            wait = last is not None and not signal.connected
            answer = api.get(
                "jobs", invocation_id, wait=round(POLL_INTERVAL) if wait else None
            )
        except (Refused, Unreachable) as error:
            gone = isinstance(error, Refused) and error.retry_after is None
            if gone or last is None:
                raise
            if time.monotonic() - answered > UNREACHABLE_TIMEOUT:
                error.hint = f"Come back with: galaxy-jobs watch {invocation_id}"
                raise
            output.note(f"{error} Asking again.")
            time.sleep(2 * POLL_INTERVAL)
            continue
        answered = time.monotonic()
        job = {**answer.data, "observed_at": None}
        if job != last:
            last = job
            yield answer
            if job["state"] in job_views.ENDED:
                return
        signal.wait(max(0.0, POLL_INTERVAL - (answered - asked)))


def follow(api: Api, invocation_id: str, *, as_json: bool) -> int:
    """Show a job until it has ended.

    Returns:
        0 if it completes, else 1; 130 where Ctrl-C was pressed.

    Raises:
        Refused, Unreachable: As for :func:`changes`.
    """
    if as_json:
        show: Callable[[Iterator[Answer]], job_views.Job] = _as_json
    elif output.console().is_terminal and not output.console().is_dumb_terminal:
        show = _live
    else:
        show = _in_lines
    try:
        with contextlib.closing(changes(api, invocation_id)) as answers:
            job = show(answers)
    except KeyboardInterrupt:
        output.note("")
        output.note(f"Job {invocation_id} goes on.")
        output.note(f"Come back to it:  galaxy-jobs watch {invocation_id}")
        output.note(f"Stop it:          galaxy-jobs cancel {invocation_id}")
        return 130
    if not as_json and job["failure"]:
        output.show("", job_views.failure(job))
    elif not as_json and job["state"] == "completed":
        output.show("", f"Results: galaxy-jobs outputs {invocation_id}")
    return 0 if job["state"] == "completed" else 1


def _live(answers: Iterator[Answer]) -> job_views.Job:
    """Show steps and progress in place, on a terminal."""
    from rich.live import Live  # noqa: PLC0415 - slow to import, and only needed here

    job: job_views.Job = next(answers).data
    stopwatch = Stopwatch()
    with Live(
        console=output.console(),
        get_renderable=lambda: job_views.frame(job, stopwatch(job, datetime.now(UTC))),
        refresh_per_second=4,
        vertical_overflow="ellipsis",
    ) as live:
        for answer in answers:
            job = answer.data
            live.refresh()
    return job


def _in_lines(answers: Iterator[Answer]) -> job_views.Job:
    """Show a line for each change, where there is no terminal."""
    job: job_views.Job = {}
    last = None
    for answer in answers:
        job = answer.data
        if (line := job_views.line(job)) != last:
            last = line
            output.show(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {line}")
    return job


def _as_json(answers: Iterator[Answer]) -> job_views.Job:
    job: job_views.Job = {}
    for answer in answers:
        output.raw(answer.body)
        job = answer.data
    return job

"""A job followed to its end.

Rule of the file: the job is read every second, as progress within a state makes no
event; the service is asked to answer earlier when the state changes (``?wait=``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

from attrs import define
from rich.console import RenderableType

from galaxy_jobs.entrypoints.client import job_views, output
from galaxy_jobs.entrypoints.client.errors import Refused, Unreachable
from galaxy_jobs.entrypoints.client.http import Answer, Api


POLL_INTERVAL = 1
"""Seconds between two reads."""

WAIT = 30
"""Seconds for which the service is asked to wait for the end of a job."""

UNREACHABLE_TIMEOUT = 120.0
"""Seconds for which a service that does not answer is waited for."""


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


def answers(
    ask: Callable[[], Answer],
    interval: float,
    command: str,
    *,
    answered_at: float | None = None,
) -> Iterator[Answer]:
    """Yield what a service answers, time after time; an outage is waited for.

    Args:
        ask: Sends the request.
        interval: Seconds from one request to the next.
        command: What can be typed to go on after a long outage.
        answered_at: The monotonic time at which it answered before, if it did.

    Raises:
        Refused: There is no such thing.
        Unreachable: The service has not answered for :data:`UNREACHABLE_TIMEOUT`, or
            never did.
    """
    while True:
        asked_at = time.monotonic()
        try:
            answer = ask()
        except (Refused, Unreachable) as error:
            gone = isinstance(error, Refused) and error.retry_after is None
            if gone or answered_at is None:
                raise
            if time.monotonic() - answered_at > UNREACHABLE_TIMEOUT:
                error.hint = f"Come back with: {command}"
                raise
            output.note(f"{error} Asking again.")
            time.sleep(2 * interval)
        else:
            answered_at = time.monotonic()
            yield answer
            time.sleep(max(0.0, interval - (time.monotonic() - asked_at)))


def changes(
    api: Api,
    invocation_id: str,
    check: Callable[[], None] = lambda: None,
    *,
    ended: bool = False,
) -> Iterator[Answer]:
    """Yield a job, and again after each change of it, to its end.

    `check` is called before each read, and raises to give up. If only its *ended*
    state is of interest, the service is asked less often.

    Raises:
        Refused, Unreachable: As for :func:`answers`.
    """
    last: job_views.Job | None = None

    def ask() -> Answer:
        check()
        if ended:
            return api.get("jobs", invocation_id, wait=WAIT, until="ended")
        return api.get("jobs", invocation_id, wait=last and POLL_INTERVAL)

    command = f"galaxy-jobs watch {invocation_id}"
    for answer in answers(ask, POLL_INTERVAL, command):
        job = {**answer.data, "observed_at": None}
        if job != last:
            last = job
            yield answer
            if job["state"] in job_views.ENDED:
                return


def follow(api: Api, invocation_id: str, *, as_json: bool, ended: bool = False) -> int:
    """Show a job until it has ended: in place on a terminal, else a line a change.

    As JSON, a document is printed for each change, or once it has *ended* alone.

    Returns:
        0 if it completes, else 1; 130 where Ctrl-C was pressed.

    Raises:
        Refused, Unreachable: As for :func:`changes`.
    """
    try:
        if as_json:
            for answer in changes(api, invocation_id, ended=ended):
                job = answer.data
                if not ended or job["state"] in job_views.ENDED:
                    output.document(job)
        else:
            job = _show(changes(api, invocation_id))
    except KeyboardInterrupt:
        output.note("")
        output.note(f"Job {invocation_id} goes on.")
        output.note(f"Come back to it:  galaxy-jobs watch {invocation_id}")
        output.note(f"Stop it:          galaxy-jobs cancel {invocation_id}")
        return 130
    return 0 if job["state"] == "completed" else 1


def _show(answers: Iterator[Answer]) -> job_views.Job:
    """Show a job as it changes, and return it as it was at last."""
    job: job_views.Job = {}
    line = ""
    stopwatch = Stopwatch()

    def frame() -> RenderableType:
        now = datetime.now(UTC)
        return job_views.frame(job, stopwatch(job, now)) if job else ""

    console = output.console()
    live = None
    with ExitStack() as stack:
        if console.is_terminal and not console.is_dumb_terminal:
            from rich.live import Live  # noqa: PLC0415 - slow to import

            live = Live(
                console=console, get_renderable=frame, vertical_overflow="ellipsis"
            )
            stack.callback(live.stop)
        for answer in answers:
            job, previous = answer.data, line
            line = job_views.line(job)
            if live is not None:
                live.start()
                live.refresh()
            elif line != previous:
                output.show(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {line}")
    if job["failure"]:
        output.show("", job_views.failure(job))
    elif job["state"] == "completed":
        output.show("", f"Results: galaxy-jobs outputs {job['invocation_id']}")
    return job

"""A job followed to its end.

Rule of the file: the job is read every second, as progress within a state makes no
event; the service is asked to answer earlier when the state changes (``?wait=``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime

from attrs import define

from galaxy_jobs.entrypoints.client import job_views, output
from galaxy_jobs.entrypoints.client.errors import Refused, Unreachable
from galaxy_jobs.entrypoints.client.http import Answer, Api


POLL_INTERVAL = 1
"""Seconds between two reads."""

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
    last: job_views.Job | None = None
    answered = time.monotonic()
    while True:
        check()
        asked = time.monotonic()
        try:
            wait = None if last is None else POLL_INTERVAL
            answer = api.get("jobs", invocation_id, wait=wait)
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
        time.sleep(max(0.0, POLL_INTERVAL - (time.monotonic() - asked)))


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

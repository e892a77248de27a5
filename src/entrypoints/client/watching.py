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
        Refused: There is none.
        Unreachable: The service has not answered for :data:`UNREACHABLE_TIMEOUT`.
    """
    last: job_views.Job | None = None
    answered = time.monotonic()
    while True:
        check()
        asked = time.monotonic()
        try:
            if ended:
                answer = api.get("jobs", invocation_id, wait=WAIT, until="ended")
            else:
                answer = api.get("jobs", invocation_id, wait=last and POLL_INTERVAL)
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

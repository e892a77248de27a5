"""Follow a job until it has ended.

Rule of the file: the stream of events only says *when* to look; what is shown is
the job as it is read then. So a stream that cannot be had, or breaks off, costs
promptness and nothing else.
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
from galaxy_jobs.entrypoints.client.http import Answer, Api, path


PACE = 1.0
"""Seconds between two looks: the jobs within a state make no event."""

PATIENCE = 120.0
"""Seconds for which a service that does not answer is waited for."""

SILENCE = 60.0
"""Seconds after which a stream that says nothing is opened anew."""


@define
class Bell:
    """Rings when a job has changed its state."""

    api: Api
    invocation_id: str
    connected: bool = field(default=False, init=False)
    _rung: threading.Event = field(factory=threading.Event, init=False)

    def start(self) -> None:
        """Listen, beside everything else."""
        threading.Thread(target=self._listen, daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait until it rings, at most so long."""
        self._rung.wait(seconds)
        self._rung.clear()

    def _listen(self) -> None:
        while True:
            pause = PACE
            try:
                with self.api.stream(
                    "/jobs/events", SILENCE, invocation_id=self.invocation_id
                ) as lines:
                    self.connected = True
                    self._rung.set()  # for what happened before
                    for line in lines:
                        if line.startswith(b"data:"):
                            self._rung.set()
            except Unreachable:
                pass
            except Refused as refusal:
                if refusal.retry_after is None:
                    return  # there are no streams here
                pause = refusal.retry_after
            finally:
                self.connected = False
            time.sleep(pause)


@define
class Stopwatch:
    """Tells up to when a job has taken its time, for who watches it.

    That it has ended is seen later than it happened: what is shown stands still
    then, and does not go back.
    """

    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def __call__(self, job: job_views.Job, now: datetime) -> datetime:
        """Return the moment, where it is now."""
        ended = job["state"] in job_views.ENDED
        at = datetime.fromisoformat(job["updated_at"]) if ended else now
        self.at = max(self.at, at)
        return self.at


def changes(api: Api, invocation_id: str) -> Generator[Answer]:
    """Yield the job, and again whenever anything of it has changed, to its end.

    Raises:
        Refused: There is none.
        Unreachable: The service has not answered for long.
    """
    address = path("jobs", invocation_id)
    bell = Bell(api, invocation_id)
    bell.start()
    shown = None
    heard = time.monotonic()
    while True:
        asked = time.monotonic()
        try:
            # Without a stream the service tells of a change when it happens, too.
            waits = shown is not None and not bell.connected
            answer = api.get(address, wait=round(PACE) if waits else None)
        except (Refused, Unreachable) as error:
            gone = isinstance(error, Refused) and error.retry_after is None
            if gone or shown is None:
                raise
            if time.monotonic() - heard > PATIENCE:
                error.hint = f"Come back with: galaxy-jobs watch {invocation_id}"
                raise
            output.note(f"{error} Asking again.")
            time.sleep(2 * PACE)
            continue
        heard = time.monotonic()
        now = {**answer.said, "observed_at": None}
        if now != shown:
            shown = now
            yield answer
            if now["state"] in job_views.ENDED:
                return
        bell.wait(max(0.0, PACE - (heard - asked)))


def follow(api: Api, invocation_id: str, *, as_json: bool) -> int:
    """Show a job as it goes, until it has ended.

    Returns:
        0 if it has completed, else 1; 130 where Ctrl-C was pressed.

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
            last = show(answers)
    except KeyboardInterrupt:
        output.note("")
        output.note(f"Job {invocation_id} goes on.")
        output.note(f"Come back to it:  galaxy-jobs watch {invocation_id}")
        output.note(f"Stop it:          galaxy-jobs cancel {invocation_id}")
        return 130
    return 0 if last["state"] == "completed" else 1


def _live(answers: Iterator[Answer]) -> job_views.Job:
    """Show steps and progress in place, on a terminal."""
    from rich.live import Live  # noqa: PLC0415 - slow to import, and only needed here

    first = next(answers).said
    last: list[job_views.Job] = [first]
    watch = Stopwatch()
    with Live(
        console=output.console(),
        get_renderable=lambda: job_views.frame(
            last[0], watch(last[0], datetime.now(UTC))
        ),
        refresh_per_second=4,
        vertical_overflow="ellipsis",
    ) as live:
        for one in answers:
            last[0] = one.said
            live.refresh()
    return _told(last[0])


def _in_lines(answers: Iterator[Answer]) -> job_views.Job:
    """Show a line for each change, where there is no terminal."""
    last: job_views.Job = {}
    told = None
    for one in answers:
        last = one.said
        if (line := job_views.line(last)) != told:
            told = line
            output.show(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {line}")
    return _told(last)


def _told(job: job_views.Job) -> job_views.Job:
    """Say how it ended, and what to look at next."""
    if job["failure"]:
        output.show("", job_views.failure(job))
    elif job["state"] == "completed":
        output.show("", f"Results: galaxy-jobs outputs {job['invocation_id']}")
    return job


def _as_json(answers: Iterator[Answer]) -> job_views.Job:
    last: job_views.Job = {}
    for one in answers:
        output.raw(one.body)
        last = one.said
    return last

"""Submission of a job exactly once, over an unreliable connection.

Rule of the file: every request carries the same idempotency key, so repeating it
runs nothing twice. Every repetition and every wait is reported.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping
from itertools import chain, repeat
from typing import Any
from uuid import uuid4

from attrs import define, field

from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused, Unreachable
from galaxy_jobs.entrypoints.client.http import Answer, Api
from galaxy_jobs.entrypoints.client.output import note


BACKOFF = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts, where the service gives none; the last repeats."""

RETRIED_STATUSES = frozenset({429, 503})

NOTHING_STARTED = frozenset({"galaxy-unavailable", "too-many-requests"})
"""The problems with these statuses that rule out that anything was started."""


def _key(given: str | None) -> str:
    return given or str(uuid4())


@define
class Submitter:
    """Sends one submission until its outcome is known.

    Attributes:
        key: The idempotency key; made up if it is None.
        retry_timeout: Seconds for which a service in trouble is tried again.
        settling_timeout: Seconds for which a submission may stay unsettled. By default
            the service looks for a lost run after two minutes, and again after ten.
        report: Is called with a line for each repetition and wait.
    """

    api: Api
    key: str = field(converter=_key)
    retry_timeout: float = 60.0
    settling_timeout: float = 900.0
    report: Callable[[str], None] = note
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def __call__(self, *parts: str, body: Mapping[str, Any]) -> Answer:
        """Submit to a resource, and return the answer once it is accepted.

        Raises:
            Refused: It was not accepted, and nothing runs.
            Unreachable: There was no answer.
            CommandFailed: The outcome is not known yet.
        """
        deadline = self.monotonic() + self.retry_timeout
        backoff = chain(BACKOFF, repeat(BACKOFF[-1]))
        failure: CommandFailed
        sent = False
        while True:
            delay = None
            try:
                return self.api.post(*parts, body=body, key=self.key)
            except Unreachable as error:
                sent = sent or error.sent
                if not sent:
                    raise  # nothing can have been started
                failure, reason = error, "The answer was lost"
            except Refused as refusal:
                if submission_id := refusal.problem.get("submission_id"):
                    self._settle(str(submission_id), refusal)
                    deadline = self.monotonic() + self.retry_timeout
                    continue
                if refusal.code != "outcome-unknown" and not _may_pass(refusal):
                    raise
                failure, reason = refusal, str(refusal).rstrip(".")
                delay = refusal.retry_after
            default = next(backoff)
            delay = default if delay is None else delay
            if self.monotonic() + delay > deadline:
                raise self._given_up(failure) from failure
            self.report(
                f"{reason}. Asking again in {delay:g} s, with the same idempotency key."
            )
            self.sleep(delay)

    def _settle(self, submission_id: str, refusal: Refused) -> None:
        """Wait until the outcome of a submission is known.

        Raises:
            Refused: It was rejected.
            CommandFailed: It is not known after a long time.
        """
        self.report(
            "Its outcome on Galaxy is not known yet. Waiting until submission "
            f"{submission_id} is settled."
        )
        deadline = self.monotonic() + self.settling_timeout
        while self.monotonic() < deadline:
            self.sleep(refusal.retry_after or 2.0)
            try:
                submission = self.api.get("submissions", submission_id).data
            except (Unreachable, Refused) as error:
                if isinstance(error, Refused) and not _may_pass(error):
                    raise
                continue
            if submission.get("state") == "accepted":
                return
            if submission.get("state") == "rejected":
                raise Refused(submission.get("problem") or {"title": "Rejected"})
        raise self._given_up(refusal)

    def _given_up(self, error: CommandFailed) -> CommandFailed:
        advice = "It may run. Find out with"
        if isinstance(error, Refused) and error.code in NOTHING_STARTED:
            advice = "Nothing was started. Try again later"
        error.hint = f"{advice}: {again(self.key)}"
        return error


def _may_pass(refusal: Refused) -> bool:
    """Whether the same request may be accepted later."""
    return refusal.problem.get("status") in RETRIED_STATUSES


def again(key: str) -> str:
    """Return the command that was typed, with the key that makes it safe to repeat."""
    arguments = sys.argv[1:]
    if "--key" not in arguments:
        arguments = [*arguments, "--key", key]
    return shlex.join(["galaxy-jobs", *arguments])

"""Submit once, however often it has to be asked for.

Rule of the file: every request carries the same idempotency key, so repeating it
runs nothing twice. What is repeated, and what is waited for, is told.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from galaxy_jobs.entrypoints.client.errors import CommandFailed, Refused, Unreachable
from galaxy_jobs.entrypoints.client.http import Answer, Api, path
from galaxy_jobs.entrypoints.client.output import note


PATIENCE = 60.0
"""Seconds for which a service in trouble is asked again."""

SETTLING = 900.0
"""Seconds in which the service finds out what became of a lost answer of Galaxy's.
By default it looks into it after two minutes, and once more after ten."""

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between two attempts, where the service does not say; the last repeats."""

TRY_AGAIN = frozenset({429, 503})
"""The statuses that ask for it."""

NOTHING_RUNS = frozenset({"galaxy-unavailable", "too-many-requests"})
"""The problems among them with which it is certain that nothing was started."""


@define
class Submitter:
    """Sends one submission until it is settled.

    Attributes:
        api: Where to.
        key: The idempotency key.
        tell: Says what is being done.
        sleep: Waits for so many seconds.
        monotonic: Tells seconds.
    """

    api: Api
    key: str
    tell: Callable[[str], None] = note
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    _arrived: bool = field(default=False, init=False)

    def __call__(self, address: str, body: Mapping[str, Any]) -> Answer:
        """Submit, and return the answer of a submission that was accepted.

        Raises:
            Refused: It was not accepted, and nothing runs.
            Unreachable: Nobody answered.
            CommandFailed: What became of it is not known yet.
        """
        until = self.monotonic() + PATIENCE
        attempt = 0
        while True:
            try:
                return self.api.ask(
                    "POST", address, body, headers={"Idempotency-Key": self.key}
                )
            except Unreachable as error:
                self._arrived = self._arrived or error.arrived
                if not self._arrived:
                    raise  # nothing was sent: there is nothing to find out
                why, wait = "The answer was lost", None
                failed: CommandFailed = error
            except Refused as refusal:
                if submission := refusal.problem.get("submission_id"):
                    self._settle(str(submission), refusal)
                    until = self.monotonic() + PATIENCE
                    continue
                if not (refusal.code == "outcome-unknown" or _later(refusal)):
                    raise
                why, wait = str(refusal), refusal.retry_after
                failed = refusal
            pause = PAUSES[min(attempt, len(PAUSES) - 1)] if wait is None else wait
            attempt += 1
            if self.monotonic() + pause > until:
                raise self._given_up(failed) from failed
            self.tell(
                f"{why.rstrip('.')}. Asking again in {pause:g} s, with the same "
                "idempotency key."
            )
            self.sleep(pause)

    def _settle(self, submission: str, refusal: Refused) -> None:
        """Wait until it is known what became of a submission.

        Raises:
            Refused: It was rejected.
            CommandFailed: It is not known after a long time.
        """
        self.tell(
            "What came of it on Galaxy is not known yet. Waiting until submission "
            f"{submission} is settled."
        )
        until = self.monotonic() + SETTLING
        while self.monotonic() < until:
            self.sleep(refusal.retry_after or 2.0)
            try:
                found = self.api.get(path("submissions", submission)).said
            except Unreachable:
                continue
            except Refused as error:
                if not _later(error):
                    raise
                continue
            if found.get("state") == "accepted":
                return
            if found.get("state") == "rejected":
                raise Refused(found.get("problem") or {"title": "Rejected"})
        raise self._given_up(refusal)

    def _given_up(self, error: CommandFailed) -> CommandFailed:
        if isinstance(error, Refused) and error.code in NOTHING_RUNS:
            error.hint = f"Nothing was started. Try again later: {again(self.key)}"
        else:
            error.hint = f"It may run. Find out with: {again(self.key)}"
        return error


def _later(refusal: Refused) -> bool:
    """Say whether it is worth while to ask again later."""
    return refusal.status in TRY_AGAIN


def again(key: str) -> str:
    """Return the command that was typed, so that it runs nothing twice."""
    typed = sys.argv[1:]
    if "--key" not in typed:
        typed = [*typed, "--key", key]
    return shlex.join(["galaxy-jobs", *typed])

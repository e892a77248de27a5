"""The checks of ``galaxy-jobs doctor``, and the remedy of each problem.

Rule of the file: it reads and changes nothing (but that the embedded database is
started, as by every command that uses it). A check that cannot be made because
another one failed is left out, so that one cause is not reported ten times.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from attrs import define, field, frozen
from sqlalchemy import Engine

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.postgres import SchemaState, clock, schema_state
from galaxy_jobs.domain.errors import (
    InvalidParameters,
    RunnerError,
    RunnerRefusedUs,
    StoreUnavailable,
    WorkflowAmbiguous,
    WorkflowNotFound,
)
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.model.workflow import AllowedWorkflow, dataset_target
from galaxy_jobs.domain.ports import Backlog, Clock, PollQueue
from galaxy_jobs.entrypoints.environment import BadSetting
from galaxy_jobs.entrypoints.settings import Settings
from galaxy_jobs.entrypoints.wording import duration


MAX_CLOCK_SKEW = timedelta(seconds=10)
"""The difference of two clocks above which displayed times mislead people."""

LATE_AFTER = timedelta(seconds=10)
"""For how long a job may be due without a warning: a polling loop is never so late; a
timer may be, so this alone is no failure."""


class Verdict(Enum):
    """The outcome of a check."""

    OK = "ok"
    WARN = "warn"  #: it works, and may not be what is wanted
    FAIL = "fail"
    LEFT_OUT = "left out"  #: another check has failed that it rests on


OK, WARN, FAIL, LEFT_OUT = Verdict


@frozen
class Finding:
    """The result of a check.

    Attributes:
        check: One of CHECKS.
        verdict: Its outcome.
        message: A sentence or two for people.
        remedy: The command or the action that helps, or None.
    """

    check: str
    verdict: Verdict
    message: str
    remedy: str | None = None


CHECKS = (
    "settings",
    "home",
    "database",
    "migrations",
    "database clock",
    "galaxy",
    "galaxy clock",
    "key",
    "workflows",
    "jobs of others",
    "poller",
)
"""Every check, in the order of the findings."""

START_POLLER = "galaxy-jobs poll --every 5"
TRY_AGAIN = "galaxy-jobs doctor  (again, a little later)"
NEW_KEY = (
    "Set GALAXY_API_KEY to a key from Galaxy: User > Preferences > Manage API Key."
)


@define
class Doctor:
    """Checks a set-up.

    Attributes:
        settings: Of the service.
        folder: Of the embedded database; None: another one is used.
        engine: Returns the database; may raise.
        queue: Returns the poll queue; only called where the schema is there.
        galaxy: Returns Galaxy; may raise.
        clock: Ours.
    """

    settings: Settings
    folder: Path | None
    engine: Callable[[], Engine]
    queue: Callable[[], PollQueue]
    galaxy: Callable[[], Galaxy]
    clock: Clock
    _identity: Identity | None = field(default=None, init=False)
    _backlog: Mapping[Identity, Backlog] | None = field(default=None, init=False)

    def __call__(self) -> Iterator[Finding]:
        """Yield a finding for each of CHECKS, as they are made.

        ``workflows`` may have several.
        """
        settings = self._settings()
        yield settings
        yield self._home()
        yield from self._database()
        yield from self._galaxy(named=settings.verdict is OK)
        yield from self._jobs()

    def _settings(self) -> Finding:
        try:
            url, _ = self.settings.galaxy()
        except BadSetting as error:
            return Finding("settings", FAIL, str(error), _command(error))
        rows = len(self.settings.allowlist.rows)
        allowed = _many(rows, "workflow") if rows else "every workflow"
        return Finding("settings", OK, f"GALAXY_URL is {url}; {allowed} allowed.")

    def _home(self) -> Finding:
        if self.folder is None:
            return Finding("home", OK, "Not needed: DATABASE_URL is set.")
        if reason := _not_writable(self.folder):
            return Finding(
                "home",
                FAIL,
                f"{self.folder} cannot be written to ({reason}); the embedded database "
                "is kept there.",
                "Set GALAXY_JOBS_HOME to a folder of yours, or DATABASE_URL to a "
                "server.",
            )
        return Finding("home", OK, f"{self.folder} can be written to.")

    # --- the database ---

    def _database(self) -> Iterator[Finding]:
        try:
            before = self.clock()
            theirs = clock(self.engine())
            after = self.clock()
            state = schema_state(self.engine())
        except (StoreUnavailable, EmbeddedError, BadSetting) as error:
            remedy = (
                "Start that server, or correct DATABASE_URL; without one, an embedded "
                "PostgreSQL is used."
            )
            if self.folder is not None:
                remedy = "Correct that, or set DATABASE_URL to a server of yours."
            elif "`createdb " in str(error):
                remedy = "Create it, or correct DATABASE_URL."
            yield Finding("database", FAIL, str(error), remedy)
            yield from _left_out(
                "the database does not answer", "migrations", "database clock"
            )
            return
        kind = "DATABASE_URL" if self.folder is None else "embedded"
        yield Finding("database", OK, f"PostgreSQL answers ({kind}).")
        yield self._migrations(state)
        yield _clock_skew("database clock", "PostgreSQL", theirs, before, after)
        if state in {SchemaState.CURRENT, SchemaState.AHEAD}:
            self._backlog = self.queue().backlog()

    def _migrations(self, state: SchemaState) -> Finding:
        message = {
            SchemaState.CURRENT: "The schema is this program's.",
            SchemaState.AHEAD: "The schema is newer than this program, which works.",
            SchemaState.BEHIND: "The schema is older than this program.",
            SchemaState.EMPTY: "The database has no tables of ours yet.",
        }[state]
        if state in {SchemaState.CURRENT, SchemaState.AHEAD}:
            return Finding("migrations", OK, message)
        if self.folder is not None:
            message += " `serve` and `poll` migrate the embedded database."
            return Finding("migrations", WARN, message)
        return Finding("migrations", FAIL, message, "galaxy-jobs migrate")

    # --- Galaxy ---

    def _galaxy(self, *, named: bool) -> Iterator[Finding]:
        rest = ("galaxy clock", "key", "workflows")
        try:
            galaxy = self.galaxy()
        except BadSetting as error:
            if named:
                yield Finding("galaxy", FAIL, str(error), NEW_KEY)
            else:  # reported as a setting
                yield from _left_out("the settings name none", "galaxy")
            yield from _left_out("Galaxy cannot be asked", *rest)
            return
        try:
            before = self.clock()
            about = galaxy.about()
            after = self.clock()
        except RunnerRefusedUs:  # some answer nothing at all to a wrong key
            yield Finding("galaxy", OK, "It answers.")
            yield from _left_out("Galaxy refuses the key", "galaxy clock")
        except RunnerError as error:
            remedy = (
                "Correct GALAXY_URL, or start that Galaxy (the local one: "
                "galaxy-jobs galaxy start)."
            )
            yield Finding("galaxy", FAIL, str(error), remedy)
            yield from _left_out("Galaxy does not answer", *rest)
            return
        else:
            yield Finding("galaxy", OK, f"Galaxy {about.version} answers.")
            if about.now is None:
                yield from _left_out("Galaxy does not give its time", "galaxy clock")
            else:
                yield _clock_skew("galaxy clock", "Galaxy", about.now, before, after)
        yield from self._key(galaxy)

    def _key(self, galaxy: Galaxy) -> Iterator[Finding]:
        try:
            self._identity = galaxy.identity()
        except RunnerError as error:
            remedy = NEW_KEY if isinstance(error, RunnerRefusedUs) else TRY_AGAIN
            yield Finding("key", FAIL, str(error), remedy)
            yield from _left_out("our user on Galaxy is not known", "workflows")
            return
        yield Finding("key", OK, f"We are user {self._identity.user_id}.")
        try:
            yield from self._workflows(galaxy)
        except RunnerError as error:
            yield Finding("workflows", FAIL, str(error), TRY_AGAIN)

    def _workflows(self, galaxy: Galaxy) -> Iterator[Finding]:
        rows = self.settings.allowlist.rows
        for row in rows:
            yield _workflow(galaxy, row)
        if not rows and (count := len(galaxy.names())):
            message = f"{_many(count, 'workflow')} may be run: all that the key sees."
            yield Finding("workflows", OK, message)
        elif not rows:
            yield Finding(
                "workflows",
                WARN,
                "Galaxy shows no workflow to this user.",
                "Import one in Galaxy, or share one with the user of GALAXY_API_KEY.",
            )

    # --- the jobs ---

    def _jobs(self) -> Iterator[Finding]:
        if self._identity is None or self._backlog is None:
            reason = "our user on Galaxy is not known"
            if self._identity is not None:
                reason = "the database cannot be read"
            yield from _left_out(reason, "jobs of others", "poller")
            return
        # Users whose jobs have all ended are in it for their totals.
        active = {user: jobs for user, jobs in self._backlog.items() if jobs.active}
        ours = active.pop(self._identity, None)
        yield self._others(active)
        yield self._poller(ours)

    def _others(self, backlogs: Mapping[Identity, Backlog]) -> Finding:
        check = "jobs of others"
        if not backlogs:
            return Finding(check, OK, "None wait here.")
        user, worst = max(backlogs.items(), key=lambda item: item[1].overdue)
        if worst.overdue <= self.settings.poll.stale_after:
            count = sum(backlog.active for backlog in backlogs.values())
            return Finding(check, OK, f"{_many(count, 'job')}, polled by others.")
        return Finding(
            check,
            FAIL,
            f"User {user.user_id} of {user.url} has {_many(worst.active, 'job')} here "
            f"that nobody has polled for {_span(worst.overdue)}. GALAXY_API_KEY or "
            "GALAXY_URL was another one before; with this one they are not touched.",
            "Set them to those of before, or run a poller with those until these jobs "
            f"have ended: {START_POLLER}",
        )

    def _poller(self, ours: Backlog | None) -> Finding:
        if ours is None:
            return Finding("poller", OK, "Nothing to poll.")
        active, overdue = f"{_many(ours.active, 'job')} active", _span(ours.overdue)
        if ours.overdue > self.settings.poll.stale_after:
            message = f"{active}, due to be polled for {overdue}: no poller is running."
            return Finding("poller", FAIL, message, START_POLLER)
        if ours.overdue > LATE_AFTER:
            problem = f"due for {overdue} and not polled yet"
        elif not ours.totals.get("sweeps"):
            problem = "and nothing was ever polled"
        else:
            return Finding("poller", OK, f"{active}, polled in time.")
        message = f"{active}, {problem}: is a poller running, or a timer?"
        return Finding("poller", WARN, message, START_POLLER)


def _workflow(galaxy: Galaxy, row: AllowedWorkflow) -> Finding:
    """Check one row of the allowlist.

    Raises:
        RunnerError: Galaxy could not be asked.
    """
    where = f"{row.name!r} in GALAXY_JOBS_CONFIG"
    try:
        workflow = galaxy.find(row)
    except WorkflowNotFound as error:
        remedy = f"Correct or remove {where}, or share it in Galaxy."
        return Finding("workflows", FAIL, str(error), remedy)
    except WorkflowAmbiguous as error:
        remedy = f'Add  id = "{error.ids[0]}"  (or another) to {where}.'
        return Finding("workflows", FAIL, str(error), remedy)
    try:
        target = dataset_target(workflow, row.input, {})
    except InvalidParameters as error:
        several = row.input is None and any(i.kind.is_data for i in workflow.inputs)
        remedy = f'Set  input = "…"  of {where}.'
        return Finding("workflows", WARN if several else FAIL, str(error), remedy)
    message = f"{row.name!r} takes the dataset on {target.name!r}."
    return Finding("workflows", OK, message)


def _left_out(reason: str, *checks: str) -> Iterator[Finding]:
    for check in checks:
        yield Finding(check, LEFT_OUT, f"Not checked: {reason}.")


def _command(error: Exception) -> str | None:
    """Return the command that a message names, or None."""
    _, _, after = str(error).partition("`galaxy-jobs ")
    return f"galaxy-jobs {after.partition('`')[0]}" if after else None


def _clock_skew(
    check: str, name: str, theirs: datetime, before: datetime, after: datetime
) -> Finding:
    """Compare a clock with ours, which was read before and after it."""
    skew = max(before - theirs, theirs - after, timedelta(0))
    if skew <= MAX_CLOCK_SKEW:
        return Finding(check, OK, f"{name}'s clock agrees with ours.")
    direction = "behind" if theirs < before else "ahead of"
    return Finding(
        check,
        WARN,
        f"{name}'s clock is {_span(skew)} {direction} ours. Leases and deadlines use "
        "PostgreSQL's clock and hold; displayed times mislead.",
        "timedatectl set-ntp true  (on whichever machine is wrong)",
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _span(span: timedelta) -> str:
    return duration(span, units=1)


def _not_writable(folder: Path) -> str | None:
    """Return why a folder, or the nearest one above that exists, takes no files."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return None
    except OSError as error:
        return error.strerror or os.strerror(error.errno or 0)

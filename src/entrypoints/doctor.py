"""What is wrong with a set-up, and the remedy of each thing.

Rule of the file: it looks and changes nothing (but that the embedded database is
started, as it is by whatever uses it). A check whose ground is missing is left out
and said to be: a doctor that reports one cause ten times helps nobody.
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


CLOCKS_APART = timedelta(seconds=10)
"""How far two clocks may be apart before times told by them mislead people."""

LATE = timedelta(seconds=10)
"""For how long a job may be due before it is asked whether anybody polls: a loop is
never so late, a timer may be, and so it is not said to be wrong."""


class Verdict(Enum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"  #: it works, and may not be what is wanted
    FAIL = "fail"
    LEFT_OUT = "left out"  #: what it rests on has failed


@frozen
class Finding:
    """What a check has found.

    Attributes:
        check: Its name.
        verdict: How it came out.
        said: A sentence or two for people.
        remedy: What to type or to do, or None.
    """

    check: str
    verdict: Verdict
    said: str
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
"""Every check, in the order in which they are told."""

START = "galaxy-jobs poll --every 5"
AGAIN = "galaxy-jobs doctor  (again, a little later)"
NEW_KEY = (
    "Set GALAXY_API_KEY to a key from Galaxy: User > Preferences > Manage API Key."
)


@define
class Doctor:
    """Examines a set-up.

    Attributes:
        settings: What was set.
        folder: Where the embedded database lives; None: it is another one.
        engine: Gives the database; may raise.
        queue: Tells whose jobs wait there; only asked where the schema is there.
        galaxy: Gives Galaxy; may raise.
        clock: Ours.
    """

    settings: Settings
    folder: Path | None
    engine: Callable[[], Engine]
    queue: Callable[[], PollQueue]
    galaxy: Callable[[], Galaxy]
    clock: Clock
    _named: bool = field(default=True, init=False)
    _identity: Identity | None = field(default=None, init=False)
    _backlog: Mapping[Identity, Backlog] | None = field(default=None, init=False)

    def __call__(self) -> Iterator[Finding]:
        """Yield a finding for each of CHECKS, in their order, as they are made.

        ``workflows`` may bring several.
        """
        yield self._settings()
        yield self._home()
        yield from self._database()
        yield from self._galaxy()
        yield from self._jobs()

    def _settings(self) -> Finding:
        try:
            url, _ = self.settings.galaxy()
        except BadSetting as error:
            self._named = False
            return Finding("settings", Verdict.FAIL, str(error), _first_command(error))
        rows = len(self.settings.allowlist.rows)
        allowed = (
            f"{_many(rows, 'workflow')} allowed" if rows else "every workflow allowed"
        )
        return Finding("settings", Verdict.OK, f"GALAXY_URL is {url}; {allowed}.")

    def _home(self) -> Finding:
        if self.folder is None:
            return Finding("home", Verdict.OK, "Not needed: DATABASE_URL is set.")
        if why := _not_writable(self.folder):
            return Finding(
                "home",
                Verdict.FAIL,
                f"{self.folder} cannot be written to ({why}); the embedded database "
                "lives there.",
                "Set GALAXY_JOBS_HOME to a folder of yours, or DATABASE_URL to a "
                "server.",
            )
        return Finding("home", Verdict.OK, f"{self.folder} can be written to.")

    # --- the database ---

    def _database(self) -> Iterator[Finding]:
        kind = "DATABASE_URL" if self.folder is None else "embedded"
        try:
            before = self.clock()
            theirs = clock(self.engine())
            after = self.clock()
            state = schema_state(self.engine())
        except (StoreUnavailable, EmbeddedError, BadSetting) as error:
            remedy = (
                "Mend that, or set DATABASE_URL to a server of yours."
                if self.folder is not None
                else "Create it, or correct DATABASE_URL."
                if "`createdb " in str(error)
                else "Start that server, or correct DATABASE_URL; without one, an "
                "embedded PostgreSQL is used."
            )
            yield Finding("database", Verdict.FAIL, str(error), remedy)
            for name in ("migrations", "database clock"):
                yield _left_out(name, "the database does not answer")
            return
        yield Finding("database", Verdict.OK, f"PostgreSQL answers ({kind}).")
        yield self._migrations(state)
        yield _clocks("database clock", "PostgreSQL", theirs, before, after)
        if state in {SchemaState.CURRENT, SchemaState.AHEAD}:
            self._backlog = self.queue().backlog()

    def _migrations(self, state: SchemaState) -> Finding:
        said = {
            SchemaState.CURRENT: "The schema is this program's.",
            SchemaState.AHEAD: "The schema is newer than this program, which works.",
            SchemaState.BEHIND: "The schema is older than this program.",
            SchemaState.EMPTY: "The database has no tables of ours yet.",
        }[state]
        if state in {SchemaState.CURRENT, SchemaState.AHEAD}:
            return Finding("migrations", Verdict.OK, said)
        if self.folder is not None:
            said += " `serve` and `poll` see to that, as the database is embedded."
            return Finding("migrations", Verdict.WARN, said)
        return Finding("migrations", Verdict.FAIL, said, "galaxy-jobs migrate")

    # --- Galaxy ---

    def _galaxy(self) -> Iterator[Finding]:
        rest = ("galaxy clock", "key", "workflows")
        try:
            galaxy = self.galaxy()
        except BadSetting as error:
            if self._named:
                yield Finding("galaxy", Verdict.FAIL, str(error), NEW_KEY)
            else:  # told as a setting
                yield _left_out("galaxy", "the settings name none")
            for name in rest:
                yield _left_out(name, "Galaxy cannot be asked")
            return
        try:
            before = self.clock()
            about = galaxy.about()
            after = self.clock()
        except RunnerRefusedUs:
            about = None  # some answer nothing at all to a wrong key
        except RunnerError as error:
            yield Finding(
                "galaxy",
                Verdict.FAIL,
                str(error),
                "Correct GALAXY_URL, or start that Galaxy (the local one: "
                "galaxy-jobs galaxy start).",
            )
            for name in rest:
                yield _left_out(name, "Galaxy does not answer")
            return
        if about is None:
            yield Finding("galaxy", Verdict.OK, "It answers.")
            yield _left_out("galaxy clock", "Galaxy refuses the key")
        else:
            yield Finding("galaxy", Verdict.OK, f"Galaxy {about.version} answers.")
            yield (
                _left_out("galaxy clock", "Galaxy does not tell the time")
                if about.now is None
                else _clocks("galaxy clock", "Galaxy", about.now, before, after)
            )
        yield from self._key(galaxy)

    def _key(self, galaxy: Galaxy) -> Iterator[Finding]:
        try:
            self._identity = galaxy.identity()
        except RunnerError as error:
            remedy = NEW_KEY if isinstance(error, RunnerRefusedUs) else AGAIN
            yield Finding("key", Verdict.FAIL, str(error), remedy)
            yield _left_out("workflows", "it is not known who we are on Galaxy")
            return
        yield Finding("key", Verdict.OK, f"We are user {self._identity.user_id}.")
        yield from self._workflows(galaxy)

    def _workflows(self, galaxy: Galaxy) -> Iterator[Finding]:
        rows = self.settings.allowlist.rows
        try:
            if rows:
                for row in rows:
                    yield _workflow(galaxy, row)
                return
            count = len(galaxy.names())
        except RunnerError as error:
            yield Finding("workflows", Verdict.FAIL, str(error), AGAIN)
            return
        if count:
            said = f"{_many(count, 'workflow')} may be run: all that the key sees."
            yield Finding("workflows", Verdict.OK, said)
        else:
            yield Finding(
                "workflows",
                Verdict.WARN,
                "Galaxy shows no workflow to this user.",
                "Import one in Galaxy, or share one with the user of GALAXY_API_KEY.",
            )

    # --- the jobs ---

    def _jobs(self) -> Iterator[Finding]:
        missing = None
        if self._identity is None:
            missing = "it is not known who we are on Galaxy"
        elif self._backlog is None:
            missing = "the database cannot be read"
        if missing is not None or self._identity is None or self._backlog is None:
            for name in ("jobs of others", "poller"):
                yield _left_out(name, str(missing))
            return
        # Those whose jobs have all ended are told of, too, for their totals.
        others = {who: one for who, one in self._backlog.items() if one.active}
        ours = others.pop(self._identity, None)
        yield self._others(others)
        yield self._poller(ours)

    def _others(self, others: Mapping[Identity, Backlog]) -> Finding:
        name = "jobs of others"
        if not others:
            return Finding(name, Verdict.OK, "None wait here.")
        who, worst = max(others.items(), key=lambda one: one[1].overdue)
        if worst.overdue <= self._patience:
            count = sum(one.active for one in others.values())
            said = f"{_many(count, 'job')}, which somebody else polls."
            return Finding(name, Verdict.OK, said)
        return Finding(
            name,
            Verdict.FAIL,
            f"User {who.user_id} of {who.url} has "
            f"{_many(worst.active, 'job')} here that nobody has polled for "
            f"{_long(worst.overdue)}. GALAXY_API_KEY or GALAXY_URL was another one "
            "before; with this one they are not touched.",
            "Set them to those of before, or run a poller with those until these jobs "
            f"have ended: {START}",
        )

    def _poller(self, one: Backlog | None) -> Finding:
        if one is None:
            return Finding("poller", Verdict.OK, "Nothing to poll.")
        under_way = f"{_many(one.active, 'job')} under way"
        if one.overdue > self._patience:
            said = f"due to be polled for {_long(one.overdue)}: no poller is at work."
            return Finding("poller", Verdict.FAIL, f"{under_way}, {said}", START)
        if one.overdue > LATE:
            said = f"due for {_long(one.overdue)} and not polled yet"
        elif not one.totals.get("sweeps"):
            said = "and nothing was ever polled"
        else:
            return Finding("poller", Verdict.OK, f"{under_way}, polled in time.")
        said = f"{under_way}, {said}: is a poller running, or a timer?"
        return Finding("poller", Verdict.WARN, said, START)

    @property
    def _patience(self) -> timedelta:
        return self.settings.poll.stale_after


def _workflow(galaxy: Galaxy, row: AllowedWorkflow) -> Finding:
    """Look at one row of the allowlist.

    Raises:
        RunnerError: Galaxy could not be asked.
    """
    name = row.name
    try:
        found = galaxy.find(row)
    except WorkflowNotFound as error:
        return Finding(
            "workflows",
            Verdict.FAIL,
            str(error),
            f"Correct or remove {name!r} in GALAXY_JOBS_CONFIG, or share it in Galaxy.",
        )
    except WorkflowAmbiguous as error:
        return Finding(
            "workflows",
            Verdict.FAIL,
            str(error),
            f'Add  id = "{error.ids[0]}"  (or another) to {name!r} in '
            "GALAXY_JOBS_CONFIG.",
        )
    try:
        target = dataset_target(found, row.input, {})
    except InvalidParameters as error:
        several = row.input is None and any(one.kind.is_data for one in found.inputs)
        return Finding(
            "workflows",
            Verdict.WARN if several else Verdict.FAIL,
            str(error),
            f'Set  input = "…"  of {name!r} in GALAXY_JOBS_CONFIG.',
        )
    return Finding(
        "workflows", Verdict.OK, f"{name!r} takes the dataset on {target.name!r}."
    )


def _left_out(check: str, why: str) -> Finding:
    return Finding(check, Verdict.LEFT_OUT, f"Not checked: {why}.")


def _first_command(error: Exception) -> str | None:
    """Return the command that a message already names, if it names one."""
    _, _, after = str(error).partition("`galaxy-jobs ")
    return f"galaxy-jobs {after.partition('`')[0]}" if after else None


def _clocks(
    check: str, whose: str, theirs: datetime, before: datetime, after: datetime
) -> Finding:
    """Compare a clock with ours, which was read before and after it."""
    apart = max(before - theirs, theirs - after, timedelta(0))
    if apart <= CLOCKS_APART:
        return Finding(check, Verdict.OK, f"{whose}'s clock agrees with ours.")
    way = "behind" if theirs < before else "ahead of"
    return Finding(
        check,
        Verdict.WARN,
        f"{whose}'s clock is {_long(apart)} {way} ours. Leases and deadlines go by "
        "PostgreSQL's clock and hold; the times that people are shown mislead.",
        "timedatectl set-ntp true  (on whichever machine is wrong)",
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _long(span: timedelta) -> str:
    seconds = span.total_seconds()
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _not_writable(folder: Path) -> str | None:
    """Say why a folder, or the nearest one above that exists, takes no files."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return None
    except OSError as error:
        return error.strerror or os.strerror(error.errno or 0)

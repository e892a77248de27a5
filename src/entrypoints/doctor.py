"""``galaxy-jobs doctor``: a line for each finding, and its remedy.

Rule of the file: it reads and changes nothing (but that the embedded database is
started, as by every command that uses it). A check that cannot be made because
another one failed is left out, so that one cause is not reported ten times.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from attrs import define, field, frozen
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.galaxy_package import RELEASES
from galaxy_jobs.adapters.galaxy import Galaxy, releases
from galaxy_jobs.adapters.postgres import SchemaState, clock, schema_state
from galaxy_jobs.domain import AllowedWorkflow, Identity, errors
from galaxy_jobs.domain.errors import (
    IssuerUnavailable,
    RunnerError,
    RunnerRefusedUs,
    StorageUnavailable,
    StoreUnavailable,
    listed,
)
from galaxy_jobs.domain.model.workflow import dataset_target
from galaxy_jobs.domain.ports import (
    Backlog,
    Clock,
    IdentityProviders,
    ObjectStore,
    PollQueue,
)
from galaxy_jobs.entrypoints.api.host_and_origin import is_loopback
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import opened
from galaxy_jobs.entrypoints.environment import BadSetting
from galaxy_jobs.entrypoints.settings import Settings, load
from galaxy_jobs.entrypoints.wording import duration


MAX_CLOCK_SKEW = timedelta(seconds=10)
"""The difference of two clocks above which displayed times mislead people."""

LATE_AFTER = timedelta(seconds=10)
"""What a polling loop is never late by; a timer may be, so this is only a warning."""


class Verdict(Enum):
    """The outcome of a check."""

    OK = "ok"
    WARN = "warn"  #: it works, and may not be what is wanted
    FAIL = "fail"
    LEFT_OUT = "left out"  #: another check has failed that it rests on


OK, WARN, FAIL, LEFT_OUT = Verdict

MARKS: Mapping[Verdict, tuple[str, str]] = {
    OK: ("ok  ", "green"),
    WARN: ("warn", "yellow"),
    FAIL: ("FAIL", "bold red"),
    LEFT_OUT: ("-   ", "dim"),
}


@frozen
class Finding:
    """The result of one of CHECKS, and the command or the action that helps, if any."""

    check: str
    verdict: Verdict
    message: str
    remedy: str | None = None


Outcome: TypeAlias = tuple[Verdict, str] | tuple[Verdict, str, str | None]
"""A finding without the name of its check."""

CHECKS: Mapping[str, tuple[str, ...]] = {
    "settings": (),
    "home": (),
    "database": (),
    "migrations": ("database",),
    "database clock": ("database",),
    "galaxy": ("settings",),
    "galaxy clock": ("galaxy",),
    "key": ("galaxy",),
    "workflows": ("key",),
    "jobs of others": ("key", "migrations"),
    "poller": ("key", "migrations"),
    "storage": (),
    "public address": ("settings",),
    "issuers": (),
}
"""Every check, in the order of the findings, with the checks that it rests on."""

UNMET: Mapping[str, str] = {
    "settings": "the settings name none",
    "database": "the database does not answer",
    "migrations": "the database cannot be read",
    "galaxy": "Galaxy cannot be asked",
    "key": "our user on Galaxy is not known",
}
"""Why what rests on a check is left out where that one is not ok."""

START_POLLER = "galaxy-jobs poll --every 5"
RESTORE_KEY = (
    "Set them to those of before, or run a poller with those until these jobs have "
    f"ended: {START_POLLER}"
)
OTHER_DATABASE = (
    "Start that server, or correct DATABASE_URL; without one, an embedded PostgreSQL "
    "is used."
)
OTHER_GALAXY = (
    "Correct GALAXY_URL, or start that Galaxy (ours: galaxy-jobs galaxy start)."
)
OTHER_ISSUER = (
    "Correct its address in [[oidc]] of GALAXY_JOBS_CONFIG, or wait until it answers."
)
OTHER_STORAGE = (
    "Correct [storage] in GALAXY_JOBS_CONFIG and the credentials in the environment; "
    "without it, files are kept below GALAXY_JOBS_HOME."
)
PUBLIC_URL = (
    "Set  public_url  in [data] of GALAXY_JOBS_CONFIG to an address of this service "
    "that Galaxy reaches; it fetches uploaded files from there."
)
UNTESTED = "Read what older releases lack in README, and try a job first."
OTHER_HOME = "Set GALAXY_JOBS_HOME to a folder of yours, or DATABASE_URL to a server."
NEW_KEY = (
    "Set GALAXY_API_KEY to a key from Galaxy: User > Preferences > Manage API Key."
)


@define
class Doctor:
    """Checks a set-up; its parts are only asked for by the checks that need them."""

    settings: Settings
    folder: Path | None  #: that of the embedded database, where it is used
    engine: Callable[[], Engine]
    queue: Callable[[], PollQueue]
    galaxy: Callable[[], Galaxy]
    providers: IdentityProviders
    store: Callable[[], ObjectStore]
    clock: Clock
    _identity: Identity | None = field(default=None, init=False)

    def __call__(self) -> Iterator[Finding]:
        """Yield the findings of each of CHECKS, as they are made."""
        verdicts: dict[str, Verdict] = {}
        for check, needs in CHECKS.items():
            for outcome in self._outcomes(check, needs, verdicts):
                finding = Finding(check, *outcome)
                verdicts[check] = finding.verdict
                yield finding

    def _outcomes(
        self, check: str, needs: tuple[str, ...], verdicts: Mapping[str, Verdict]
    ) -> Iterator[Outcome]:
        for need in needs:
            if verdicts[need] is not OK:
                yield LEFT_OUT, f"Not checked: {UNMET[need]}."
                return
        try:
            yield from getattr(self, f"_{check.replace(' ', '_')}")()
        except (
            BadSetting,
            EmbeddedError,
            RunnerError,
            StorageUnavailable,
            StoreUnavailable,
        ) as error:
            yield FAIL, str(error), self._remedy(check, error)

    def _remedy(self, check: str, error: Exception) -> str:
        match check, error:
            case "settings", _:
                return self._start_local_galaxy()
            case "database", _ if self.folder is not None:
                return "Correct that, or set DATABASE_URL to a server of yours."
            case "database", _ if "`createdb " in str(error):
                return "Create it, or correct DATABASE_URL."
            case "database", _:
                return OTHER_DATABASE
            case _, BadSetting() | RunnerRefusedUs():
                return NEW_KEY
            case "galaxy", _:
                return OTHER_GALAXY
            case "storage", _:
                return OTHER_STORAGE
            case _:
                return "galaxy-jobs doctor  (again, a little later)"

    def _start_local_galaxy(self) -> str:
        for release in reversed(RELEASES):
            galaxy = LocalGalaxy.among(self.settings.home, release)
            if galaxy.server():
                version = "" if release == RELEASES[-1] else f" --version {release}"
                return (
                    f"export $(galaxy-jobs galaxy start{version})  (the address and a "
                    f"key of the local Galaxy, which runs at {galaxy.url})"
                )
        return "export $(galaxy-jobs galaxy start)"

    def _settings(self) -> Iterator[Outcome]:
        url, _ = self.settings.galaxy()
        rows = len(self.settings.allowlist.rows)
        allowed = many(rows, "workflow") if rows else "every workflow"
        yield OK, f"GALAXY_URL is {url}; {allowed} allowed."

    def _home(self) -> Iterator[Outcome]:
        if self.folder is None:
            yield OK, "Not needed: DATABASE_URL is set."
        elif reason := _not_writable(self.folder):
            message = (
                f"{self.folder} cannot be written to ({reason}); the embedded database "
                "is kept there."
            )
            yield FAIL, message, OTHER_HOME
        else:
            yield OK, f"{self.folder} can be written to."

    def _database(self) -> Iterator[Outcome]:
        clock(self.engine())
        kind = "DATABASE_URL" if self.folder is None else "embedded"
        yield OK, f"PostgreSQL answers ({kind})."

    def _migrations(self) -> Iterator[Outcome]:
        state = schema_state(self.engine())
        message = {
            SchemaState.CURRENT: "The schema is this program's.",
            SchemaState.AHEAD: "The schema is newer than this program, which works.",
            SchemaState.BEHIND: "The schema is older than this program.",
            SchemaState.EMPTY: "The database has no tables of ours yet.",
        }[state]
        if state in {SchemaState.CURRENT, SchemaState.AHEAD}:
            yield OK, message
        elif self.folder is not None:
            yield WARN, f"{message} `serve` and `poll` migrate the embedded database."
        else:
            yield FAIL, message, "galaxy-jobs migrate"

    def _database_clock(self) -> Iterator[Outcome]:
        yield self._skew("PostgreSQL", lambda: clock(self.engine()))

    def _galaxy(self) -> Iterator[Outcome]:
        try:
            version = self.galaxy().about().version
        except RunnerRefusedUs:  # some answer nothing at all to a wrong key
            yield OK, "It answers."
            return
        if outside := releases.untested(version):
            yield WARN, f"Its version is {outside}: {version}.", UNTESTED
        missing = "; ".join(releases.lacks(version))
        but = f" It lacks: {missing}. See README." if missing else ""
        yield OK, f"Galaxy {version} answers.{but}"

    def _galaxy_clock(self) -> Iterator[Outcome]:
        try:
            yield self._skew("Galaxy", lambda: self.galaxy().about().now)
        except RunnerRefusedUs:
            yield LEFT_OUT, "Not checked: Galaxy refuses the key."

    def _skew(self, name: str, read: Callable[[], datetime | None]) -> Outcome:
        """Compare a clock with ours, which is read before and after it."""
        before, theirs, after = self.clock(), read(), self.clock()
        if theirs is None:
            return LEFT_OUT, f"Not checked: {name} does not give its time."
        skew = max(before - theirs, theirs - after, timedelta(0))
        if skew <= MAX_CLOCK_SKEW:
            return OK, f"{name}'s clock agrees with ours."
        direction = "behind" if theirs < before else "ahead of"
        message = (
            f"{name}'s clock is {_span(skew)} {direction} ours. Leases and deadlines "
            "use PostgreSQL's clock and hold; displayed times mislead."
        )
        return (
            WARN,
            message,
            "timedatectl set-ntp true  (on whichever machine is wrong)",
        )

    def _key(self) -> Iterator[Outcome]:
        self._identity = self.galaxy().identity()
        yield OK, f"We are user {self._identity.user_id}."

    def _workflows(self) -> Iterator[Outcome]:
        rows = self.settings.allowlist.rows
        for row in rows:
            yield _workflow(self.galaxy(), row)
        if not rows and (count := len(self.galaxy().names())):
            yield OK, f"{many(count, 'workflow')} may be run: all that the key sees."
        elif not rows:
            remedy = "Import one in Galaxy, or share one with the user of the key."
            yield WARN, "Galaxy shows no workflow to this user.", remedy

    def _backlogs(self) -> dict[Identity, Backlog]:
        # Users whose jobs have all ended are in it for their totals.
        backlogs = self.queue().backlog().items()
        return {user: backlog for user, backlog in backlogs if backlog.active}

    def _jobs_of_others(self) -> Iterator[Outcome]:
        everyone = self._backlogs().items()
        backlogs = {user: jobs for user, jobs in everyone if user != self._identity}
        if not backlogs:
            yield OK, "None wait here."
            return
        user, worst = max(backlogs.items(), key=lambda item: item[1].overdue)
        if worst.overdue <= self.settings.poll.stale_after:
            count = sum(backlog.active for backlog in backlogs.values())
            yield OK, f"{many(count, 'job')}, polled by others."
            return
        message = (
            f"User {user.user_id} of {user.url} has {many(worst.active, 'job')} here "
            f"that nobody has polled for {_span(worst.overdue)}. GALAXY_API_KEY or "
            "GALAXY_URL was another one before; with this one they are not touched."
        )
        yield FAIL, message, RESTORE_KEY

    def _poller(self) -> Iterator[Outcome]:
        everyone = self._backlogs().items()
        ours = next((jobs for user, jobs in everyone if user == self._identity), None)
        if ours is None:
            yield OK, "Nothing to poll."
            return
        active, overdue = f"{many(ours.active, 'job')} active", _span(ours.overdue)
        hint = "is a poller running, or a timer?"
        if ours.overdue > self.settings.poll.stale_after:
            message = f"{active}, due to be polled for {overdue}: no poller is running."
            yield FAIL, message, START_POLLER
        elif ours.overdue > LATE_AFTER:
            message = f"{active}, due for {overdue} and not polled yet: {hint}"
            yield WARN, message, START_POLLER
        elif not ours.totals.get("sweeps"):
            message = f"{active}, and nothing was ever polled: {hint}"
            yield WARN, message, START_POLLER
        else:
            yield OK, f"{active}, polled in time."

    def _storage(self) -> Iterator[Outcome]:
        store = self.store()
        own_clock = store.now() is not None
        yield OK, "Uploaded files can be kept."
        if own_clock:  # addresses are signed by ours, and verified by that one
            yield self._skew("The store", store.now)

    def _public_address(self) -> Iterator[Outcome]:
        url, (galaxy, _) = self.settings.data.public_url, self.settings.galaxy()
        here, there = (urlsplit(text).hostname or "" for text in (url, galaxy))
        if is_loopback(here) and not is_loopback(there):
            message = f"Uploads are offered at {url}, which {there} cannot reach."
            yield WARN, message, PUBLIC_URL
        else:
            yield OK, f"Galaxy is told to fetch uploads at {url}."

    def _issuers(self) -> Iterator[Outcome]:
        if not self.providers.issuers:
            yield OK, "No identity provider is trusted."
        for issuer in self.providers.issuers:
            try:
                keys = many(self.providers.key_count(issuer), "key")
            except IssuerUnavailable as error:
                yield FAIL, str(error), OTHER_ISSUER
            else:
                yield OK, f"{issuer} answers, with {keys}."


def _workflow(galaxy: Galaxy, row: AllowedWorkflow) -> Outcome:
    """Check one row of the allowlist."""
    where = f"{row.name!r} in GALAXY_JOBS_CONFIG"
    try:
        workflow = galaxy.find(row)
    except errors.WorkflowNotFound as error:
        return FAIL, str(error), f"Correct or remove {where}, or share it in Galaxy."
    except errors.WorkflowAmbiguous as error:
        remedy = f'Add  id = "{error.ids[0]}"  (or another) to {where}.'
        return FAIL, str(error), remedy
    except errors.WorkflowVersionNotFound as error:
        return FAIL, str(error), f"Correct or remove  version  of {where}."
    except errors.WorkflowUnreadable as error:
        return FAIL, str(error), f"Or remove {where}."
    if workflow.missing_tools:
        message = str(errors.ToolsMissing(row.name, workflow.missing_tools))
        return FAIL, message, f"Or remove {where}."
    try:
        target = dataset_target(workflow, {}, allowed=row)
    except errors.DatasetInputAmbiguous as error:
        return OK, f"{row.name!r} takes the dataset on any of {listed(error.inputs)}."
    except errors.InvalidParameters as error:
        return FAIL, str(error), f'Correct  input = "…"  of {where}.'
    where = f"on {target.name!r}" if target else "on no input"
    return OK, f"{row.name!r} takes the dataset {where}."


def many(count: int, noun: str) -> str:
    """Return a number of things in words, such as ``2 jobs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _span(span: timedelta) -> str:
    return duration(span, units=1)


def _not_writable(folder: Path) -> str | None:
    """Return why a folder, or the nearest one above that exists, takes no files."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return None
    except OSError as error:
        return error.strerror or os.strerror(error.errno or 0)


def run(*, as_json: bool) -> int:
    """Check the set-up and print the findings.

    Returns:
        0 where nothing fails; 1 where something does.
    """
    findings = []
    with ExitStack() as stack:
        for finding in _findings(stack):
            findings.append(finding)
            if not as_json:
                _show(finding)
    verdicts = [finding.verdict for finding in findings]
    failures, warnings = verdicts.count(FAIL), verdicts.count(WARN)
    if as_json:
        checks = [
            {
                "check": finding.check,
                "verdict": finding.verdict.value,
                "said": finding.message,
                "remedy": finding.remedy,
            }
            for finding in findings
        ]
        report = {"ok": not failures, "checks": checks}
        output.document(report)
    elif failures:
        output.line(f"\n{many(failures, 'problem')} found.")
    else:
        rest = f"No problems, {many(warnings, 'warning')}." if warnings else ""
        output.line(f"\n{rest or 'All is well.'}")
    return 1 if failures else 0


def _findings(stack: ExitStack) -> Iterator[Finding]:
    try:
        settings = load()
    except BadSetting as error:
        remedy = "Correct it, then: galaxy-jobs doctor"
        yield Finding("settings", FAIL, str(error), remedy)
        message = "Not checked: the settings cannot be read."
        yield from (Finding(check, LEFT_OUT, message) for check in list(CHECKS)[1:])
        return
    parts = stack.enter_context(opened(settings))
    folder = parts.embedded().folder if parts.database().is_embedded else None
    doctor = Doctor(
        settings,
        folder,
        parts.engine,
        parts.queue,
        parts.galaxy,
        parts.identity_providers(),
        parts.object_store,
        parts.clock(),
    )
    yield from doctor()


def _show(finding: Finding) -> None:
    mark, style = MARKS[finding.verdict]
    body = Text(output.clean(finding.message))
    if finding.remedy:
        body.append(f"\n-> {output.clean(finding.remedy)}", style="bold")
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=len(mark))
    row.add_column(width=max(map(len, CHECKS)))
    row.add_row(Text(mark, style), finding.check, body)
    output.show(row)

"""``galaxy-jobs doctor``: a line for each finding, and its remedy.

Rule of the file: it reads and changes nothing (but that the embedded database is
started, as by every command that uses it), unless uploads are to be tried. A check that
cannot be made because another one failed is left out, so that one cause is not reported
ten times.
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

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.galaxy_package import RELEASES
from galaxy_jobs.adapters.galaxy import Galaxy, releases
from galaxy_jobs.adapters.postgres import SchemaState, clock, schema_state
from galaxy_jobs.adapters.storage.trial import FILE, preflight, stored
from galaxy_jobs.domain import AllowedWorkflow, Identity, errors, ports
from galaxy_jobs.domain.model.workflow import dataset_target
from galaxy_jobs.entrypoints.api.host_and_origin import is_loopback
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import Container, opened
from galaxy_jobs.entrypoints.environment import BadSetting
from galaxy_jobs.entrypoints.settings import SERVED_URL, Settings, load
from galaxy_jobs.entrypoints.wording import duration, size


MAX_CLOCK_SKEW = timedelta(seconds=10)
"""The difference of two clocks above which displayed times mislead people."""

LATE_AFTER = timedelta(seconds=10)
"""What a polling loop is never late by; a timer may be, so this is only a warning."""

NEAR_QUOTA = 0.9
"""The part of the quota above which the doctor warns."""


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
    "quota": ("key",),
    "workflows": ("key",),
    "results": ("key",),
    "jobs of others": ("key", "migrations"),
    "poller": ("key", "migrations"),
    "storage": (),
    "uploads": ("settings", "storage"),
    "issuers": (),
}
"""Every check, in the order of the findings, with the checks that it rests on."""

UNMET: Mapping[str, str] = {
    "settings": "the settings name none",
    "storage": "the store of files cannot be used",
    "database": "the database does not answer",
    "migrations": "the database cannot be read",
    "galaxy": "Galaxy cannot be asked",
    "key": "our user on Galaxy is not known",
}
"""Why what rests on a check is left out where that one is not ok."""

SCHEMAS: Mapping[SchemaState, str] = {
    SchemaState.CURRENT: "The schema is this program's.",
    SchemaState.AHEAD: "The schema is newer than this program, which works.",
    SchemaState.BEHIND: "The schema is older than this program.",
    SchemaState.EMPTY: "The database has no tables of ours yet.",
}

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
PUSH = f'{PUBLIC_URL} Or set  hand_over = "push"  there: files are sent to it.'
TRY = "To have Galaxy fetch a file: galaxy-jobs doctor --uploads"
CORS = (
    "Allow it for the bucket: the method PUT and all headers, for the origins of pages "
    "that upload."
)
SET_CLOCK = "timedatectl set-ntp true  (on whichever machine is wrong)"
CLEAN = (
    "galaxy-jobs clean --older-than 30d  (or set  results_days  in [retention] of "
    "GALAXY_JOBS_CONFIG)"
)
PURGE = (
    "Ask its administrators whether they remove deleted data from the disk, or for  "
    "allow_user_dataset_purge: true"
)
UNTESTED = "Read what older releases lack in README, and try a job first."
PUBLIC = "Remove  private  from [galaxy], or update Galaxy."
EXPECTED = (
    BadSetting,
    EmbeddedError,
    errors.RunnerError,
    errors.StorageUnavailable,
    errors.StoreUnavailable,
)
"""What a check may raise: it fails with the message."""

OTHER_HOME = "Set GALAXY_JOBS_HOME to a folder of yours, or DATABASE_URL to a server."
NEW_KEY = (
    "Set GALAXY_API_KEY to a key from Galaxy: User > Preferences > Manage API Key."
)


@define
class Doctor:
    """Checks a set-up; its parts are only asked for by the checks that need them."""

    parts: Container
    folder: Path | None = None  #: that of the embedded database, where it is used
    try_uploads: bool = False  #: whether a file is handed over to Galaxy
    _identity: Identity | None = field(default=None, init=False)

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.parts.settings()

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
        except EXPECTED as error:
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
            case _, BadSetting() | errors.RunnerRefusedUs():
                return NEW_KEY
            case "galaxy", _:
                return OTHER_GALAXY
            case "storage" | "uploads", errors.StorageUnavailable():
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
        clock(self.parts.engine())
        kind = "DATABASE_URL" if self.folder is None else "embedded"
        yield OK, f"PostgreSQL answers ({kind})."

    def _migrations(self) -> Iterator[Outcome]:
        state = schema_state(self.parts.engine())
        message = SCHEMAS[state]
        if state in {SchemaState.CURRENT, SchemaState.AHEAD}:
            yield OK, message
        elif self.folder is not None:
            yield WARN, f"{message} `serve` and `poll` migrate the embedded database."
        else:
            yield FAIL, message, "galaxy-jobs migrate"

    def _database_clock(self) -> Iterator[Outcome]:
        yield self._skew("PostgreSQL", lambda: clock(self.parts.engine()))

    def _galaxy(self) -> Iterator[Outcome]:
        try:
            version = self.parts.galaxy().about().version
        except errors.RunnerRefusedUs:  # some answer nothing at all to a wrong key
            yield OK, "It answers."
            return
        if outside := releases.untested(version):
            yield WARN, f"Its version is {outside}: {version}.", UNTESTED
        missing = "; ".join(releases.lacks(version))
        but = f" It lacks: {missing}. See README." if missing else ""
        yield OK, f"Galaxy {version} answers.{but}"

    def _galaxy_clock(self) -> Iterator[Outcome]:
        try:
            yield self._skew("Galaxy", lambda: self.parts.galaxy().about().now)
        except errors.RunnerRefusedUs:
            yield LEFT_OUT, "Not checked: Galaxy refuses the key."

    def _skew(
        self,
        name: str,
        read: Callable[[], datetime | None],
        effect: str = "Leases and deadlines use PostgreSQL's clock and hold; displayed "
        "times mislead.",
    ) -> Outcome:
        """Compare a clock with ours, which is read before and after it."""
        ours = self.parts.clock()
        before, theirs, after = ours(), read(), ours()
        if theirs is None:
            return LEFT_OUT, f"Not checked: {name} does not give its time."
        skew = max(before - theirs, theirs - after, timedelta(0))
        if skew <= MAX_CLOCK_SKEW:
            return OK, f"{name}'s clock agrees with ours."
        direction = "behind" if theirs < before else "ahead of"
        message = f"{name}'s clock is {_span(skew)} {direction} ours. {effect}"
        return WARN, message, SET_CLOCK

    def _key(self) -> Iterator[Outcome]:
        self._identity = self.parts.galaxy().identity()
        yield OK, f"We are user {self._identity.user_id}."

    def _results(self) -> Iterator[Outcome]:
        version = self.parts.galaxy().about().version
        if releases.PRIVACY.affects(version):
            message = (
                f"Galaxy lacks {releases.PRIVACY.lacks}. {releases.PRIVACY.effect}"
            )
            yield (FAIL, message, PUBLIC) if self.settings.private else (OK, message)
        elif self.settings.private:
            yield OK, "Our user alone reads them in Galaxy, as [galaxy] private says."
        elif self.parts.galaxy().is_private():
            yield OK, "Our user alone reads them in Galaxy, by its own default there."
        else:
            message = (
                "Anyone who knows the id of one reads it in Galaxy, without a key; "
                "[galaxy] private = true keeps new ones private."
            )
            yield OK, message

    def _quota(self) -> Iterator[Outcome]:
        yield self._disk_usage()
        if not self.parts.galaxy().may_purge():
            message = (
                "Galaxy does not let its users purge data: what is deleted here stays "
                "on its disk, and may count."
            )
            yield WARN, message, PURGE

    def _disk_usage(self) -> Outcome:
        usage = self.parts.galaxy().disk_usage()
        if usage.used is None:
            return LEFT_OUT, "Galaxy does not show how much of its disk we use."
        which = "our histories"
        if not usage.all_counted:
            which = f"the newest {usage.histories} of our histories"
        ours = f"{size(usage.ours)} of it in {which}."
        if usage.quota is None:
            return OK, f"{size(usage.used)} of Galaxy's disk, without a limit; {ours}"
        part = f"{usage.used / usage.quota:.0%}"
        message = f"{size(usage.used)} of {size(usage.quota)} used ({part}), {ours}"
        if usage.used < NEAR_QUOTA * usage.quota:
            return OK, message
        message += " Galaxy pauses jobs of users who are above it."
        return WARN, message, CLEAN

    def _workflows(self) -> Iterator[Outcome]:
        rows = self.settings.allowlist.rows
        for row in rows:
            yield _workflow(self.parts.galaxy(), row)
        if not rows and (count := len(self.parts.galaxy().names())):
            yield OK, f"{many(count, 'workflow')} may be run: all that the key sees."
        elif not rows:
            remedy = "Import one in Galaxy, or share one with the user of the key."
            yield WARN, "Galaxy shows no workflow to this user.", remedy

    def _backlogs(self, *, ours: bool) -> list[tuple[Identity, ports.Backlog]]:
        """Return the jobs of our user, or of others: all that have any active."""
        return [
            (user, backlog)
            for user, backlog in self.parts.queue().backlog().items()
            if backlog.active and (user == self._identity) == ours
        ]

    def _jobs_of_others(self) -> Iterator[Outcome]:
        backlogs = self._backlogs(ours=False)
        if not backlogs:
            yield OK, "None wait here."
            return
        user, worst = max(backlogs, key=lambda item: item[1].overdue)
        if worst.overdue <= self.settings.poll.stale_after:
            count = sum(backlog.active for _, backlog in backlogs)
            yield OK, f"{many(count, 'job')}, polled by others."
            return
        message = (
            f"User {user.user_id} of {user.url} has {many(worst.active, 'job')} here "
            f"that nobody has polled for {_span(worst.overdue)}. GALAXY_API_KEY or "
            "GALAXY_URL was another one before; with this one they are not touched."
        )
        yield FAIL, message, RESTORE_KEY

    def _poller(self) -> Iterator[Outcome]:
        if not (found := self._backlogs(ours=True)):
            yield OK, "Nothing to poll."
            return
        ((_, ours),) = found
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
        store = self.parts.object_store()
        own_clock = store.now() is not None
        yield OK, "Uploaded files can be kept."
        if not own_clock:  # one of our own, of which nothing is asked over HTTP
            return
        judged = "It judges addresses that are signed by ours: they may be refused."
        yield self._skew("The store", store.now, judged)
        origins = self.settings.http.allow_origins
        page = self.settings.data.public_url or SERVED_URL
        for origin in dict.fromkeys([_origin(page), *origins]):
            if problem := preflight(store, "null" if origin == "*" else origin):
                yield WARN, f"Browsers: {problem}.", CORS

    def _uploads(self) -> Iterator[Outcome]:
        url, (galaxy, _) = self.parts.hand_over().public_url(), self.settings.galaxy()
        here, there = (urlsplit(text).hostname or "" for text in (url, galaxy))
        if self.try_uploads:
            yield self._handed_over(url)
        elif self.settings.data.pushes:
            yield OK, "They are sent to Galaxy."
        elif is_loopback(here) and not is_loopback(there):
            yield WARN, f"They are offered at {url}, which {there} cannot reach.", PUSH
        else:
            yield OK, f"Galaxy is told to fetch them at {url}. {TRY}"

    def _handed_over(self, url: str) -> Outcome:
        trial = self.parts.galaxy().trial()
        if self.settings.data.pushes:
            if problem := trial.sent(FILE):
                return FAIL, f"They cannot be sent to Galaxy. {problem}", PUBLIC_URL
            return OK, "They are sent to Galaxy, which takes them."
        with stored(self.parts.object_store(), url) as upload_id:
            data = self.parts.hand_over().url_data(upload_id, FILE)
            if not (problem := trial.fetched(data)):
                return OK, f"Galaxy fetches them at {url}."
        remedy = PUBLIC_URL if trial.sent(FILE) else PUSH
        return FAIL, f"Galaxy cannot fetch them at {url}: {problem}", remedy

    def _issuers(self) -> Iterator[Outcome]:
        providers = self.parts.identity_providers()
        if not providers.issuers:
            yield OK, "No identity provider is trusted."
        for issuer in providers.issuers:
            try:
                keys = many(providers.key_count(issuer), "key")
            except errors.IssuerUnavailable as error:
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
        inputs = errors.listed(error.inputs)
        return OK, f"{row.name!r} takes the dataset on any of {inputs}."
    except errors.InvalidParameters as error:
        return FAIL, str(error), f'Correct  input = "…"  of {where}.'
    where = f"on {target.name!r}" if target else "on no input"
    return OK, f"{row.name!r} takes the dataset {where}."


def many(count: int, noun: str) -> str:
    """Return a number of things in words, such as ``2 jobs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


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


def run(*, as_json: bool, try_uploads: bool = False) -> int:
    """Check the set-up, print the findings, and return 1 if one fails, else 0."""
    findings = []
    with ExitStack() as stack:
        for finding in _findings(stack, try_uploads=try_uploads):
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
        output.document({"ok": not failures, "checks": checks})
    elif failures:
        output.line(f"\n{many(failures, 'problem')} found.")
    else:
        rest = f"No problems, {many(warnings, 'warning')}." if warnings else ""
        output.line(f"\n{rest or 'All is well.'}")
    return 1 if failures else 0


def _findings(stack: ExitStack, *, try_uploads: bool) -> Iterator[Finding]:
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
    yield from Doctor(parts, folder, try_uploads)()


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

"""The settings of the service: from the environment, ``.env`` and a TOML file.

Rule of the file: whatever is wrong is told in one line that names the setting,
what was read and what is expected, and never shows a secret. What each is
called and means stands in :mod:`galaxy_jobs.entrypoints.environment`.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import attrs
import typed_settings
from attrs import frozen
from typed_settings.exceptions import TsError
from typed_settings.types import Secret

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.values import WorkflowId
from galaxy_jobs.domain.model.workflow import AllowedWorkflow, Allowlist
from galaxy_jobs.domain.use_cases import PollPolicy, ReconcilePolicy, SubmitPolicy
from galaxy_jobs.entrypoints import environment
from galaxy_jobs.entrypoints.environment import BadSetting, bad, expected


@frozen(kw_only=True)
class _Environment:
    """What is read from the environment; the names there are upper case."""

    galaxy_url: str | None = None
    galaxy_api_key: Secret[str] | None = None
    galaxy_timeout: float = 30.0
    database_url: Secret[str] | None = None
    galaxy_jobs_home: Path | None = None
    galaxy_jobs_config: Path | None = None


@frozen(kw_only=True)
class WorkflowRow:
    """One ``[[workflows]]`` table.

    Attributes:
        name: As clients say it.
        input: The workflow input that takes the dataset.
        id: This stored workflow, whatever its name in Galaxy.
    """

    name: str
    input: str | None = None
    id: str | None = None


@frozen(kw_only=True)
class PollTable:
    """The ``[poll]`` table; times are in seconds.

    Attributes:
        threads: How many requests to Galaxy may be under way at once.
        batch: How many invocations are claimed at once.
        bulk: How many are asked about in one bulk question.
        lease: How long a claim is one poller's own.
        full_look_every: For how long bulk answers alone are trusted.
        least: The shortest time between two looks at one invocation.
        most: The longest.
        patience: The part of its quiet time after which one is asked again.
        jitter: The part by which every interval is varied.
        gone_after: For how long Galaxy must deny an invocation before we give
            it up.
        stuck_after: How long one may wait for Galaxy's scheduler before
            `attention` says so.
        stale_after: How long one may go unobserved before it is `stale`.
    """

    threads: int = 8
    batch: int = 1000
    bulk: int = 200
    lease: float = 300
    full_look_every: float = 1800
    least: float = 0.5
    most: float = 300
    patience: float = 0.02
    jitter: float = 0.1
    gone_after: float = 3600
    stuck_after: float = 3600
    stale_after: float = 120


@frozen(kw_only=True)
class SubmitTable:
    """The ``[submit]`` table; times are in seconds.

    Attributes:
        deadline: After this, a submission that nobody settled is looked into. By
            default a minute more than its two requests to Galaxy may take.
        key_lifetime: For how long an idempotency key replays its answer.
        fence_wait: How long after deleting a run's history it is trusted that
            nothing can start in it any more.
        lease: How long one that is looked into is one poller's own.
        retry_in: How long until the next look where Galaxy could not tell.
        look_again: How long after a submission was found to have no run it is
            looked at once more.
        purge: Whether the histories of superseded runs are purged, not only
            deleted.
    """

    deadline: float | None = None
    key_lifetime: float = 86400
    fence_wait: float = 10
    lease: float = 120
    retry_in: float = 15
    look_again: float = 600
    purge: bool = False


@frozen(kw_only=True)
class HttpTable:
    """The ``[http]`` table; limits are each process's own.

    Attributes:
        rate: How many requests a second one token may send for long; one address,
            where there are no tokens.
        burst: How many it may send at once.
        streams: How many streams of events may be open.
        streams_each: How many of them one token may have; or one address.
        allow_origins: Of which sites pages may ask, each as a browser says it,
            such as ``https://app.example.org``; ``*``: of all, with a token.
    """

    rate: float = 2000
    burst: float = 4000
    streams: int = 4000
    streams_each: int = 2000
    allow_origins: list[str] = attrs.field(factory=list)


@frozen(kw_only=True)
class _File:
    """What is read from the TOML file."""

    workflows: list[WorkflowRow] = attrs.field(factory=list)
    poll: PollTable = PollTable()
    submit: SubmitTable = SubmitTable()
    http: HttpTable = attrs.field(factory=HttpTable)


@frozen(kw_only=True)
class Settings:
    """Everything that can be set, checked.

    Attributes:
        galaxy_url: Without a trailing slash; None: not set.
        galaxy_api_key: None: not set.
        galaxy_timeout: In seconds.
        database_url: None: the embedded PostgreSQL.
        home: Where embedded things live.
        allowlist: Which workflows may be run.
        poll: How to poll.
        threads: How many requests to Galaxy may be under way at once.
        submit: How long submissions are waited for and keys remembered.
        reconcile: How what was left open is looked into.
        purge: Whether superseded histories are purged, not only deleted.
        http: What the API allows.
    """

    galaxy_url: str | None = None
    galaxy_api_key: Secret[str] | None = None
    galaxy_timeout: float = 30.0
    database_url: Secret[str] | None = None
    home: Path
    allowlist: Allowlist = attrs.field(factory=Allowlist)
    poll: PollPolicy = attrs.field(factory=PollPolicy)
    threads: int = 8
    submit: SubmitPolicy = attrs.field(factory=SubmitPolicy)
    reconcile: ReconcilePolicy = attrs.field(factory=ReconcilePolicy)
    purge: bool = False
    http: HttpTable = attrs.field(factory=HttpTable)

    def galaxy(self) -> tuple[str, str]:
        """Return Galaxy's address and our key.

        Raises:
            BadSetting: One of them is not set.
        """
        if not self.galaxy_url:
            raise _missing("GALAXY_URL")
        if self.galaxy_api_key is None:
            raise _missing("GALAXY_API_KEY")
        return self.galaxy_url, self.galaxy_api_key.get_secret_value()


def default_home() -> Path:
    """Return the user's data folder for this program."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "galaxy-jobs"


def load(env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings.

    What the environment says wins over the ``.env`` file. An empty value counts
    as not set.

    Args:
        env_file: A file of ``NAME=value`` lines, if it exists.

    Raises:
        BadSetting: One is malformed.
    """
    environment.complete(env_file)
    try:
        env = typed_settings.load(
            _Environment, appname="galaxy-jobs", config_files=[], env_prefix=""
        )
    except TsError as error:
        raise _malformed(error) from None
    file = _read_file(env.galaxy_jobs_config)
    if not 0 < env.galaxy_timeout < float("inf"):  # nor nan
        raise bad("GALAXY_TIMEOUT", os.environ["GALAXY_TIMEOUT"])
    try:
        allowlist = Allowlist(
            tuple(
                AllowedWorkflow(
                    name=row.name,
                    input=row.input,
                    workflow_id=None if row.id is None else WorkflowId(row.id),
                )
                for row in file.workflows
            )
        )
        poll = _poll_policy(file.poll)
        _check_times("submit", file.submit)
        _check_http(file.http)
    except InvalidValue as error:
        raise BadSetting(
            f"GALAXY_JOBS_CONFIG ({env.galaxy_jobs_config}): {error}"
        ) from None
    deadline = timedelta(
        seconds=2 * env.galaxy_timeout + 60
        if file.submit.deadline is None
        else file.submit.deadline
    )
    home = env.galaxy_jobs_home or default_home()
    return Settings(
        galaxy_url=_galaxy_url(env.galaxy_url),
        galaxy_api_key=env.galaxy_api_key,
        galaxy_timeout=env.galaxy_timeout,
        database_url=_database_url(env.database_url),
        home=home.expanduser().absolute(),
        allowlist=allowlist,
        poll=poll,
        threads=file.poll.threads,
        submit=SubmitPolicy(
            deadline=deadline,
            key_lifetime=timedelta(seconds=file.submit.key_lifetime),
        ),
        reconcile=ReconcilePolicy(
            lease=timedelta(seconds=file.submit.lease),
            grace=deadline,
            retry_in=timedelta(seconds=file.submit.retry_in),
            fence_wait=timedelta(seconds=file.submit.fence_wait),
            afterwards=timedelta(seconds=file.submit.look_again),
        ),
        purge=file.submit.purge,
        http=file.http,
    )


def _read_file(path: Path | None) -> _File:
    if path is None:
        return _File()
    try:
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadSetting(
            f"GALAXY_JOBS_CONFIG is {str(path)!r}; it could not be read ({why}). "
            "Expected: a TOML file that can be read."
        ) from None
    loader = typed_settings.FileLoader(
        files=[path],
        env_var=None,
        formats={"*": typed_settings.TomlFormat(section=None)},
    )
    try:
        return typed_settings.load_settings(_File, loaders=[loader])
    except TsError as error:
        causes = getattr(error, "exceptions", None) or [error]
        raise BadSetting(
            f"GALAXY_JOBS_CONFIG ({path}): {_in_file(str(causes[0]))}."
        ) from None


def _in_file(said: str) -> str:
    """Say what is wrong in the file in our words, where we know better."""
    found = re.search(r"convert value (.*) for option '([\w.]+)'", said, re.DOTALL)
    if found is None:
        return _one_line(said)
    value, option = found.groups()
    wanted = _WANTED.get(option, "a number above 0")
    return f"{option} is {_one_line(value)}; expected {wanted}"


_WANTED = {
    "workflows": "[[workflows]] tables with a `name` each, and `input` and `id` if "
    "wanted",
    "http.allow_origins": "a list of origins, such as ['https://app.example.org']",
}


def _check_http(table: HttpTable) -> None:
    _check_times("http", table)
    if table.burst < 1:
        raise InvalidValue(f"[http] burst is {table.burst!r}; expected 1 or more.")
    for origin in table.allow_origins:
        # As a browser spells it: no path, no slash at the end, lower case.
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise InvalidValue(
                f"[http] allow_origins has {origin!r}; expected what a browser says, "
                "such as 'https://app.example.org' or 'http://localhost:3000', or '*'."
            )


_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")


def _check_times(section: str, table: PollTable | SubmitTable | HttpTable) -> None:
    for one in attrs.fields(type(table)):
        value = getattr(table, one.name)
        may_be_0 = one.name in {"jitter", "purge"}
        if value is None or isinstance(value, list):
            continue
        if not 0 <= value < float("inf") or (value == 0 and not may_be_0):
            raise InvalidValue(
                f"[{section}] {one.name} is {value!r}; expected a number above 0."
            )


def _poll_policy(table: PollTable) -> PollPolicy:
    _check_times("poll", table)
    if table.least > table.most:
        raise InvalidValue(
            f"[poll] least ({table.least:g}) is above most ({table.most:g})."
        )
    return PollPolicy(
        batch=table.batch,
        bulk=table.bulk,
        full_look_every=timedelta(seconds=table.full_look_every),
        lease=timedelta(seconds=table.lease),
        min_interval=timedelta(seconds=table.least),
        max_interval=timedelta(seconds=table.most),
        backoff_ratio=table.patience,
        jitter=table.jitter,
        gone_after=timedelta(seconds=table.gone_after),
        stuck_after=timedelta(seconds=table.stuck_after),
        stale_after=timedelta(seconds=table.stale_after),
    )


def _galaxy_url(url: str | None) -> str | None:
    if url is None:
        return None
    return environment.address("GALAXY_URL", url)


def _database_url(url: Secret[str] | None) -> Secret[str] | None:
    if url is None:
        return None
    scheme = url.get_secret_value().partition("://")[0]
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise bad("DATABASE_URL", f"{scheme[:20]}://…")
    return url


def _missing(name: str) -> BadSetting:
    return BadSetting(
        f"{name} is not set; expected {expected(name)}. "
        "(`galaxy-jobs galaxy start` gives you a local Galaxy to try.)"
    )


def _malformed(error: TsError) -> BadSetting:
    """Say in our words which option could not be converted."""
    for cause in getattr(error, "exceptions", [error]):
        if found := re.search(r"for option '(\w+)'", str(cause)):
            name = found[1].upper()
            return bad(name, os.environ.get(name, ""))
    return BadSetting(_one_line(str(error)))


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")

"""The settings of the service: from the environment, ``.env`` and a TOML file.

Rule of the file: an error is one line that names the setting, what was read and what
is expected, and shows no secret. The tables of the TOML file are read into the
policies of the domain, which hold their defaults, meanings and limits.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import attrs
from attrs import field, frozen
from typed_settings.converters import TSConverter

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.values import positive
from galaxy_jobs.domain.model.workflow import AllowedWorkflow, Allowlist
from galaxy_jobs.domain.use_cases import PollPolicy, ReconcilePolicy, SubmitPolicy
from galaxy_jobs.entrypoints import environment
from galaxy_jobs.entrypoints.environment import BadSetting


T = TypeVar("T")

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")


def _origins(_: object, __: object, origins: list[str]) -> None:
    for origin in origins:
        # As a browser spells it: no path, no slash at the end, lower case.
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise InvalidValue(
                f"allow_origins has {origin!r}; expected an origin as browsers send "
                "it, such as 'https://app.example.org' or 'http://localhost:3000', "
                "or '*'."
            )


def _whole(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 1 <= value < float("inf"):
        raise InvalidValue(f"{attribute.name} must be 1 or more, got {value:g}.")


@frozen(kw_only=True)
class HttpTable:
    """The ``[http]`` table; limits are each process's own.

    Attributes:
        rate: Requests a second that one token may send for long; one address, where
            there are no tokens.
        burst: Requests that it may send at once.
        streams: Streams of events that may be open.
        streams_each: Streams of one token; or of one address.
        allow_origins: The origins whose pages may send requests (CORS), such as
            ``https://app.example.org``; ``*``: all, with a token.
    """

    rate: float = field(default=2000, validator=positive)
    burst: float = field(default=4000, validator=_whole)
    streams: int = field(default=4000, validator=positive)
    streams_each: int = field(default=2000, validator=positive)
    allow_origins: list[str] = field(factory=list, validator=_origins)


@frozen(kw_only=True)
class _Threads:
    """Part of the ``[poll]`` table: requests to Galaxy at once."""

    threads: int = field(default=8, validator=positive)


@frozen(kw_only=True)
class _Cleanup:
    """Part of the ``[submit]`` table: whether superseded histories are purged."""

    purge: bool = False


_NAMES: Mapping[str, str] = {
    "look_again": "afterwards",
    # Names of 0.1, accepted for one more release.
    "least": "min_interval",
    "most": "max_interval",
    "patience": "backoff_ratio",
}
"""Names in the file, where the policies have other ones."""

_EXPECTED: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    timedelta: "a number of seconds",
    list[str]: "a list of texts, such as ['https://app.example.org']",
}


@frozen(kw_only=True)
class Settings:
    """Everything that can be set, checked.

    Attributes:
        galaxy_url: Without a trailing slash; None: not set.
        galaxy_api_key: None: not set.
        galaxy_timeout: Of one request, in seconds.
        database_url: None: the embedded PostgreSQL.
        home: The folder of the embedded database and the local Galaxy.
        allowlist: The workflows that may be run.
        poll: How often Galaxy is asked.
        threads: Requests to Galaxy at once.
        submit: How long submissions and their keys live.
        reconcile: The waiting times of the reconciler.
        purge: Whether superseded histories are purged, not only deleted.
        http: The limits of the API.
    """

    galaxy_url: str | None = None
    galaxy_api_key: str | None = field(default=None, repr=False)
    galaxy_timeout: float = 30.0
    database_url: str | None = field(default=None, repr=False)
    home: Path
    allowlist: Allowlist = field(factory=Allowlist)
    poll: PollPolicy = field(factory=PollPolicy)
    threads: int = 8
    submit: SubmitPolicy = field(factory=SubmitPolicy)
    reconcile: ReconcilePolicy = field(factory=ReconcilePolicy)
    purge: bool = False
    http: HttpTable = field(factory=HttpTable)

    def galaxy(self) -> tuple[str, str]:
        """Return Galaxy's address and our key.

        Raises:
            BadSetting: One of them is not set.
        """
        if not self.galaxy_url:
            raise environment.GALAXY_URL.missing()
        if self.galaxy_api_key is None:
            raise environment.GALAXY_API_KEY.missing()
        return self.galaxy_url, self.galaxy_api_key


def load(env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings.

    The environment wins over the ``.env`` file. An empty value counts as not set.

    Args:
        env_file: A file of ``NAME=value`` lines, if it exists.

    Raises:
        BadSetting: One is malformed.
    """
    environment.read_env_file(env_file)
    home = environment.GALAXY_JOBS_HOME.read() or _default_home()
    timeout = environment.GALAXY_TIMEOUT.read() or 30.0
    return Settings(
        galaxy_url=environment.GALAXY_URL.read(),
        galaxy_api_key=environment.GALAXY_API_KEY.read(),
        galaxy_timeout=timeout,
        database_url=environment.DATABASE_URL.read(),
        home=home.expanduser().absolute(),
        **_read_file(environment.GALAXY_JOBS_CONFIG.read(), timeout),
    )


def _default_home() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data, "galaxy-jobs")


def _read_file(path: Path | None, timeout: float) -> dict[str, Any]:
    """Return the settings that the file holds, or their defaults."""
    file = {} if path is None else _toml(path)
    # A submission is left alone for longer than its two requests may take.
    deadline = 2 * timeout + 60
    try:
        allowlist = _allowlist(file.pop("workflows", []))
        poll, pool = _table(file, "poll", PollPolicy, _Threads)
        submit, reconcile, cleanup = _table(
            file, "submit", SubmitPolicy, ReconcilePolicy, _Cleanup, deadline=deadline
        )
        (http,) = _table(file, "http", HttpTable)
    except InvalidValue as error:
        raise BadSetting(f"GALAXY_JOBS_CONFIG ({path}): {error}") from None
    if file:
        raise BadSetting(f"GALAXY_JOBS_CONFIG ({path}): there is no {min(file)!r}.")
    return {
        "allowlist": allowlist,
        "poll": poll,
        "threads": pool.threads,
        "submit": submit,
        "reconcile": attrs.evolve(reconcile, grace=submit.deadline),
        "purge": cleanup.purge,
        "http": http,
    }


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"GALAXY_JOBS_CONFIG ({path}): {error}.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadSetting(
            f"GALAXY_JOBS_CONFIG is {str(path)!r}, which could not be read ({reason}); "
            f"expected {environment.GALAXY_JOBS_CONFIG.expected}."
        ) from None


def _allowlist(rows: Any) -> Allowlist:
    if not isinstance(rows, list):
        raise InvalidValue(f"workflows is {rows!r}; expected [[workflows]] tables.")
    allowed = []
    for row in rows:
        match row:
            case {"name": str(name), **rest} if rest.keys() <= {"input", "id"} and all(
                isinstance(text, str) for text in rest.values()
            ):
                texts: dict[Any, Any] = {"workflow_id": rest.pop("id", None), **rest}
                allowed.append(AllowedWorkflow(name=name, **texts))
            case _:
                raise InvalidValue(
                    f"[[workflows]] has {row!r}; expected a `name`, and `input` and "
                    "`id` if wanted."
                )
    return Allowlist(tuple(allowed))


def _table(
    file: dict[str, Any], section: str, *classes: type[Any], **defaults: Any
) -> list[Any]:
    """Return an instance of each class, made from one table of the file.

    Raises:
        InvalidValue: A value is malformed, out of range, or of no setting.
    """
    table = file.pop(section, {})
    if not isinstance(table, dict):
        raise InvalidValue(f"[{section}] is {table!r}; expected a table.")
    types = {
        field.name: field.type
        for cls in classes
        for field in attrs.fields(attrs.resolve_types(cls))
    }
    values: dict[str, Any] = {}
    for name, value in {**defaults, **table}.items():
        field_name = _NAMES.get(name, name)
        if field_name not in types or field_name in values:
            raise InvalidValue(f"[{section}] has no {name!r}, or has it twice.")
        type_ = types[field_name]
        try:
            values[field_name] = TSConverter().structure(value, type_)
        except (ValueError, TypeError, OverflowError):
            raise InvalidValue(
                f"[{section}] {name} is {value!r}; expected {_EXPECTED[type_]}."
            ) from None
    try:
        return [
            cls(**{n: values[n] for n in attrs.fields_dict(cls) if n in values})
            for cls in classes
        ]
    except InvalidValue as error:
        raise InvalidValue(f"[{section}] {error}") from None

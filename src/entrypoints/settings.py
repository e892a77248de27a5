"""The settings of the service: from the environment, ``.env`` and a TOML file.

Rule of the file: an error is one line that names the setting, what was read and what
is expected, and shows no secret. The tables of the TOML file are read into the
policies of the domain, which hold their defaults, meanings and limits.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import attrs
import msgspec
from attrs import field, frozen
from attrs.validators import optional

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.domain.model.invoke_options import InvokeOptions
from galaxy_jobs.domain.model.retention import RetentionPolicy
from galaxy_jobs.domain.model.signing import SigningKey
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.user import Issuer
from galaxy_jobs.domain.model.values import WorkflowId, positive
from galaxy_jobs.domain.model.viewer import Sees
from galaxy_jobs.domain.model.webhook import WebhookPolicy
from galaxy_jobs.domain.model.workflow import AllowedWorkflow, Allowlist
from galaxy_jobs.domain.use_cases import (
    DataPolicy,
    PollPolicy,
    ReconcilePolicy,
    SubmitPolicy,
    UploadPolicy,
)
from galaxy_jobs.entrypoints import environment
from galaxy_jobs.entrypoints.environment import BadSetting, setting


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


def _address(_: object, attribute: attrs.Attribute[Any], text: str) -> None:
    try:
        environment.address(text)
    except ValueError:
        raise InvalidValue(
            f"{attribute.name} is {text!r}; expected an address such as "
            "'https://jobs.example.org'."
        ) from None


def _signing(_: object, __: object, keys: list[str]) -> None:
    for text in keys:
        SigningKey(text.encode())  # refuses one that is too short


def _whole(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 1 <= value < float("inf"):
        raise InvalidValue(f"{attribute.name} must be 1 or more, got {value:g}.")


def _days(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 1 <= value <= MAX_DAYS:
        raise InvalidValue(
            f"{attribute.name} must be from 1 to {MAX_DAYS}, got {value:g}."
        )


MAX_DAYS = 36_500
"""The longest time for which anything can be kept, a century."""


@frozen(kw_only=True)
class HttpTable:
    """The ``[http]`` table; limits are each process's own.

    Attributes:
        rate: Requests a second that one token may send for long; one address, where
            there are no tokens.
        burst: Requests that it may send at once.
        streams: Streams of events that may be open.
        streams_each: Streams of one token; or of one address.
        downloads: Outputs that may be downloaded at once.
        downloads_each: Downloads of one token; or of one address.
        shutdown: Seconds after which the process has ended once it is told to stop.
        allow_origins: The origins whose pages may send requests (CORS), such as
            ``https://app.example.org``; ``*``: all, with a token.
    """

    rate: float = field(default=2000, validator=positive)
    burst: float = field(default=4000, validator=_whole)
    streams: int = field(default=4000, validator=positive)
    streams_each: int = field(default=2000, validator=positive)
    downloads: int = field(default=400, validator=positive)
    downloads_each: int = field(default=300, validator=positive)
    shutdown: float = field(default=20, validator=_whole)
    allow_origins: list[str] = field(factory=list, validator=_origins)


HandingOver: TypeAlias = Literal["fetch", "push"]

SERVED_URL = "http://127.0.0.1:8000"
"""Where the service is unless ``serve`` is given a host or a port."""


@frozen(kw_only=True)
class DataTable:
    """The ``[data]`` table.

    Attributes:
        public_url: The address at which Galaxy reaches this service. None: the one that
            ``serve`` serves at.
        hand_over: ``fetch``: Galaxy fetches uploaded files from there; ``push``: they
            are sent to it, for one that cannot reach this service.
        keys: Texts of 32 bytes or more that addresses are signed with; the first one
            signs, the others are those of before. None: one that is kept in the
            database.
    """

    public_url: str | None = field(default=None, validator=optional(_address))
    hand_over: HandingOver = "fetch"
    keys: list[str] = field(factory=list, repr=False, validator=_signing)

    @property
    def pushes(self) -> bool:
        """Whether uploaded files are sent to Galaxy."""
        return self.hand_over == "push"

    @property
    def signing_keys(self) -> Sequence[SigningKey]:
        """The keys, if any are set."""
        return [SigningKey(text.encode()) for text in self.keys]


@frozen(kw_only=True)
class StorageTable:
    """The ``[storage]`` table: where uploaded files are kept.

    Attributes:
        bucket: On a server that speaks S3; its credentials are those that botocore
            finds, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. None: in a
            folder of this machine.
        endpoint: The address of that server; None: Amazon's.
        public_endpoint: The address at which clients and Galaxy reach it, if that is
            another one.
        region: Of the bucket.
    """

    bucket: str | None = None
    endpoint: str | None = field(default=None, validator=optional(_address))
    public_endpoint: str | None = field(default=None, validator=optional(_address))
    region: str = "us-east-1"


@frozen(kw_only=True)
class RetentionTable:
    """The ``[retention]`` table. Days count from the end of a job; None: for ever.

    Attributes:
        audit_days: Days for which the record of who did what is kept.
        results_days: Days for which results are kept.
        results_days_completed: Those of completed jobs, if other ones.
        results_days_failed: Those of failed jobs, if other ones.
        results_days_cancelled: Those of cancelled jobs, if other ones.
        intermediates: ``keep``, or ``delete when completed``: whether what is no
            workflow output is kept.
        jobs_days: Days for which jobs are kept.
    """

    audit_days: float = field(default=365, validator=_days)
    results_days: float | None = field(default=None, validator=_days)
    results_days_completed: float | None = field(default=None, validator=_days)
    results_days_failed: float | None = field(default=None, validator=_days)
    results_days_cancelled: float | None = field(default=None, validator=_days)
    intermediates: Literal["keep", "delete when completed"] = "keep"
    jobs_days: float | None = field(default=None, validator=_days)

    @property
    def audit(self) -> timedelta:
        """For how long the record of who did what is kept."""
        return timedelta(days=self.audit_days)

    def policy(self, by_workflow: Mapping[str, float]) -> RetentionPolicy:
        """Return the policy, with the days of single workflows.

        Raises:
            InvalidValue: Jobs would be removed before their results.
        """
        days: dict[InvocationState, float | None] = {
            InvocationState.COMPLETED: self.results_days_completed,
            InvocationState.FAILED: self.results_days_failed,
            InvocationState.CANCELLED: self.results_days_cancelled,
        }
        return RetentionPolicy(
            results=_timedelta(self.results_days),
            by_state={k: timedelta(days=n) for k, n in days.items() if n is not None},
            by_workflow={k: timedelta(days=n) for k, n in by_workflow.items()},
            delete_intermediates=self.intermediates != "keep",
            jobs=_timedelta(self.jobs_days),
        )


def _timedelta(days: float | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


LIBPQ_SECRETS = ("PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE")
"""The variables from which libpq takes a password."""

_NAMES: Mapping[str, str] = {
    "look_again": "afterwards",
    # Names of 0.1, accepted for one more release.
    "least": "min_interval",
    "most": "max_interval",
    "patience": "backoff_ratio",
}
"""Names in the file, where the policies have other ones."""

_SECRETS = frozenset({"keys"})
"""Names in the file whose values are never shown."""

_EXPECTED: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    float | None: "a number",
    Literal["keep", "delete when completed"]: "'keep' or 'delete when completed'",
    str: "a text",
    str | None: "a text",
    bool: "true or false",
    timedelta: "a number of seconds",
    HandingOver: "'fetch' or 'push'",
    list[str]: "a list of texts, such as ['https://app.example.org']",
}


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):  # nor nan
        raise ValueError(text)
    return seconds


def _scheme(text: str) -> str:
    return text.partition("://")[0]


def _database(text: str) -> str:
    if _scheme(text) not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError(text)
    return text


def _folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


@attrs.Factory
def _default_home() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return _folder(f"{data}/galaxy-jobs")


@frozen(kw_only=True)
class Settings:
    """Everything that can be set, checked."""

    galaxy_url: str | None = setting(
        "GALAXY_URL",
        environment.address,
        unset="none: needed to serve and poll",
        expected="the address of a Galaxy server, such as https://usegalaxy.eu",
        meaning="the Galaxy server",
        secrets=["GALAXY_API_KEY"],
    )
    galaxy_api_key: str | None = setting(
        "GALAXY_API_KEY",
        str,
        unset="none: needed to serve and poll",
        expected="an API key of that server (User > Preferences > Manage API Key)",
        meaning="the user there whose workflows and histories are used",
        shown=lambda _: "a secret",
    )
    galaxy_timeout: float = setting(
        "GALAXY_TIMEOUT",
        _seconds,
        30,
        expected="a number of seconds above 0",
        meaning="the limit of one request to Galaxy, in seconds",
    )
    database_url: str | None = setting(
        "DATABASE_URL",
        _database,
        unset="an embedded PostgreSQL",
        expected="postgresql://user@host/database",
        meaning="the database",
        shown=lambda text: repr(f"{_scheme(text)[:20]}://…"),  # no password
        secrets=LIBPQ_SECRETS,
    )
    home: Path = setting(
        "GALAXY_JOBS_HOME",
        _folder,
        _default_home,
        unset="~/.local/share/galaxy-jobs",
        expected="a folder that may be written to",
        meaning="the folder of the embedded database and the local Galaxy",
    )
    config: Path | None = setting(
        "GALAXY_JOBS_CONFIG",
        Path,
        expected="a TOML file that can be read",
        meaning="the allowlist of workflows, and the settings of polling",
    )
    client_secret: str | None = setting(
        "OIDC_CLIENT_SECRET",
        str,
        unset="none: the client is public",
        expected="the secret of the client in `[[oidc]]`",
        meaning="the secret of the client as which users sign in to the pages",
        shown=lambda _: "a secret",
    )
    allowlist: Allowlist = field(factory=Allowlist)
    issuers: Sequence[Issuer] = ()  #: the identity providers that are trusted
    poll: PollPolicy = field(factory=PollPolicy)
    threads: int = field(default=8, validator=positive)  #: requests to Galaxy at once
    submit: SubmitPolicy = field(factory=SubmitPolicy)
    reconcile: ReconcilePolicy = field(factory=ReconcilePolicy)
    private: bool = False  #: results can be read by our user on Galaxy alone
    purge: bool = False  #: superseded histories are purged, not only deleted
    http: HttpTable = field(factory=HttpTable)
    data: DataTable = field(factory=DataTable)
    sources: DataPolicy = field(factory=DataPolicy)
    uploads: UploadPolicy = field(factory=UploadPolicy)
    storage: StorageTable = field(factory=StorageTable)

    @property
    def uploads_folder(self) -> Path:
        """The folder that uploads are kept in."""
        return self.home / "storage"

    retention: RetentionTable = field(factory=RetentionTable)
    webhooks: WebhookPolicy = field(factory=WebhookPolicy)
    kept: RetentionPolicy = field(factory=RetentionPolicy)  #: after the end of jobs

    def galaxy(self) -> tuple[str, str]:
        """Return Galaxy's address and our key.

        Raises:
            BadSetting: One of them is not set.
        """
        if self.galaxy_url is None:
            raise environment.missing(Settings, "galaxy_url")
        if self.galaxy_api_key is None:
            raise environment.missing(Settings, "galaxy_api_key")
        return self.galaxy_url, self.galaxy_api_key


def load(env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings, from the environment and the file that it names.

    Raises:
        BadSetting: One is malformed.
    """
    settings = environment.read(Settings, env_file)
    file = {} if settings.config is None else _toml(settings.config)
    # A submission is left alone for longer than its two requests may take.
    deadline = 2 * settings.galaxy_timeout + 60
    try:
        allowlist, days = _allowlist(file.pop("workflows", []))
        issuers = _issuers(file.pop("oidc", []), settings.client_secret)
        for section in _TABLES:
            defaults = {"deadline": deadline} if section == "submit" else {}
            table = file.pop(section, {})
            settings = _with_table(settings, section, table, defaults)
        kept = settings.retention.policy(days)
    except InvalidValue as error:
        raise BadSetting(f"GALAXY_JOBS_CONFIG ({settings.config}): {error}") from None
    if file:
        raise BadSetting(
            f"GALAXY_JOBS_CONFIG ({settings.config}): there is no {min(file)!r}."
        )
    reconcile = attrs.evolve(settings.reconcile, grace=settings.submit.deadline)
    return attrs.evolve(
        settings, allowlist=allowlist, issuers=issuers, reconcile=reconcile, kept=kept
    )


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # no TOML, or no UTF-8
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadSetting(
            f"GALAXY_JOBS_CONFIG is {str(path)!r}, which could not be read ({reason}); "
            "expected a TOML file that can be read."
        ) from None


class _Workflow(
    msgspec.Struct, forbid_unknown_fields=True, rename={"workflow_id": "id"}
):
    name: str
    input: str | None = None
    takes_dataset: bool = True
    workflow_id: WorkflowId | None = None
    version: int | None = None
    use_cached_job: bool = False
    exact_tool_versions: bool = True
    preferred_object_store_id: str | None = None
    preferred_outputs_object_store_id: str | None = None
    preferred_intermediate_object_store_id: str | None = None
    resource_params: dict[str, bool | int | float | str] = {}
    owners: Annotated[frozenset[str], msgspec.Meta(min_length=1)] | None = None
    results_days: Annotated[float, msgspec.Meta(ge=1, le=MAX_DAYS)] | None = None


_OPTIONS = [attribute.name for attribute in attrs.fields(InvokeOptions)]


def _allowlist(rows: Any) -> tuple[Allowlist, Mapping[str, float]]:
    """Return the allowlist, and for how many days results of workflows are kept."""
    if not isinstance(rows, list):
        raise InvalidValue(f"workflows is {rows!r}; expected [[workflows]] tables.")
    allowed = []
    days: dict[str, float] = {}
    for row in rows:
        try:
            workflow = msgspec.convert(row, _Workflow)
        except msgspec.ValidationError:
            raise InvalidValue(
                f"[[workflows]] has {row!r}; expected a `name`, and if wanted: "
                f"{', '.join(_Workflow.__struct_encode_fields__[1:])}."
            ) from None
        values = msgspec.structs.asdict(workflow)
        values["owners"] = workflow.owners or frozenset()
        if (kept_for := values.pop("results_days")) is not None:
            days[workflow.name] = kept_for
        options = {name: values.pop(name) for name in _OPTIONS}
        allowed.append(AllowedWorkflow(**values, options=InvokeOptions(**options)))
    return Allowlist(tuple(allowed)), days


class _Issuer(msgspec.Struct, forbid_unknown_fields=True):
    issuer: str
    audience: str
    scopes: dict[str, Scope]
    scope_claim: str | msgspec.UnsetType = msgspec.UNSET
    owner_claim: str | msgspec.UnsetType = msgspec.UNSET
    sees: Sees | msgspec.UnsetType = msgspec.UNSET
    client_id: str | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


def _issuers(rows: Any, client_secret: str | None) -> Sequence[Issuer]:
    if not isinstance(rows, list):
        raise InvalidValue("oidc is no list; expected [[oidc]] tables.")
    issuers = []
    for row in rows:
        try:
            issuer = msgspec.convert(row, _Issuer)
        except msgspec.ValidationError as error:
            raise InvalidValue(
                f"[[oidc]]: {error}; expected an `issuer`, an `audience`, `scopes` "
                'such as {"galaxy-jobs:submit" = "submit"}, and if wanted: '
                f"{', '.join(_Issuer.__struct_encode_fields__[3:])}."
            ) from None
        given = msgspec.structs.asdict(issuer).items()
        # What is left out has the default of the domain.
        values = {name: value for name, value in given if value is not msgspec.UNSET}
        issuers.append(Issuer(**values))
    if len({issuer.issuer for issuer in issuers}) < len(issuers):
        raise InvalidValue("[[oidc]] has an issuer twice.")
    clients = sum(issuer.client_id is not None for issuer in issuers)
    if client_secret is not None and clients != 1:
        raise InvalidValue(
            f"OIDC_CLIENT_SECRET is set, and {clients} of [[oidc]] have a client_id; "
            "expected one, whose secret it is."
        )
    return tuple(issuers)


_TABLES: Mapping[str, Sequence[str]] = {
    "poll": ["poll", "threads"],
    "submit": ["submit", "reconcile", "purge"],
    "galaxy": ["private"],
    "http": ["http"],
    "storage": ["storage"],
    "data": ["data", "sources", "uploads"],
    "retention": ["retention"],
    "webhooks": ["webhooks"],
}
"""The fields of :class:`Settings` that each table of the file sets: a policy has a name
in the table for each of its own fields."""


def _with_table(
    settings: Settings, section: str, table: Any, defaults: Mapping[str, object]
) -> Settings:
    """Return the settings with those that stand in one table of the file."""
    if not isinstance(table, dict):
        raise InvalidValue(f"[{section}] is {table!r}; expected a table.")
    fields_of_settings = attrs.fields_dict(attrs.resolve_types(Settings))
    wanted = [fields_of_settings[name] for name in _TABLES[section]]
    fields = {
        field.name: attrs.fields(attrs.resolve_types(field.type))
        for field in wanted
        if field.type is not None and attrs.has(field.type)
    }
    types = {f.name: f.type for own in [wanted, *fields.values()] for f in own}
    values: dict[str, Any] = {}
    for key, value in {**defaults, **table}.items():
        name = _NAMES.get(key, key)
        if name not in types or name in fields or name in values:
            raise InvalidValue(f"[{section}] has no {key!r}, or has it twice.")
        try:
            values[name] = msgspec.convert(value, types[name], strict=False)
        except msgspec.ValidationError:
            shown = "something else" if name in _SECRETS else repr(value)
            raise InvalidValue(
                f"[{section}] {key} is {shown}; expected {_EXPECTED[types[name]]}."
            ) from None
    try:
        for policy, own in fields.items():
            given = {f.name: values.pop(f.name) for f in own if f.name in values}
            values[policy] = types[policy](**given)
        return attrs.evolve(settings, **values)
    except InvalidValue as error:
        raise InvalidValue(f"[{section}] {error}") from None


SETTINGS: Sequence[Mapping[str, Any]] = [
    attribute.metadata
    for cls in (Settings, environment.Service)
    for attribute in attrs.fields(cls)
    if attribute.metadata
]
"""The environment variables (see :func:`setting`), the most important first."""

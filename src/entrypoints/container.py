"""The one place that knows which adapter fills which port.

It builds and closes, and decides nothing. Providers are annotated with the ports they
fill, since dependency-injector does not check types; a test builds every one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from attrs import define, field
from dependency_injector import containers, providers
from dependency_injector.providers import Callable, Dependency, Provider, Singleton
from sqlalchemy import Engine, event

from galaxy_jobs.adapters import postgres
from galaxy_jobs.adapters.broadcast import Broadcast
from galaxy_jobs.adapters.clock import SystemClock
from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.oidc import OidcProviders
from galaxy_jobs.adapters.prometheus import Metrics
from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.adapters.storage.s3 import S3Store
from galaxy_jobs.adapters.threads import ThreadMapper, ThreadPipelines, heartbeat
from galaxy_jobs.domain import Allowlist, ports, use_cases
from galaxy_jobs.domain.errors import InvalidValue, StoreUnavailable
from galaxy_jobs.entrypoints import logs
from galaxy_jobs.entrypoints.api.auth import TokenCache
from galaxy_jobs.entrypoints.environment import BadSetting
from galaxy_jobs.entrypoints.readiness import Readiness
from galaxy_jobs.entrypoints.settings import HttpTable, Settings, StorageTable
from galaxy_jobs.entrypoints.web.live import LivePages


@define
class Database:
    """The database that is used: the one configured, or the embedded one.

    A process holds at most *pool_size* connections.
    """

    settings: Settings
    embedded: EmbeddedPostgres
    pool_size: int = field(default=10, kw_only=True)
    _engine: Engine | None = field(default=None, init=False)

    @property
    def is_embedded(self) -> bool:
        """Whether it is ours, so that its schema is ours to bring up to date."""
        return self.settings.database_url is None

    def where(self) -> str:
        """Say which one it is, in one word without its password.

        Raises:
            EmbeddedError, BadSetting: As for :meth:`engine`.
        """
        if self.is_embedded:
            return f"embedded:{self.embedded.folder}"
        return postgres.where(self.engine())

    def engine(self) -> Engine:
        """Return the engine; the embedded server is up then.

        Raises:
            EmbeddedError: The embedded server could not be started.
            BadSetting: The address is malformed.
        """
        if self._engine is None:
            configured = self.settings.database_url
            url = self.embedded.acquire() if configured is None else configured
            try:
                self._engine = postgres.make_engine(url, pool_size=self.pool_size)
            except InvalidValue as error:
                raise BadSetting(f"DATABASE_URL: {error}") from None
            if self.is_embedded:
                event.listen(self._engine, "do_connect", self._revive)
        return self._engine

    def _revive(self, *_: object) -> None:
        """Bring our server back first, should it have died."""
        try:
            self.embedded.revive()
        except EmbeddedError as error:
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Let go of the connections; the last user's leaving stops our server."""
        if self._engine is not None:
            self._engine.dispose()
            self.embedded.release()


def _galaxy(settings: Settings, metrics: Metrics) -> Galaxy:
    url, key = settings.galaxy()
    try:
        return Galaxy(
            url, key, timeout=settings.galaxy_timeout, observer=metrics.asked_galaxy
        )
    except InvalidValue as error:
        raise BadSetting(f"GALAXY_API_KEY: {error}") from None


def _store(
    table: StorageTable, folder: FolderStore, clock: ports.Clock
) -> ports.ObjectStore:
    if table.bucket is None:
        return folder
    return S3Store(
        endpoint=table.endpoint,
        public_endpoint=table.public_endpoint,
        region=table.region,
        bucket=table.bucket,
        clock=clock,
    )


class Container(containers.DeclarativeContainer):
    """Everything, wired. :func:`opened` makes one and lets go of it at the end.

    A provider is called for what it provides: ``container.submit()`` is a
    :class:`Submit`, to be called with a request. Any of them can be overridden.
    """

    settings: Dependency[Settings] = Dependency(instance_of=Settings)
    clock: Provider[ports.Clock] = Singleton(SystemClock)
    allowlist: Provider[Allowlist] = settings.provided.allowlist
    poll_policy: Provider[use_cases.PollPolicy] = settings.provided.poll
    submit_policy: Provider[use_cases.SubmitPolicy] = settings.provided.submit
    upload_policy: Provider[use_cases.UploadPolicy] = settings.provided.uploads
    http: Provider[HttpTable] = settings.provided.http

    embedded: Provider[EmbeddedPostgres] = Singleton(
        EmbeddedPostgres, settings.provided.home
    )
    database: Provider[Database] = Singleton(Database, settings, embedded)
    engine: Provider[Engine] = Singleton(Database.engine, database)
    datasets: Provider[ports.DatasetRepository] = Singleton(
        postgres.PostgresDatasets, engine, settings.provided.sources.schemes
    )
    submissions: Provider[ports.SubmissionRepository] = Singleton(
        postgres.PostgresSubmissions, engine
    )
    invocations: Provider[ports.InvocationRepository] = Singleton(
        postgres.PostgresInvocations, engine
    )
    audit_log: Provider[ports.AuditLog] = Singleton(postgres.PostgresAuditLog, engine)
    queue: Provider[ports.PollQueue] = Singleton(postgres.PostgresPollQueue, engine)
    superseded: Provider[ports.SupersededRuns] = Singleton(
        postgres.PostgresSupersededRuns, engine
    )
    tokens: Provider[ports.TokenRepository] = Singleton(postgres.PostgresTokens, engine)
    signing_keys: Provider[ports.SigningKeys] = Singleton(
        postgres.PostgresSigningKeys, engine
    )
    uploads: Provider[ports.UploadRepository] = Singleton(
        postgres.PostgresUploads, engine
    )
    # Closed by the application, in its event loop.
    job_pages: Provider[postgres.PostgresJobPages] = Singleton(
        postgres.PostgresJobPages, Singleton(postgres.AsyncReader, engine.provider)
    )
    feed: Provider[ports.TransitionFeed] = Singleton(
        postgres.PostgresTransitionFeed, engine
    )
    broadcast: Provider[Broadcast] = Singleton(Broadcast, feed)
    live_pages: Provider[LivePages] = Singleton(
        LivePages, broadcast, invocations, clock
    )

    # The queue itself would bring the database up before anybody asks it.
    metrics: Provider[Metrics] = Singleton(
        Metrics, queue.provided.backlog.call().provider
    )
    galaxy: Provider[Galaxy] = Singleton(_galaxy, settings, metrics)
    # Of which there are no pages to link to.
    local_galaxies: Provider[Collection[str]] = Callable(
        LocalGalaxy.addresses, settings.provided.home
    )
    # One adapter fills five ports; each can be replaced by itself.
    runner: Provider[ports.WorkflowRunner] = galaxy.provided
    catalog: Provider[ports.WorkflowCatalog] = galaxy.provided
    data_catalog: Provider[ports.DataCatalog] = galaxy.provided
    histories: Provider[ports.RunHistories] = galaxy.provided
    output_files: Provider[ports.OutputFiles] = galaxy.provided

    whoami = Singleton(use_cases.WhoAmI, runner, clock)
    readiness: Provider[Readiness] = Singleton(Readiness, engine, whoami)
    record = Singleton(
        use_cases.Record,
        audit_log,
        failed=providers.Object(logs.not_recorded),
        request_id=providers.Object(logs.request_id),
    )
    create_token = Singleton(use_cases.CreateToken, tokens, clock, record=record)
    list_tokens = Singleton(use_cases.ListTokens, tokens)
    revoke_token = Singleton(use_cases.RevokeToken, tokens, clock, record)
    sessions: Provider[ports.SessionRepository] = Singleton(
        postgres.PostgresSessions, engine
    )
    identity_providers: Provider[ports.IdentityProviders] = Singleton(
        OidcProviders,
        settings.provided.issuers,
        clock,
        settings.provided.client_secret,
    )
    authenticate = Singleton(
        use_cases.Authenticate, tokens, sessions, identity_providers, clock
    )
    sign_in = Singleton(use_cases.SignIn, identity_providers, sessions, record=record)
    sign_out = Singleton(use_cases.SignOut, sessions)
    token_cache: Provider[TokenCache] = Singleton(TokenCache, authenticate)
    load_signer = Singleton(
        use_cases.LoadSigner, signing_keys, settings.provided.data.signing_keys
    )
    folder_store: Provider[FolderStore] = Singleton(
        FolderStore, settings.provided.uploads_folder, load_signer, clock
    )
    object_store: Provider[ports.ObjectStore] = Singleton(
        _store, settings.provided.storage, folder_store, clock
    )
    open_upload = Singleton(
        use_cases.OpenUpload, uploads, datasets, object_store, clock, upload_policy
    )
    sign_parts = Singleton(use_cases.SignParts, uploads, object_store, upload_policy)
    show_upload = Singleton(use_cases.ShowUpload, uploads, object_store)
    complete_upload = Singleton(
        use_cases.CompleteUpload, uploads, object_store, clock, upload_policy
    )
    abort_upload = Singleton(use_cases.AbortUpload, uploads, object_store)
    sweep_uploads = Singleton(
        use_cases.SweepUploads, uploads, object_store, clock, upload_policy
    )
    hand_over = Singleton(
        use_cases.HandOver,
        uploads,
        object_store,
        load_signer,
        clock,
        settings.provided.data.files_url,
        upload_policy,
    )
    register_dataset = Singleton(
        use_cases.RegisterDataset,
        datasets,
        clock,
        data_catalog,
        policy=settings.provided.sources,
        record=record,
    )
    rename_dataset = Singleton(use_cases.RenameDataset, datasets, record)
    remove_dataset = Singleton(use_cases.RemoveDataset, datasets, record)
    list_workflows = Singleton(use_cases.ListWorkflows, catalog, allowlist)
    show_workflow = Singleton(use_cases.ShowWorkflow, catalog, allowlist)
    check = Singleton(
        use_cases.Check, datasets, catalog, allowlist, clock, data_catalog, hand_over
    )
    submit = Singleton(
        use_cases.Submit,
        check=check,
        submissions=submissions,
        runner=runner,
        histories=histories,
        identity=whoami,
        clock=clock,
        policy=submit_policy,
        stale_after=poll_policy.provided.stale_after,
        record=record,
    )
    rerun = Singleton(use_cases.Rerun, invocations, submit)
    find_datasets = Singleton(use_cases.FindDatasets, datasets, data_catalog)
    find_jobs = Singleton(use_cases.FindJobs, invocations, datasets)
    job_outputs = Singleton(use_cases.JobOutputs, invocations, runner, whoami, clock)
    find_file = Singleton(use_cases.FindFile, invocations, output_files, whoami)
    find_files = Singleton(
        use_cases.FindFiles, invocations, runner, output_files, whoami
    )
    links = Singleton(use_cases.Links, load_signer, clock)
    job_steps = Singleton(use_cases.JobSteps, invocations, runner, whoami)
    job_logs = Singleton(use_cases.JobLogs, invocations, runner, whoami)
    cancel_job = Singleton(use_cases.CancelJob, invocations, clock, record)
    refresh_job = Singleton(
        use_cases.RefreshJob,
        invocations,
        runner,
        clock,
        poll_policy,
        record,
    )
    answer_review = Singleton(
        use_cases.AnswerReview, invocations, runner, refresh_job, record
    )
    reconcile = Singleton(
        use_cases.Reconcile,
        check=check,
        submissions=submissions,
        invocations=invocations,
        runner=runner,
        histories=histories,
        clock=clock,
        policy=settings.provided.reconcile,
        stale_after=poll_policy.provided.stale_after,
    )
    clear = Singleton(
        use_cases.ClearSuperseded, superseded, histories, settings.provided.purge
    )
    poll = Singleton(
        use_cases.Poll,
        queue=queue,
        invocations=invocations,
        runner=runner,
        reconcile=reconcile,
        clear=clear,
        clock=clock,
        policy=poll_policy,
        mapper=providers.Resource(
            ThreadMapper.open, settings.provided.threads, use_cases.SLOW_LOOKS
        ),
        pipelines=providers.Resource(ThreadPipelines.open),
        heartbeat=providers.Object(heartbeat),
        histories=histories,
    )


@contextmanager
def opened(settings: Settings) -> Iterator[Container]:
    """Wire everything, and let go of it at the end.

    Nothing is connected yet: the database, embedded or not, is reached when it
    is first needed, and Galaxy when it is first asked.
    """
    container = Container(settings=settings)
    try:
        yield container
    finally:
        container.shutdown_resources()  # threads and connections, if any
        container.database().close()


def prepare(container: Container) -> None:
    """Make sure that this process can do its work.

    Raises:
        BadSetting: Galaxy's address or key is not set, or malformed.
        EmbeddedError, StoreUnavailable, SchemaBehind: As for :func:`prepare_database`.
    """
    container.galaxy()  # nothing is asked of it yet
    prepare_database(container)


def prepare_database(container: Container) -> None:
    """Make sure that the database can be used.

    The embedded one is brought up to date; one that is configured is only looked
    at: when its schema changes is for its owner to say.

    Raises:
        EmbeddedError: The embedded database could not be started.
        StoreUnavailable: The database could not be reached.
        SchemaBehind: Its schema is older than this program.
    """
    if container.database().is_embedded:
        postgres.migrate(container.engine())
    postgres.check_schema(container.engine())

"""The one place that knows which adapter fills which port.

It builds and closes, and decides nothing. Providers are annotated with the ports they
fill, since dependency-injector does not check types; a test builds every one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from inspect import signature
from typing import Any, ClassVar

from attrs import define, field
from dependency_injector import containers, providers
from dependency_injector.providers import Callable, Dependency, Provider
from dependency_injector.providers import ThreadSafeSingleton as Singleton
from sqlalchemy import Engine, event

from galaxy_jobs.adapters import postgres
from galaxy_jobs.adapters.broadcast import Broadcast
from galaxy_jobs.adapters.clock import SystemClock
from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.event_sender import HttpEventSender
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.oidc import OidcProviders
from galaxy_jobs.adapters.prometheus import Metrics
from galaxy_jobs.adapters.storage.folder import FolderStore
from galaxy_jobs.adapters.storage.s3 import S3Store
from galaxy_jobs.adapters.threads import (
    BatchWorker,
    DeliveryThreads,
    ThreadMapper,
    ThreadPipelines,
    heartbeat,
)
from galaxy_jobs.domain import Allowlist, ports, use_cases
from galaxy_jobs.domain.errors import InvalidValue, StoreUnavailable
from galaxy_jobs.entrypoints import logs
from galaxy_jobs.entrypoints.api.auth import TokenCache
from galaxy_jobs.entrypoints.environment import BadSetting
from galaxy_jobs.entrypoints.readiness import Readiness
from galaxy_jobs.entrypoints.settings import (
    SERVED_URL,
    HttpTable,
    Settings,
    StorageTable,
)
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
            url,
            key,
            timeout=settings.galaxy_timeout,
            private=settings.private,
            observer=metrics.asked_galaxy,
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
    :class:`Submit`, to be called with a request. Any of them can be overridden. What
    a singleton is not given here, it gets from the provider of its parameter's name.
    Threads share it, also those that are the first to ask for it.
    """

    settings: Dependency[Settings] = Dependency(instance_of=Settings)
    clock: Provider[ports.Clock] = Singleton(SystemClock)
    allowlist: Provider[Allowlist] = settings.provided.allowlist
    poll_policy: Provider[use_cases.PollPolicy] = settings.provided.poll
    submit_policy: Provider[use_cases.SubmitPolicy] = settings.provided.submit
    upload_policy: Provider[use_cases.UploadPolicy] = settings.provided.uploads
    stale_after: Provider[timedelta] = poll_policy.provided.stale_after
    http: Provider[HttpTable] = settings.provided.http
    # Overridden by what is served, unless it is set.
    public_url: Provider[str] = Callable(
        lambda data: data.public_url or SERVED_URL, settings.provided.data
    )

    embedded: Provider[EmbeddedPostgres] = Singleton(
        EmbeddedPostgres, settings.provided.home
    )
    database: Provider[Database] = Singleton(Database)
    engine: Provider[Engine] = Singleton(Database.engine, database)
    datasets: Provider[ports.DatasetRepository] = Singleton(
        postgres.PostgresDatasets, schemes=settings.provided.sources.schemes
    )
    submissions: Provider[ports.SubmissionRepository] = Singleton(
        postgres.PostgresSubmissions
    )
    batches: Provider[ports.BatchRepository] = Singleton(postgres.PostgresBatches)
    invocations: Provider[ports.InvocationRepository] = Singleton(
        postgres.PostgresInvocations
    )
    audit_log: Provider[ports.AuditLog] = Singleton(postgres.PostgresAuditLog)
    queue: Provider[ports.PollQueue] = Singleton(postgres.PostgresPollQueue)
    superseded: Provider[ports.SupersededRuns] = Singleton(
        postgres.PostgresSupersededRuns
    )
    retention: Provider[ports.Retention] = Singleton(postgres.PostgresRetention)
    tag_changes: Provider[ports.TagChanges] = Singleton(postgres.PostgresTagChanges)
    tokens: Provider[ports.TokenRepository] = Singleton(postgres.PostgresTokens)
    signing_keys: Provider[ports.SigningKeys] = Singleton(postgres.PostgresSigningKeys)
    uploads: Provider[ports.UploadRepository] = Singleton(postgres.PostgresUploads)
    webhooks: Provider[ports.WebhookRepository] = Singleton(postgres.PostgresWebhooks)
    # Closed by the application, in its event loop.
    job_pages: Provider[postgres.PostgresJobPages] = Singleton(
        postgres.PostgresJobPages, Singleton(postgres.AsyncReader, engine.provider)
    )
    feed: Provider[ports.TransitionFeed] = Singleton(postgres.PostgresTransitionFeed)
    broadcast: Provider[Broadcast] = Singleton(Broadcast)
    live_pages: Provider[LivePages] = Singleton(LivePages)

    # The queue itself would bring the database up before anybody asks it.
    metrics: Provider[Metrics] = Singleton(
        Metrics,
        queue.provided.backlog.call().provider,
        webhooks.provided.backlog.call().provider,
    )
    galaxy: Provider[Galaxy] = Singleton(_galaxy)
    # Of which there are no pages to link to.
    local_galaxies: Provider[Collection[str]] = Callable(
        LocalGalaxy.addresses, settings.provided.home
    )
    # One adapter fills all of these; each can be replaced by itself.
    runner: Provider[ports.WorkflowRunner] = galaxy.provided
    catalog: Provider[ports.WorkflowCatalog] = galaxy.provided
    data_catalog: Provider[ports.DataCatalog] = galaxy.provided
    histories: Provider[ports.RunHistories] = galaxy.provided
    output_files: Provider[ports.OutputFiles] = galaxy.provided
    exports: Provider[ports.RunExports] = galaxy.provided

    whoami = Singleton(use_cases.WhoAmI)
    readiness: Provider[Readiness] = Singleton(Readiness)
    record = Singleton(
        use_cases.Record,
        log=audit_log,
        failed=providers.Object(logs.not_recorded),
        request_id=providers.Object(logs.request_id),
    )
    event_sender: Provider[ports.EventSender] = Singleton(
        HttpEventSender, settings.provided.webhooks
    )
    manage_webhooks = Singleton(use_cases.ManageWebhooks, sender=event_sender)
    deliver_events = Singleton(use_cases.DeliverEvents, sender=event_sender)
    delivery_threads: Provider[DeliveryThreads] = Singleton(
        DeliveryThreads, deliver_events.provided.due, deliver_events
    )
    create_token = Singleton(use_cases.CreateToken)
    list_tokens = Singleton(use_cases.ListTokens)
    revoke_token = Singleton(use_cases.RevokeToken)
    sessions: Provider[ports.SessionRepository] = Singleton(postgres.PostgresSessions)
    identity_providers: Provider[ports.IdentityProviders] = Singleton(
        OidcProviders,
        trusted=settings.provided.issuers,
        client_secret=settings.provided.client_secret,
    )
    authenticate = Singleton(use_cases.Authenticate, providers=identity_providers)
    sign_in = Singleton(use_cases.SignIn, providers=identity_providers)
    sign_out = Singleton(use_cases.SignOut)
    token_cache: Provider[TokenCache] = Singleton(TokenCache)
    load_signer = Singleton(
        use_cases.LoadSigner, signing_keys, settings.provided.data.signing_keys
    )
    folder_store: Provider[FolderStore] = Singleton(
        FolderStore, settings.provided.uploads_folder, load_signer
    )
    object_store: Provider[ports.ObjectStore] = Singleton(
        _store, settings.provided.storage, folder_store
    )
    _stored: ClassVar = {"store": object_store, "policy": upload_policy}
    open_upload = Singleton(use_cases.OpenUpload, **_stored)
    sign_parts = Singleton(use_cases.SignParts, **_stored)
    show_upload = Singleton(use_cases.ShowUpload, store=object_store)
    complete_upload = Singleton(use_cases.CompleteUpload, **_stored)
    abort_upload = Singleton(use_cases.AbortUpload, store=object_store)
    sweep_uploads = Singleton(use_cases.SweepUploads, **_stored)
    prune_uploads = Singleton(use_cases.PruneUploads, **_stored)
    hand_over = Singleton(
        use_cases.HandOver,
        **_stored,
        public_url=public_url.provider,
        push=settings.provided.data.pushes,
    )
    register_dataset = Singleton(
        use_cases.RegisterDataset, data=data_catalog, policy=settings.provided.sources
    )
    change_dataset = Singleton(use_cases.ChangeDataset)
    remove_dataset = Singleton(use_cases.RemoveDataset)
    list_workflows = Singleton(use_cases.ListWorkflows)
    show_workflow = Singleton(use_cases.ShowWorkflow)
    check = Singleton(use_cases.Check, data=data_catalog)
    submit = Singleton(use_cases.Submit, identity=whoami, policy=submit_policy)
    adopt_run = Singleton(use_cases.AdoptRun, identity=whoami, policy=submit_policy)
    rerun = Singleton(use_cases.Rerun)
    invoke_next = Singleton(use_cases.InvokeNext)
    batch_worker: Provider[BatchWorker] = Singleton(
        BatchWorker,
        threads=submit_policy.provided.at_once,
        failed=providers.Object(logs.items_left),
    )
    create_batch = Singleton(use_cases.CreateBatch, created=batch_worker.provided.wake)
    cancel_batch = Singleton(use_cases.CancelBatch)
    rerun_batch = Singleton(use_cases.RerunBatch, create=create_batch)
    find_datasets = Singleton(use_cases.FindDatasets, data=data_catalog)
    find_jobs = Singleton(use_cases.FindJobs)
    job_outputs = Singleton(use_cases.JobOutputs, identity=whoami)
    find_file = Singleton(use_cases.FindFile, files=output_files, identity=whoami)
    find_files = Singleton(use_cases.FindFiles, files=output_files, identity=whoami)
    find_crate = Singleton(use_cases.FindCrate, identity=whoami)
    links = Singleton(use_cases.Links)
    job_steps = Singleton(use_cases.JobSteps, identity=whoami)
    job_logs = Singleton(use_cases.JobLogs, identity=whoami)
    cancel_job = Singleton(use_cases.CancelJob)
    cancel_jobs = Singleton(use_cases.CancelJobs)
    rerun_jobs = Singleton(use_cases.RerunJobs)
    label_job = Singleton(use_cases.LabelJob)
    refresh_job = Singleton(use_cases.RefreshJob, policy=poll_policy)
    answer_review = Singleton(use_cases.AnswerReview, refresh=refresh_job)
    reconcile = Singleton(use_cases.Reconcile, policy=settings.provided.reconcile)
    data_users = Singleton(use_cases.DataUsers)
    clear = Singleton(
        use_cases.ClearSuperseded, users=data_users, purge=settings.provided.purge
    )
    cleaner = Singleton(use_cases.Cleaner, users=data_users)
    delete_results = Singleton(use_cases.DeleteResults, identity=whoami)
    clean = Singleton(use_cases.Clean, identity=whoami, policy=settings.provided.kept)
    update_tags = Singleton(use_cases.UpdateTags, tag_changes)
    poll = Singleton(
        use_cases.Poll,
        policy=poll_policy,
        mapper=providers.Resource(
            ThreadMapper.open, settings.provided.threads, use_cases.SLOW_LOOKS
        ),
        pipelines=providers.Resource(ThreadPipelines.open),
        heartbeat=providers.Object(heartbeat),
    )


def _connect(singleton: Singleton[Any]) -> None:
    """Give a singleton, for each parameter that it was not given, its namesake."""
    names = list(signature(singleton.cls).parameters)[len(singleton.args) :]
    others = {name: Container.providers.get(name) for name in names}
    given = singleton.kwargs
    singleton.add_kwargs(**{k: v for k, v in others.items() if v and k not in given})


for _provider in Container.providers.values():
    if isinstance(_provider, Singleton):
        _connect(_provider)


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

"""The one place that knows which adapter fills which port.

Rule of the file: it builds and closes; it decides nothing. Providers are
annotated with the ports they fill, since dependency-injector does not check
what it hands over; a test builds every one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from attrs import define, field, frozen
from dependency_injector import containers, providers
from sqlalchemy import Engine, event

from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.galaxy import Galaxy
from galaxy_jobs.adapters.postgres import (
    AsyncReader,
    PostgresDatasets,
    PostgresInvocations,
    PostgresJobPages,
    PostgresPollQueue,
    PostgresSubmissions,
    PostgresSupersededRuns,
    PostgresTokens,
    PostgresTransitionFeed,
    check_schema,
    make_engine,
    migrate,
    where,
)
from galaxy_jobs.adapters.system import SystemClock
from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.workflow import Allowlist
from galaxy_jobs.domain.ports import (
    Clock,
    DatasetRepository,
    InvocationRepository,
    PollQueue,
    RunHistories,
    SubmissionRepository,
    SupersededRuns,
    TokenRepository,
    TransitionFeed,
    WorkflowCatalog,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases import (
    Authenticate,
    CancelJob,
    Check,
    ClearSuperseded,
    CreateToken,
    JobOutputs,
    ListTokens,
    ListWorkflows,
    Poll,
    PollPolicy,
    Reconcile,
    RegisterDataset,
    Rerun,
    RevokeToken,
    ShowWorkflow,
    Submit,
    SubmitPolicy,
    WhoAmI,
)
from galaxy_jobs.entrypoints.api.auth import TokenCache
from galaxy_jobs.entrypoints.broadcast import Broadcast
from galaxy_jobs.entrypoints.environment import BadSetting
from galaxy_jobs.entrypoints.metrics import Metrics
from galaxy_jobs.entrypoints.readiness import Readiness
from galaxy_jobs.entrypoints.settings import HttpTable, Settings


T = TypeVar("T")
R = TypeVar("R")


@frozen
class Threads:
    """Asks about several invocations at once: the poller's threads."""

    pool: ThreadPoolExecutor

    def __call__(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Return the results in the order of the items."""
        return self.pool.map(function, items)


@frozen
class Pipelines:
    """Has two batches under way at once; see :class:`Poll`."""

    pool: ThreadPoolExecutor

    def __call__(self, pipeline: Callable[[], None]) -> None:
        """Do it twice at once; what goes wrong in either is raised."""
        for done in [self.pool.submit(pipeline) for _ in range(2)]:
            done.result()


def _threads(count: int) -> Iterator[Threads]:
    with ThreadPoolExecutor(count, thread_name_prefix="galaxy") as pool:
        yield Threads(pool)


def _pipelines() -> Iterator[Pipelines]:
    with ThreadPoolExecutor(2, thread_name_prefix="pipeline") as pool:
        yield Pipelines(pool)


@define
class Database:
    """The database that is used: the one configured, or the embedded one.

    Attributes:
        settings: Where it is.
        embedded: Ours; started when it is first needed.
        pool_size: How many connections one process may hold.
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
        return where(self.engine())

    def engine(self) -> Engine:
        """Return the engine; the embedded server is up then.

        Raises:
            EmbeddedError: The embedded server could not be started.
            BadSetting: The address is malformed.
        """
        if self._engine is None:
            if self.settings.database_url is None:
                url = self.embedded.acquire()
            else:
                url = self.settings.database_url
            try:
                self._engine = make_engine(url, pool_size=self.pool_size)
            except InvalidValue as error:
                raise BadSetting(f"DATABASE_URL: {error}") from None
            if self.is_embedded:
                # Should our server have been killed: bring it back first.
                event.listen(
                    self._engine, "do_connect", lambda *_: self.embedded.revive()
                )
        return self._engine

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


def _metrics(queue: Callable[[], PollQueue]) -> Metrics:
    # The queue itself would bring the database up before anybody asks it.
    return Metrics(lambda: queue().backlog())


def _itself(thing: T) -> T:
    return thing


class Container(containers.DeclarativeContainer):
    """Everything, wired. :func:`opened` makes one and lets go of it at the end.

    A provider is called for what it provides: ``container.submit()`` is a
    :class:`Submit`, to be called with a request. Any of them can be overridden.
    """

    settings: providers.Dependency[Settings] = providers.Dependency(
        instance_of=Settings
    )
    clock: providers.Provider[Clock] = providers.Singleton(SystemClock)
    allowlist: providers.Provider[Allowlist] = settings.provided.allowlist
    poll_policy: providers.Provider[PollPolicy] = settings.provided.poll
    submit_policy: providers.Provider[SubmitPolicy] = settings.provided.submit
    http: providers.Provider[HttpTable] = settings.provided.http

    embedded: providers.Provider[EmbeddedPostgres] = providers.Singleton(
        EmbeddedPostgres, settings.provided.home
    )
    database: providers.Provider[Database] = providers.Singleton(
        Database, settings, embedded
    )
    engine: providers.Provider[Engine] = providers.Singleton(Database.engine, database)
    datasets: providers.Provider[DatasetRepository] = providers.Singleton(
        PostgresDatasets, engine
    )
    submissions: providers.Provider[SubmissionRepository] = providers.Singleton(
        PostgresSubmissions, engine
    )
    invocations: providers.Provider[InvocationRepository] = providers.Singleton(
        PostgresInvocations, engine
    )
    queue: providers.Provider[PollQueue] = providers.Singleton(
        PostgresPollQueue, engine
    )

    superseded: providers.Provider[SupersededRuns] = providers.Singleton(
        PostgresSupersededRuns, engine
    )
    tokens: providers.Provider[TokenRepository] = providers.Singleton(
        PostgresTokens, engine
    )

    # Closed by the application, in its event loop.
    job_pages: providers.Provider[PostgresJobPages] = providers.Singleton(
        PostgresJobPages, providers.Singleton(AsyncReader, engine.provider)
    )
    feed: providers.Provider[TransitionFeed] = providers.Singleton(
        PostgresTransitionFeed, engine
    )
    broadcast: providers.Provider[Broadcast] = providers.Singleton(Broadcast, feed)

    metrics: providers.Provider[Metrics] = providers.Singleton(_metrics, queue.provider)
    galaxy: providers.Provider[Galaxy] = providers.Singleton(_galaxy, settings, metrics)
    # One adapter fills three ports; each can be replaced by itself.
    runner: providers.Provider[WorkflowRunner] = providers.Callable(_itself, galaxy)
    catalog: providers.Provider[WorkflowCatalog] = providers.Callable(_itself, galaxy)
    histories: providers.Provider[RunHistories] = providers.Callable(_itself, galaxy)
    whoami: providers.Provider[WhoAmI] = providers.Singleton(WhoAmI, runner, clock)

    create_token = providers.Singleton(CreateToken, tokens, clock)
    list_tokens = providers.Singleton(ListTokens, tokens)
    revoke_token = providers.Singleton(RevokeToken, tokens, clock)
    authenticate = providers.Singleton(Authenticate, tokens)
    token_cache: providers.Provider[TokenCache] = providers.Singleton(
        TokenCache, authenticate
    )
    register_dataset = providers.Singleton(RegisterDataset, datasets, clock)
    list_workflows = providers.Singleton(ListWorkflows, catalog, allowlist)
    show_workflow = providers.Singleton(ShowWorkflow, catalog, allowlist)
    check = providers.Singleton(Check, datasets, catalog, allowlist)
    submit = providers.Singleton(
        Submit,
        check=check,
        submissions=submissions,
        runner=runner,
        histories=histories,
        identity=whoami,
        clock=clock,
        policy=submit_policy,
        stale_after=poll_policy.provided.stale_after,
    )
    rerun = providers.Singleton(Rerun, invocations, submit)
    job_outputs = providers.Singleton(JobOutputs, invocations, runner)
    cancel_job = providers.Singleton(CancelJob, invocations, clock)
    reconcile = providers.Singleton(
        Reconcile,
        submissions=submissions,
        invocations=invocations,
        runner=runner,
        histories=histories,
        clock=clock,
        policy=settings.provided.reconcile,
        stale_after=poll_policy.provided.stale_after,
    )
    clear = providers.Singleton(
        ClearSuperseded, superseded, histories, settings.provided.purge
    )
    threads: providers.Provider[Threads] = providers.Resource(
        _threads, settings.provided.threads
    )
    pipelines: providers.Provider[Pipelines] = providers.Resource(_pipelines)
    poll = providers.Singleton(
        Poll,
        queue=queue,
        invocations=invocations,
        runner=runner,
        reconcile=reconcile,
        clear=clear,
        clock=clock,
        policy=poll_policy,
        mapper=threads,
        pipelines=pipelines,
    )
    readiness: providers.Provider[Readiness] = providers.Singleton(
        Readiness, engine, whoami
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
        EmbeddedError: As for :func:`prepare_database`.
        StoreUnavailable: Likewise.
        SchemaBehind: Likewise.
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
        migrate(container.engine())
    check_schema(container.engine())

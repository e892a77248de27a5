"""The application: every route, wired to the container."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any

from dependency_injector import providers
from litestar import Litestar, Request, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.exceptions import NotFoundException, ValidationException
from litestar.openapi import OpenAPIConfig

from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.entrypoints.api import (
    asgi,
    datasets,
    events,
    health,
    jobs,
    metrics,
    workflows,
)
from galaxy_jobs.entrypoints.api.auth import Guard, caller_of
from galaxy_jobs.entrypoints.api.limits import Places, Rate
from galaxy_jobs.entrypoints.api.openapi import Document
from galaxy_jobs.entrypoints.api.parameters import invalid, refuse_unknown
from galaxy_jobs.entrypoints.api.problems import EXCEPTION_HANDLERS
from galaxy_jobs.entrypoints.api.threads import threads
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.web import routes as pages


BODY_LIMIT = 1024 * 1024
"""How many bytes a body may have."""

USED = (
    "allowlist",
    "cancel_job",
    "check",
    "clock",
    "datasets",
    "fanout",
    "invocations",
    "job_pages",
    "job_outputs",
    "list_workflows",
    "metrics",
    "readiness",
    "register_dataset",
    "rerun",
    "show_workflow",
    "submissions",
    "submit",
)
"""The providers of the container that routes ask for, by name."""


def create_app(container: Container) -> Litestar:
    """Return the service.

    Args:
        container: Where use cases come from; its owner closes it.
    """
    allowed = container.http()
    places = Places(allowed.streams, allowed.streams_each)

    async def close_job_pages() -> None:
        # In the event loop that opened them: the container is closed after it.
        await container.job_pages().close()

    service = asgi.Service(
        # Routers and not single routes: of two threaded handlers on one path,
        # Litestar 2.25 breaks the first unless a router has put them together.
        route_handlers=[
            Router(
                "/jobs", route_handlers=[*jobs.ROUTES, *events.ROUTES], tags=["jobs"]
            ),
            Router("/submissions", route_handlers=jobs.SUBMISSIONS, tags=["jobs"]),
            Router("/datasets", route_handlers=datasets.ROUTES, tags=["datasets"]),
            Router("/workflows", route_handlers=workflows.ROUTES, tags=["workflows"]),
            Router("/health", route_handlers=health.ROUTES, tags=["health"]),
            metrics.get_metrics,
            pages.router(),
        ],
        dependencies={
            **{name: _use(getattr(container, name)) for name in USED},
            # What comes of submissions is counted, however they come in.
            **{name: _counted(container, name) for name in ("submit", "rerun")},
            "caller": Provide(caller_of, sync_to_thread=False),
            "places": Provide(lambda: places, sync_to_thread=False),
        },
        template_config=pages.TEMPLATES,
        middleware=[asgi.decoded],
        before_request=refuse_unknown,
        exception_handlers={**EXCEPTION_HANDLERS, ValidationException: invalid},
        request_max_body_size=BODY_LIMIT,
        cors_config=_cors(allowed.allow_origins),
        lifespan=[threads, _guarded],
        on_shutdown=[close_job_pages],
        # structlog tells what there is to tell; Litestar would set up its own.
        logging_config=None,
        debug=False,
        openapi_config=OpenAPIConfig(
            title="galaxy-jobs",
            version=version("galaxy-jobs"),
            description="Runs Galaxy workflows on request, once each, and tells the "
            "truth about how they went.",
            openapi_router=Router(
                "/schema",
                route_handlers=[],
                include_in_schema=False,
                before_request=_only_json,
            ),
            render_plugins=[Document()],
        ),
    )
    service.metrics = container.metrics()
    service.guard = Guard(container.authenticate(), Rate(allowed.rate, allowed.burst))
    service.as_page = pages.refusal
    return service


def _cors(origins: list[str]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=origins,
        expose_headers=[
            "ETag",
            "Idempotent-Replayed",
            "Location",
            "Retry-After",
            "WWW-Authenticate",
            "X-Request-ID",
        ],
    )


def _use(provider: providers.Provider[Any]) -> Provide:
    """Make a dependency of a provider, which has no signature to be read."""
    return Provide(lambda: provider(), sync_to_thread=False)  # noqa: PLW0108 - see above


def _counted(container: Container, name: str) -> Provide:
    use_case = getattr(container, name)
    return Provide(
        lambda: container.metrics().submitting(use_case()), sync_to_thread=False
    )


async def _only_json(request: Request[Any, Any, Any]) -> None:
    """Refuse what else Litestar would answer with a page there.

    Raises:
        NotFoundException: It is not the document.
    """
    if request.scope["path"] not in {"/schema", "/schema/openapi.json"}:
        raise NotFoundException


@asynccontextmanager
async def _guarded(app: Litestar) -> AsyncIterator[None]:
    """Know whether tokens are needed before the first request.

    That may be a question for our health, which never waits for the database.
    """
    assert isinstance(app, asgi.Service)
    assert app.guard is not None
    with suppress(DomainError):
        await app.guard.needed()
    yield
    app.guard.close()

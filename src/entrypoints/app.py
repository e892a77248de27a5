"""The application: every route, wired to the container."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from dependency_injector import providers
from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.middleware import DefineMiddleware

from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.entrypoints.api import asgi, datasets, events, health, jobs, workflows
from galaxy_jobs.entrypoints.api.auth import Authentication, caller_of
from galaxy_jobs.entrypoints.api.exception_handlers import problem_response
from galaxy_jobs.entrypoints.api.limits import Rate, StreamSlots
from galaxy_jobs.entrypoints.api.openapi import openapi_config
from galaxy_jobs.entrypoints.api.parameters import refuse_unknown
from galaxy_jobs.entrypoints.api.threads import executors
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.web import routes as pages


MAX_BODY_SIZE = 1024 * 1024
"""Bytes that the body of a request may have."""


def create_app(container: Container) -> Litestar:
    """Return the service.

    Args:
        container: Where use cases come from; its owner closes it.
    """
    settings = container.http()
    slots = StreamSlots(settings.streams, settings.streams_each)
    token_cache = container.token_cache()

    async def close_job_pages() -> None:
        # Their connections belong to the event loop that ends now.
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
            Router("/", route_handlers=health.ROUTES, tags=["health"]),
            pages.router(),
        ],
        dependencies={
            **{name: _use(provider) for name, provider in container.providers.items()},
            # Submissions are counted by their outcome, wherever they come from.
            **{name: _counted(container, name) for name in ("submit", "rerun")},
            "caller": Provide(caller_of, sync_to_thread=False),
            "slots": Provide(lambda: slots, sync_to_thread=False),
        },
        middleware=[
            DefineMiddleware(
                Authentication,
                token_cache=token_cache,
                rate=Rate(settings.rate, settings.burst),
                allowed_origins=frozenset(settings.allow_origins),
            ),
            asgi.decode_path_parameters,
        ],
        before_request=refuse_unknown,
        exception_handlers={Exception: problem_response},
        request_max_body_size=MAX_BODY_SIZE,
        cors_config=_cors(settings.allow_origins),
        lifespan=[executors, _tokens_asked],
        on_shutdown=[close_job_pages],
        # structlog does all logging; Litestar would set up its own.
        logging_config=None,
        debug=False,
        openapi_config=openapi_config(),
    )
    service.metrics = container.metrics()
    service.state.token_cache = token_cache
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
    """Return a dependency on a provider, which has no signature of its own."""
    return Provide(lambda: provider(), sync_to_thread=False)  # noqa: PLW0108 - see above


def _counted(container: Container, name: str) -> Provide:
    use_case = container.providers[name]
    return Provide(
        lambda: container.metrics().submitting(use_case()), sync_to_thread=False
    )


@asynccontextmanager
async def _tokens_asked(app: Litestar) -> AsyncIterator[None]:
    """Find out before the first request whether tokens are needed."""
    with suppress(DomainError):
        await app.state.token_cache.required()
    yield

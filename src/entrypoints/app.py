"""The application: every route, wired to the container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from inspect import signature
from typing import Any

from attrs import evolve
from litestar import Litestar, Request, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.middleware import DefineMiddleware

from galaxy_jobs.domain.errors import DomainError
from galaxy_jobs.entrypoints.api import (
    asgi,
    batches,
    datasets,
    downloads,
    events,
    health,
    jobs,
    uploads,
    webhooks,
    workflows,
)
from galaxy_jobs.entrypoints.api.auth import PAGE, Authentication, caller_of, viewer_of
from galaxy_jobs.entrypoints.api.bodies import NO_BODY, refuse_members
from galaxy_jobs.entrypoints.api.exception_handlers import problem_response
from galaxy_jobs.entrypoints.api.job_filters import job_filter
from galaxy_jobs.entrypoints.api.limits import Rate, StreamSlots
from galaxy_jobs.entrypoints.api.openapi import HEADERS, openapi_config
from galaxy_jobs.entrypoints.api.parameters import idempotency_key, refuse_unknown
from galaxy_jobs.entrypoints.api.threads import executors
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.web import routes as pages


MAX_BODY_SIZE = 1024 * 1024
"""Bytes that the body of a request may have."""


def create_app(container: Container) -> Litestar:
    """Return the service; the owner of the container closes it."""
    settings, metrics = container.http(), container.metrics()
    origins = settings.allow_origins
    token_cache = container.token_cache()
    slots = StreamSlots(settings.streams, settings.streams_each)
    downloading = StreamSlots(settings.downloads, settings.downloads_each, "downloads")

    def make_downloads() -> downloads.Downloads:
        return downloads.Downloads(
            slots=downloading,
            token_cache=token_cache,
            find_file=container.find_file(),
            files=container.output_files(),
            links=container.links(),
        )

    subscriptions = events.Subscriptions(container.broadcast(), slots, token_cache)

    async def ask_for_tokens() -> None:
        # So that the first request is no slower than others.
        with suppress(DomainError):
            await token_cache.required()

    async def close_job_pages() -> None:
        # Their connections belong to the event loop that ends now.
        await container.job_pages().close()

    # Routers and not single routes: of two threaded handlers on one path,
    # Litestar 2.25 breaks the first unless a router has put them together.
    routers = [
        jobs.ROUTES,
        events.ROUTES,
        downloads.ROUTES,
        batches.ROUTES,
        jobs.SUBMISSIONS,
        datasets.ROUTES,
        uploads.ROUTES,
        uploads.DATA,
        webhooks.ROUTES,
        workflows.ROUTES,
        health.ROUTES,
        pages.router(),
    ]
    dependencies = {
        **{name: _use(provider) for name, provider in container.providers.items()},
        # Submissions are counted by their outcome, wherever they come from.
        "submit": _use(lambda: metrics.submitting(container.submit())),
        "rerun": _use(lambda: metrics.submitting(container.rerun())),
        "rerun_jobs": _use(
            lambda: evolve(
                container.rerun_jobs(),
                rerun=metrics.submitting(container.rerun()),
            )
        ),
        "caller": Provide(caller_of, sync_to_thread=False),
        "idempotency_key": Provide(idempotency_key, sync_to_thread=False),
        "viewer": Provide(viewer_of, sync_to_thread=False),
        "selected": Provide(job_filter, sync_to_thread=False),
        "conditions": Provide(downloads.Conditions, sync_to_thread=False),
        "downloads": _use(make_downloads),
        "subscriptions": _use(lambda: subscriptions),
    }
    service = asgi.Service(
        route_handlers=routers,
        dependencies=_named(routers, dependencies),
        middleware=[
            DefineMiddleware(
                Authentication,
                token_cache=token_cache,
                rate=Rate(settings.rate, settings.burst),
                allowed_origins=frozenset(origins),
                verify_link=lambda request: downloads.verify_link(
                    container.links(), request
                ),
            ),
            asgi.decode_path_parameters,
        ],
        before_request=_refuse_unexpected,
        exception_handlers={Exception: problem_response},
        request_max_body_size=MAX_BODY_SIZE,
        cors_config=CORSConfig(allow_origins=origins, expose_headers=list(HEADERS))
        if origins
        else None,
        lifespan=[executors],
        on_startup=[ask_for_tokens],
        on_shutdown=[close_job_pages],
        # structlog does all logging; Litestar would set up its own.
        logging_config=None,
        debug=False,
        openapi_config=openapi_config(),
    )
    service.metrics = metrics
    return service


async def _refuse_unexpected(request: Request[Any, Any, Any]) -> None:
    await refuse_unknown(request)
    options = request.route_handler.opt
    if options.get(NO_BODY) and not options.get(PAGE):  # these read their forms
        await refuse_members(request)


def _named(
    routers: Sequence[Router], dependencies: Mapping[str, Provide]
) -> dict[str, Provide]:
    """Return those that routes name: Litestar compares all, pair by pair and route."""
    provided = [each for router in routers for each in router.dependencies.values()]
    unread: list[Any] = [
        *(
            handler.fn
            for router in routers
            for methods in router.route_handler_method_map.values()
            for handler in methods.values()
        ),
        *(each.dependency for each in provided if isinstance(each, Provide)),
    ]
    found: dict[str, Provide] = {}
    while unread:
        for name in signature(unread.pop()).parameters.keys() & dependencies.keys():
            if name not in found:
                found[name] = dependencies[name]
                unread.append(found[name].dependency)
    return found


def _use(make: Callable[[], Any]) -> Provide:
    """Return a dependency; providers themselves have no signature."""
    return Provide(lambda: make(), sync_to_thread=False)  # noqa: PLW0108 - see above

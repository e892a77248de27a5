"""How routes are declared: what many of them share is said here.

Reading needs the scope `read`, and all else `submit`, unless a router says otherwise.
A parameter `data` is the body, decoded strictly. What a body, or Galaxy, may be
refused for is documented wherever there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import iscoroutinefunction
from types import NoneType
from typing import Any, cast, get_args, get_type_hints
from urllib.parse import quote

import litestar
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from galaxy_jobs.domain import Scope
from galaxy_jobs.entrypoints.api.auth import PUBLIC, requires
from galaxy_jobs.entrypoints.api.bodies import NO_BODY, Strict
from galaxy_jobs.entrypoints.api.problems import refusals
from galaxy_jobs.entrypoints.api.threads import asks_galaxy as in_galaxy_thread


Declaration = Callable[[Callable[..., Any]], HTTPRouteHandler]

response = partial(ResponseSpec, generate_examples=False)
"""The description of a response."""

_BODY_REFUSALS = ("unsupported-media-type", "too-large")
_GALAXY_REFUSALS = ("galaxy-refused-us", "galaxy-unavailable")


def path_of(*parts: str) -> str:
    """Return the path of a route, with its parameters in it."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def created(body: Any, *path: str, replayed: bool = False) -> Response[Any]:
    """Return the response to a request that has created what is at a path."""
    headers = {"Location": path_of(*path)}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(body, status_code=201, headers=headers)


class Routes(litestar.Router):
    """A router whose routes are declared by its methods, as in ``@jobs.get("/")``.

    Args:
        path: What the paths of its routes begin with.
        scope: The scope that each route needs; None: according to its method.
        options: As of Litestar's router.
    """

    def __init__(
        self, path: str, *, scope: Scope | None = None, **options: Any
    ) -> None:
        super().__init__(path, route_handlers=[], **options)
        self.scope = scope

    def _declare(
        self,
        method: type[HTTPRouteHandler],
        path: str | list[str],
        *refused: str,
        asks_galaxy: bool = False,
        responses: Mapping[int, Any] | None = None,
        **options: Any,
    ) -> Declaration:
        """Return the decorator of a route.

        Args:
            method: Litestar's decorator.
            path: Below the router's.
            refused: The codes of refusals that not every such route has.
            asks_galaxy: Whether Galaxy is asked, in threads for that; a coroutine has
                to use these itself.
            responses: Responses other than refusals and the usual one.
            options: As of Litestar's decorator.
        """
        public = PUBLIC in options.get("opt", {})
        if self.scope or not (public or method is litestar.get):
            options.setdefault("guards", [requires(self.scope or Scope.SUBMIT)])
        if asks_galaxy:
            refused = (*refused, *_GALAXY_REFUSALS)

        def declared(route: Callable[..., Any]) -> HTTPRouteHandler:
            codes = refused
            if (body := get_type_hints(route).get("data")) is not None:
                [model] = {*get_args(body)} - {NoneType} or {body}
                options.setdefault("dto", cast("Any", Strict)[model])
                options["return_dto"] = None
                codes = (*_BODY_REFUSALS, *refused)
            elif method is litestar.post:
                options["opt"] = {**options.get("opt", {}), NO_BODY: True}
                codes = (*_BODY_REFUSALS, *refused)
            documented = refusals(
                *codes, addressed=method is not litestar.post, public=public
            )
            if not iscoroutinefunction(route):
                if asks_galaxy:
                    route = in_galaxy_thread(route)
                else:
                    options.setdefault("sync_to_thread", True)
            handler = method(
                path, responses={**documented, **(responses or {})}, **options
            )(route)
            self.register(handler)
            return handler

        return declared

    def get(self, path: str | list[str], *refused: str, **options: Any) -> Declaration:
        return self._declare(litestar.get, path, *refused, **options)

    def post(self, path: str, *refused: str, **options: Any) -> Declaration:
        return self._declare(litestar.post, path, *refused, **options)

    def put(self, path: str, *refused: str, **options: Any) -> Declaration:
        return self._declare(litestar.put, path, *refused, **options)

    def patch(self, path: str, *refused: str, **options: Any) -> Declaration:
        return self._declare(litestar.patch, path, *refused, **options)

    def delete(self, path: str, *refused: str, **options: Any) -> Declaration:
        return self._declare(litestar.delete, path, *refused, **options)

"""The HTTP API in this process, with whatever is to stand behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from attrs import define, field
from dependency_injector import providers
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient

from galaxy_jobs.adapters.oidc import OidcProviders
from galaxy_jobs.adapters.testing.memory import (
    MemoryAuditLog,
    MemorySessions,
    MemoryStore,
    MemoryTokens,
)
from galaxy_jobs.domain.model.token import Scope
from galaxy_jobs.domain.model.workflow import Allowlist
from galaxy_jobs.domain.ports import (
    Clock,
    IdentityProviders,
    Page,
    SessionRepository,
    TokenRepository,
)
from galaxy_jobs.domain.use_cases import Authenticate, CreateToken, PollPolicy
from galaxy_jobs.entrypoints.api.auth import TokenCache
from galaxy_jobs.entrypoints.app import create_app
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.settings import HttpTable
from tests.support.build import NOON
from tests.support.job_pages import ComposedJobPages


@define
class StandIn:
    """Stands in for a use case: remembers how it was called, and does as told."""

    answer: Any = None
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(factory=list)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


USE_CASES = (
    "cancel_job",
    "check",
    "broadcast",
    "find_datasets",
    "job_outputs",
    "links",
    "list_workflows",
    "readiness",
    "register_dataset",
    "rerun",
    "show_workflow",
    "submit",
)


READS = {
    "invocations": {
        "get": "show_job",
        "page": "list_jobs",
        "transitions": "job_history",
        "counts": "job_counts",
        "workflow_names": "workflow_names",
        "labels": "job_labels",
        "get_many": "jobs_by_id",
    },
    "submissions": {"get": "show_submission"},
    "datasets": {"get": "show_dataset", "page": "list_datasets"},
}
"""What stands in for each method of a repository, by the name that tests give it."""


EMPTY = {
    "job_counts": {},
    "workflow_names": [],
    "job_labels": [],
    "jobs_by_id": {},
    "list_datasets": Page((), None),
}
"""What those answer that are not named."""


@contextmanager
def an_api(**instead: Any) -> Iterator[TestClient[Litestar]]:
    """Serve the API.

    Args:
        instead: What stands in for providers of the container, by their names, or
            for single methods of repositories, by the names in `READS`.
            A use case that is not named gives None. The clock stands at noon, and
            there are no tokens. ``http`` is its ``[http]`` table.
    """
    container = Container()
    standing_in: dict[str, Any] = {
        **{name: StandIn() for name in USE_CASES},
        "clock": lambda: NOON,
        "allowlist": Allowlist(),
        "poll_policy": PollPolicy(),
        "tokens": MemoryTokens(MemoryStore()),
        "audit_log": MemoryAuditLog(MemoryStore()),
        "sessions": MemorySessions(MemoryStore()),
        "identity_providers": OidcProviders((), lambda: NOON),
        "http": HttpTable(),
        "local_galaxies": (),
        **instead,
    }
    for repository, methods in READS.items():
        stands = {
            method: standing_in.pop(name, None) or StandIn(EMPTY.get(name))
            for method, name in methods.items()
        }
        standing_in.setdefault(repository, SimpleNamespace(**stands))
    standing_in.setdefault(
        "job_pages", ComposedJobPages(standing_in["invocations"].page, lambda: NOON)
    )
    for name, thing in standing_in.items():
        getattr(container, name).override(providers.Object(thing))
    with TestClient(create_app(container), base_url="http://127.0.0.1:8000") as client:
        yield client


def authenticate(
    tokens: TokenRepository,
    providers: IdentityProviders | None = None,
    sessions: SessionRepository | None = None,
    clock: Clock = lambda: NOON,
) -> Authenticate:
    """Return what knows tokens; no identity provider is trusted unless given."""
    return Authenticate(
        tokens,
        sessions or MemorySessions(MemoryStore()),
        providers or OidcProviders((), clock),
        clock,
    )


def forgetful(tokens: TokenRepository) -> TokenCache:
    """Return a cache of tokens that remembers nothing."""
    return TokenCache(authenticate(tokens), token_ttl=0, exist_ttl=0)


def a_token(
    tokens: TokenRepository, name: str = "web", scope: Scope = Scope.SUBMIT
) -> str:
    """Make a token, and return its text."""
    return CreateToken(tokens, lambda: NOON)(name, scope).text


def bearer(text: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {text}"}


def code_of(answer: Response) -> str:
    """Return the code of a problem, once its form has been looked at."""
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == answer.status_code
    assert said["title"]
    assert said["detail"]
    assert said["instance"].startswith("/")
    assert said["request_id"] == answer.headers["x-request-id"]
    kind, _, code = said["type"].rpartition(":")
    assert kind == "urn:galaxy-jobs:problem"
    return str(code)

"""``galaxy-jobs token``: make tokens, list them, revoke them.

A token's text goes to standard output alone and once; what else there is to say
goes to standard error, so that ``TOKEN=$(galaxy-jobs token create …)`` works.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from galaxy_jobs.domain.model.token import Scope, Token
from galaxy_jobs.entrypoints import settings
from galaxy_jobs.entrypoints.container import Container, opened, prepare_database


app = cyclopts.App(name="token", help="Say who may use the service.")

Json = Annotated[bool, Parameter(name="--json", negative=())]


@app.command
def create(
    name: str,
    /,
    *,
    scope: Scope,
    expires: Annotated[
        float | None, Parameter(validator=cyclopts.validators.Number(gt=0))
    ] = None,
    as_json: Json = False,
) -> int:
    """Make a token, and show it: once, now, and never again.

    From the first one on, the service answers nobody without a token.

    Args:
        name: What to call it, such as what uses it.
        scope: What it is good for: read may look, submit may also submit, cancel,
            rerun and register.
        expires: After how many days it is no good any more; left out, never.
        as_json: Print it as JSON.
    """
    # A century at most, the use case says; what no timedelta holds is beyond.
    days = None if expires is None else min(expires, 999_999)
    lifetime = None if days is None else timedelta(days=days)
    with _database() as container:
        made = container.create_token()(name, scope, lifetime)
    if as_json:
        print(json.dumps({**_told(made.token), "token": made.text}))
    else:
        print(made.text)
        print(
            f"Token {made.token.name!r} ({made.token.token_id}): {_when(made.token)}. "
            "It is not shown again.",
            file=sys.stderr,
        )
    return 0


@app.command(name="list")
def list_(*, as_json: Json = False) -> int:
    """List all tokens that were ever made, newest first.

    Args:
        as_json: Print them as JSON.
    """
    with _database() as container:
        found = container.list_tokens()()
    if as_json:
        print(json.dumps([_told(one) for one in found]))
        return 0
    rows: list[tuple[str, str, str]] = [
        (one.token_id, one.name, _when(one)) for one in found
    ]
    if rows:
        rows.insert(0, ("token", "name", "scope, and since when"))
    first, second = (max((len(row[n]) for row in rows), default=0) for n in (0, 1))
    for id_, name, when in rows:
        print(f"{id_:{first}}  {name:{second}}  {when}")
    if not found:
        print("There are no tokens: whoever reaches the service may use it.")
    return 0


@app.command
def revoke(name_or_id: str, /, *, as_json: Json = False) -> int:
    """Make a token no good, within a few seconds and for ever.

    Args:
        name_or_id: Its name, or its id.
        as_json: Print it as JSON.
    """
    with _database() as container:
        revoked = container.revoke_token()(name_or_id)
    if as_json:
        print(json.dumps(_told(revoked)))
    else:
        print(f"Token {revoked.name!r} ({revoked.token_id}) is revoked.")
    return 0


@contextmanager
def _database() -> Iterator[Container]:
    with opened(settings.load()) as container:
        prepare_database(container)
        yield container


def _told(token: Token) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "scope": token.scope.value,
        "created_at": _time(token.created_at),
        "expires_at": _time(token.expires_at),
        "revoked_at": _time(token.revoked_at),
    }


def _when(token: Token) -> str:
    said = f"{token.scope.value}, made {_time(token.created_at)}"
    if token.revoked_at is not None:
        return f"{said}, revoked {_time(token.revoked_at)}"
    if token.expires_at is not None:
        return f"{said}, expires {_time(token.expires_at)}"
    return f"{said}, never expires"


def _time(at: datetime | None) -> str | None:
    if at is None:
        return None
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

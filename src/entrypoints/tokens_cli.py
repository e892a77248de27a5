"""``galaxy-jobs token``: create, list and revoke tokens.

A token's text is printed once and alone on standard output; everything else goes to
standard error, so that ``TOKEN=$(galaxy-jobs token create …)`` works.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number

from galaxy_jobs.domain.model.token import Scope, Token
from galaxy_jobs.domain.model.viewer import Sees
from galaxy_jobs.entrypoints import settings
from galaxy_jobs.entrypoints.client import output
from galaxy_jobs.entrypoints.container import Container, opened, prepare_database
from galaxy_jobs.entrypoints.environment import BadSetting


app = cyclopts.App(name="token", help="Create, list and revoke tokens.")

AsJson = Annotated[bool, Parameter(name="--json", help="Print JSON instead.")]


@app.command
def create(
    name: str,
    /,
    *,
    scope: Scope,
    sees: Sees = Sees.ALL,
    expires: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    new_database: bool = False,
    as_json: AsJson = False,
) -> int:
    """Create a token, and print it: once, now, and never again.

    Once there is one, the service refuses requests without a token.

    Args:
        name: For people, such as the program that uses it; what is made with it belongs
            to an owner of this name.
        scope: Its permissions: read may look, submit may also submit, cancel, rerun
            and register, admin may also administer the service.
        sees: Whose jobs and datasets it sees: its own, or all. Those of others do not
            exist for it.
        expires: Its lifetime in days; unlimited if not given.
        new_database: Create it in an embedded database that no service has used yet.
    """
    # The use case limits it to a century; more than a timedelta holds is beyond.
    lifetime = None if expires is None else timedelta(days=min(expires, 999_999))
    with _database(writes=True, may_be_new=new_database) as container:
        created = container.create_token()(name, scope, lifetime, sees=sees)
    token = created.token
    if as_json:
        output.document({**_fields(token), "token": created.text})
    else:
        output.line(created.text)
        about = f"Token {token.name!r} ({token.token_id}): {_summary(token)}."
        output.note(f"{about} It is not shown again.")
    return 0


@app.command(name="list")
def list_(*, as_json: AsJson = False) -> int:
    """List all tokens that were ever created, newest first."""
    with _database() as container:
        where = container.database().where()
        tokens = container.list_tokens()()
    if as_json:
        output.document([_fields(token) for token in tokens])
    elif tokens:
        output.show(_table(tokens))
    else:
        output.line(f"There are no tokens in {where}: a service on it is open to all.")
    return 0


@app.command
def revoke(name_or_id: str, /, *, as_json: AsJson = False) -> int:
    """Revoke a token. Takes effect within seconds and cannot be undone.

    Args:
        name_or_id: Its name, or its id.
    """
    with _database(writes=True) as container:
        token = container.revoke_token()(name_or_id)
    if as_json:
        output.document(_fields(token))
    else:
        output.line(f"Token {token.name!r} ({token.token_id}) is revoked.")
    return 0


@contextmanager
def _database(*, writes: bool = False, may_be_new: bool = True) -> Iterator[Container]:
    with opened(settings.load()) as container:
        database, mark = container.database(), container.embedded().service_mark
        if database.is_embedded and not (may_be_new or mark.exists()):
            raise BadSetting(
                f"No service has used {database.where()} yet. Set GALAXY_JOBS_HOME or "
                "DATABASE_URL as for `galaxy-jobs serve`; or use --new-database to "
                "create a token there before its first start."
            )
        prepare_database(container)
        yield container
        if writes:
            output.note(f"Database: {database.where()}")


def _fields(token: Token) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "name": token.name,
        "scope": token.scope.value,
        "sees": token.sees.value,
        "created_at": _time(token.created_at),
        "expires_at": _time(token.expires_at),
        "revoked_at": _time(token.revoked_at),
    }


def _summary(token: Token) -> str:
    end = "never expires"
    if token.revoked_at is not None:
        end = f"revoked {_time(token.revoked_at)}"
    elif token.expires_at is not None:
        end = f"expires {_time(token.expires_at)}"
    sees = f"{token.scope.value}, sees {token.sees.value}"
    return f"{sees}, created {_time(token.created_at)}, {end}"


_table = output.listing(
    {
        "token": lambda token: token.token_id,
        "name": lambda token: token.name,
        "scope, and since when": _summary,
    },
    cut="name",
)


def _time(at: datetime | None) -> str | None:
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

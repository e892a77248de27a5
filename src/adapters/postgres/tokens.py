"""Tokens in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.changes import among
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.adapters.postgres.rows import storable, token_from_row, token_to_row
from galaxy_jobs.domain.errors import TokenExists, TokenNotFound
from galaxy_jobs.domain.model.token import Token, TokenId
from galaxy_jobs.domain.ports import TokenRepository


_T = tables.tokens
_ADD = (
    insert(_T)
    .values(expires_at=sa.func.now() + sa.bindparam("lifetime", type_=sa.Interval))
    .on_conflict_do_nothing(
        index_elements=[_T.c.name], index_where=_T.c.revoked_at.is_(None)
    )
    .returning(_T)
)
_IN_FORCE = sa.select(_T).where(
    among(_T.c.token_id),
    _T.c.revoked_at.is_(None),
    sa.or_(_T.c.expires_at.is_(None), _T.c.expires_at > sa.func.now()),
)
_ALL = sa.select(_T).order_by(_T.c.created_at.desc(), _T.c.token_id.desc())
_REVOKE = (
    sa.update(_T)
    .where(_T.c.token_id == sa.bindparam("id"))
    .values(revoked_at=sa.func.coalesce(_T.c.revoked_at, sa.bindparam("at")))
    .returning(_T)
)
_ANY = sa.select(sa.exists(sa.select(_T.c.token_id)))


@frozen
class PostgresTokens(TokenRepository):
    """Keeps tokens in a table of their own."""

    engine: Engine

    def add(self, token: Token, lifetime: timedelta | None) -> Token:
        def work(connection: Connection) -> Token:
            values = {**token_to_row(token), "lifetime": lifetime}
            row = connection.execute(_ADD, values).mappings().first()
            if row is None:
                raise TokenExists(token.name)
            return token_from_row(row)

        return write(self.engine, work)

    def in_force(self, token_ids: Collection[TokenId]) -> Mapping[TokenId, Token]:
        ids = [id_ for id_ in token_ids if storable(id_)]
        rows = read(
            self.engine, lambda c: c.execute(_IN_FORCE, {"ids": ids}).mappings().all()
        )
        return {row["token_id"]: token_from_row(row) for row in rows}

    def all(self) -> Sequence[Token]:
        rows = read(self.engine, lambda c: c.execute(_ALL).mappings().all())
        return [token_from_row(row) for row in rows]

    def revoke(self, token_id: TokenId, at: datetime) -> Token:
        if not storable(token_id):
            raise TokenNotFound(token_id)
        row = write(
            self.engine,
            lambda c: c.execute(_REVOKE, {"id": token_id, "at": at}).mappings().first(),
        )
        if row is None:
            raise TokenNotFound(token_id)
        return token_from_row(row)

    def ever_made(self) -> bool:
        return bool(read(self.engine, lambda c: c.scalar(_ANY)))

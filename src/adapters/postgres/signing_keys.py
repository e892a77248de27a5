"""The key that addresses are signed with, in PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from galaxy_jobs.adapters.postgres import tables
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.domain.model.signing import SigningKey
from galaxy_jobs.domain.ports import SigningKeys


_T = tables.signing_keys
_GET = sa.select(_T.c.secret)
_ADD = insert(_T).on_conflict_do_nothing()


@frozen
class PostgresSigningKeys(SigningKeys):
    """Keeps the key in a table of one row."""

    engine: Engine

    def ensure(self, key: SigningKey) -> SigningKey:
        def work(connection: Connection) -> bytes:
            connection.execute(_ADD, {"secret": key.secret})
            secret: bytes = connection.execute(_GET).scalar_one()
            return secret

        # Everybody but the first only reads.
        secret = read(self.engine, lambda c: c.scalar(_GET))
        return SigningKey(secret or write(self.engine, work))

"""The repositories in PostgreSQL, the single source of truth.

They use SQLAlchemy Core and explicit rows: mapped classes would not fit the frozen
objects of the domain.
"""

from galaxy_jobs.adapters.postgres.audit import PostgresAuditLog
from galaxy_jobs.adapters.postgres.batches import PostgresBatches
from galaxy_jobs.adapters.postgres.datasets import PostgresDatasets
from galaxy_jobs.adapters.postgres.engine import clock, make_engine, where
from galaxy_jobs.adapters.postgres.feed import PostgresTransitionFeed
from galaxy_jobs.adapters.postgres.invocations import PostgresInvocations
from galaxy_jobs.adapters.postgres.job_pages import PostgresJobPages
from galaxy_jobs.adapters.postgres.pool import AsyncReader
from galaxy_jobs.adapters.postgres.queue import PostgresPollQueue
from galaxy_jobs.adapters.postgres.retention import PostgresRetention
from galaxy_jobs.adapters.postgres.schema import (
    SchemaBehind,
    SchemaConflict,
    SchemaState,
    check_schema,
    migrate,
    schema_state,
)
from galaxy_jobs.adapters.postgres.sessions import PostgresSessions
from galaxy_jobs.adapters.postgres.signing_keys import PostgresSigningKeys
from galaxy_jobs.adapters.postgres.submissions import PostgresSubmissions
from galaxy_jobs.adapters.postgres.superseded import PostgresSupersededRuns
from galaxy_jobs.adapters.postgres.tables import CHANNEL
from galaxy_jobs.adapters.postgres.tag_changes import PostgresTagChanges
from galaxy_jobs.adapters.postgres.tokens import PostgresTokens
from galaxy_jobs.adapters.postgres.uploads import PostgresUploads
from galaxy_jobs.adapters.postgres.webhooks import PostgresWebhooks


__all__ = [
    "CHANNEL",
    "AsyncReader",
    "PostgresAuditLog",
    "PostgresBatches",
    "PostgresDatasets",
    "PostgresInvocations",
    "PostgresJobPages",
    "PostgresPollQueue",
    "PostgresRetention",
    "PostgresSessions",
    "PostgresSigningKeys",
    "PostgresSubmissions",
    "PostgresSupersededRuns",
    "PostgresTagChanges",
    "PostgresTokens",
    "PostgresTransitionFeed",
    "PostgresUploads",
    "PostgresWebhooks",
    "SchemaBehind",
    "SchemaConflict",
    "SchemaState",
    "check_schema",
    "clock",
    "make_engine",
    "migrate",
    "schema_state",
    "where",
]

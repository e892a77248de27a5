"""What Alembic runs to apply migrations; :mod:`..schema` calls it.

Without a connection it prints the SQL instead, for Squawk to read.
"""

from __future__ import annotations

from alembic import context

from galaxy_jobs.adapters.postgres.migrations import VERSION_TABLE
from galaxy_jobs.adapters.postgres.tables import metadata


connection = context.config.attributes.get("connection")
if connection is not None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
    )
else:
    context.configure(
        dialect_name="postgresql",
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        literal_binds=True,
    )
context.run_migrations()

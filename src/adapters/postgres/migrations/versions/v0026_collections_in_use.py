"""Registered datasets that name collections in Galaxy."""

from __future__ import annotations

from alembic import op


revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

# Inserts wait while it is built: a few seconds with a million datasets.
INDEX = """
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX ix_datasets_collections ON datasets (dataset_id)
    WHERE jsonb_path_exists(source, '$.** ? (@."src" == "hdca")')
"""


def upgrade() -> None:
    """Add the index; the program of the version before goes on without it."""
    op.execute(INDEX)

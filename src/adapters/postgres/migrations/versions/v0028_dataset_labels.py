"""The labels of datasets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB


revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# Inserts wait while it is built: a few seconds with a million datasets.
INDEX = """
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX ix_datasets_by_label ON datasets USING gin (labels jsonb_path_ops)
"""


def upgrade() -> None:
    """Add the column and the index; those that are registered have no labels."""
    op.add_column(
        "datasets",
        sa.Column("labels", JSONB, nullable=False, server_default=sa.text("'{}'")),
    )
    op.execute(INDEX)

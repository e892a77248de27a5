"""Mark the jobs that somebody started in Galaxy itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the program of the version before adopts none."""
    op.add_column(
        "workflow_invocations",
        sa.Column("adopted", sa.Boolean, nullable=False, server_default=sa.false()),
    )

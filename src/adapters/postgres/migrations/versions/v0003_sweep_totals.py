"""What all sweeps came to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "sweep_totals",
        sa.Column("galaxy_url", sa.Text),
        sa.Column("galaxy_user", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("total", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint(
            "galaxy_url", "galaxy_user", "name", name="pk_sweep_totals"
        ),
    )

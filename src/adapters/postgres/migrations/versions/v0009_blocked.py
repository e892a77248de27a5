"""Store how many jobs were blocked when a job changed its state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the program of the version before leaves it at zero."""
    op.add_column(
        "invocation_transitions",
        sa.Column(
            "blocked", sa.BigInteger, nullable=False, server_default=sa.text("0")
        ),
    )

"""When an invocation becomes stale, beside when it is polled next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column.

    Rows that are there, and those that the program of the version before adds, get
    the latest time by which they could become stale under the default settings: the
    next look sets the right one. PostgreSQL evaluates the default once, and rewrites
    no row.
    """
    op.add_column(
        "active_invocations",
        sa.Column(
            "stale_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now() + interval '17 minutes'"),
        ),
    )

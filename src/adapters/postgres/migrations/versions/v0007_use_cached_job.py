"""Store whether a request lets Galaxy copy the results of equal jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the program of the version before leaves them empty."""
    op.add_column("submissions", sa.Column("use_cached_job", sa.Boolean))
    op.add_column("workflow_invocations", sa.Column("use_cached_job", sa.Boolean))

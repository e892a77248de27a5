"""Store which version of a workflow is run, and what its inputs are given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the program of the version before leaves them empty."""
    op.add_column("workflow_invocations", sa.Column("workflow_id", sa.Text))
    op.add_column("submissions", sa.Column("pinned_version", sa.BigInteger))
    for table in ("submissions", "workflow_invocations"):
        op.add_column(table, sa.Column("workflow_version", sa.BigInteger))
        op.add_column(table, sa.Column("version_note", sa.Text))
        op.add_column(table, sa.Column("inputs", sa.JSON))

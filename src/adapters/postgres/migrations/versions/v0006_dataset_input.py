"""Store which input a request named for the dataset."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the program of the version before leaves them empty."""
    op.add_column("submissions", sa.Column("dataset_input", sa.Text))
    op.add_column("workflow_invocations", sa.Column("dataset_input", sa.Text))

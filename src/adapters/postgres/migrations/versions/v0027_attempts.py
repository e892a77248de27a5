"""The attempts at an item of a batch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; the program of the version before counts no attempts."""
    column = sa.Column(
        "attempts", sa.BigInteger, nullable=False, server_default=sa.text("0")
    )
    op.add_column("submissions", column)

"""Tokens that see their own objects only, and the scope admin."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; tokens of the version before see all."""
    for name, default in (("admin", sa.false()), ("sees_all", sa.true())):
        op.add_column(
            "tokens",
            sa.Column(name, sa.Boolean, nullable=False, server_default=default),
        )

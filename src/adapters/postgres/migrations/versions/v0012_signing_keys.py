"""The key that addresses are signed with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, which has one row at most."""
    op.create_table(
        "signing_keys",
        sa.Column("single", sa.Boolean, server_default=sa.true()),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("single", name="pk_signing_keys"),
        sa.CheckConstraint("single", name=op.f("ck_signing_keys_single")),
    )

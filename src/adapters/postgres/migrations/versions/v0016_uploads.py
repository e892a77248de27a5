"""Uploads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("ext", sa.Text, nullable=False),
        sa.Column("dataset_id", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("key_caller", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ref", sa.Text),
        sa.Column("stored", sa.Boolean, nullable=False),
        sa.Column("problem", sa.JSON),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("look_at", Time),
        sa.PrimaryKeyConstraint("upload_id", name="pk_uploads"),
        sa.CheckConstraint(
            "state IN ('open', 'verifying', 'complete', 'failed', 'aborted',"
            " 'expired')",
            name=op.f("ck_uploads_state"),
        ),
    )
    op.create_index(
        "ix_uploads_due",
        "uploads",
        ["look_at"],
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_index(
        "ix_uploads_unfinished",
        "uploads",
        ["owner", "created_at", "upload_id"],
        postgresql_where=sa.text("state IN ('open', 'verifying')"),
    )
    op.create_index(
        "uq_uploads_key",
        "uploads",
        ["key_caller", "key"],
        unique=True,
        postgresql_where=sa.text(
            "key IS NOT NULL AND state IN ('open', 'verifying', 'complete')"
        ),
    )

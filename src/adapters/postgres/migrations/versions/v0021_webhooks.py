"""Webhooks, and the deliveries to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON, JSONB


revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

Time = sa.DateTime(timezone=True)
ZERO = sa.text("0")


def upgrade() -> None:
    """Make the tables; the program of the version before sends nothing."""
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.Text),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", JSONB, nullable=False),
        sa.Column("labels", JSONB, nullable=False),
        sa.Column("workflow_names", JSONB, nullable=False),
        sa.Column("secrets", JSONB, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("private", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("removed_at", Time),
        sa.Column("failures", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("rests_until", Time, nullable=False, server_default=sa.func.now()),
        sa.Column("delivered", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("dead", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.PrimaryKeyConstraint("webhook_id", name="pk_webhooks"),
        sa.CheckConstraint(
            "state IN ('active', 'disabled')", name=op.f("ck_webhooks_state")
        ),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", sa.Text),
        sa.Column("webhook_id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("data", JSON, nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("attempts", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("next_attempt_at", Time, server_default=sa.func.now()),
        sa.Column("retried_since", Time, nullable=False, server_default=sa.func.now()),
        sa.Column("ended_at", Time),
        sa.Column("status", sa.BigInteger),
        sa.Column("problem", sa.Text),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_webhook_deliveries"),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'dead')",
            name=op.f("ck_webhook_deliveries_state"),
        ),
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_number",
        "webhook_deliveries",
        ["webhook_id", "number"],
    )
    for name, columns in (
        ("due", ["webhook_id", "next_attempt_at"]),
        ("order", ["webhook_id", "subject", "number"]),
    ):
        op.create_index(
            f"ix_webhook_deliveries_{name}",
            "webhook_deliveries",
            columns,
            postgresql_where=sa.text("state = 'pending'"),
        )
    op.create_index(
        "ix_webhook_deliveries_ended",
        "webhook_deliveries",
        ["ended_at"],
        postgresql_where=sa.text("state <> 'pending'"),
    )

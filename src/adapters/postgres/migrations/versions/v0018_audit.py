"""The record of who did what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, to which rows are only ever added, and from which old ones go."""
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True)),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        sa.Column("owner", sa.Text),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("object_kind", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_owner_id", "audit", ["owner", "id"])
    op.execute(
        """
        CREATE FUNCTION galaxy_jobs_audit_kept() RETURNS trigger
        LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'DELETE' THEN
                IF current_setting('galaxy_jobs.pruning', true) = 'on'
                    AND OLD.at <= now() - interval '1 day'
                THEN
                    RETURN OLD;
                END IF;
            END IF;
            RAISE EXCEPTION 'audit is only ever appended to';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON audit
        FOR EACH ROW EXECUTE FUNCTION galaxy_jobs_audit_kept()
        """
    )
    op.execute(
        """
        CREATE TRIGGER kept_whole BEFORE TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION galaxy_jobs_audit_kept()
        """
    )

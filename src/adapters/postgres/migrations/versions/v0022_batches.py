"""Batches of submissions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB


revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

Time = sa.DateTime(timezone=True)

# The program of the version before begins no items: it never looks at what waits.
STATES = """
DO $$
BEGIN
    ALTER TABLE submissions DROP CONSTRAINT ck_submissions_state,
        ADD CONSTRAINT ck_submissions_state CHECK (state IN
            ('waiting', 'submitting', 'unknown', 'accepted', 'rejected'));
END
$$
"""

# In blocks: writes wait while each table is read once. There is nothing to index in it,
# so that it takes a second for about a million rows.
INDEXES = """
DO $$
BEGIN
    CREATE INDEX ix_submissions_by_batch ON submissions
        (batch_id, state, position) WHERE batch_id IS NOT NULL;
    CREATE INDEX ix_submissions_items_open ON submissions
        (galaxy_url, galaxy_user, state) WHERE batch_id IS NOT NULL
            AND state IN ('waiting', 'submitting', 'unknown');
    CREATE INDEX ix_workflow_invocations_by_batch ON workflow_invocations
        (batch_id, state, created_at, invocation_id) WHERE batch_id IS NOT NULL;
END
$$
"""

# Whatever program stores a run, it is known of which batch it is.
TRIGGERS = (
    """
    CREATE FUNCTION galaxy_jobs_invocation_batch() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        NEW.batch_id := (
            SELECT s.batch_id FROM submissions AS s
            WHERE s.submission_id = NEW.submission_id
        );
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER batch BEFORE INSERT ON workflow_invocations
    FOR EACH ROW EXECUTE FUNCTION galaxy_jobs_invocation_batch()
    """,
)


def upgrade() -> None:
    """Make the table, and add the columns; what was stored before is of no batch."""
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.Uuid),
        sa.Column("galaxy_url", sa.Text, nullable=False),
        sa.Column("galaxy_user", sa.Text, nullable=False),
        sa.Column("workflow_name", sa.Text, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("overwrite", sa.Boolean, nullable=False),
        sa.Column("labels", JSONB, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("key_caller", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("key_lifetime", sa.Interval, nullable=False),
        sa.Column("rerun_of", sa.Uuid),
        sa.Column("owner", sa.Text),
        sa.Column("private", sa.Boolean, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("cancelled_at", Time),
        sa.Column("ended_at", Time),
        sa.Column("turn_at", Time),
        sa.PrimaryKeyConstraint("batch_id", name="pk_batches"),
    )
    op.create_index(
        "ix_batches_created_at_batch_id", "batches", ["created_at", "batch_id"]
    )
    op.create_index(
        "ix_batches_by_owner",
        "batches",
        ["owner", "created_at", "batch_id"],
        postgresql_where=sa.text("owner IS NOT NULL"),
    )
    op.create_index(
        "ix_batches_key",
        "batches",
        ["key_caller", "key", "created_at"],
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_index(
        "ix_batches_open",
        "batches",
        ["galaxy_url", "galaxy_user", "turn_at"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.add_column("submissions", sa.Column("batch_id", sa.Uuid))
    op.add_column("submissions", sa.Column("position", sa.BigInteger))
    op.add_column("workflow_invocations", sa.Column("batch_id", sa.Uuid))
    op.execute(STATES)
    op.execute(INDEXES)
    for statement in TRIGGERS:
        op.execute(statement)

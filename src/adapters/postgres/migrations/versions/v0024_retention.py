"""Which results are kept, and deletions under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

Time = sa.DateTime(timezone=True)

# Inserts wait while they are built: a few seconds with a million jobs.
INDEXES = """
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX ix_workflow_invocations_results_kept ON workflow_invocations
    (galaxy_url, galaxy_user, state, created_at) WHERE results_deleted_at IS NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX ix_workflow_invocations_intermediates_kept ON workflow_invocations
    (galaxy_url, galaxy_user, state, created_at)
    WHERE results_deleted_at IS NULL AND intermediates_deleted_at IS NULL
        AND state = 'completed';
"""

# Rows leave the table with their job alone.
TRIGGER = """
CREATE OR REPLACE FUNCTION galaxy_jobs_transitions_for_ever() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('galaxy_jobs.pruning', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'invocation_transitions is only ever appended to';
END $$
"""


def upgrade() -> None:
    """Add columns and a table; the program of the version before deletes nothing."""
    for name in ("results_deleted_at", "intermediates_deleted_at"):
        op.add_column("workflow_invocations", sa.Column(name, Time))
    op.execute(INDEXES)
    op.create_table(
        "deletions",
        sa.Column("invocation_id", sa.Text),
        sa.Column("look_at", Time, nullable=False),
        sa.Column("begun", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column(
            "failures", sa.BigInteger, nullable=False, server_default=sa.text("0")
        ),
        sa.PrimaryKeyConstraint("invocation_id", name="pk_deletions"),
        sa.ForeignKeyConstraint(
            ["invocation_id"],
            ["workflow_invocations.invocation_id"],
            name="fk_deletions_invocation_id",
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
    )
    op.create_index(
        "ix_deletions_begun",
        "deletions",
        ["look_at"],
        postgresql_where=sa.text("begun"),
    )
    op.execute(TRIGGER)

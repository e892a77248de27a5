"""The labels of submissions and invocations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON, JSONB


revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# The program of the version before adopts a run without its labels and its owner.
TRIGGERS = (
    """
    CREATE FUNCTION galaxy_jobs_invocation_labels() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        NEW.labels := coalesce((
            SELECT s.labels::jsonb FROM submissions AS s
            WHERE s.submission_id = NEW.submission_id
        ), '{}');
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER labels BEFORE INSERT ON workflow_invocations
    FOR EACH ROW WHEN (NEW.labels = '{}')
    EXECUTE FUNCTION galaxy_jobs_invocation_labels()
    """,
)

VIEW = """
CREATE OR REPLACE VIEW invocations AS
SELECT i.invocation_id, i.dataset_id, i.workflow_name, i.state,
    i.galaxy_state, i.progress, i.failure, i.created_at, i.updated_at,
    coalesce(a.observed_at, i.observed_at) AS observed_at, i.owner, i.labels
FROM workflow_invocations i
LEFT JOIN active_invocations a USING (invocation_id)
"""


def upgrade() -> None:
    """Add the columns; what was stored before has no labels."""
    op.add_column("submissions", sa.Column("labels", JSON))
    op.add_column(
        "workflow_invocations",
        sa.Column("labels", JSONB, nullable=False, server_default=sa.text("'{}'")),
    )
    for statement in TRIGGERS:
        op.execute(statement)
    op.execute(VIEW)

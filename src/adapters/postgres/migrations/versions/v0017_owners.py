"""The owners of datasets, submissions and invocations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COLUMNS = (
    "datasets",
    "submissions",
    "workflow_invocations",
    "invocation_transitions",
)

# In blocks: writes wait while each table is read once. There is nothing to index in it,
# so that it takes a second for about a million rows.
INDEXES = """
DO $$
BEGIN
    CREATE INDEX ix_datasets_by_owner ON datasets
        (owner, created_at, dataset_id) WHERE owner IS NOT NULL;
    CREATE INDEX ix_workflow_invocations_by_owner ON workflow_invocations
        (owner, created_at, invocation_id) WHERE owner IS NOT NULL;
    CREATE INDEX ix_workflow_invocations_by_owner_state ON workflow_invocations
        (owner, state, created_at, invocation_id) WHERE owner IS NOT NULL;
    CREATE INDEX ix_workflow_invocations_by_owner_workflow_name_state
        ON workflow_invocations
        (owner, workflow_name, state, created_at, invocation_id)
        WHERE owner IS NOT NULL;
    CREATE INDEX ix_invocation_transitions_by_owner ON invocation_transitions
        (owner, id) WHERE owner IS NOT NULL;
END
$$
"""

# The program of the version before adopts a run without its owner.
TRIGGERS = (
    """
    CREATE FUNCTION galaxy_jobs_invocation_owner() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        SELECT s.owner, s.private INTO NEW.owner, NEW.private FROM submissions AS s
        WHERE s.submission_id = NEW.submission_id;
        NEW.private := coalesce(NEW.private, false);
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER owner BEFORE INSERT ON workflow_invocations
    FOR EACH ROW WHEN (NEW.owner IS NULL)
    EXECUTE FUNCTION galaxy_jobs_invocation_owner()
    """,
    """
    CREATE FUNCTION galaxy_jobs_transition_owner() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        NEW.owner := (
            SELECT i.owner FROM workflow_invocations AS i
            WHERE i.invocation_id = NEW.invocation_id
        );
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER owner BEFORE INSERT ON invocation_transitions
    FOR EACH ROW EXECUTE FUNCTION galaxy_jobs_transition_owner()
    """,
)

VIEW = """
CREATE OR REPLACE VIEW invocations AS
SELECT i.invocation_id, i.dataset_id, i.workflow_name, i.state,
    i.galaxy_state, i.progress, i.failure, i.created_at, i.updated_at,
    coalesce(a.observed_at, i.observed_at) AS observed_at, i.owner
FROM workflow_invocations i
LEFT JOIN active_invocations a USING (invocation_id)
"""


def upgrade() -> None:
    """Add the columns; what was stored before has no owner."""
    for table in COLUMNS:
        op.add_column(table, sa.Column("owner", sa.Text))
    for table in ("submissions", "workflow_invocations"):
        op.add_column(
            table,
            sa.Column("private", sa.Boolean, nullable=False, server_default=sa.false()),
        )
    op.execute(INDEXES)
    for statement in TRIGGERS:
        op.execute(statement)
    op.execute(VIEW)

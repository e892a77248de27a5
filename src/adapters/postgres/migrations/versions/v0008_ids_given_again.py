"""Keep invocations apart to which Galaxy gave the same id, one after the other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add Galaxy's own id beside the key, and let the key of an invocation change.

    No row is read or rewritten. The program of the version before writes NULL in the
    new columns, and changes no key.
    """
    op.add_column("workflow_invocations", sa.Column("galaxy_id", sa.Text))
    op.add_column("active_invocations", sa.Column("galaxy_id", sa.Text))
    op.add_column("submissions", sa.Column("workflow_id", sa.Text))
    for table in ("active_invocations", "invocation_transitions"):
        op.execute(
            f"ALTER TABLE {table} ALTER CONSTRAINT fk_{table}_invocation_id DEFERRABLE"
        )
    op.execute(
        """
        CREATE OR REPLACE TRIGGER for_ever BEFORE DELETE OR UPDATE OF
            id, from_state, to_state, at, galaxy_state, progress, failure
        ON invocation_transitions
        FOR EACH STATEMENT EXECUTE FUNCTION galaxy_jobs_transitions_for_ever()
        """
    )

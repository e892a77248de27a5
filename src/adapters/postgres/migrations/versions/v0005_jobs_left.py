"""Follow the jobs of runs that failed before these were settled."""

from __future__ import annotations

from alembic import op


revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Put such runs into the poll queue again, until their jobs are settled.

    The program of the version before asks about them, too, and changes nothing.
    """
    op.execute(
        """
        INSERT INTO active_invocations (
            invocation_id, galaxy_url, galaxy_user, draws, cancelling, observed_at
        )
        SELECT invocation_id, galaxy_url, galaxy_user, '{}', false, observed_at
        FROM workflow_invocations
        WHERE state = 'failed'
            AND (progress ->> 'running' <> '0' OR progress ->> 'waiting' <> '0')
        ORDER BY invocation_id
        ON CONFLICT DO NOTHING
        """
    )

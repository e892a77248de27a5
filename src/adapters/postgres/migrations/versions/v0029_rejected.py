"""An index of rejected submissions, which are removed once they are old."""

from __future__ import annotations

from alembic import op


revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

# Submissions wait while it is built: all of them are read once.
INDEX = """
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX ix_submissions_rejected
ON submissions (galaxy_url, galaxy_user, updated_at)
WHERE state = 'rejected' AND look_at IS NULL
"""


def upgrade() -> None:
    """Make the index."""
    op.execute(INDEX)

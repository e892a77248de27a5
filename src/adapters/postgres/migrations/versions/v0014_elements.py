"""An index of the data in the elements of collections."""

from __future__ import annotations

from alembic import op


revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# There are no collections yet: it has nothing in it, and inserts wait for as long as
# it takes to read the table once.
INDEX = """
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX ix_datasets_elements ON datasets
    USING gin (jsonb_path_query_array(source, '$.**.id'))
    WHERE source ->> 'src' = 'collection'
"""


def upgrade() -> None:
    """Add the index; the program of the version before calls collections unusable."""
    op.execute(INDEX)

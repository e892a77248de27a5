"""What Galaxy knows of the data of a dataset, and a search for datasets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB


revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SEARCH = """
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    IF (SELECT count(*) FROM (SELECT FROM datasets LIMIT 50001) AS few) <= 50000 THEN
        CREATE INDEX IF NOT EXISTS ix_datasets_search ON datasets
            USING gin (dataset_id gin_trgm_ops, name gin_trgm_ops);
    END IF;
EXCEPTION
    WHEN lock_not_available THEN RAISE;
    WHEN OTHERS THEN RAISE NOTICE 'no index for searches: %', SQLERRM;
END
$$
"""


def upgrade() -> None:
    """Add the columns, and the index where it is possible.

    The index needs the extension pg_trgm, which may not be installed, or which this
    user may not create. Nor is it built for more than 50,000 datasets: inserts wait
    meanwhile, with a million of them for half a minute. Without it, a search reads all
    datasets. It can be built at any time later, without waiting: see deploy/README.md.
    """
    op.add_column("datasets", sa.Column("description", JSONB))
    op.add_column("datasets", sa.Column("described_at", sa.DateTime(timezone=True)))
    op.execute(SEARCH)

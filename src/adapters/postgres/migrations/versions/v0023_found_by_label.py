"""The labels of invocations, one a row, by which lists find them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

# Whatever program writes the invocations, these rows follow.
TRIGGERS = (
    """
    CREATE FUNCTION galaxy_jobs_label_rows() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF NEW.labels = OLD.labels THEN
                UPDATE invocation_labels SET state = NEW.state
                WHERE invocation_id = NEW.invocation_id;
                RETURN NULL;
            END IF;
            DELETE FROM invocation_labels WHERE invocation_id = NEW.invocation_id;
        END IF;
        INSERT INTO invocation_labels
            (invocation_id, label, owner, state, created_at)
        SELECT NEW.invocation_id, key || ':' || value, NEW.owner, NEW.state,
            NEW.created_at
        FROM jsonb_each_text(NEW.labels);
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER label_rows_added AFTER INSERT ON workflow_invocations
    FOR EACH ROW WHEN (NEW.labels <> '{}')
    EXECUTE FUNCTION galaxy_jobs_label_rows()
    """,
    """
    CREATE TRIGGER label_rows_changed
    AFTER UPDATE OF state, labels ON workflow_invocations
    FOR EACH ROW WHEN (
        NEW.labels <> OLD.labels OR NEW.state <> OLD.state AND NEW.labels <> '{}'
    )
    EXECUTE FUNCTION galaxy_jobs_label_rows()
    """,
)

# Jobs that were labelled by the program of the migration before, if there are any.
FILL = """
INSERT INTO invocation_labels (invocation_id, label, owner, state, created_at)
SELECT i.invocation_id, key || ':' || value, i.owner, i.state, i.created_at
FROM workflow_invocations AS i, jsonb_each_text(i.labels)
WHERE i.labels <> '{}'
"""


def upgrade() -> None:
    """Make the table, and fill it with the labels that there are."""
    op.create_table(
        "invocation_labels",
        sa.Column("invocation_id", sa.Text),
        sa.Column("label", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("invocation_id", "label", name="pk_invocation_labels"),
        sa.ForeignKeyConstraint(
            ["invocation_id"],
            ["workflow_invocations.invocation_id"],
            name="fk_invocation_labels_invocation_id",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
    )
    order = ["label", "state", "created_at", "invocation_id"]
    op.create_index("ix_invocation_labels_by_label", "invocation_labels", order)
    op.create_index(
        "ix_invocation_labels_by_owner",
        "invocation_labels",
        ["owner", *order],
        postgresql_where=sa.text("owner IS NOT NULL"),
    )
    for statement in TRIGGERS:
        op.execute(statement)
    op.execute(FILL)

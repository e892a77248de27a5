"""Changes of labels that the tags in Galaxy do not show yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY


revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# Whatever program changes the labels. As many former ones are kept as the port says.
TRIGGERS = (
    """
    CREATE FUNCTION galaxy_jobs_tag_changes() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO tag_changes AS t
            (invocation_id, galaxy_url, galaxy_user, former)
        VALUES (
            NEW.invocation_id, NEW.galaxy_url, NEW.galaxy_user,
            ARRAY(SELECT key || ':' || value FROM jsonb_each_text(OLD.labels))
        )
        ON CONFLICT (invocation_id) DO UPDATE SET
            former = ARRAY(
                SELECT label FROM unnest(t.former || excluded.former)
                    WITH ORDINALITY AS given (label, place)
                GROUP BY label ORDER BY min(place) LIMIT 256
            ),
            number = t.number + 1,
            look_at = now();
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER tag_changes AFTER UPDATE OF labels ON workflow_invocations
    FOR EACH ROW WHEN (
        NEW.labels <> OLD.labels AND NEW.history_id IS NOT NULL AND NOT NEW.adopted
    )
    EXECUTE FUNCTION galaxy_jobs_tag_changes()
    """,
)


def upgrade() -> None:
    """Make the table, and the trigger that fills it."""
    op.create_table(
        "tag_changes",
        sa.Column("invocation_id", sa.Text),
        sa.Column("galaxy_url", sa.Text, nullable=False),
        sa.Column("galaxy_user", sa.Text, nullable=False),
        sa.Column("former", ARRAY(sa.Text), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column(
            "look_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        sa.PrimaryKeyConstraint("invocation_id", name="pk_tag_changes"),
        sa.ForeignKeyConstraint(
            ["invocation_id"],
            ["workflow_invocations.invocation_id"],
            name="fk_tag_changes_invocation_id",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_tag_changes_due", "tag_changes", ["galaxy_url", "galaxy_user", "look_at"]
    )
    for statement in TRIGGERS:
        op.execute(statement)

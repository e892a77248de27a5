"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB


revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Time = sa.DateTime(timezone=True)
INVOCATION_STATES = (
    "('queued', 'in_progress', 'cancelling', 'completed', 'failed', 'cancelled')"
)


def upgrade() -> None:
    """Make the tables, the view and the triggers."""
    _datasets()
    _submissions()
    _invocations()
    _active()
    _transitions()
    _view()


def _datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("dataset_id", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("source", JSONB),
        sa.Column("created_at", Time, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("dataset_id", name="pk_datasets"),
        sa.CheckConstraint(
            "created_at >= '0001-01-02Z' AND created_at < '9999-12-31Z'",
            name=op.f("ck_datasets_created_at"),
        ),
    )
    op.create_index(
        "ix_datasets_created_at_dataset_id", "datasets", ["created_at", "dataset_id"]
    )
    op.create_index("ix_datasets_source_id", "datasets", [sa.text("(source ->> 'id')")])


def _submissions() -> None:
    op.create_table(
        "submissions",
        sa.Column("submission_id", sa.Uuid),
        sa.Column("galaxy_url", sa.Text, nullable=False),
        sa.Column("galaxy_user", sa.Text, nullable=False),
        sa.Column("dataset_id", sa.Text, nullable=False),
        sa.Column("workflow_name", sa.Text, nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("overwrite", sa.Boolean, nullable=False),
        sa.Column("rerun_of", sa.Text),
        sa.Column("key_caller", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("key_lifetime", sa.Interval),
        sa.Column("key_expires_at", Time),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("history_id", sa.Text),
        sa.Column("invocation_id", sa.Text),
        sa.Column("fenced", sa.Boolean, nullable=False),
        sa.Column("problem", JSON),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("opened_at", Time, nullable=False, server_default=sa.func.now()),
        sa.Column("look_at", Time),
        sa.PrimaryKeyConstraint("submission_id", name="pk_submissions"),
        sa.CheckConstraint(
            "state IN ('submitting', 'unknown', 'accepted', 'rejected')",
            name=op.f("ck_submissions_state"),
        ),
        sa.CheckConstraint(
            "(state = 'accepted') = (invocation_id IS NOT NULL)",
            name=op.f("ck_submissions_invocation_id"),
        ),
    )
    op.create_index(
        "ix_submissions_due",
        "submissions",
        ["galaxy_url", "galaxy_user", "look_at"],
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_index(
        "ix_submissions_key",
        "submissions",
        ["key_caller", "key", "opened_at"],
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_index(
        "uq_submissions_open_key",
        "submissions",
        ["key_caller", "key"],
        unique=True,
        postgresql_where=sa.text(
            "key IS NOT NULL AND state IN ('submitting', 'unknown')"
        ),
    )


def _invocations() -> None:
    op.create_table(
        "workflow_invocations",
        sa.Column("invocation_id", sa.Text),
        sa.Column("submission_id", sa.Uuid, nullable=False),
        sa.Column("galaxy_url", sa.Text, nullable=False),
        sa.Column("galaxy_user", sa.Text, nullable=False),
        sa.Column("history_id", sa.Text),
        sa.Column("dataset_id", sa.Text, nullable=False),
        sa.Column("workflow_name", sa.Text, nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("overwrite", sa.Boolean, nullable=False),
        sa.Column("rerun_of", sa.Text),
        sa.Column("superseded_by", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("galaxy_state", sa.Text, nullable=False),
        sa.Column("progress", JSONB, nullable=False),
        sa.Column("steps", JSONB, nullable=False),
        sa.Column("failure", JSONB),
        sa.Column("attention", sa.Text),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.Column("observed_at", Time, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("history_dealt_with_at", Time),
        sa.PrimaryKeyConstraint("invocation_id", name="pk_workflow_invocations"),
        sa.UniqueConstraint(
            "submission_id", name="uq_workflow_invocations_submission_id"
        ),
        sa.CheckConstraint(
            f"state IN {INVOCATION_STATES}", name=op.f("ck_workflow_invocations_state")
        ),
        postgresql_with={"fillfactor": "85"},
    )
    for name, columns in {
        "created_at_invocation_id": [],
        "by_state": ["state"],
        "by_dataset_id_state": ["dataset_id", "state"],
        "by_workflow_name_state": ["workflow_name", "state"],
        "by_both": ["dataset_id", "workflow_name", "state"],
    }.items():
        op.create_index(
            f"ix_workflow_invocations_{name}",
            "workflow_invocations",
            [*columns, "created_at", "invocation_id"],
        )
    op.create_index(
        "ix_workflow_invocations_superseded",
        "workflow_invocations",
        ["galaxy_url", "galaxy_user", "created_at"],
        postgresql_where=sa.text(
            "superseded_by IS NOT NULL AND history_dealt_with_at IS NULL"
        ),
    )


def _active() -> None:
    op.create_table(
        "active_invocations",
        sa.Column("invocation_id", sa.Text),
        sa.Column("galaxy_url", sa.Text, nullable=False),
        sa.Column("galaxy_user", sa.Text, nullable=False),
        sa.Column("draws", ARRAY(sa.Text), nullable=False),
        sa.Column("accepted_at", Time, nullable=False, server_default=sa.func.now()),
        sa.Column("next_poll_at", Time, nullable=False, server_default=sa.func.now()),
        sa.Column("woken", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column(
            "lease_no", sa.BigInteger, nullable=False, server_default=sa.text("0")
        ),
        sa.Column("lease_until", Time),
        sa.Column("cancelling", sa.Boolean, nullable=False),
        sa.Column("summary", sa.Text),
        sa.Column("last_change_at", Time, nullable=False, server_default=sa.func.now()),
        sa.Column(
            "last_full_look_at", Time, nullable=False, server_default=sa.func.now()
        ),
        sa.Column("observed_at", Time, nullable=False),
        sa.Column("missing_since", Time),
        sa.Column("misses", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column(
            "failures", sa.BigInteger, nullable=False, server_default=sa.text("0")
        ),
        sa.PrimaryKeyConstraint("invocation_id", name="pk_active_invocations"),
        sa.ForeignKeyConstraint(
            ["invocation_id"],
            ["workflow_invocations.invocation_id"],
            name="fk_active_invocations_invocation_id",
            ondelete="CASCADE",
        ),
        postgresql_with={"fillfactor": "60", "autovacuum_vacuum_scale_factor": "0.05"},
    )
    op.create_index(
        "ix_active_invocations_due",
        "active_invocations",
        ["galaxy_url", "galaxy_user", "next_poll_at"],
    )
    op.create_index(
        "ix_active_invocations_drawing",
        "active_invocations",
        ["galaxy_url", "galaxy_user"],
        postgresql_where=sa.text("draws <> '{}'"),
    )


def _transitions() -> None:
    op.create_table(
        "invocation_transitions",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True)),
        sa.Column("invocation_id", sa.Text, nullable=False),
        sa.Column("from_state", sa.Text),
        sa.Column("to_state", sa.Text, nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("galaxy_state", sa.Text, nullable=False),
        sa.Column("progress", JSONB, nullable=False),
        sa.Column("failure", JSONB),
        sa.PrimaryKeyConstraint("id", name="pk_invocation_transitions"),
        sa.ForeignKeyConstraint(
            ["invocation_id"],
            ["workflow_invocations.invocation_id"],
            name="fk_invocation_transitions_invocation_id",
        ),
        sa.CheckConstraint(
            f"from_state IN {INVOCATION_STATES}",
            name=op.f("ck_invocation_transitions_from_state"),
        ),
        sa.CheckConstraint(
            f"to_state IN {INVOCATION_STATES}",
            name=op.f("ck_invocation_transitions_to_state"),
        ),
    )
    op.create_index(
        "ix_invocation_transitions_invocation_id_id",
        "invocation_transitions",
        ["invocation_id", "id"],
    )
    # Ids are given out in the order in which they become visible, because a
    # statement's triggers fire before its rows take theirs, and the lock is held
    # until the commit. Streams resume by id: one that became visible behind a
    # larger one would be missed.
    op.execute(
        """
        CREATE FUNCTION galaxy_jobs_transitions_in_order() RETURNS trigger
        LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_xact_lock(
                hashtextextended('galaxy-jobs transitions', 0));
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER in_order BEFORE INSERT ON invocation_transitions
        FOR EACH STATEMENT EXECUTE FUNCTION galaxy_jobs_transitions_in_order()
        """
    )
    op.execute(
        """
        CREATE FUNCTION galaxy_jobs_transitions_tell() RETURNS trigger
        LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('galaxy_jobs_transitions', '');
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER tell AFTER INSERT ON invocation_transitions
        FOR EACH STATEMENT EXECUTE FUNCTION galaxy_jobs_transitions_tell()
        """
    )
    op.execute(
        """
        CREATE FUNCTION galaxy_jobs_transitions_for_ever() RETURNS trigger
        LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'invocation_transitions is only ever appended to';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER for_ever BEFORE UPDATE OR DELETE ON invocation_transitions
        FOR EACH STATEMENT EXECUTE FUNCTION galaxy_jobs_transitions_for_ever()
        """
    )


def _view() -> None:
    op.execute(
        """
        CREATE VIEW invocations AS
        SELECT i.invocation_id, i.dataset_id, i.workflow_name, i.state,
            i.galaxy_state, i.progress, i.failure, i.created_at, i.updated_at,
            coalesce(a.observed_at, i.observed_at) AS observed_at
        FROM workflow_invocations i
        LEFT JOIN active_invocations a USING (invocation_id)
        """
    )

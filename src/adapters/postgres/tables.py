"""The tables. A test compares them with those that the migrations create.

Three kinds of rows, by how often they are written:

* ``workflow_invocations`` is wide, and written when something changes;
* ``active_invocations`` is narrow, holds the invocations that have not ended, and is
  written with every poll; no index has its changing columns but `next_poll_at`, and
  its pages keep room, so that a claim costs no index entry;
* ``sweep_totals`` has a row for each number that sweeps add to: a poller that cron
  started is gone before anything could read its metrics;
* ``invocation_transitions`` is only ever appended to; but an invocation that gets
  another key keeps its transitions. Triggers enforce that, make ids visible in their
  order, and notify listeners.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB

from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.domain.model.submission import SubmissionState
from galaxy_jobs.domain.model.upload import UploadState
from galaxy_jobs.domain.model.webhook import DeliveryState, WebhookState


CHANNEL = "galaxy_jobs_transitions"
"""The channel of the NOTIFY for new transitions, sent once they are visible."""

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Time = sa.DateTime(timezone=True)


def _one_of(
    column: str,
    values: type[
        InvocationState | SubmissionState | UploadState | WebhookState | DeliveryState
    ],
) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value.value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


# Frontends insert here: rows are validated when they are read, except for times that
# no program could read.
datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("dataset_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("source", JSONB(none_as_null=True)),
    sa.Column("created_at", Time, nullable=False, server_default=sa.func.now()),
    sa.Column("description", JSONB(none_as_null=True)),
    sa.Column("described_at", Time),
    sa.Column("owner", sa.Text),
    sa.Column("labels", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.CheckConstraint(
        "created_at >= '0001-01-02Z' AND created_at < '9999-12-31Z'",
        name="created_at",
    ),
)
# Migration 0010 may add an index for searches.
sa.Index(None, datasets.c.created_at, datasets.c.dataset_id)
sa.Index("ix_datasets_source_id", datasets.c.source["id"].astext)
sa.Index(
    "ix_datasets_elements",
    sa.func.jsonb_path_query_array(datasets.c.source, sa.text("'$.**.id'")),
    postgresql_using="gin",
    postgresql_where=sa.text("source ->> 'src' = 'collection'"),
)
sa.Index(
    "ix_datasets_collections",
    datasets.c.dataset_id,
    postgresql_where=sa.text(
        """jsonb_path_exists(source, '$.** ? (@."src" == "hdca")')"""
    ),
)
sa.Index(
    "ix_datasets_by_label",
    datasets.c.labels,
    postgresql_using="gin",
    postgresql_ops={"labels": "jsonb_path_ops"},
)
sa.Index(
    "ix_datasets_by_owner",
    datasets.c.owner,
    datasets.c.created_at,
    datasets.c.dataset_id,
    postgresql_where=datasets.c.owner.isnot(None),
)

submissions = sa.Table(
    "submissions",
    metadata,
    sa.Column("submission_id", sa.Uuid, primary_key=True),
    sa.Column("galaxy_url", sa.Text, nullable=False),
    sa.Column("galaxy_user", sa.Text, nullable=False),
    sa.Column("dataset_id", sa.Text, nullable=False),
    sa.Column("workflow_name", sa.Text, nullable=False),
    # Not jsonb, which spells 1e16 in another way: a repeated request is recognized
    # by its spelling.
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
    sa.Column("problem", JSON(none_as_null=True)),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("updated_at", Time, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("opened_at", Time, nullable=False, server_default=sa.func.now()),
    sa.Column("look_at", Time),
    sa.Column("dataset_input", sa.Text),
    sa.Column("use_cached_job", sa.Boolean),
    sa.Column("workflow_id", sa.Text),
    sa.Column("pinned_version", sa.BigInteger),
    sa.Column("workflow_version", sa.BigInteger),
    sa.Column("version_note", sa.Text),
    sa.Column("inputs", JSON(none_as_null=True)),
    sa.Column("owner", sa.Text),
    sa.Column("private", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("labels", JSON(none_as_null=True)),  # NULL: none
    sa.Column("batch_id", sa.Uuid),
    sa.Column("position", sa.BigInteger),  # in its batch
    sa.Column("attempts", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    _one_of("state", SubmissionState),
    sa.CheckConstraint(
        "(state = 'accepted') = (invocation_id IS NOT NULL)", name="invocation_id"
    ),
)
sa.Index(
    "ix_submissions_due",
    submissions.c.galaxy_url,
    submissions.c.galaxy_user,
    submissions.c.look_at,
    postgresql_where=submissions.c.look_at.isnot(None),
)
sa.Index(
    "ix_submissions_key",
    submissions.c.key_caller,
    submissions.c.key,
    submissions.c.opened_at,
    postgresql_where=submissions.c.key.isnot(None),
)
sa.Index(
    "ix_submissions_by_batch",
    submissions.c.batch_id,
    submissions.c.state,
    submissions.c.position,
    postgresql_where=submissions.c.batch_id.isnot(None),
)
sa.Index(
    "ix_submissions_rejected",
    submissions.c.galaxy_url,
    submissions.c.galaxy_user,
    submissions.c.updated_at,
    postgresql_where=sa.text("state = 'rejected' AND look_at IS NULL"),
)
sa.Index(
    "ix_submissions_items_open",
    submissions.c.galaxy_url,
    submissions.c.galaxy_user,
    submissions.c.state,
    postgresql_where=sa.text(
        "batch_id IS NOT NULL AND state IN ('waiting', 'submitting', 'unknown')"
    ),
)
# The lock taken in `open` ensures this already; the index makes it certain.
sa.Index(
    "uq_submissions_open_key",
    submissions.c.key_caller,
    submissions.c.key,
    unique=True,
    postgresql_where=sa.text("key IS NOT NULL AND state IN ('submitting', 'unknown')"),
)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("batch_id", sa.Uuid, primary_key=True),
    sa.Column("galaxy_url", sa.Text, nullable=False),
    sa.Column("galaxy_user", sa.Text, nullable=False),
    sa.Column("workflow_name", sa.Text, nullable=False),
    sa.Column("parameters", JSON, nullable=False),
    sa.Column("overwrite", sa.Boolean, nullable=False),
    sa.Column("labels", JSONB, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("key_caller", sa.Text),
    sa.Column("key", sa.Text),
    sa.Column("key_lifetime", sa.Interval, nullable=False),
    sa.Column("rerun_of", sa.Uuid),
    sa.Column("owner", sa.Text),
    sa.Column("private", sa.Boolean, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("cancelled_at", Time),
    sa.Column("ended_at", Time),
    # When an item of it was last begun.
    sa.Column("turn_at", Time),
)
sa.Index(None, batches.c.created_at, batches.c.batch_id)
sa.Index(
    "ix_batches_by_owner",
    batches.c.owner,
    batches.c.created_at,
    batches.c.batch_id,
    postgresql_where=batches.c.owner.isnot(None),
)
sa.Index(
    "ix_batches_key",
    batches.c.key_caller,
    batches.c.key,
    batches.c.created_at,
    postgresql_where=batches.c.key.isnot(None),
)
sa.Index(
    "ix_batches_open",
    batches.c.galaxy_url,
    batches.c.galaxy_user,
    batches.c.turn_at,
    postgresql_where=batches.c.ended_at.is_(None),
)

invocations = sa.Table(
    "workflow_invocations",
    metadata,
    sa.Column("invocation_id", sa.Text, primary_key=True),
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
    sa.Column("failure", JSONB(none_as_null=True)),
    sa.Column("attention", sa.Text),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("updated_at", Time, nullable=False),
    sa.Column("observed_at", Time, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("history_dealt_with_at", Time),
    sa.Column("dataset_input", sa.Text),
    sa.Column("use_cached_job", sa.Boolean),
    # NULL: as invocation_id; empty: Galaxy has given its id to a later run.
    sa.Column("galaxy_id", sa.Text),
    sa.Column("workflow_id", sa.Text),
    sa.Column("workflow_version", sa.BigInteger),
    sa.Column("version_note", sa.Text),
    sa.Column("inputs", JSON(none_as_null=True)),
    # A trigger takes them from the submission where the program of the version before
    # stores a run.
    sa.Column("owner", sa.Text),
    sa.Column("private", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("adopted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("labels", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("batch_id", sa.Uuid),  # a trigger takes it from the submission
    sa.Column("results_deleted_at", Time),
    sa.Column("intermediates_deleted_at", Time),
    _one_of("state", InvocationState),
    sa.UniqueConstraint("submission_id"),
    # Changes that keep the state touch no index, if their page has room.
    postgresql_with={"fillfactor": "85"},
)
# Each list by its own index, the state always within: a rare state among
# millions of rows is found as fast as a common one.
sa.Index(None, invocations.c.created_at, invocations.c.invocation_id)
for _prefix in (("state",), ("dataset_id", "state"), ("workflow_name", "state")):
    sa.Index(
        f"ix_workflow_invocations_by_{'_'.join(_prefix)}",
        *(invocations.c[name] for name in _prefix),
        invocations.c.created_at,
        invocations.c.invocation_id,
    )
sa.Index(
    "ix_workflow_invocations_by_both",
    invocations.c.dataset_id,
    invocations.c.workflow_name,
    invocations.c.state,
    invocations.c.created_at,
    invocations.c.invocation_id,
)
for _columns in (("owner",), ("owner", "state"), ("owner", "workflow_name", "state")):
    sa.Index(
        f"ix_workflow_invocations_by_{'_'.join(_columns)}",
        *(invocations.c[name] for name in _columns),
        invocations.c.created_at,
        invocations.c.invocation_id,
        postgresql_where=invocations.c.owner.isnot(None),
    )
# For lists by a label; triggers copy what it has from the invocations.
labels = sa.Table(
    "invocation_labels",
    metadata,
    sa.Column(
        "invocation_id",
        sa.Text,
        sa.ForeignKey(
            invocations.c.invocation_id, onupdate="CASCADE", ondelete="CASCADE"
        ),
        primary_key=True,
    ),
    sa.Column("label", sa.Text, primary_key=True),  # key:value
    sa.Column("owner", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
)
sa.Index(
    "ix_invocation_labels_by_label",
    labels.c.label,
    labels.c.state,
    labels.c.created_at,
    labels.c.invocation_id,
)
sa.Index(
    "ix_invocation_labels_by_owner",
    labels.c.owner,
    labels.c.label,
    labels.c.state,
    labels.c.created_at,
    labels.c.invocation_id,
    postgresql_where=labels.c.owner.isnot(None),
)
sa.Index(
    "ix_workflow_invocations_by_batch",
    invocations.c.batch_id,
    invocations.c.state,
    invocations.c.created_at,
    invocations.c.invocation_id,
    postgresql_where=invocations.c.batch_id.isnot(None),
)
sa.Index(
    "ix_workflow_invocations_superseded",
    invocations.c.galaxy_url,
    invocations.c.galaxy_user,
    invocations.c.created_at,
    postgresql_where=sa.text(
        "superseded_by IS NOT NULL AND history_dealt_with_at IS NULL"
    ),
)
for _name in ("results", "intermediates"):
    sa.Index(
        f"ix_workflow_invocations_{_name}_kept",
        *(invocations.c[name] for name in ("galaxy_url", "galaxy_user", "state")),
        invocations.c.created_at,
        postgresql_where=sa.text(
            "results_deleted_at IS NULL"
            if _name == "results"
            else "results_deleted_at IS NULL AND intermediates_deleted_at IS NULL"
            " AND state = 'completed'"
        ),
    )

# Leases and pauses of deletions in Galaxy. What is begun is ended, whatever is kept.
deletions = sa.Table(
    "deletions",
    metadata,
    sa.Column(
        "invocation_id",
        sa.Text,
        # An invocation may get another key.
        sa.ForeignKey(
            invocations.c.invocation_id, ondelete="CASCADE", onupdate="CASCADE"
        ),
        primary_key=True,
    ),
    sa.Column("look_at", Time, nullable=False),
    sa.Column("begun", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("failures", sa.BigInteger, nullable=False, server_default=sa.text("0")),
)
sa.Index("ix_deletions_begun", deletions.c.look_at, postgresql_where=sa.text("begun"))

# Changed labels whose tags are due in Galaxy; a trigger adds them.
tag_changes = sa.Table(
    "tag_changes",
    metadata,
    sa.Column(
        "invocation_id",
        sa.Text,
        sa.ForeignKey(
            invocations.c.invocation_id, ondelete="CASCADE", onupdate="CASCADE"
        ),
        primary_key=True,
    ),
    sa.Column("galaxy_url", sa.Text, nullable=False),
    sa.Column("galaxy_user", sa.Text, nullable=False),
    sa.Column("former", ARRAY(sa.Text), nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False, server_default=sa.text("1")),
    sa.Column("look_at", Time, nullable=False, server_default=sa.func.now()),
)
sa.Index(
    "ix_tag_changes_due",
    tag_changes.c.galaxy_url,
    tag_changes.c.galaxy_user,
    tag_changes.c.look_at,
)

active = sa.Table(
    "active_invocations",
    metadata,
    sa.Column(
        "invocation_id",
        sa.Text,
        # Deferred where an invocation gets another key: its row first.
        sa.ForeignKey(invocations.c.invocation_id, ondelete="CASCADE", deferrable=True),
        primary_key=True,
    ),
    sa.Column("galaxy_url", sa.Text, nullable=False),
    sa.Column("galaxy_user", sa.Text, nullable=False),
    sa.Column("draws", ARRAY(sa.Text), nullable=False),
    sa.Column("accepted_at", Time, nullable=False, server_default=sa.func.now()),
    sa.Column("next_poll_at", Time, nullable=False, server_default=sa.func.now()),
    sa.Column("woken", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("lease_no", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("lease_until", Time),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("summary", sa.Text),
    sa.Column("last_change_at", Time, nullable=False, server_default=sa.func.now()),
    sa.Column("last_full_look_at", Time, nullable=False, server_default=sa.func.now()),
    sa.Column("observed_at", Time, nullable=False),
    sa.Column("missing_since", Time),
    sa.Column("misses", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("failures", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    # The default is for rows of the version before: what three of the longest
    # intervals and `stale_after` come to, by default.
    sa.Column(
        "stale_at", Time, server_default=sa.text("now() + interval '17 minutes'")
    ),
    sa.Column("galaxy_id", sa.Text),  # NULL: as invocation_id
    postgresql_with={"fillfactor": "60", "autovacuum_vacuum_scale_factor": "0.05"},
)
sa.Index(
    "ix_active_invocations_due",
    active.c.galaxy_url,
    active.c.galaxy_user,
    active.c.next_poll_at,
)
sa.Index(
    "ix_active_invocations_drawing",
    active.c.galaxy_url,
    active.c.galaxy_user,
    postgresql_where=sa.text("draws <> '{}'"),
)

transitions = sa.Table(
    "invocation_transitions",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column(
        "invocation_id",
        sa.Text,
        sa.ForeignKey(invocations.c.invocation_id, deferrable=True),
        nullable=False,
    ),
    sa.Column("from_state", sa.Text),
    sa.Column("to_state", sa.Text, nullable=False),
    sa.Column("at", Time, nullable=False),
    sa.Column("galaxy_state", sa.Text, nullable=False),
    sa.Column("progress", JSONB, nullable=False),
    sa.Column("failure", JSONB(none_as_null=True)),
    sa.Column("blocked", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("owner", sa.Text),  # a trigger takes it from the invocation
    _one_of("from_state", InvocationState),
    _one_of("to_state", InvocationState),
)
sa.Index(None, transitions.c.invocation_id, transitions.c.id)
sa.Index(
    "ix_invocation_transitions_by_owner",
    transitions.c.owner,
    transitions.c.id,
    postgresql_where=transitions.c.owner.isnot(None),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("token_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("expires_at", Time),
    sa.Column("revoked_at", Time),
    # With the scope `submit`, which the program of the version before knows.
    sa.Column("admin", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("sees_all", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.CheckConstraint("scope IN ('read', 'submit')", name="scope"),
)
sa.Index(
    "uq_tokens_name",
    tokens.c.name,
    unique=True,
    postgresql_where=tokens.c.revoked_at.is_(None),
)

# Of users whom an identity provider has authenticated.
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("sees", sa.Text, nullable=False),
    sa.Column("expires_at", Time, nullable=False),
    sa.CheckConstraint("scope IN ('read', 'submit', 'admin')", name="scope"),
    sa.CheckConstraint("sees IN ('own', 'all')", name="sees"),
)

# The key that addresses are signed with, where none is configured.
signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("single", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("secret", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("single", name="single"),
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("upload_id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("ext", sa.Text, nullable=False),
    sa.Column("dataset_id", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text),
    sa.Column("key_caller", sa.Text),
    sa.Column("key", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("ref", sa.Text),
    sa.Column("stored", sa.Boolean, nullable=False),
    sa.Column("problem", JSON(none_as_null=True)),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("expires_at", Time, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    # When a sweep deals with it; NULL: there is nothing left to do.
    sa.Column("look_at", Time),
    _one_of("state", UploadState),
)
sa.Index(
    "ix_uploads_due",
    uploads.c.look_at,
    postgresql_where=uploads.c.look_at.isnot(None),
)
sa.Index(
    "ix_uploads_unfinished",
    uploads.c.owner,
    uploads.c.created_at,
    uploads.c.upload_id,
    postgresql_where=sa.text("state IN ('open', 'verifying')"),
)
sa.Index(
    "uq_uploads_key",
    uploads.c.key_caller,
    uploads.c.key,
    unique=True,
    postgresql_where=sa.text(
        "key IS NOT NULL AND state IN ('open', 'verifying', 'complete')"
    ),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("webhook_id", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("events", JSONB, nullable=False),
    sa.Column("labels", JSONB, nullable=False),
    sa.Column("workflow_names", JSONB, nullable=False),
    # As they are, for they sign.
    sa.Column("secrets", JSONB, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("private", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("removed_at", Time),
    sa.Column("failures", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("rests_until", Time, nullable=False, server_default=sa.func.now()),
    sa.Column("delivered", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("dead", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    _one_of("state", WebhookState),
)

deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("webhook_id", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("subject", sa.Text),
    sa.Column("data", JSON, nullable=False),
    sa.Column("at", Time, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("attempts", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("next_attempt_at", Time, server_default=sa.func.now()),
    sa.Column("retried_since", Time, nullable=False, server_default=sa.func.now()),
    sa.Column("ended_at", Time),
    sa.Column("status", sa.BigInteger),
    sa.Column("problem", sa.Text),
    _one_of("state", DeliveryState),
)
sa.Index(None, deliveries.c.webhook_id, deliveries.c.number)
for _name, _keys in (
    ("due", ("webhook_id", "next_attempt_at")),
    ("order", ("webhook_id", "subject", "number")),
):
    sa.Index(
        f"ix_webhook_deliveries_{_name}",
        *(deliveries.c[key] for key in _keys),
        postgresql_where=sa.text("state = 'pending'"),
    )
sa.Index(
    "ix_webhook_deliveries_ended",
    deliveries.c.ended_at,
    postgresql_where=sa.text("state <> 'pending'"),
)

# Triggers forbid to change or remove rows, but for old ones.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", Time, nullable=False, server_default=sa.func.now()),
    sa.Column("owner", sa.Text),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("object_kind", sa.Text, nullable=False),
    sa.Column("object_id", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text),
)
sa.Index(None, audit.c.at)
sa.Index(None, audit.c.owner, audit.c.id)

sweep_totals = sa.Table(
    "sweep_totals",
    metadata,
    sa.Column("galaxy_url", sa.Text, primary_key=True),
    sa.Column("galaxy_user", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("total", sa.Double, nullable=False),
)

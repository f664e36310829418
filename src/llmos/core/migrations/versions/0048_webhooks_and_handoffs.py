"""Webhooks with their outbox, and handoffs of applications."""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def _time(name: str, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("allow_private", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        _time("old_secret_expires_at", nullable=True),
        _time("created_at"),
        sa.PrimaryKeyConstraint("number", name="pk_webhooks"),
        sa.UniqueConstraint("id", name="uq_webhooks_id"),
        sa.UniqueConstraint("project", "name", name="uq_webhooks_project_name"),
    )
    op.create_table(
        "webhook_messages",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("webhook_id", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("key", sa.String(160), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("num_attempts", sa.Integer(), nullable=False),
        _time("next_attempt_at"),
        _time("created_at"),
        _time("ended_at", nullable=True),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("number", name="pk_webhook_messages"),
        sa.UniqueConstraint("id", name="uq_webhook_messages_id"),
        sa.UniqueConstraint("webhook_id", "key", name="uq_webhook_messages_webhook_id_key"),
    )
    op.create_index("ix_webhook_messages_state_next_attempt_at", "webhook_messages", ["state", "next_attempt_at"])
    op.create_index("ix_webhook_messages_expires_at", "webhook_messages", ["expires_at"])
    op.create_table(
        "webhook_attempts",
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        _time("at"),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "number", name="pk_webhook_attempts"),
    )
    op.create_table(
        "app_handoffs",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("key", sa.String(160), nullable=False),
        sa.Column("run_id", sa.String(64)),
        sa.Column("session_id", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("taken_by", sa.String(128)),
        sa.Column("ended_by", sa.String(128)),
        sa.Column("turn", sa.Integer()),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("end", sa.LargeBinary()),
        _time("created_at"),
        _time("updated_at"),
        _time("ended_at", nullable=True),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("number", name="pk_app_handoffs"),
        sa.UniqueConstraint("id", name="uq_app_handoffs_id"),
        sa.UniqueConstraint("project", "key", name="uq_app_handoffs_project_key"),
    )
    op.create_index("ix_app_handoffs_project_state", "app_handoffs", ["project", "state"])
    op.create_index("ix_app_handoffs_expires_at", "app_handoffs", ["expires_at"])


def downgrade() -> None:
    for table in ("app_handoffs", "webhook_attempts", "webhook_messages", "webhooks"):
        op.drop_table(table)

"""Exporters of the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "exporters",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(16), nullable=False),
        sa.Column("event_type", sa.String(128), nullable=False),
        sa.Column("source", sa.String(256), nullable=False),
        sa.Column("allow_private", sa.Boolean(), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary()),
        sa.Column("is_paused", sa.Boolean(), nullable=False),
        sa.Column("sent_through", big, nullable=False),
        sa.Column("num_delivered", big, nullable=False),
        sa.Column("num_failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("next_attempt_at", moment, nullable=False),
        sa.Column("delivered_at", moment),
        sa.Column("lease", sa.String(64), nullable=False),
        sa.Column("leased_until", moment),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_exporters"),
        sa.UniqueConstraint("name", name="uq_exporters_name"),
    )
    op.create_table(
        "exporter_refused",
        sa.Column("exporter_id", sa.String(64), nullable=False),
        sa.Column("number", big, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("refused_at", moment, nullable=False),
        sa.Column("is_waiting", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("exporter_id", "number", name="pk_exporter_refused"),
    )
    op.create_index("ix_exporter_refused_exporter_id_is_waiting", "exporter_refused", ["exporter_id", "is_waiting"])


def downgrade() -> None:
    op.drop_table("exporter_refused")
    op.drop_table("exporters")

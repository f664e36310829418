"""Limits of keys and projects, and how much of them is used."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("projects", "api_keys"):
        op.add_column(table, sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"))
    op.create_table(
        "limit_buckets",
        sa.Column("scope", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("full_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "kind", name="pk_limit_buckets"),
    )
    op.create_table(
        "limit_running",
        sa.Column("scope", sa.String(128), nullable=False),
        sa.Column("server_id", sa.String(64), nullable=False),
        sa.Column("num_running", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "server_id", name="pk_limit_running"),
    )


def downgrade() -> None:
    op.drop_table("limit_running")
    op.drop_table("limit_buckets")
    for table in ("api_keys", "projects"):
        op.drop_column(table, "limits")

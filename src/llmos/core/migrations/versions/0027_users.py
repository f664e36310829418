"""Users, their sessions, and failed sign-ins."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "users",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("issuer", sa.String(512), nullable=True),
        sa.Column("subject", sa.String(255), nullable=True),
        sa.Column("created_at", time, nullable=False),
        sa.Column("created_by", sa.String(128), nullable=True),
        sa.Column("disabled_at", time, nullable=True),
        sa.Column("disabled_by", sa.String(128), nullable=True),
        sa.Column("removed_at", time, nullable=True),
        sa.Column("removed_by", sa.String(128), nullable=True),
        sa.Column("signed_in_at", time, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sa.UniqueConstraint("issuer", "subject", name="uq_users_issuer_subject"),
    )
    op.create_index("ix_users_project", "users", ["project"])
    op.create_table(
        "user_sessions",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("seen_at", time, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_user_sessions"),
    )
    op.create_index("ix_user_sessions_user", "user_sessions", ["user"])
    op.create_index("ix_user_sessions_expires_at", "user_sessions", ["expires_at"])
    op.create_table(
        "sign_in_failures",
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("full_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pk_sign_in_failures"),
    )


def downgrade() -> None:
    op.drop_table("sign_in_failures")
    op.drop_table("user_sessions")
    op.drop_table("users")

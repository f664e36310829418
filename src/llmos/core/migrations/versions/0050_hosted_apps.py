"""Deployed applications, and the keys of their processes."""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "app_deployments",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("is_stopped", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(128)),
        sa.PrimaryKeyConstraint("number", name="pk_app_deployments"),
        sa.UniqueConstraint("project", "app", name="uq_app_deployments_project_app"),
    )
    op.add_column("api_keys", sa.Column("permissions", sa.JSON()))
    op.add_column("api_keys", sa.Column("app", sa.String(64)))


def downgrade() -> None:
    op.drop_column("api_keys", "app")
    op.drop_column("api_keys", "permissions")
    op.drop_table("app_deployments")

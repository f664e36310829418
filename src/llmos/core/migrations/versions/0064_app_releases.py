"""Releases of applications, and the version that takes over beside the deployed one."""

import sqlalchemy as sa
from alembic import op

revision = "0064"
down_revision = "0063"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "app_releases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("environment", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("before", sa.Integer(), nullable=True),
        sa.Column("restores", sa.Integer(), nullable=True),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("gate", sa.Text(), nullable=False),
        sa.Column("min_calls", sa.Integer(), nullable=False),
        sa.Column("max_hold_seconds", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("step_began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("baseline", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("begun_by", sa.String(256), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_app_releases"),
        sa.UniqueConstraint("project", "app", "number", name="uq_app_releases_project_app_number"),
    )
    op.create_index("ix_app_releases_state", "app_releases", ["state"])
    op.create_table(
        "app_release_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(256), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release"], ["app_releases.id"], name="fk_app_release_events_release_app_releases", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_app_release_events"),
    )
    op.create_index("ix_app_release_events_release", "app_release_events", ["release"])
    with op.batch_alter_table("app_deployments") as table:
        table.add_column(sa.Column("candidate", sa.Integer(), nullable=True))
        table.add_column(sa.Column("candidate_percent", sa.Double(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("app_deployments") as table:
        table.drop_column("candidate_percent")
        table.drop_column("candidate")
    op.drop_table("app_release_events")
    op.drop_table("app_releases")

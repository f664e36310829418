"""Retention of projects, the persons whose data objects have, and erasures."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "object_subjects",
        sa.Column("object_id", sa.String(128), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "subject", name="pk_object_subjects"),
    )
    op.create_index("ix_object_subjects_project_subject", "object_subjects", ["project", "subject"])
    op.create_table(
        "retentions",
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("retention", sa.String(16), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=True),
        sa.PrimaryKeyConstraint("project", name="pk_retentions"),
    )
    op.create_table(
        "erasures",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_erasures"),
    )
    op.create_table(
        "erased_contents",
        sa.Column("hmac", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("erasure_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("hmac", name="pk_erased_contents"),
    )


def downgrade() -> None:
    for table in ("erased_contents", "erasures", "retentions", "object_subjects"):
        op.drop_table(table)

"""Actors of alias moves; tags and descriptions with their history; policies; signatures."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alias_moves", sa.Column("moved_by", sa.String(128), nullable=True))
    op.create_table(
        "label_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_label_changes"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_label_changes_model_models"),
    )
    op.create_index("ix_label_changes_model_number_key", "label_changes", ["model", "number", "key"])
    op.create_table(
        "policies",
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.String(128), nullable=True),
        sa.PrimaryKeyConstraint("project", "name", name="pk_policies"),
    )
    op.create_table(
        "signatures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version_digest", sa.String(71), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_signatures"),
        sa.UniqueConstraint("version_digest", "digest", name="uq_signatures_version_digest_digest"),
    )


def downgrade() -> None:
    for table in ("signatures", "policies", "label_changes"):
        op.drop_table(table)
    op.drop_column("alias_moves", "moved_by")

"""Datasets: names, versions, segments, aliases and labels."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("key", sa.String(129), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_datasets"),
    )
    op.create_index("ix_datasets_project", "datasets", ["project"])
    op.create_table(
        "dataset_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.String(129), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("num_rows", sa.BigInteger(), nullable=False),
        sa.Column("content_bytes", sa.BigInteger(), nullable=False),
        sa.Column("rows_digest", sa.String(71), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("license", sa.String(128)),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("recipe", sa.JSON()),
        sa.Column("report", sa.JSON()),
        sa.Column("made_by", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name="pk_dataset_versions"),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.key"], name="fk_dataset_versions_dataset_datasets"),
        sa.UniqueConstraint("dataset", "number", name="uq_dataset_versions_dataset_number"),
        sa.UniqueConstraint("dataset", "digest", name="uq_dataset_versions_dataset_digest"),
    )
    op.create_table(
        "dataset_segments",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("blob", sa.String(71), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("rows_digest", sa.String(71), nullable=False),
        sa.Column("num_rows", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "position", name="pk_dataset_segments"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_versions.id"], name="fk_dataset_segments_version_id_dataset_versions"
        ),
    )
    op.create_index("ix_dataset_segments_blob", "dataset_segments", ["blob"])
    op.create_index("ix_dataset_segments_rows_digest", "dataset_segments", ["rows_digest"])
    op.create_table(
        "dataset_alias_moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.String(129), nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer()),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("moved_by", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name="pk_dataset_alias_moves"),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.key"], name="fk_dataset_alias_moves_dataset_datasets"),
    )
    op.create_index("ix_dataset_alias_moves_dataset_alias", "dataset_alias_moves", ["dataset", "alias"])
    op.create_table(
        "dataset_label_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.String(129), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name="pk_dataset_label_changes"),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.key"], name="fk_dataset_label_changes_dataset_datasets"),
    )
    op.create_index(
        "ix_dataset_label_changes_dataset_number_key", "dataset_label_changes", ["dataset", "number", "key"]
    )


def downgrade() -> None:
    for table in ("dataset_label_changes", "dataset_alias_moves", "dataset_segments", "dataset_versions", "datasets"):
        op.drop_table(table)

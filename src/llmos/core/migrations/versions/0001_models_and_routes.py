"""Models with their versions, files and aliases; routes, with `dialogue` pointing at the default model."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("license", sa.String(128), nullable=True),
        sa.Column("format", sa.String(32), nullable=False),
        sa.Column("family", sa.String(64), nullable=False),
        sa.Column("quantization", sa.String(64), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("context_length", sa.Integer(), nullable=True),
        sa.Column("sampling", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_versions_model_models"),
        sa.UniqueConstraint("model", "number", name="uq_versions_model_number"),
        sa.UniqueConstraint("model", "digest", name="uq_versions_model_digest"),
    )
    op.create_table(
        "version_files",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "name", name="pk_version_files"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_version_files_version_id_versions"),
    )
    op.create_index("ix_version_files_digest", "version_files", ["digest"])
    op.create_table(
        "alias_moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alias_moves"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_alias_moves_model_models"),
    )
    op.create_index("ix_alias_moves_model_alias", "alias_moves", ["model", "alias"])
    routes = op.create_table(
        "routes",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("target", sa.String(256), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_routes"),
    )
    # The owner may point it elsewhere or remove it; a migration runs once, so it does not come back.
    op.bulk_insert(routes, [{"name": "dialogue", "target": "smollm2", "updated_at": datetime.now(UTC)}])


def downgrade() -> None:
    for table in ("routes", "alias_moves", "version_files", "versions", "models"):
        op.drop_table(table)

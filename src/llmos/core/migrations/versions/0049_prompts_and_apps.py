"""Prompts and applications: names, versions, files, aliases and labels."""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_names("prompts")
    _create_versions(
        "prompt",
        sa.Column("blob", sa.String(71), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("num_characters", sa.Integer(), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(192), nullable=False),
    )
    op.create_index("ix_prompt_versions_blob", "prompt_versions", ["blob"])
    _create_changes("prompt")
    _create_names("apps")
    _create_versions(
        "app",
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("permissions", sa.JSON(), nullable=False),
        sa.Column("prompts", sa.JSON(), nullable=False),
        sa.Column("manifest_blob", sa.String(71), nullable=False),
        sa.Column("manifest_size", sa.Integer(), nullable=False),
    )
    op.create_index("ix_app_versions_manifest_blob", "app_versions", ["manifest_blob"])
    op.create_table(
        "app_files",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("blob", sa.String(71), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "position", name="pk_app_files"),
        sa.UniqueConstraint("version_id", "name", name="uq_app_files_version_id_name"),
        sa.ForeignKeyConstraint(["version_id"], ["app_versions.id"], name="fk_app_files_version_id_app_versions"),
    )
    op.create_index("ix_app_files_blob", "app_files", ["blob"])
    _create_changes("app")


def _create_names(table: str) -> None:
    op.create_table(
        table,
        sa.Column("key", sa.String(129), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_project", table, ["project"])


def _create_versions(noun: str, *columns: "sa.Column[object]") -> None:
    table = f"{noun}_versions"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(noun, sa.String(129), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.Column("made_by", sa.String(128)),
        *columns,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint([noun], [f"{noun}s.key"], name=f"fk_{table}_{noun}_{noun}s"),
        sa.UniqueConstraint(noun, "number", name=f"uq_{table}_{noun}_number"),
        sa.UniqueConstraint(noun, "digest", name=f"uq_{table}_{noun}_digest"),
    )


def _create_changes(noun: str) -> None:
    table = f"{noun}_alias_moves"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(noun, sa.String(129), nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer()),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("moved_by", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint([noun], [f"{noun}s.key"], name=f"fk_{table}_{noun}_{noun}s"),
    )
    op.create_index(f"ix_{table}_{noun}_alias", table, [noun, "alias"])
    table = f"{noun}_label_changes"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(noun, sa.String(129), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint([noun], [f"{noun}s.key"], name=f"fk_{table}_{noun}_{noun}s"),
    )
    op.create_index(f"ix_{table}_{noun}_number_key", table, [noun, "number", "key"])


def downgrade() -> None:
    for table in ("app_label_changes", "app_alias_moves", "app_files", "app_versions", "apps"):
        op.drop_table(table)
    for table in ("prompt_label_changes", "prompt_alias_moves", "prompt_versions", "prompts"):
        op.drop_table(table)

"""Knowledge: names, versions, documents, files of indexes, aliases and labels."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "knowledge",
        sa.Column("key", sa.String(129), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_knowledge"),
    )
    op.create_index("ix_knowledge_project", "knowledge", ["project"])
    op.create_table(
        "knowledge_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("knowledge", sa.String(129), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.Column("made_by", sa.String(128)),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("embedding", sa.String(128), nullable=False),
        sa.Column("embedding_digest", sa.String(71), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("num_documents", sa.Integer(), nullable=False),
        sa.Column("num_chunks", sa.Integer(), nullable=False),
        sa.Column("entry_bytes", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name="pk_knowledge_versions"),
        sa.ForeignKeyConstraint(["knowledge"], ["knowledge.key"], name="fk_knowledge_versions_knowledge_knowledge"),
        sa.UniqueConstraint("knowledge", "number", name="uq_knowledge_versions_knowledge_number"),
    )
    op.create_table(
        "knowledge_documents",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("parser", sa.Integer(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("subject", sa.String(64)),
        sa.Column("entry_key", sa.String(64), nullable=False),
        sa.Column("entry", sa.String(71), nullable=False),
        sa.Column("entry_bytes", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("num_chunks", sa.Integer(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "position", name="pk_knowledge_documents"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["knowledge_versions.id"], name="fk_knowledge_documents_version_id_knowledge_versions"
        ),
        sa.UniqueConstraint("version_id", "name", name="uq_knowledge_documents_version_id_name"),
    )
    op.create_index("ix_knowledge_documents_digest", "knowledge_documents", ["digest"])
    op.create_index("ix_knowledge_documents_entry", "knowledge_documents", ["entry"])
    op.create_index("ix_knowledge_documents_entry_key", "knowledge_documents", ["entry_key"])
    op.create_index("ix_knowledge_documents_subject", "knowledge_documents", ["subject"])
    op.create_table(
        "knowledge_pending_entries",
        sa.Column("knowledge", sa.String(129), nullable=False),
        sa.Column("entry_key", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry", sa.String(71), nullable=False),
        sa.Column("entry_bytes", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("num_chunks", sa.Integer(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("kept", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("knowledge", "entry_key", name="pk_knowledge_pending_entries"),
    )
    op.create_table(
        "knowledge_index_files",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("blob", sa.String(71), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "position", name="pk_knowledge_index_files"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["knowledge_versions.id"], name="fk_knowledge_index_files_version_id_knowledge_versions"
        ),
    )
    op.create_index("ix_knowledge_index_files_blob", "knowledge_index_files", ["blob"])
    op.create_table(
        "knowledge_alias_moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("knowledge", sa.String(129), nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer()),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("moved_by", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name="pk_knowledge_alias_moves"),
        sa.ForeignKeyConstraint(["knowledge"], ["knowledge.key"], name="fk_knowledge_alias_moves_knowledge_knowledge"),
    )
    op.create_index("ix_knowledge_alias_moves_knowledge_alias", "knowledge_alias_moves", ["knowledge", "alias"])
    op.create_table(
        "knowledge_label_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("knowledge", sa.String(129), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name="pk_knowledge_label_changes"),
        sa.ForeignKeyConstraint(
            ["knowledge"], ["knowledge.key"], name="fk_knowledge_label_changes_knowledge_knowledge"
        ),
    )
    op.create_index(
        "ix_knowledge_label_changes_knowledge_number_key", "knowledge_label_changes", ["knowledge", "number", "key"]
    )


def downgrade() -> None:
    for table in ("label_changes", "alias_moves", "index_files", "pending_entries", "documents", "versions"):
        op.drop_table(f"knowledge_{table}")
    op.drop_table("knowledge")

"""Vector stores, their files and their batches of files."""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vector_stores",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("max_tokens", sa.Integer()),
        sa.Column("overlap_tokens", sa.Integer()),
        sa.Column("expires_after_days", sa.Integer()),
        sa.Column("last_active_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_vector_stores"),
        sa.UniqueConstraint("id", name="uq_vector_stores_id"),
    )
    op.create_index("ix_vector_stores_project", "vector_stores", ["project"])
    op.create_table(
        "vector_store_batches",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("store", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_vector_store_batches"),
        sa.ForeignKeyConstraint(
            ["store"], ["vector_stores.number"], name="fk_vector_store_batches_store_vector_stores"
        ),
        sa.UniqueConstraint("id", name="uq_vector_store_batches_id"),
    )
    op.create_index("ix_vector_store_batches_store", "vector_store_batches", ["store"])
    op.create_table(
        "vector_store_files",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("store", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("document", sa.String(512), nullable=False),
        sa.Column("batch", sa.Integer()),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("is_searchable", sa.Boolean(), nullable=False),
        sa.Column("error_code", sa.String(32)),
        sa.Column("error_message", sa.Text()),
        sa.Column("usage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("job", sa.String(64)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_vector_store_files"),
        sa.ForeignKeyConstraint(["store"], ["vector_stores.number"], name="fk_vector_store_files_store_vector_stores"),
        sa.ForeignKeyConstraint(
            ["batch"], ["vector_store_batches.number"], name="fk_vector_store_files_batch_vector_store_batches"
        ),
        sa.UniqueConstraint("store", "file", name="uq_vector_store_files_store_file"),
    )
    op.create_index("ix_vector_store_files_file", "vector_store_files", ["file"])
    op.create_index("ix_vector_store_files_batch", "vector_store_files", ["batch"])


def downgrade() -> None:
    for table in ("files", "batches"):
        op.drop_table(f"vector_store_{table}")
    op.drop_table("vector_stores")

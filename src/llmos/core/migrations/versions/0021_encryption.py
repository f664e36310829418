"""The data keys of encrypted objects, and encrypted responses."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "object_keys",
        sa.Column("object_id", sa.String(128), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(640), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("object_id", name="pk_object_keys"),
    )
    op.create_index("ix_object_keys_key_id", "object_keys", ["key_id"])
    op.create_index("ix_object_keys_project", "object_keys", ["project"])
    op.add_column("responses", sa.Column("sealed", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("responses", "sealed")
    op.drop_table("object_keys")

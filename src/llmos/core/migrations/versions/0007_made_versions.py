"""Derived versions: parent, recipe and actor."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("parent", sa.String(71), nullable=True))
    op.add_column("versions", sa.Column("recipe", sa.JSON(), nullable=True))
    op.add_column("versions", sa.Column("made_by", sa.String(128), nullable=True))
    op.create_index("ix_versions_digest", "versions", ["digest"])


def downgrade() -> None:
    op.drop_index("ix_versions_digest", "versions")
    for column in ("made_by", "recipe", "parent"):
        op.drop_column("versions", column)

"""Versions that are adapters of another version of their model."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("adapts", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("versions", "adapts")

"""Budgets that owners of projects set for their own keys."""

import sqlalchemy as sa
from alembic import op

revision = "0070"
down_revision = "0069"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("budgets", sa.Column("managed_by", sa.String(64), server_default="", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("budgets") as table:
        table.drop_column("managed_by")

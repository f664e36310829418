"""The version of its application that began a run."""

import sqlalchemy as sa
from alembic import op

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("app_runs", sa.Column("version", sa.Integer()))


def downgrade() -> None:
    op.drop_column("app_runs", "version")

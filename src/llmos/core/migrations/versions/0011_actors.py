"""Actors of the events of deployments and rollouts; NULL for older events."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployment_events", sa.Column("actor", sa.String(256), nullable=True))
    op.add_column("rollout_events", sa.Column("actor", sa.String(256), nullable=True))


def downgrade() -> None:
    op.drop_column("rollout_events", "actor")
    op.drop_column("deployment_events", "actor")

"""Runs of evals that were made of recorded traffic, and go with it."""

import sqlalchemy as sa
from alembic import op

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("eval_runs", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.create_index("ix_eval_runs_expires_at", "eval_runs", ["expires_at"])


def downgrade() -> None:
    op.drop_index("ix_eval_runs_expires_at", "eval_runs")
    with op.batch_alter_table("eval_runs") as batch:
        batch.drop_column("expires_at")

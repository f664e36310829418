"""The project that a job belongs to, and the API key that created a batch."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Until now, there was no other project.
    op.add_column("jobs", sa.Column("project", sa.String(64), nullable=False, server_default="owner"))
    op.create_index("ix_jobs_project", "jobs", ["project"])
    op.add_column("batches", sa.Column("key_id", sa.String(64), nullable=True))


def downgrade() -> None:
    op.drop_column("batches", "key_id")
    op.drop_index("ix_jobs_project", "jobs")
    op.drop_column("jobs", "project")

"""Answers know the run of an application that gave them."""

import sqlalchemy as sa
from alembic import op

revision = "0067"
down_revision = "0066"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("answers", sa.Column("run", sa.String(64), nullable=False, server_default=""))
    condition = sa.column("run") != sa.literal_column("''")
    op.create_index(
        "ix_answers_run", "answers", ["run", "at", "number"], sqlite_where=condition, postgresql_where=condition
    )


def downgrade() -> None:
    op.drop_index("ix_answers_run", table_name="answers")
    op.drop_column("answers", "run")

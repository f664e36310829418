"""Answers are found by the version that gave them."""

from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_answers_version", "answers", ["version", "at", "number"])


def downgrade() -> None:
    op.drop_index("ix_answers_version", table_name="answers")

"""Answers are found by their tokens and by their duration."""

from alembic import op

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_answers_output_tokens", "answers", ["output_tokens"])
    op.create_index("ix_answers_total_micros", "answers", ["total_micros"])


def downgrade() -> None:
    op.drop_index("ix_answers_total_micros", table_name="answers")
    op.drop_index("ix_answers_output_tokens", table_name="answers")

"""Answers are found by the application of a project that they are of."""

import sqlalchemy as sa
from alembic import op

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_of_app = sa.text("app != ''")
    op.create_index(
        "ix_answers_app_project",
        "answers",
        ["app", "project", "at", "number"],
        sqlite_where=is_of_app,
        postgresql_where=is_of_app,
    )


def downgrade() -> None:
    op.drop_index("ix_answers_app_project", table_name="answers")

"""The last evaluation of each version of knowledge."""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "knowledge_evaluations",
        sa.Column("knowledge", sa.String(129), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.String(128)),
        sa.PrimaryKeyConstraint("knowledge", "number", name="pk_knowledge_evaluations"),
        sa.ForeignKeyConstraint(["knowledge"], ["knowledge.key"], name="fk_knowledge_evaluations_knowledge_knowledge"),
    )


def downgrade() -> None:
    op.drop_table("knowledge_evaluations")

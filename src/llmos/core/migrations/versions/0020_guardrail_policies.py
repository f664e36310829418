"""Guardrail policies, and where they apply."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "guardrail_policies",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_by", sa.String(128), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_guardrail_policies"),
        sa.UniqueConstraint("name", "version", name="uq_guardrail_policies_name_version"),
    )
    op.create_table(
        "applied_guardrail_policies",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("target", sa.String(256), nullable=False),
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_applied_guardrail_policies"),
        sa.UniqueConstraint("scope", "target", "policy", name="uq_applied_guardrail_policies_scope_target_policy"),
    )
    op.create_index("ix_applied_guardrail_policies_policy", "applied_guardrail_policies", ["policy"])


def downgrade() -> None:
    op.drop_table("applied_guardrail_policies")
    op.drop_table("guardrail_policies")

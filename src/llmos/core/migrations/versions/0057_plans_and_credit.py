"""Plans, prepaid credit and alerts. Triggers refuse to change or delete what plans and credit are made of."""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None

_FIXED = ("plans", "plan_assignments", "credit_lines")


def _number() -> "sa.Column[int]":
    return sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _text(name: str, length: int) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length), nullable=False)


def _count(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _made() -> list["sa.Column[object]"]:
    return [sa.Column("created_at", sa.DateTime(timezone=True), nullable=False), _text("created_by", 128)]  # type: ignore[list-item]


def upgrade() -> None:
    op.add_column("price_books", sa.Column("plan", sa.String(64), server_default="", nullable=False))
    op.add_column("price_books", sa.Column("plan_version", sa.Integer()))
    op.create_table(
        "plans",
        _number(),
        _text("name", 64),
        sa.Column("version", sa.Integer(), nullable=False),
        _count("valid_from"),
        sa.Column("document", sa.Text(), nullable=False),
        *_made(),
        sa.PrimaryKeyConstraint("number", name="pk_plans"),
        sa.UniqueConstraint("name", "version", name="uq_plans_name_version"),
    )
    op.create_table(
        "plan_assignments",
        _number(),
        _text("project", 64),
        sa.Column("plan", sa.String(64)),
        _count("valid_from"),
        *_made(),
        sa.PrimaryKeyConstraint("number", name="pk_plan_assignments"),
    )
    op.create_index("ix_plan_assignments_project", "plan_assignments", ["project"])
    op.create_table(
        "credit_lines",
        _number(),
        _text("id", 64),
        _text("project", 64),
        _text("key", 128),
        _text("currency", 3),
        _count("amount_nanos"),
        _count("balance_nanos"),
        _count("spent_nanos"),
        sa.Column("note", sa.Text(), nullable=False),
        _text("reversal_of", 64),
        *_made(),
        sa.PrimaryKeyConstraint("number", name="pk_credit_lines"),
        sa.UniqueConstraint("project", "key", name="uq_credit_lines_project_key"),
        sa.UniqueConstraint("id", name="uq_credit_lines_id"),
    )
    _create_alerts()
    for table in _FIXED:
        _refuse_changes(table)


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        _number(),
        _text("id", 64),
        _text("limit_id", 64),
        _text("subject", 96),
        _count("period_start"),
        sa.Column("percent", sa.Integer(), nullable=False),
        _text("kind", 16),
        _text("name", 64),
        _text("project", 64),
        sa.Column("user_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("is_for_all", sa.Boolean(), nullable=False),
        _text("unit", 16),
        _text("currency", 3),
        _count("amount"),
        _count("spent"),
        _text("per", 8),
        sa.Column("is_hard", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("number", name="pk_alerts"),
        sa.UniqueConstraint(
            "limit_id", "subject", "period_start", "percent", name="uq_alerts_limit_id_subject_period_start_percent"
        ),
        sa.UniqueConstraint("id", name="uq_alerts_id"),
    )
    waiting = sa.text("told_at IS NULL")
    op.create_index("ix_alerts_waiting", "alerts", ["number"], sqlite_where=waiting, postgresql_where=waiting)


def _refuse_changes(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION llmos_refuse_change()"
    )


def downgrade() -> None:
    for table in ("alerts", *_FIXED):
        op.drop_table(table)
    op.drop_column("price_books", "plan_version")
    op.drop_column("price_books", "plan")

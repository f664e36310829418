"""The cost of calls at providers. Triggers refuse changes of prices and calls."""

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0068"
branch_labels = None
depends_on = None

_FIXED = ("provider_prices", "provider_calls")


def _big(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _text(name: str, length: int) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length), nullable=False)


def upgrade() -> None:
    op.create_table(
        "provider_prices",
        _text("provider", 64),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        _big("valid_from"),
        _text("currency", 3),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _text("created_by", 128),
        sa.PrimaryKeyConstraint("provider", "version", name="pk_provider_prices"),
    )
    _create_calls()
    _create_sums()
    for table in _FIXED:
        _refuse_changes(table)


def _create_calls() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "provider_calls",
        sa.Column("number", number, nullable=False),
        _text("call_id", 64),
        sa.Column("line", sa.Integer(), nullable=False),
        _big("at"),
        _text("project", 64),
        _text("key_id", 128),
        sa.Column("user_number", number),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        _text("provider", 64),
        sa.Column("app", sa.Text(), nullable=False),
        _text("outcome", 16),
        sa.Column("is_charged", sa.Boolean(), nullable=False),
        sa.Column("is_estimated", sa.Boolean(), nullable=False),
        _big("input_tokens"),
        _big("cached_input_tokens"),
        _big("output_tokens"),
        sa.Column("cost_nanos", sa.BigInteger()),
        _text("currency", 3),
        sa.Column("price_version", sa.Integer()),
        sa.Column("reported_cost_nanos", sa.BigInteger()),
        _text("differences", 64),
        sa.PrimaryKeyConstraint("number", name="pk_provider_calls"),
        sa.UniqueConstraint("call_id", "line", name="uq_provider_calls_call_id_line"),
    )
    op.create_index("ix_provider_calls_at", "provider_calls", ["at"])
    op.create_index("ix_provider_calls_user_number", "provider_calls", ["user_number"])


def _create_sums() -> None:
    op.create_table(
        "provider_cost_sums",
        _text("dimension", 16),
        sa.Column("period", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        _text("project", 64),
        sa.Column("value", sa.Text(), nullable=False),
        _text("currency", 3),
        _big("num_calls"),
        _big("num_estimated"),
        _big("input_tokens"),
        _big("cached_input_tokens"),
        _big("output_tokens"),
        _big("cost_nanos"),
        _big("reported_calls"),
        _big("reported_cost_nanos"),
        _big("unreported_differences"),
        _big("input_differences"),
        _big("output_differences"),
        _big("cost_differences"),
        sa.PrimaryKeyConstraint(
            "dimension", "period", "start", "project", "value", "currency", name="pk_provider_cost_sums"
        ),
    )


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
    op.drop_table("provider_cost_sums")
    op.drop_table("provider_calls")
    op.drop_table("provider_prices")

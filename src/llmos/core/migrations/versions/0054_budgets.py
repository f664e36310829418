"""Budgets, what has been used of them and of other limits, and what running calls hold of them."""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _text(name: str, length: int) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length), nullable=False)


def _big() -> "sa.types.TypeEngine[int]":
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "limit_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        _number("revision"),
        sa.PrimaryKeyConstraint("id", name="pk_limit_revision"),
    )
    op.create_table(
        "budgets",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        _text("name", 64),
        _text("scope", 16),
        _text("project", 64),
        _text("key_id", 128),
        sa.Column("user_number", _big()),
        _text("unit", 16),
        _text("currency", 3),
        _number("amount"),
        _text("period", 8),
        sa.Column("is_hard", sa.Boolean(), nullable=False),
        sa.Column("alert_percents", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        _text("changed_by", 128),
        sa.PrimaryKeyConstraint("number", name="pk_budgets"),
        sa.UniqueConstraint("name", name="uq_budgets_name"),
    )
    op.create_table(
        "limit_counts",
        _text("limit_id", 64),
        _text("subject", 96),
        sa.Column("period_start", sa.BigInteger(), autoincrement=False, nullable=False),
        _number("spent"),
        sa.Column("alerted_percent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("limit_id", "subject", "period_start", name="pk_limit_counts"),
    )
    op.create_table(
        "limit_reservations",
        _text("call_id", 64),
        _text("limit_id", 64),
        _text("subject", 96),
        _number("period_start"),
        _number("amount"),
        sa.PrimaryKeyConstraint("call_id", "limit_id", name="pk_limit_reservations"),
    )
    op.create_index(
        "ix_limit_reservations_limit_id_subject_period_start",
        "limit_reservations",
        ["limit_id", "subject", "period_start"],
    )
    op.create_table(
        "reserved_calls",
        _text("call_id", 64),
        _text("server_id", 64),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="pk_reserved_calls"),
    )
    op.create_index("ix_reserved_calls_server_id", "reserved_calls", ["server_id"])
    op.create_table(
        "reserving_servers",
        _text("server_id", 64),
        _number("expires_at"),
        sa.PrimaryKeyConstraint("server_id", name="pk_reserving_servers"),
    )


def downgrade() -> None:
    for table in (
        "reserving_servers", "reserved_calls", "limit_reservations", "limit_counts", "budgets", "limit_revision",
    ):  # fmt: skip
        op.drop_table(table)

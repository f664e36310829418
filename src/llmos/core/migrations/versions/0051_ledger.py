"""The ledger, which can only grow (triggers refuse every other change), its users, and the sums of usage."""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

_NUMBERS = (
    "num_calls",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "embedding_tokens",
    "rated_tokens",
    "replica_micros",
)


def _number(name: str, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _key() -> "sa.Column[int]":
    return sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "ledger_entries",
        _key(),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        _number("at"),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(128), nullable=False),
        sa.Column("user_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("is_background", sa.Boolean(), nullable=False),
        *map(_number, _NUMBERS),
        _number("cost_nanos", nullable=True),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("price_version", sa.Integer()),
        sa.Column("reversal_of", sa.String(96), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_ledger_entries"),
        sa.UniqueConstraint("call_id", "line", name="uq_ledger_entries_call_id_line"),
    )
    op.create_index("ix_ledger_entries_at", "ledger_entries", ["at"])
    op.create_index("ix_ledger_entries_user_number", "ledger_entries", ["user_number"])
    op.create_table(
        "ledger_users",
        _key(),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("name", sa.Text()),
        sa.PrimaryKeyConstraint("number", name="pk_ledger_users"),
        sa.UniqueConstraint("project", "name", name="uq_ledger_users_project_name"),
    )
    op.create_table(
        "usage_sums",
        sa.Column("dimension", sa.String(16), nullable=False),
        sa.Column("period", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        *map(_number, _NUMBERS),
        _number("cost_nanos"),
        sa.PrimaryKeyConstraint("dimension", "period", "start", "project", "value", "currency", name="pk_usage_sums"),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _sqlite_triggers() if is_sqlite else _postgresql_triggers():
        op.execute(statement)


def downgrade() -> None:
    # A table takes its triggers along. The function of the trigger belongs to the audit log.
    for table in ("usage_sums", "ledger_users", "ledger_entries"):
        op.drop_table(table)


def _sqlite_triggers() -> list[str]:
    statements = [
        f"CREATE TRIGGER ledger_entries_no_{verb.lower()} BEFORE {verb} ON ledger_entries"
        " BEGIN SELECT RAISE(ABORT, 'ledger_entries is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ]
    # INSERT OR REPLACE would delete a row without the trigger above: a number is never given twice.
    statements.append(
        "CREATE TRIGGER ledger_entries_no_replace BEFORE INSERT ON ledger_entries"
        " WHEN NEW.number IS NOT NULL AND EXISTS (SELECT 1 FROM ledger_entries WHERE number = NEW.number)"
        " BEGIN SELECT RAISE(ABORT, 'ledger_entries is append-only'); END"
    )
    return statements


def _postgresql_triggers() -> list[str]:
    return [
        "CREATE TRIGGER ledger_entries_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries"
        " FOR EACH STATEMENT EXECUTE FUNCTION llmos_refuse_change()"
    ]

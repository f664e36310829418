"""SQLite keeps the sums of usage in the order of their key."""

import sqlalchemy as sa
from alembic import op

revision = "0066"
down_revision = "0065"
branch_labels = None
depends_on = None

_KEY = ("dimension", "period", "start", "project", "value", "currency")
_NUMBERS = (
    "num_calls", "input_tokens", "cached_input_tokens", "output_tokens", "embedding_tokens", "rated_tokens",
    "replica_micros", "cost_nanos",
)  # fmt: skip


def upgrade() -> None:
    _rewrite(with_rowid=False)


def downgrade() -> None:
    _rewrite(with_rowid=True)


def _rewrite(*, with_rowid: bool) -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    op.rename_table("usage_sums", "usage_sums_before")
    op.create_table(
        "usage_sums",
        sa.Column("dimension", sa.String(16), nullable=False),
        sa.Column("period", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _NUMBERS),
        sa.PrimaryKeyConstraint(*_KEY, name="pk_usage_sums"),
        sqlite_with_rowid=with_rowid,
    )
    names = (*_KEY, *_NUMBERS)
    before, after = (sa.table(table, *map(sa.column, names)) for table in ("usage_sums_before", "usage_sums"))
    op.execute(after.insert().from_select(names, sa.select(*before.c).order_by(*(before.c[name] for name in _KEY))))
    op.drop_table("usage_sums_before")

"""Free allowances of price books, and an index of the few entries that take others back."""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("price_books", sa.Column("free", sa.Text(), server_default="{}", nullable=False))
    few = sa.text("line < 0")
    op.create_index(
        "ix_ledger_entries_reversals", "ledger_entries", ["project"], sqlite_where=few, postgresql_where=few
    )


def downgrade() -> None:
    op.drop_index("ix_ledger_entries_reversals", table_name="ledger_entries")
    op.drop_column("price_books", "free")

"""Price books. Triggers refuse to change or delete a version."""

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "price_books",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_price_books"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER price_books_no_{verb.lower()} BEFORE {verb} ON price_books"
                " BEGIN SELECT RAISE(ABORT, 'price_books is append-only'); END"
            )
        return
    op.execute(
        "CREATE TRIGGER price_books_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON price_books"
        " FOR EACH STATEMENT EXECUTE FUNCTION llmos_refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("price_books")

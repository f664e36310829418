"""Invoices, which triggers refuse to change or delete, and what they say besides their lines."""

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invoices",
        sa.Column("number", sa.String(16), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("corrects", sa.String(16), nullable=False),
        sa.Column("period_end", sa.BigInteger(), nullable=False),
        sa.Column("last_entry", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_invoices"),
        sa.UniqueConstraint("year", "sequence", name="uq_invoices_year_sequence"),
        sa.UniqueConstraint(
            "kind", "project", "currency", "month", "revision", name="uq_invoices_kind_project_currency_month_revision"
        ),
    )
    condition = sa.text("corrects <> ''")
    op.create_index(
        "uq_invoices_corrects", "invoices", ["corrects"], unique=True, sqlite_where=condition,
        postgresql_where=condition,
    )  # fmt: skip
    op.create_table(
        "invoice_settings",
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("project", name="pk_invoice_settings"),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _sqlite_triggers() if is_sqlite else _postgresql_triggers():
        op.execute(statement)


def downgrade() -> None:
    for table in ("invoice_settings", "invoices"):
        op.drop_table(table)


def _sqlite_triggers() -> list[str]:
    statements = [
        f"CREATE TRIGGER invoices_no_{verb.lower()} BEFORE {verb} ON invoices"
        " BEGIN SELECT RAISE(ABORT, 'invoices is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ]
    # INSERT OR REPLACE would delete a row without the trigger above.
    statements.append(
        "CREATE TRIGGER invoices_no_replace BEFORE INSERT ON invoices"
        " WHEN EXISTS (SELECT 1 FROM invoices WHERE number = NEW.number"
        " OR (year = NEW.year AND sequence = NEW.sequence) OR (corrects <> '' AND corrects = NEW.corrects)"
        " OR (kind = NEW.kind AND project = NEW.project AND currency = NEW.currency AND month = NEW.month"
        " AND revision = NEW.revision))"
        " BEGIN SELECT RAISE(ABORT, 'invoices is append-only'); END"
    )
    return statements


def _postgresql_triggers() -> list[str]:
    return [
        "CREATE TRIGGER invoices_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON invoices"
        " FOR EACH STATEMENT EXECUTE FUNCTION llmos_refuse_change()"
    ]

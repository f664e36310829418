"""The audit log, which can only grow: triggers refuse every other change."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_TABLES = ("audit_entries", "audit_checkpoints")


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_time", "audit_entries", ["time"])
    op.create_index("ix_audit_entries_project", "audit_entries", ["project"])
    op.create_table(
        "audit_checkpoints",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_checkpoints"),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _sqlite_triggers() if is_sqlite else _postgresql_triggers():
        op.execute(statement)


def downgrade() -> None:
    # A table takes its triggers along.
    for table in _TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION llmos_refuse_change()")
        op.execute("DROP FUNCTION llmos_refuse_gap()")


def _sqlite_triggers() -> list[str]:
    statements = [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in _TABLES
        for verb in ("UPDATE", "DELETE")
    ]
    # INSERT OR REPLACE would delete a row without the trigger above.
    statements.append(
        "CREATE TRIGGER audit_entries_no_gap BEFORE INSERT ON audit_entries"
        " WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM audit_entries)"
        " BEGIN SELECT RAISE(ABORT, 'audit_entries is append-only'); END"
    )
    statements.append(
        "CREATE TRIGGER audit_checkpoints_no_replace BEFORE INSERT ON audit_checkpoints"
        " WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE number = NEW.number)"
        " BEGIN SELECT RAISE(ABORT, 'audit_checkpoints is append-only'); END"
    )
    return statements


def _postgresql_triggers() -> list[str]:
    return [
        "CREATE FUNCTION llmos_refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$",
        "CREATE FUNCTION llmos_refuse_gap() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM audit_entries) THEN"
        " RAISE EXCEPTION 'audit_entries is append-only'; END IF; RETURN NEW; END $$",
        *(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION llmos_refuse_change()"
            for table in _TABLES
        ),
        "CREATE TRIGGER audit_entries_no_gap BEFORE INSERT ON audit_entries"
        " FOR EACH ROW EXECUTE FUNCTION llmos_refuse_gap()",
    ]

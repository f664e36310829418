"""The revisions of the database: those that this program knows, that of a database, and the migration to the newest."""

from pathlib import Path

from sqlalchemy import Connection, text

_MIGRATIONS = Path(__file__).parent / "migrations"


def known_revisions() -> list[str]:
    """Return the revisions in migrations/versions, oldest first. Files are named REVISION_what_it_does.py."""
    return sorted(path.stem.split("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def newest_revision() -> str:
    return known_revisions()[-1]


def revision_of(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def migrate(connection: Connection) -> None:
    # Importing Alembic takes a tenth of a second, and only new and outdated databases need it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

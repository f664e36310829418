"""Datasets: versioned rows with provenance. This page is the interface for code that reads and makes them.

    datasets = open_datasets(settings).of("acme")          # those of one project; of() is the installation's own
    version = datasets.resolve("support@1")                # NAME, NAME:ALIAS, NAME@NUMBER, NAME@sha256:DIGEST

    for row in datasets.rows(version):                     # or batches(version): lists of about a thousand rows
        row.id, row.kind, row.texts, row.language          # see rows.Row; row.content is a struct of contents.py

Make a version from others; the same parents and recipe give the same digest, whatever the machine:

    recipe = {"operators": [{"name": "quality", "version": 1, "min_words": 3}]}
    with datasets.writing("support", version.kind, parents=[version], recipe=recipe) as writer:
        for row in datasets.rows(version):
            if len(row.texts[0].split()) < 3:
                writer.drop(row, "quality", "too_short", "2 words; the least is 3")
            else:
                writer.replace(row, row.map_texts(str.strip), "normalize", "spaces")
        new = writer.finish()                              # nothing is visible, and nothing remains, without it

    for change in datasets.changes(new):                   # why rows went, or what took their places
        change.id, change.operator, change.reason, change.detail, change.successor

An operator is a generator over batches of rows: it needs neither a database nor files. Memory stays bounded as long as
it keeps ids or hashes of the rows that it has seen, not the rows.

Lower layers don't know higher ones:

    descriptions
    appending | comparing | encrypting | exporting | fetching | forgetting | importing | querying
    datasets | folder | records
    formats | shapes | writer
    query_process | queries | segments | versions
    columnar | manifest | parquet_writer | rows | sealed_sources | tables
    contents | parquet_metadata
"""

from typing import TYPE_CHECKING

from llmos.core.config import Settings

if TYPE_CHECKING:
    from llmos.core.database import Database
    from llmos.data.datasets.datasets import Datasets


def open_datasets(settings: Settings, database: "Database | None" = None) -> "Datasets":
    """Open this installation's datasets. `database`: the open database, if there is one."""
    from llmos.core.database import Database
    from llmos.core.home import make_private_home
    from llmos.core.store.opening import open_store
    from llmos.data.datasets.datasets import Datasets

    if database is None:
        make_private_home(settings.home)
        database = Database(settings.database_url)
        database.upgrade()
    return Datasets(database, open_store(settings, database))

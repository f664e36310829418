"""Fixtures: clusters of agents in this process, whose workers have fake models."""

import asyncio

import pytest

from llmos.core.database import Database
from support.cluster import running_cluster


@pytest.fixture
def run_with(tmp_path):
    """Return a function that runs `test(cluster)` with the head of a new cluster.

    Its database is SQLite: test_nodes.py asks both kinds.
    """

    def run(test, **options):
        database = Database(f"sqlite:///{tmp_path / 'llmos.db'}")
        database.upgrade()

        async def body():
            async with asyncio.timeout(60), running_cluster(tmp_path, database, **options) as cluster:
                await test(cluster)

        try:
            asyncio.run(body())
        finally:
            database.close()

    return run

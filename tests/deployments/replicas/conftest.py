"""Fixtures: pools of fake workers."""

import asyncio

import pytest

from llmos.deployments.placing.local import LocalPlacer
from llmos.deployments.replicas.pool import Pool


@pytest.fixture
def run_with(fake_worker):
    """Return a function that runs `test(pool)` with a pool of fake workers that restarts without waiting."""

    def run(test, **options):
        async def body():
            pool = Pool(**{"placer": LocalPlacer(fake_worker), "backoff_seconds": lambda _: 0} | options)
            try:
                await test(pool)
            finally:
                await pool.close(drain=False)

        asyncio.run(asyncio.wait_for(body(), 60))

    return run

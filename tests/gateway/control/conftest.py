"""Fixtures of several control endpoints: another project's client, and an imported dataset."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from support.datasets_over_http import LINES, digest_of, run_job, upload


@pytest.fixture
async def imported(http: AsyncClient) -> dict:
    assert (await upload(http, LINES)).status_code == 200
    files = [{"name": "tickets.jsonl", "digest": digest_of(LINES)}]
    job = await run_job(http, name="support", files=files, mapping={"text": "text", "subject": "who"})
    assert job["state"] == "succeeded", job
    return job["result"]


@pytest.fixture
async def acme(http: AsyncClient, app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client with the key of another project."""
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": "developer"})).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    async with AsyncClient(transport=ASGITransport(app), base_url="http://llmos", headers=headers) as client:
        yield client

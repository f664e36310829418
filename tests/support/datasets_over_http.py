"""Uploads and jobs of datasets over HTTP, as a client does them."""

import hashlib
import json

LINES = b"".join(json.dumps({"text": f"Ticket {number}", "who": "ann"}).encode() + b"\n" for number in range(30))


def digest_of(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def upload(http, content, first=0, end=None, size=None):
    end, size = len(content) if end is None else end, len(content) if size is None else size
    span = {"content-range": f"bytes {first}-{end - 1}/{size}"}
    return await http.put(f"/llmos/v1/dataset-uploads/{digest_of(content)}", content=content[first:end], headers=span)


async def run_job(http, kind="dataset_import", **fields):
    """Start a job, follow it to its end and read what came of it."""
    job = (await http.post("/llmos/v1/jobs", json={"kind": kind, **fields})).json()
    assert "id" in job, job
    async with http.stream("GET", f"/llmos/v1/jobs/{job['id']}/events") as events:
        async for _ in events.aiter_lines():
            pass
    return (await http.get(f"/llmos/v1/jobs/{job['id']}")).json()

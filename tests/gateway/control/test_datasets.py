"""/llmos/v1/datasets over HTTP: imports by a job, uploads that break off, queries, exports, and projects apart."""

import json

import pytest

from support.datasets_over_http import LINES, digest_of, run_job, upload

pytestmark = [pytest.mark.anyio, pytest.mark.process]


async def test_an_upload_goes_on_after_a_break_and_a_job_imports_it(http, services):
    assert (await upload(http, LINES, 0, 100)).json()["received_bytes"] == 100
    gap = await upload(http, LINES, 200)
    assert (gap.status_code, "the body begins at byte 200" in gap.text) == (409, True)
    received = (await http.get(f"/llmos/v1/dataset-uploads/{digest_of(LINES)}")).json()["received_bytes"]
    assert (await upload(http, LINES, received)).json()["received_bytes"] == len(LINES)
    files = [{"name": "train.jsonl", "digest": digest_of(LINES)}]
    shown = (await http.post("/llmos/v1/dataset-uploads/preview", json={"files": files})).json()
    assert (shown["shape"], shown["rows"][0]["content"], shown["left_out"]) == ("text", {"text": "Ticket 0"}, ["who"])
    job = await run_job(http, name="support", files=files)
    assert (job["result"]["version"], job["result"]["num_rows"]) == ("support@1", 30)
    assert (await http.get(f"/llmos/v1/dataset-uploads/{digest_of(LINES)}")).json()["received_bytes"] == 0
    assert (await http.get("/llmos/v1/datasets/support/rows")).json()["data"][0]["split"] == "train"


async def test_rows_are_read_queried_and_exported(http, imported):
    rows = (await http.get("/llmos/v1/datasets/support@1/rows?limit=2&skip=28")).json()["data"]
    assert [row["content"]["text"] for row in rows] == ["Ticket 28", "Ticket 29"]
    assert len(rows[0]["subject"]) == 64
    result = (await http.post("/llmos/v1/datasets/support/query", json={"sql": "select count(*) from rows"})).json()
    assert result["rows"] == [[30]]
    wrong = await http.post("/llmos/v1/datasets/support/query", json={"sql": "drop table rows"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "sql")
    exported = await http.get("/llmos/v1/datasets/support/export?columns=false")
    assert [json.loads(line) for line in exported.text.splitlines()][7] == {"text": "Ticket 7"}
    assert (await http.get("/llmos/v1/datasets/support/export?shape=alpaca")).status_code == 400
    difference = (await http.get("/llmos/v1/datasets/support/diff?to=support@1")).json()
    assert (difference["num_same"], difference["num_removed"]) == (30, 0)
    assert (await http.get("/llmos/v1/datasets/support/diff?to=other")).status_code == 404


async def test_aliases_and_labels_of_a_dataset(http, imported):
    moved = await http.put("/llmos/v1/datasets/support/aliases/gold", json={"version": "support@1"})
    assert moved.json()["now"] == "support@1"
    assert (await http.get("/llmos/v1/datasets/support/aliases")).json()["data"][0]["name"] == "support:gold"
    refused = await http.delete("/llmos/v1/datasets/support@1")
    assert (refused.status_code, "support:gold points at support@1" in refused.text) == (409, True)
    assert (await http.delete("/llmos/v1/datasets/support/aliases/gold")).status_code == 204
    assert len((await http.get("/llmos/v1/datasets/support/aliases/history")).json()["data"]) == 2
    moves = (await http.get("/llmos/v1/datasets/support/aliases/gold/history")).json()["data"]
    assert [move["now"] for move in moves] == ["support@1", None]
    earlier = await http.get("/llmos/v1/datasets/support/aliases/gold/history", params={"at": "2020-01-01"})
    assert earlier.json() == {"data": []}
    await http.patch("/llmos/v1/datasets/support@1/labels", json={"tags": {"good": ""}, "description": "Tickets"})
    details = (await http.get("/llmos/v1/datasets/support")).json()
    assert (details["tags"], details["description"], details["dataset_tags"]) == ({"good": ""}, "Tickets", {})
    assert (await http.get("/llmos/v1/datasets/support/labels")).json() == {"description": None, "tags": {}}
    assert len((await http.get("/llmos/v1/datasets/support/labels/history")).json()["data"]) == 2
    assert (await http.delete("/llmos/v1/datasets/support")).json()["versions"] == ["support@1"]
    assert (await http.get("/llmos/v1/datasets")).json() == {"data": []}


async def test_bad_lines_end_the_job_with_the_first_of_them(http):
    content = b'{"text": "one"}\nnothing\n'
    await upload(http, content)
    job = await run_job(http, name="support", files=[{"name": "a.jsonl", "digest": digest_of(content)}])
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_request")
    assert "a.jsonl:2: It is no JSON" in job["error"]["message"]
    assert (await http.get("/llmos/v1/datasets")).json() == {"data": []}


async def test_what_did_not_arrive_or_arrived_damaged_is_not_imported(http):
    files = [{"name": "a.jsonl", "digest": digest_of(b"never sent")}]
    job = await run_job(http, name="support", files=files)
    assert "was not uploaded" in job["error"]["message"]
    span = {"content-range": "bytes 0-4/5"}
    digest = digest_of(b"right")
    await http.put(f"/llmos/v1/dataset-uploads/{digest}", content=b"wrong", headers=span)
    job = await run_job(http, name="support", files=[{"name": "a.jsonl", "digest": digest}])
    assert "arrived instead of" in job["error"]["message"]
    too_many = await http.put(f"/llmos/v1/dataset-uploads/{digest}", content=b"too many", headers=span)
    assert (too_many.status_code, "more bytes" in too_many.text) == (400, True)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"files": []}, "Name either `files`"),
        ({"location": "file:///etc"}, "is a file of the server's machine"),
        ({"location": "oci:host/x"}, "is not a source"),
        ({"files": [{"name": "a.jsonl"}]}, "digest"),
        ({"location": "hf:a/b", "on_error": "ignore"}, "stop"),
    ],
)
async def test_an_import_that_cannot_succeed_fails_at_once(http, fields, reason):
    answer = await http.post("/llmos/v1/jobs", json={"kind": "dataset_import", "name": "support", **fields})
    assert answer.status_code == 400
    assert reason in answer.text


async def test_another_projects_datasets_and_uploads_are_not_found(http, acme, imported):
    await upload(http, b'{"text": "mine"}\n')
    digest = digest_of(b'{"text": "mine"}\n')
    assert (await acme.get("/llmos/v1/datasets")).json() == {"data": []}
    for path in ("support", "support@1/rows", "support/labels", "support/aliases", "support/export"):
        assert (await acme.get(f"/llmos/v1/datasets/{path}")).status_code == 404, path
    assert (await acme.post("/llmos/v1/datasets/support/query", json={"sql": "select 1"})).status_code == 404
    assert (await acme.delete("/llmos/v1/datasets/support")).status_code == 404
    assert (await acme.get(f"/llmos/v1/dataset-uploads/{digest}")).json()["received_bytes"] == 0
    files = [{"name": "a.jsonl", "digest": digest}]
    job = await run_job(acme, name="support", files=files)
    assert "was not uploaded" in job["error"]["message"]
    theirs = b'{"text": "theirs"}\n'
    await upload(acme, theirs)
    await run_job(acme, name="support", files=[{"name": "a.jsonl", "digest": digest_of(theirs)}])
    assert (await acme.get("/llmos/v1/datasets/support")).json()["num_rows"] == 1
    assert (await http.get("/llmos/v1/datasets/support")).json()["num_rows"] == 30

"""Exporters over HTTP: only the installation's owners change them, and a server sends what calls consume."""

import httpx
import pytest

pytestmark = pytest.mark.anyio

NEW = {"name": "meter", "kind": "openmeter", "url": "https://openmeter.example.com", "key": "om-secret-key"}


async def test_exporters_are_added_shown_and_removed(http: httpx.AsyncClient) -> None:
    added = await http.post("/llmos/v1/exporters", json=NEW)
    assert (added.status_code, added.json()["has_key"]) == (200, True), added.text
    shown = await http.get("/llmos/v1/exporters/meter")
    assert shown.json() == {**added.json(), "refused": []}
    assert "om-secret" not in added.text + shown.text
    assert (await http.post("/llmos/v1/exporters/meter/pause")).json()["state"] == "paused"
    assert (await http.post("/llmos/v1/exporters/meter/retry")).json()["num_refused"] == 0
    assert (await http.post("/llmos/v1/exporters/meter/resume")).json()["state"] == "running"
    assert [each["name"] for each in (await http.get("/llmos/v1/exporters")).json()["data"]] == ["meter"]
    assert (await http.delete("/llmos/v1/exporters/meter")).status_code == 204
    assert (await http.get("/llmos/v1/exporters/meter")).status_code == 404


async def test_calls_are_entries_that_wait_for_the_exporter(http: httpx.AsyncClient) -> None:
    await http.post("/llmos/v1/exporters", json=NEW)
    await http.post("/v1/chat/completions", json={"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}]})
    assert (await http.get("/llmos/v1/exporters/meter")).json()["num_pending"] == 1


async def test_bad_input_says_what_is_wrong(http: httpx.AsyncClient) -> None:
    for change, complaint in (({"kind": "stripe"}, "openmeter, lago, cloudevents"), ({"start": "yesterday"}, "start")):
        refused = await http.post("/llmos/v1/exporters", json=NEW | change)
        assert (refused.status_code, complaint in refused.text) == (400, True), refused.text


@pytest.mark.parametrize("role", ["owner", "developer"])
async def test_other_projects_neither_see_nor_change_them(http: httpx.AsyncClient, role: str) -> None:
    await http.post("/llmos/v1/projects", json={"name": "acme"})
    key = (await http.post("/llmos/v1/keys", json={"project": "acme", "role": role})).json()
    headers = {"authorization": f"Bearer {key['key']}"}
    assert (await http.get("/llmos/v1/exporters", headers=headers)).status_code == 403
    assert (await http.post("/llmos/v1/exporters", json=NEW, headers=headers)).status_code == 403

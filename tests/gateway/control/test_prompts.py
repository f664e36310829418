"""/llmos/v1/prompts over HTTP: versions, values, differences, aliases, and projects apart."""

import pytest

pytestmark = [pytest.mark.anyio]

TEXT = "---\nshop: {type: string, max_length: 40}\n---\nYou help the customers of {{shop}}."


async def create(http, text=TEXT, name="support", **fields):
    return await http.post("/llmos/v1/prompts", json={"name": name, "text": text, **fields})


async def test_a_prompt_is_made_once_and_read(http):
    made = await create(http)
    assert made.status_code == 201
    assert (made.json()["version"], made.json()["types"]) == (
        "support@1",
        {"shop": {"type": "string", "max_length": 40}},
    )
    assert (await create(http)).json()["version"] == "support@1"
    assert (await create(http, TEXT + "!")).json()["version"] == "support@2"
    read = (await http.get("/llmos/v1/prompts/support@1")).json()
    assert (read["text"], read["variables"]) == ("You help the customers of {{shop}}.", ["shop"])
    listed = (await http.get("/llmos/v1/prompts")).json()["data"]
    assert [each["version"] for each in listed] == ["support@1", "support@2"]
    assert "text" not in listed[0]


async def test_types_may_stand_beside_a_text_that_is_taken_as_it_is(http):
    made = await create(http, "---\n{{n}}", variables={"n": {"type": "integer"}})
    assert (made.json()["text"], made.json()["types"]) == ("---\n{{n}}", {"n": {"type": "integer"}})


async def test_values_are_filled_in_or_refused_in_one_line(http):
    await create(http)
    rendered = await http.post("/llmos/v1/prompts/support/render", json={"variables": {"shop": "Acme"}})
    assert rendered.json() == {
        "version": "support@1",
        "text": "You help the customers of Acme.",
        "variables": {"shop": "Acme"},
    }
    wrong = await http.post("/llmos/v1/prompts/support/render", json={"variables": {"shp": "Acme"}})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["message"] == "support@1 has no variable 'shp'. Did you mean 'shop'?"


async def test_versions_are_compared(http):
    await create(http)
    await create(http, "You help {{shop}}.")
    found = (await http.get("/llmos/v1/prompts/support@1/diff?to=support@2")).json()
    assert found["lines"][-2:] == ["-You help the customers of {{shop}}.", "+You help {{shop}}."]
    assert [change["change"] for change in found["variables"]] == ["changed"]
    assert (await http.get("/llmos/v1/prompts/support@1/diff")).status_code == 400


async def test_aliases_and_labels_move_and_protect(http):
    await create(http)
    moved = await http.put("/llmos/v1/prompts/support/aliases/prod", json={"version": "support@1"})
    assert moved.json()["now"] == "support@1"
    await http.patch("/llmos/v1/prompts/support/labels", json={"description": "For the shop"})
    details = (await http.get("/llmos/v1/prompts/support:prod")).json()
    assert (details["aliases"], details["prompt_description"]) == (["prod"], "For the shop")
    assert (await http.delete("/llmos/v1/prompts/support@1")).status_code == 409
    assert (await http.delete("/llmos/v1/prompts/support")).json()["versions"] == ["support@1"]
    assert (await http.get("/llmos/v1/prompts/support")).status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": "a/b", "text": "x"}, "is not a valid name for a prompt"),
        (
            {"name": "a", "text": "---\nx: {typ: a}\n---\n{{x}}"},
            "'x' has no field typ. Did you mean type?",
        ),
        ({"name": "a", "text": "x", "variables": {"y": {}}}, "declares the variable 'y'"),
        ({"name": "a", "text": "{{y}}", "variables": {"y": {"type": "text"}}}, "`variables"),
        ({"name": "a"}, "`text` is missing"),
    ],
)
async def test_a_wrong_prompt_is_refused_in_one_line(http, body, message):
    refused = await http.post("/llmos/v1/prompts", json=body)
    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]
    assert "\n" not in refused.json()["error"]["message"]


async def test_the_prompts_of_another_project_do_not_exist(http, acme):
    await create(http)
    assert (await acme.get("/llmos/v1/prompts")).json()["data"] == []
    assert (await acme.get("/llmos/v1/prompts/support")).status_code == 404
    assert (await create(acme, "theirs")).json()["version"] == "support@1"
    await http.delete("/llmos/v1/projects/acme")
    assert (await http.get("/llmos/v1/prompts/support")).json()["text"] == "You help the customers of {{shop}}."

"""Cleaning over HTTP: jobs that run a recipe or say what it would do, and the operators."""

import pytest

from llmos.data.operators.kinds import kinds
from support.datasets_over_http import run_job

pytestmark = [pytest.mark.anyio, pytest.mark.process]

RECIPE = [{"name": "sample", "count": 10}]


@pytest.mark.usefixtures("imported")
async def test_a_job_says_what_a_recipe_would_do_and_another_does_it(http):
    checked = await run_job(http, kind="dataset_check", dataset="support@1", operators=RECIPE)
    found = checked["result"]
    assert (found["num_rows"], found["num_kept"]) == (30, 10)
    (left_out,) = found["left_out"]
    assert (left_out["operator"], left_out["reason"], left_out["num_rows"]) == ("sample", "not_sampled", 20)
    assert left_out["examples"][0]["text"].startswith("Ticket ")
    assert [each["version"] for each in (await http.get("/llmos/v1/datasets")).json()["data"]] == ["support@1"]
    cleaned = await run_job(http, kind="dataset_clean", dataset="support", operators=RECIPE, name="small")
    assert cleaned["state"] == "succeeded", cleaned
    assert (cleaned["result"]["version"], cleaned["result"]["num_rows"]) == ("small@1", 10)
    assert cleaned["result"]["recipe"] == found["recipe"]


@pytest.mark.usefixtures("imported")
async def test_a_wrong_recipe_starts_no_job(http):
    reply = await http.post(
        "/llmos/v1/jobs", json={"kind": "dataset_clean", "dataset": "support", "operators": [{"name": "sampel"}]}
    )
    assert reply.status_code == 400
    assert "There is no operator 'sampel'. Did you mean sample" in reply.json()["error"]["message"]


@pytest.mark.usefixtures("imported")
async def test_another_projects_dataset_is_not_found(acme):
    job = await run_job(acme, kind="dataset_clean", dataset="support", operators=RECIPE)
    assert (job["state"], job["error"]["code"]) == ("failed", "not_found")


async def test_operators_are_listed_with_their_options(http):
    found = (await http.get("/llmos/v1/dataset-operators")).json()["data"]
    assert [each["name"] for each in found] == list(kinds())
    near = next(each for each in found if each["name"] == "near_duplicates")
    assert near["options"]["sequence_length"] == "Words of a sequence."

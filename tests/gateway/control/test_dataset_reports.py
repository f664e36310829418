"""Reports over HTTP: as JSON and as a page, of the caller's own datasets, with a real model's tokens."""

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.process]


@pytest.mark.usefixtures("imported")
async def test_a_report_is_there_as_json_and_as_a_page(http):
    found = (await http.get("/llmos/v1/datasets/support/report", params={"samples": 2})).json()
    assert (found["version"], found["num_rows"], found["num_with_subject"]) == ("support@1", 30, 30)
    assert found["lengths"][0]["most"] == len("Ticket 29")
    assert len(found["samples"]) == 2
    page = await http.get("/llmos/v1/datasets/support/report.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<h1>support@1</h1>" in page.text


@pytest.mark.usefixtures("imported")
async def test_a_wrong_question_gets_an_error(http):
    wrong = await http.get("/llmos/v1/datasets/support/report", params={"samples": 1000})
    assert wrong.status_code == 400
    unknown = await http.get("/llmos/v1/datasets/support/report", params={"tokens": "nobody"})
    assert (unknown.status_code, "nobody" in unknown.text) == (404, True)


@pytest.mark.usefixtures("imported")
async def test_another_projects_dataset_has_no_report(acme):
    assert (await acme.get("/llmos/v1/datasets/support/report")).status_code == 404
    assert (await acme.get("/llmos/v1/datasets/support/report.html")).status_code == 404

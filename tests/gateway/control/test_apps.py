"""/llmos/v1/apps over HTTP: versions of folders, their files, and who may make them."""

import io

import pytest
from httpx import ASGITransport, AsyncClient

from llmos.core.app_files import unpack
from support.app_folders import app_archive, app_files

pytestmark = [pytest.mark.anyio]


@pytest.fixture
def connect(http, app):
    """Return a function that returns a client with a new key of a role in a project."""

    async def connect(role, project="acme"):
        await http.post("/llmos/v1/projects", json={"name": project})
        key = (await http.post("/llmos/v1/keys", json={"project": project, "role": role})).json()["key"]
        return AsyncClient(
            transport=ASGITransport(app), base_url="http://llmos", headers={"Authorization": f"Bearer {key}"}
        )

    return connect


async def create(http, **changed):
    return await http.post("/llmos/v1/apps", content=app_archive(app_files(**changed)))


async def test_a_version_is_made_once_and_described(http):
    made = await create(http)
    assert made.status_code == 201
    assert made.json()["version"] == "support@1"
    assert made.json()["prompts"] == ["support@1", "support.tone@1"]
    assert [file["name"] for file in made.json()["files"]] == sorted(app_files())
    assert (await create(http)).json()["version"] == "support@1"
    assert (await create(http, app_py=None)).json()["version"] == "support@2"
    details = (await http.get("/llmos/v1/apps/support@1")).json()
    assert details["manifest"]["prompt"] == "prompts/support.md"
    assert details["versions"] == ["support@1", "support@2"]
    listed = (await http.get("/llmos/v1/apps")).json()["data"]
    assert [(each["version"], each["num_files"]) for each in listed] == [("support@1", 5), ("support@2", 4)]
    assert (await http.get("/llmos/v1/prompts/support.tone")).json()["source"] == "app:support@1"


async def test_its_files_are_downloaded_as_they_came(http):
    await create(http)
    archive = await http.get("/llmos/v1/apps/support/files")
    assert archive.headers["content-type"] == "application/x-tar"
    assert dict(unpack(io.BytesIO(archive.content))) == app_files()


async def test_versions_are_compared(http):
    await create(http)
    await create(http, app_py=None)
    found = (await http.get("/llmos/v1/apps/support@1/diff?to=support@2")).json()
    assert [(change["name"], change["change"]) for change in found["files"]] == [("app.py", "removed")]


async def test_aliases_protect_a_version(http):
    await create(http)
    await http.put("/llmos/v1/apps/support/aliases/prod", json={"version": "support@1"})
    assert (await http.delete("/llmos/v1/apps/support@1")).status_code == 409
    assert (await http.get("/llmos/v1/apps/support:prod")).json()["aliases"] == ["prod"]
    assert (await http.delete("/llmos/v1/apps/support")).json()["versions"] == ["support@1"]


async def test_only_owners_make_and_remove_versions(connect, http):
    async with await connect("owner") as owner, await connect("developer") as developer:
        assert (await create(owner)).status_code == 201
        refused = await create(developer)
        assert (refused.status_code, "apps:deploy" in refused.text) == (403, True)
        assert (await developer.delete("/llmos/v1/apps/support")).status_code == 403
        assert (
            await developer.put("/llmos/v1/apps/support/aliases/a", json={"version": "support@1"})
        ).status_code == 403
        assert (await developer.get("/llmos/v1/apps/support")).json()["version"] == "support@1"
    assert (await http.get("/llmos/v1/apps")).json()["data"] == []


async def test_nothing_is_left_of_a_removed_project(connect, http, services):
    async with await connect("owner") as owner:
        await create(owner)
    folder = services.data.app_versions.unpack("acme", "support")
    await http.delete("/llmos/v1/projects/acme")
    assert not folder.exists()
    assert services.data.app_versions.of("acme").list() == []
    assert services.data.prompts.of("acme").list() == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body isn't a tar archive"),
        (b"no archive at all", "The body isn't a tar archive"),
        (app_archive({"support/app.yaml": b"name: support"}), "There is no app.yaml at the top"),
        (app_archive(app_files(app_yaml="name: Support\n")), "app.yaml: `name`"),
        (app_archive(app_files(prompts_0_tone_md="---\nx: {}\n---\n")), "prompts/tone.md declares the variable 'x'"),
    ],
)
async def test_what_is_no_application_is_refused_in_one_line(http, services, body, message):
    refused = await http.post("/llmos/v1/apps", content=body)
    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]
    assert "\n" not in refused.json()["error"]["message"]
    assert (await http.get("/llmos/v1/apps")).json()["data"] == []


async def test_what_is_made_and_removed_is_audited(http, services):
    await create(http)
    await http.delete("/llmos/v1/apps/support")
    entries = (await http.get("/llmos/v1/audit?actor=owner")).json()["data"]
    assert [(each["action"], each["object"]) for each in entries][:2] == [
        ("app.remove", "support"),
        ("app.create", "support@1"),
    ]

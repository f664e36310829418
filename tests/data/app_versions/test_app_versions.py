"""Versions of applications: immutable files, encrypted, apart for each project, and unpacked for processes."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.store.blobs_in_use import blob_users, digests_in_use
from llmos.core.store.store import Store
from llmos.data.app_versions.app_versions import AppVersions, ProjectApps
from llmos.data.app_versions.comparing import compare
from llmos.data.apps.deployments import AppDeployments
from llmos.data.prompts.prompts import Prompts
from support.app_folders import app_content, app_files

MARKER = "Zq8-unlikely"


def create(apps: ProjectApps, **changed: str | None) -> str:
    return apps.create(app_content(app_files(**changed))).ref


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}


def test_the_same_files_are_the_same_version(apps: ProjectApps) -> None:
    assert create(apps) == create(apps) == "support@1"
    assert create(apps, app_py="app = None\n") == "support@2"
    assert create(apps, app_py=None) == "support@3"
    reordered = dict(reversed(app_files().items()))
    assert apps.create(app_content(reordered)).ref == "support@1"
    assert [version.ref for version in apps.list()] == ["support@1", "support@2", "support@3"]


def test_a_version_has_its_files_and_its_manifest(apps: ProjectApps) -> None:
    create(apps)
    apps.aliases.set("support", "prod", "support@1")
    details = apps.show("support:prod")
    version = details.version
    assert [file.name for file in version.files] == sorted(app_files())
    assert dict(apps.contents(version)) == app_files()
    assert details.manifest == {
        "name": "support",
        "model": "smollm2",
        "prompt": "prompts/support.md",
        "permissions": ["datasets:read"],
    }
    assert (version.model, version.permissions, details.aliases) == ("smollm2", ("datasets:read",), ("prod",))
    assert apps.read(version, "app.py") == app_files()["app.py"]
    with pytest.raises(NotFound, match=r"support@1 has no file 'app\.yml'\. Did you mean app.yaml"):
        apps.read(version, "app.yml")


def test_each_file_in_prompts_becomes_a_version_of_a_prompt(
    apps: ProjectApps, database: Database, store: Store
) -> None:
    assert apps.resolve(create(apps)).prompts == ("support@1", "support.tone@1")
    changed = apps.resolve(create(apps, prompts_0_tone_md="Be very {{tone}}."))
    assert changed.prompts == ("support@1", "support.tone@2")
    prompts = Prompts(database, store).of()
    assert [(each.ref, each.source) for each in prompts.list()] == [
        ("support@1", "app:support@1"),
        ("support.tone@1", "app:support@1"),
        ("support.tone@2", "app:support@2"),
    ]
    apps.remove("support")
    assert prompts.text(prompts.resolve("support")).fill({"shop": "Acme"}) == "You help the customers of Acme."


def test_a_wrong_prompt_keeps_the_whole_application_out(apps: ProjectApps, store: Store) -> None:
    with pytest.raises(
        BadRequest, match=r"^prompts/tone\.md: the variable 'tone' has no field typ\. Did you mean type"
    ):
        create(apps, prompts_0_tone_md="---\ntone: {typ: string}\n---\n{{tone}}")
    assert list(store.digests()) == []
    assert apps.list() == []


def test_a_removed_version_takes_its_files_with_it_and_comes_back_under_its_number(
    apps: ProjectApps, store: Store
) -> None:
    create(apps)
    create(apps, app_py=f"# {MARKER}\n")
    num_blobs = len(list(store.digests()))
    assert apps.remove("support@2").versions == ("support@2",)
    assert len(list(store.digests())) == num_blobs - 1
    assert create(apps, app_py=f"# {MARKER}\n") == "support@2"
    assert MARKER.encode() in apps.read(apps.resolve("support@2"), "app.py")


def test_a_version_that_an_alias_points_at_stays(apps: ProjectApps) -> None:
    create(apps)
    apps.aliases.set("support", "prod", "support@1")
    with pytest.raises(Conflict, match="llmos app alias set support:prod VERSION"):
        apps.remove("support@1")
    assert apps.remove("support:prod").aliases == ("prod",)
    assert apps.remove("support@1").versions == ("support@1",)


def test_a_version_that_is_deployed_stays(apps: ProjectApps, database: Database) -> None:
    create(apps)
    create(apps, app_py=None)
    deployments = AppDeployments(database)
    deployments.deploy("owner", "support", 1, actor=None)
    for ref in ("support@1", "support"):
        with pytest.raises(Conflict, match="support@1 is deployed"):
            apps.remove(ref)
    assert apps.remove("support@2").versions == ("support@2",)
    assert dict(apps.contents(apps.resolve("support@1"))) == app_files()
    deployments.stop("owner", "support", actor=None)
    assert apps.remove("support@1").versions == ("support@1",)


def test_no_file_is_in_the_clear(apps: ProjectApps, tmp_path: Path) -> None:
    create(apps, app_py=f"# {MARKER}\n", app_yaml=f"name: support\ndescription: {MARKER}\n")
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(MARKER.encode() in content for content in contents)


def test_projects_are_apart(all_apps: AppVersions, database: Database, store: Store) -> None:
    mine, theirs = all_apps.of("acme"), all_apps.of("other")
    assert create(mine) == create(theirs) == "support@1"
    blobs = {file.blob for file in mine.resolve("support").files}
    assert blobs <= digests_in_use(database)
    assert blobs.isdisjoint(file.blob for file in theirs.resolve("support").files)
    assert {user for users in blob_users(database, blobs).values() for user in users} >= {
        "the app support@1 of the project acme"
    }
    mine_unpacked, theirs_unpacked = (all_apps.unpack(project, "support") for project in ("acme", "other"))
    assert mine_unpacked != theirs_unpacked
    all_apps.remove_project("acme")
    assert mine.list() == []
    assert not mine_unpacked.exists()
    assert (theirs_unpacked / "app.yaml").is_file()
    assert dict(theirs.contents(theirs.resolve("support"))) == app_files()


def test_versions_are_compared(apps: ProjectApps) -> None:
    create(apps)
    create(
        apps,
        app_yaml="name: support\nmodel: dialogue\nprompt: prompts/support.md\nlimits: {steps: 3}\n",
        app_py=None,
        prompts_0_support_md="---\nshop: {type: string, max_length: 20}\n---\nYou help the customers of {{shop}}.\n",
    )
    found = compare(apps.files(apps.resolve("support@1")), apps.files(apps.resolve("support@2")))
    assert [(change.name, change.change) for change in found.files] == [
        ("app.py", "removed"),
        ("app.yaml", "changed"),
        ("prompts/support.md", "changed"),
    ]
    assert {change.name: (change.was, change.now) for change in found.manifest} == {
        "model": ("smollm2", "dialogue"),
        "permissions": (["datasets:read"], None),
        "limits": (None, {"steps": 3}),
    }
    assert [change.sentence for prompt in found.prompts for change in prompt.variables] == [
        "The variable shop takes a text of at most 20 characters; it took a text of at most 40 characters."
    ]
    assert compare(apps.files(apps.resolve("support@1")), apps.files(apps.resolve("support@1"))).files == []


def test_files_that_are_no_texts_are_compared_by_their_sizes(apps: ProjectApps) -> None:
    for content in (b"\xff\0", b"\xff\0\1"):
        apps.create(app_content({**app_files(), "data/logo.png": content}))
    (change,) = compare(apps.files(apps.resolve("support@1")), apps.files(apps.resolve("support@2"))).files
    assert (change.name, change.was_bytes, change.now_bytes, change.lines) == ("data/logo.png", 2, 3, [])


# --- unpacking


def test_a_version_is_unpacked_once_read_only_and_private(all_apps: AppVersions, apps: ProjectApps) -> None:
    create(apps)
    folder = all_apps.unpack("owner", "support@1")
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == (
        app_files()
    )
    assert modes(folder) == {0o500, 0o400}
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    before = folder.stat().st_ino
    assert all_apps.unpack("owner", "support:latest") == folder
    assert folder.stat().st_ino == before


def test_its_folder_goes_with_the_version_and_no_other_folder(all_apps: AppVersions, apps: ProjectApps) -> None:
    create(apps)
    create(apps, app_py=None)
    first, second = (apps.unpack(apps.resolve(f"support@{number}")) for number in (1, 2))
    apps.remove("support@1")
    assert not first.exists()
    assert second.is_dir()
    with pytest.raises(NotFound, match="support has no such version"):
        all_apps.unpack("owner", "support@1")


PROGRAM = """
import os, sys
from pathlib import Path
from llmos.core.database import Database
from llmos.data.app_versions import app_versions as module, unpacking
from llmos.data.app_versions.app_versions import AppVersions
from support.app_folders import app_content, app_files
from support.encryption import open_test_store

def die(*arguments, **options):
    os._exit(9)

{moment}
database = Database(sys.argv[1])
home = Path(sys.argv[2])
apps = AppVersions(database, open_test_store(database, home), home / "apps").of()
apps.unpack(apps.create(app_content(app_files())))
"""

MOMENTS = {
    "before a blob has its name": "os.replace = die",
    "before the version is listed": "module.project_queries.ensure_name = die",
    "before its prompts are": "module.ProjectApps._record_prompts = die",
    "before it is committed": "module.version_of = die",
    "while it is unpacked": "unpacking.sync_to_disk = die",
    "before its folder has its name": "os.rename = die",
}


@pytest.mark.process
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_process_leaves_a_whole_version_or_none(
    moment: str, all_apps: AppVersions, apps: ProjectApps, database: Database, store: Store, tmp_path: Path
) -> None:
    url = database.url.render_as_string(hide_password=False)
    program = PROGRAM.replace("{moment}", MOMENTS[moment])
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run(
        [sys.executable, "-c", program, url, str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert killed.returncode == 9, killed.stderr
    assert [version.ref for version in apps.list()] == (
        ["support@1"] if "folder" in moment or "unpacked" in moment else []
    )
    assert create(apps) == "support@1"
    folder = all_apps.unpack("owner", "support")
    assert sum(path.is_file() for path in folder.rglob("*")) == len(app_files())
    apps.remove("support")
    Prompts(database, store).remove_project("owner")
    assert list(store.digests()) == []
    assert [path.name for path in folder.parent.iterdir()] == ["lock"]

"""Pulls, imports and removals whose process dies at any point, or that run at the same time."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers

pytestmark = pytest.mark.process

PULL = """
import os, sys
from pathlib import Path
from llmos.core.config import load_settings
from llmos.core.store import store as store_module
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions import recording

def die(*arguments, **options):
    os._exit(9)

{before}
registry = open_registry(load_settings())
{then}
print(Transfers(registry).pull_from_catalog("tiny").ref)
"""

DEATHS = {
    "while the bytes arrive": """
from llmos.core.sources import hf
hf.report_bytes = lambda progress, label, num_total: lambda num_done: die() if num_done else None
""",
    "before the bytes are checked": "store_module.Store.publish = die",
    "before the bytes are on the disk": "store_module.os.fsync = die",
    "before the blob has its name": "store_module.os.replace = die",
    "after the blob has its name": """
real = os.replace
def replace_and_die(*arguments):
    real(*arguments)
    die()
store_module.os.replace = replace_and_die
""",
    "before the version is recorded": "recording.Recorder.record = die",
    "before the record is committed": "recording.version_of = die",
}


def environ(settings):
    return os.environ | {"LLMOS_HOME": str(settings.home), "LLMOS_DATABASE_URL": settings.database_url}


@pytest.fixture
def pull(settings, write_catalog, server, tiny_gguf):
    """Return a function that starts a process which runs `before`, opens the registry, runs `then` and pulls `tiny`."""
    server.files["/acme/tiny/resolve/main/tiny.gguf"] = tiny_gguf
    catalog = write_catalog(tiny_gguf, "hf:acme/tiny")

    def pull(before="", then=""):
        script = PULL.format(before=before, then=then)
        return subprocess.Popen(
            [sys.executable, "-c", script],
            env=environ(settings) | {"LLMOS_CATALOG": str(catalog), "HF_ENDPOINT": server.url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    return pull


@pytest.fixture
def reopened(settings, write_catalog, server, tiny_gguf):
    registry = open_registry(
        replace(settings, catalog=write_catalog(tiny_gguf, "hf:acme/tiny"), hf_endpoint=server.url)
    )
    yield registry
    registry.database.close()


def assert_sound(registry):
    """Assert that all listed versions are complete and all blobs are intact."""
    for version in registry.list():
        assert registry.store.verify([file.digest for file in version.files]) == []
    assert registry.store.verify([digest for digest, _ in registry.store.digests()]) == []


@pytest.mark.parametrize("moment", DEATHS)
def test_a_killed_pull_lists_nothing_and_the_next_one_succeeds(pull, reopened, moment):
    with pull(then=DEATHS[moment]) as dying:
        dying.communicate()
    assert dying.returncode == 9
    assert reopened.list() == []
    assert_sound(reopened)
    assert Transfers(reopened).pull_from_catalog("tiny").ref == "tiny@1"
    assert_sound(reopened)
    reopened.remove("tiny")
    assert list(reopened.store.digests()) == []


def test_a_pull_killed_during_the_download_keeps_its_part(pull, reopened, server):
    with pull(then=DEATHS["while the bytes arrive"]) as dying:
        dying.communicate()
    ((_, num_arrived),) = reopened.store.unfinished()
    assert num_arrived > 0
    server.requests.clear()
    Transfers(reopened).pull_from_catalog("tiny")
    assert server.requests in ([], [("/acme/tiny/resolve/main/tiny.gguf", f"bytes={num_arrived}-")])


IMPORT = """
import os, sys
from pathlib import Path
from llmos.core.config import load_settings
from llmos.core.store import store as store_module
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
registry = open_registry(load_settings())
def refuse(*arguments):
    raise OSError(18, "another file system")
store_module.os.link = refuse
store_module.os.replace = lambda *arguments: os._exit(9)
Transfers(registry).import_path(Path(sys.argv[1]), "mine")
"""


def test_the_copy_of_a_killed_import_is_deleted_by_the_next_removal(settings, registry, gguf_path):
    died = subprocess.run([sys.executable, "-c", IMPORT, str(gguf_path)], env=environ(settings), check=False)
    assert died.returncode == 9
    assert registry.list() == []
    assert list(registry.store.digests()) == []
    version = Transfers(registry).import_path(gguf_path, "mine")
    assert_sound(registry)
    registry.remove(version.ref)
    assert [path for path in settings.store_path.rglob("*") if path.is_file() and path.name != "lock"] == []


REMOVE = """
import os
from pathlib import Path
from llmos.core.config import load_settings
from llmos.core.store import store as store_module
from llmos.models import open_registry, registry as registry_module
registry = open_registry(load_settings())
def die(*arguments):
    os._exit(9)
def then_die(real):
    return lambda *arguments, **options: (real(*arguments, **options), die())
{then}
registry.remove("mine")
"""

REMOVALS = {
    "before it is committed": "registry_module.remove_from_list = then_die(registry_module.remove_from_list)",
    "before its files are looked for": "store_module.Store.collect = die",
    "between two of its files": "Path.unlink = then_die(Path.unlink)",
}


@pytest.mark.parametrize("moment", REMOVALS)
def test_a_killed_removal_deletes_no_shared_files_and_the_next_one_completes_it(
    settings, registry, make_folder, moment
):
    kept = Transfers(registry).import_path(make_folder("kept"), "kept")
    # The same weights beside other files: what both have must stay.
    mine = Transfers(registry).import_path(make_folder("mine", num_shards=2), "mine")
    shared = {file.digest for file in kept.files} & {file.digest for file in mine.files}
    own = {file.digest for file in mine.files} - shared
    assert shared
    assert len(own) > 1
    died = subprocess.run(
        [sys.executable, "-c", REMOVE.format(then=REMOVALS[moment])], env=environ(settings), check=False
    )
    assert died.returncode == 9
    is_listed = [version.ref for version in registry.list()] == ["kept@1", "mine@1"]
    assert is_listed == (moment == "before it is committed")
    assert_sound(registry)
    if is_listed:
        registry.remove("mine")
    registry.collect()
    assert [version.ref for version in registry.list()] == ["kept@1"]
    assert {digest for digest, _ in registry.store.digests()} == {file.digest for file in kept.files}
    assert_sound(registry)


def test_concurrent_pulls_download_once(pull, reopened, server):
    wait = "sys.stdin.readline()"
    pulling = [pull(then=wait) for _ in range(3)]
    for process in pulling:
        process.stdin.write("go\n")
        process.stdin.flush()
    refs = [process.communicate()[0].strip() for process in pulling]
    assert refs == ["tiny@1"] * 3
    assert len(server.requests) == 1
    assert [version.ref for version in reopened.list()] == ["tiny@1"]
    assert_sound(reopened)


def test_removals_during_pulls_never_delete_files_of_listed_models(pull, reopened):
    wait = "sys.stdin.readline()"
    pulling = [pull(then=wait) for _ in range(2)]
    for process in pulling:
        process.stdin.write("go\n")
        process.stdin.flush()
    while any(process.poll() is None for process in pulling):
        reopened.collect()
    assert [process.communicate()[0].strip() for process in pulling] == ["tiny@1"] * 2
    assert len(reopened.list()) == 1
    assert_sound(reopened)

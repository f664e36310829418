"""What is kept encrypted is discarded, and an erasure empties the caches, on every kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmos.core.database import Database
from llmos.core.errors import NotFound
from llmos.data.files import Files
from llmos.data.project_data import ProjectData
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.deployments.providers.providers import Providers
from llmos.gateway.calls.erasure_watch import ErasureWatch
from llmos.gateway.erasing import Erasing
from llmos.gateway.kept_encryption import KeptEncryption
from llmos.security.projects import Projects
from llmos.security.signing_key import SigningKey
from support.databases import KINDS
from support.encryption import open_test_encryption


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def files(database: Database, tmp_path: Path) -> Files:
    return Files(database, tmp_path / "files", open_test_encryption(database, tmp_path))


@pytest.fixture
def responses(files: Files) -> KeptResponses:
    kept = KeptResponses(files.database, files.encryption)
    kept.keep("acme", KeptResponse(id="resp_1", body="{}", items="[]", users=("ann",), previous_id=None))
    return kept


def test_what_is_encrypted_is_discarded_with_its_keys(files: Files, responses: KeptResponses) -> None:
    incoming = files.begin()
    incoming.write(b"one line")
    file = files.finish(incoming, tenant="acme", purpose="batch", filename="a.txt")
    providers = Providers(files.database, files.encryption)
    kept = KeptEncryption(files, providers, Projects(files.database, ProjectData(files.database, files)))
    assert kept.status().num_objects == 2
    assert kept.discard().num_objects == 2
    assert kept.status().num_objects == 0
    with pytest.raises(NotFound):
        responses.get("acme", "resp_1")
    assert not files.path(file.id).exists()


class Emptied:
    """Stands for a cache, and names the projects that it was told to forget."""

    def __init__(self) -> None:
        self.projects: list[str] = []

    def purge(self, project: str) -> None:
        self.projects.append(project)

    renew = purge


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_erasure_by_another_process_empties_the_caches_of_its_project(
    files: Files, responses: KeptResponses, tmp_path: Path
) -> None:
    cache, partitions = Emptied(), Emptied()
    watch = ErasureWatch(files.database, cache, partitions)  # type: ignore[arg-type]
    await watch.check()
    assert cache.projects == []
    Erasing(files, SigningKey(tmp_path / "keys" / "signing")).forget("ann", project="acme", actor="ada")
    await watch.check()
    await watch.check()
    assert (cache.projects, partitions.projects) == (["acme"], ["acme"])

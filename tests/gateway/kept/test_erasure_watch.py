"""An erasure by another process empties this one's caches, too."""

from pathlib import Path

import pytest

from llmos.data.files import Files
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.gateway.calls.erasure_watch import ErasureWatch
from llmos.gateway.erasing import Erasing
from llmos.security.signing_key import SigningKey
from support.datasets import datasets_beside, knowledge_beside


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
    responses.keep("acme", KeptResponse(id="resp_1", body="{}", items="[]", users=("ann",), previous_id=None))
    watch = ErasureWatch(files.database, cache, partitions)  # type: ignore[arg-type]
    await watch.check()
    assert cache.projects == []
    Erasing(files, datasets_beside(files), knowledge_beside(files), SigningKey(tmp_path / "keys" / "signing")).forget(
        "ann", project="acme", actor="ada"
    )
    await watch.check()
    await watch.check()
    assert (cache.projects, partitions.projects) == (["acme"], ["acme"])

"""What is kept encrypted is discarded with its keys."""

from pathlib import Path

import pytest

from llmos.core.errors import NotFound
from llmos.core.store.store import Store
from llmos.data.datasets.datasets import Datasets
from llmos.data.files import Files
from llmos.data.project_data import ProjectData
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.deployments.providers.providers import Providers
from llmos.gateway.kept_encryption import KeptEncryption
from llmos.models.registry import Registry
from llmos.security.projects import Projects


def test_what_is_encrypted_is_discarded_with_its_keys(files: Files, responses: KeptResponses, tmp_path: Path) -> None:
    responses.keep("acme", KeptResponse(id="resp_1", body="{}", items="[]", users=("ann",), previous_id=None))
    incoming = files.begin()
    incoming.write(b"one line")
    file = files.finish(incoming, tenant="acme", purpose="batch", filename="a.txt")
    providers = Providers(files.database, files.encryption)
    registry = Registry(files.database, Store(tmp_path / "store"))
    datasets = Datasets(files.database, Store(files.folder.parent / "store"))
    kept = KeptEncryption(
        files, providers, Projects(files.database, ProjectData(files.database, files, [datasets])), registry
    )
    assert kept.status().num_objects == 2
    assert kept.discard().num_objects == 2
    assert kept.status().num_objects == 0
    with pytest.raises(NotFound):
        responses.get("acme", "resp_1")
    assert not files.path(file.id).exists()

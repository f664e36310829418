"""What is kept encrypted is discarded with its keys."""

from pathlib import Path

import pytest

from llmos.core.errors import NotFound
from llmos.data.files import Files
from llmos.data.project_data import ProjectData
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.deployments.providers.providers import Providers
from llmos.gateway.kept_encryption import KeptEncryption
from llmos.models.registry import Registry
from llmos.security.projects import Projects
from support.datasets import datasets_beside, store_beside
from support.operating import text_row


def test_what_is_encrypted_is_discarded_with_its_keys(files: Files, responses: KeptResponses, tmp_path: Path) -> None:
    responses.keep("acme", KeptResponse(id="resp_1", body="{}", items="[]", users=("ann",), previous_id=None))
    incoming = files.begin()
    incoming.write(b"one line")
    file = files.finish(incoming, tenant="acme", purpose="batch", filename="a.txt")
    providers = Providers(files.database, files.encryption)
    registry, datasets = Registry(files.database, store_beside(files)), datasets_beside(files)
    with datasets.of("acme").writing("notes", "text", source="test") as writer:
        writer.add(text_row("one"))
        version = writer.finish()
    projects = Projects(files.database, ProjectData(files.database, files, [datasets]))
    kept = KeptEncryption(files, datasets, providers, projects, registry)
    assert kept.status().num_objects == 3
    discarded = kept.discard()
    assert discarded.num_objects == 3
    assert discarded.datasets == ["the dataset notes@1 of the project acme"]
    assert kept.status().num_objects == 0
    with pytest.raises(NotFound):
        responses.get("acme", "resp_1")
    assert not files.path(file.id).exists()
    with datasets.of("acme").writing("notes", "text", source="test") as writer:
        writer.add(text_row("one"))
        assert writer.finish().ref == version.ref
    assert [row.texts for row in datasets.of("acme").rows(datasets.of("acme").resolve("notes"))] == [["one"]]

"""Encrypted data is discarded with its keys."""

from pathlib import Path

import pytest

from llmos.core.errors import NotFound
from llmos.data.app_versions.app_versions import AppVersions
from llmos.data.files import Files
from llmos.data.project_data import ProjectData
from llmos.data.prompts.prompts import Prompts
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.deployments.providers.providers import Providers
from llmos.gateway.kept_encryption import KeptEncryption
from llmos.models.registry import Registry
from llmos.security.projects import Projects
from support.app_folders import app_content, app_files
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


def test_prompts_and_applications_whose_keys_are_gone_are_made_again_under_their_numbers(
    files: Files, tmp_path: Path
) -> None:
    providers, store = Providers(files.database, files.encryption), store_beside(files)
    registry, datasets = Registry(files.database, store), datasets_beside(files)
    apps = AppVersions(files.database, store, tmp_path / "apps").of("acme")
    prompts = Prompts(files.database, store).of("acme")
    apps.create(app_content(app_files()))
    projects = Projects(files.database, ProjectData(files.database, files, [datasets]))
    discarded = KeptEncryption(files, datasets, providers, projects, registry).discard()
    assert discarded.datasets == [
        "the app support@1 of the project acme",
        "the prompt support.tone@1 of the project acme",
        "the prompt support@1 of the project acme",
    ]
    made = apps.create(app_content(app_files()))
    assert (made.ref, made.prompts) == ("support@1", ("support@1", "support.tone@1"))
    assert dict(apps.contents(made)) == app_files()
    assert apps.manifest(made)["model"] == "smollm2"
    assert prompts.text(prompts.resolve("support")).fill({"shop": "Acme"}) == "You help the customers of Acme."

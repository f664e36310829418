"""Documents of a folder that become knowledge for a release, and go again if it isn't released."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmos.cli.app_documents import synced_documents
from llmos.core.errors import Conflict
from llmos.hosting.folder import AppFolder


class Knowledge:
    """The knowledge of a server, whose newest version has some documents."""

    def __init__(self, *versions: str) -> None:
        self.versions, self.syncs = [*versions], "faq@2"

    def list(self) -> list[Any]:
        return [SimpleNamespace(name="faq", version=each) for each in self.versions]

    def sync(self, name: str, folder: Path, progress: Any) -> Any:
        if self.syncs not in self.versions:
            self.versions.append(self.syncs)
        return SimpleNamespace(version=self.syncs, num_documents=1)

    def remove(self, version: str) -> None:
        self.versions.remove(version)


@pytest.fixture
def folder(tmp_path: Path) -> AppFolder:
    (tmp_path / "app.yaml").write_text("name: support\nknowledge: {name: faq, documents: faq}\n")
    (tmp_path / "faq").mkdir()
    return AppFolder.open(tmp_path)


def test_documents_of_a_release_stay(folder: AppFolder) -> None:
    knowledge = Knowledge("faq@1")
    with synced_documents(folder, SimpleNamespace(knowledge=knowledge)):  # type: ignore[arg-type]
        assert knowledge.versions == ["faq@1", "faq@2"]
    assert knowledge.versions == ["faq@1", "faq@2"]


def test_documents_of_what_is_not_released_go_again(folder: AppFolder, capsys: pytest.CaptureFixture[str]) -> None:
    knowledge = Knowledge("faq@1")
    with pytest.raises(Conflict), synced_documents(folder, SimpleNamespace(knowledge=knowledge)):  # type: ignore[arg-type]
        raise Conflict("Another release is taking over.")
    assert knowledge.versions == ["faq@1"]
    assert capsys.readouterr().err.endswith("faq@2 was removed again.\n")


def test_a_version_that_was_there_before_stays(folder: AppFolder) -> None:
    knowledge = Knowledge("faq@1", "faq@2")
    with pytest.raises(Conflict), synced_documents(folder, SimpleNamespace(knowledge=knowledge)):  # type: ignore[arg-type]
        raise Conflict("Another release is taking over.")
    assert knowledge.versions == ["faq@1", "faq@2"]

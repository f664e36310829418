"""llmos forget and llmos project retention, on this machine's database."""

import json
from pathlib import Path

import pytest

from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.core.encryption.opening import open_encryption
from llmos.data.knowledge import open_knowledge
from llmos.data.knowledge.adding import sync_documents
from llmos.data.knowledge.sources import SourceDocument
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.models import open_registry
from support.knowledge_fixtures import FakeEmbedder

from .conftest import Cli


def keep(home: Path, id: str, *users: str) -> None:
    settings = load_settings({"LLMOS_HOME": str(home)})
    database = Database(settings.database_url)
    database.upgrade()
    kept = KeptResponse(id=id, body="{}", items="[]", users=users)
    KeptResponses(database, open_encryption(settings, database)).keep("owner", kept)
    database.close()


def keep_document(home: Path, subject: str) -> None:
    """Keep a document about a person, as `llmos knowledge add faq FILE --subject` does."""
    settings = load_settings()
    registry = open_registry(settings)
    hashed = open_encryption(settings, registry.database).ring.index("subject", "owner", subject)
    path = home / "note.md"
    path.write_text("Lives in Paris.")
    source = SourceDocument(name="note.md", path=path, subject=hashed)
    knowledge = open_knowledge(registry.database, registry.store).of()
    sync_documents(knowledge, "faq", [source], lambda ref: FakeEmbedder())
    registry.database.close()


@pytest.mark.process
def test_documents_about_a_person_are_forgotten_and_counted(cli: Cli, home: Path) -> None:
    keep_document(home, "ann")
    assert len(json.loads(cli("knowledge", "documents", "faq", "--json").out)) == 1
    assert "documents of knowledge 1" in " ".join(cli("forget", "--subject", "ann", "--yes").out.split())
    assert json.loads(cli("knowledge", "documents", "faq", "--json").out) == []


def test_a_person_is_forgotten_and_the_certificate_can_be_checked(cli: Cli, home: Path) -> None:
    keep(home, "resp_1", "ann")
    keep(home, "resp_2", "bob")
    path = home / "certificate.json"
    done = cli("forget", "--subject", "ann", "--yes", "--output", str(path))
    assert done.status == 0, done.err
    assert "owner: responses 1, lines of batches 0, keys destroyed 1" in " ".join(done.out.split())
    assert json.loads(path.read_text())["projects"][0]["responses"] == ["resp_1"]
    assert "The certificate is unchanged" in cli("forget", "--verify", str(path)).out
    path.write_text(path.read_text().replace("resp_1", "resp_2"))
    changed = cli("forget", "--verify", str(path))
    assert (changed.status, "changed after it was signed" in changed.err) == (2, True)
    path.write_text("[]")
    assert "isn't a certificate" in cli("forget", "--verify", str(path)).err
    assert cli("forget", "--subject", "ann", "--yes").out == "Nothing of ann is kept.\n"


def test_the_audit_log_has_the_erasure_and_not_the_name(cli: Cli, home: Path) -> None:
    keep(home, "resp_1", "ann.of.nowhere")
    cli("forget", "--subject", "ann.of.nowhere", "--yes")
    listed = cli("audit", "list", "--json")
    assert "erasure.create" in listed.out, listed.err
    assert "ann.of" not in listed.out


def test_whose_data_must_be_said(cli: Cli) -> None:
    refused = cli("forget")
    assert refused.status == 2
    assert "llmos forget --subject ID" in refused.err
    assert "no project 'acne'" in cli("forget", "--subject", "ann", "--project", "acne", "--yes").err


@pytest.mark.parametrize(
    ("chosen", "said"),
    [(["--days", "30"], "30d"), (["--nothing"], "nothing"), (["--forever"], "forever"), (["--default"], "default")],
)
def test_the_retention_of_a_project_is_set_and_shown(cli: Cli, chosen: list[str], said: str) -> None:
    cli("project", "create", "acme")
    for name in ("acme", "owner"):
        assert cli("project", "retention", name, *chosen).out == f"The retention of {name}: {said}.\n"
        assert json.loads(cli("project", "show", name, "--json").out)["retention"] == said


@pytest.mark.parametrize("chosen", [[], ["--nothing", "--forever"], ["--days", "3", "--default"]])
def test_one_retention_must_be_chosen(cli: Cli, chosen: list[str]) -> None:
    refused = cli("project", "retention", "owner", *chosen)
    assert (refused.status, "Choose one of" in refused.err) == (2, True)

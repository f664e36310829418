"""Erasing a person's data: what names the person goes, in copies and backups, too, and all else stays."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from llmos.core.schemas.base import read_description
from llmos.core.schemas.erasures import ErasureCertificate
from llmos.data.batches import Batches
from llmos.data.evals import EvalRuns, NewEvalRun
from llmos.data.files import File, Files
from llmos.data.journal import Journal
from llmos.data.knowledge.adding import sync_documents
from llmos.data.knowledge.sources import SourceDocument
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.gateway.erasing import Erasing
from llmos.gateway.jobs.batch_lines import answered_entry, read_entry, read_lines
from llmos.gateway.jobs.internal_requests import Reply
from llmos.security.certificates import check_signature
from llmos.security.signing_key import SigningKey
from support.datasets import datasets_beside, knowledge_beside
from support.evals import suite_of
from support.knowledge_fixtures import FakeEmbedder


@pytest.fixture
def erasing(files: Files, tmp_path: Path) -> Erasing:
    return Erasing(files, datasets_beside(files), knowledge_beside(files), SigningKey(tmp_path / "keys" / "signing"))


def keep(responses: KeptResponses, id: str, *users: str, project: str = "acme", previous: str | None = None) -> None:
    responses.keep(project, KeptResponse(id=id, body="{}", items="[]", users=users, previous_id=previous))


def has(responses: KeptResponses, id: str, project: str = "acme") -> bool:
    try:
        responses.get(project, id)
    except NotFound:
        return False
    return True


def line(number: int, **body: Any) -> bytes:
    fields = {"custom_id": f"c{number}", "method": "POST", "url": "/v1/completions", "body": body}
    return json.dumps(fields).encode() + b"\n"


def upload(files: Files, content: bytes) -> File:
    incoming = files.begin()
    incoming.write(content)
    return files.finish(incoming, tenant="acme", purpose="batch", filename="a")


def run_batch(batches: Batches, files: Files, file: File) -> tuple[str, str]:
    """Run a batch without a model: odd lines are answered, even ones fail. Return the ids of its files."""
    batch = batches.create("acme", endpoint="/v1/completions", input_file_id=file.id)
    batches.begin(batch.id, 4)
    journal: Journal = batches.journal(batch.id, read_entry)
    for each in read_lines(lambda: files.open(file.id), "/v1/completions"):
        reply = Reply(200 if each.number % 2 else 400, {}, b'{"text": "of line %d"}' % each.number)
        journal.write([answered_entry(batch.id, each, reply)])
    batches.finalize(batch.id)
    ended = batches.end(batch.id, journal)
    assert ended.output_file_id is not None
    assert ended.error_file_id is not None
    return ended.output_file_id, ended.error_file_id


def numbers_in(files: Files, id: str) -> list[int]:
    with files.open(id) as content:
        return [read_entry(each.rstrip(b"\n"), False).number for each in content]


def test_what_names_the_person_goes_and_all_else_stays(responses: KeptResponses, erasing: Erasing) -> None:
    for id, users in (("a", ["ann"]), ("b", ["bob"]), ("c", []), ("both", ["ann", "bob"])):
        keep(responses, id, *users)
    keep(responses, "later", previous="a")
    keep(responses, "others", "ann", project="other")
    certificate = erasing.forget("ann", project="acme", actor="ada")
    (project,) = certificate.projects
    assert project.responses == ["a", "both", "later"], "also a conversation that continues the person's"
    assert project.num_keys_destroyed == 1
    assert [has(responses, id) for id in ("a", "both", "later", "b", "c")] == [False, False, False, True, True]
    assert has(responses, "others", "other")
    assert [each.project for each in erasing.forget("ann").projects] == ["other"]
    assert erasing.forget("ann").projects == []


def test_a_backup_of_the_data_does_not_bring_the_person_back(
    responses: KeptResponses, erasing: Erasing, database: Database
) -> None:
    """The rows are put back as they were; the key ring isn't part of the backup."""
    from llmos.core.encryption.tables import ObjectKeyRow
    from llmos.data.tables import ResponseRow

    keep(responses, "a", "ann")
    keep(responses, "b", "bob")
    with database.session() as session:
        rows = [
            kind(**{column.key: getattr(row, column.key) for column in kind.__table__.columns})
            for kind in (ResponseRow, ObjectKeyRow)
            for row in session.query(kind)
        ]
    erasing.forget("ann")
    responses.remove("acme", "b")
    with database.transaction() as session:
        session.add_all(rows)
    with pytest.raises(NotFound, match=r"a was erased: the key .* is destroyed"):
        responses.get("acme", "a")
    assert has(responses, "b")


def test_the_lines_of_batches_go_with_their_answers(files: Files, erasing: Erasing, database: Database) -> None:
    content = b"".join(
        [
            line(1, prompt="one", user="ann"),
            line(2, prompt="two", metadata={"user_id": "ann"}),
            line(3, prompt="three", user="bob"),
            line(4, prompt="four ann"),
        ]
    )
    file = upload(files, content)
    output, errors = run_batch(Batches(database, files), files, file)
    (project,) = erasing.forget("ann").projects
    assert {each.id: each.num_lines for each in project.files} == {file.id: 2, output: 1, errors: 1}
    assert project.num_contents_blocked == 3, "the file and two lines"
    with files.open(file.id) as left:
        assert left.read() == line(3, prompt="three", user="bob") + line(4, prompt="four ann")
    assert files.get("acme", file.id).size == len(line(3, prompt="three", user="bob") + line(4, prompt="four ann"))
    assert (numbers_in(files, output), numbers_in(files, errors)) == ([3], [4])


def test_the_same_content_is_not_taken_again(files: Files, erasing: Erasing, database: Database) -> None:
    from llmos.data.erased_contents import ErasedContents

    content = line(1, prompt="one", user="ann") + line(2, prompt="two")
    upload(files, content)
    erasing.forget("ann")
    with pytest.raises(Conflict, match="erased at the request of a person"):
        upload(files, content)
    again = upload(files, line(7, user="ann", prompt="one") + line(8, prompt="two"))
    checker = ErasedContents(database, files.encryption.ring).checker("acme")
    refusals = [each.refusal for each in read_lines(lambda: files.open(again.id), "/v1/completions", checker)]
    assert refusals[0] is not None
    assert "isn't run again" in refusals[0].message, "whatever the order of its fields"
    assert refusals[1] is None
    assert ErasedContents(database, files.encryption.ring).checker("other") is None


def test_nothing_goes_while_a_batch_with_the_persons_data_runs(
    files: Files, responses: KeptResponses, erasing: Erasing, database: Database
) -> None:
    keep(responses, "a", "ann")
    file = upload(files, line(1, prompt="one", user="ann"))
    batch = Batches(database, files).create("acme", endpoint="/v1/completions", input_file_id=file.id)
    with pytest.raises(Conflict, match=f"{batch.id} of acme runs requests of ann. Cancel it"):
        erasing.forget("ann")
    assert has(responses, "a")
    erasing.forget("bob")


def test_a_crash_before_the_keys_are_destroyed_leaves_the_rest_for_the_next_time(
    responses: KeptResponses, erasing: Erasing, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    keep(responses, "a", "ann")
    with monkeypatch.context() as patched:
        patched.setattr(type(files.encryption.ring), "destroy_subject", crash)
        with pytest.raises(KeyboardInterrupt):
            erasing.forget("ann")
    (project,) = erasing.forget("ann").projects
    assert project.num_keys_destroyed == 1


def test_the_certificate_is_signed_and_a_change_is_noticed(responses: KeptResponses, erasing: Erasing) -> None:
    keep(responses, "a", "ann")
    written = msgspec.json.encode(erasing.forget("ann"))
    certificate = read_description(ErasureCertificate, msgspec.json.decode(written))
    assert certificate.subject == "ann"
    assert "can't be read in any backup" in certificate.backups
    check_signature(certificate)
    assert certificate.public_key == erasing.forget("bob").public_key, "the key stays"
    for old, new in ((b'"a"', b'"b"'), (b'"ann"', b'"bob"'), (b"llmos-erasure/1", b"llmos-erasure/2")):
        assert old in written
        changed = read_description(ErasureCertificate, msgspec.json.decode(written.replace(old, new)))
        with pytest.raises(BadRequest, match="changed after it was signed"):
            check_signature(changed)


@pytest.mark.parametrize("subject", ["", "x" * 513])
def test_a_subject_that_no_request_can_name_is_refused(erasing: Erasing, subject: str) -> None:
    with pytest.raises(BadRequest, match="1 to 512 characters"):
        erasing.forget(subject)


def test_nothing_in_the_database_names_the_person(
    responses: KeptResponses, erasing: Erasing, database: Database
) -> None:
    from sqlalchemy import text

    keep(responses, "a", "ann.of.nowhere")
    erasing.forget("ann.of.nowhere")
    with database.session() as session:
        for table in ("object_subjects", "object_keys", "erasures", "erased_contents", "responses"):
            assert "ann.of" not in str(session.execute(text(f"SELECT * FROM {table}")).all())
        assert len(session.execute(text("SELECT * FROM erasures")).all()) == 1


@pytest.mark.process
def test_the_documents_of_a_person_are_erased(files: Files, erasing: Erasing, tmp_path: Path) -> None:
    (tmp_path / "ann.md").write_text("# Ann\n\nAnn likes tea.\n")
    subject = files.encryption.ring.index("subject", "acme", "ann")
    source = SourceDocument(name="ann.md", path=tmp_path / "ann.md", subject=subject)
    knowledge = erasing._knowledge.of("acme")
    sync_documents(knowledge, "faq", [source], lambda ref: FakeEmbedder())
    certificate = erasing.forget("ann")
    [erased] = certificate.projects
    assert [(each.version, each.num_documents) for each in erased.knowledge] == [("faq@1", 1)]
    assert knowledge.documents(knowledge.resolve("faq")) == []
    assert erasing.forget("ann").projects == []


def test_runs_of_evals_with_data_of_the_person_go(erasing: Erasing, files: Files, database: Database) -> None:
    ring, runs = files.encryption.ring, EvalRuns(database, files.encryption)
    files.encryption.start()
    suite = suite_of("cases: [{id: a, input: x, expect: {contains: x}}]")
    names = frozenset(ring.index("subject", "acme", f"person-{number}") for number in range(40))
    new = NewEvalRun(suite=suite, models=["m"], num_repeats=1, subjects=names)
    about, other = runs.begin("acme", new), runs.begin("acme", replace(new, subjects=frozenset(), models=["n"]))
    (erased,) = erasing.forget("person-7").projects
    assert erased.evals == [about.id]
    assert [run.id for run in runs.list("acme")] == [other.id]

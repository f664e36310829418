"""Adding documents: what is kept, replaced, skipped and refused, and what is embedded for it."""

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from llmos.core.errors import BadDocument, BadRequest, NotFound, PromptBlocked, RateLimited
from llmos.core.names import check_file_name
from llmos.data.knowledge import batching
from llmos.data.knowledge.adding import AddOptions, add_documents, remove_documents, sync_documents
from llmos.data.knowledge.sources import SourceDocument, find_documents
from support.document_files import Line, make_docx, make_pdf, paragraph
from support.knowledge_fixtures import FakeEmbedder, vector_of

pytestmark = pytest.mark.process

TEA = "# Tea\n\nSteep it for two minutes.\n"
COFFEE = "# Coffee\n\nGrind the beans.\n"


def names(knowledge, version):
    return [document.name for document in knowledge.documents(version)]


def test_added_documents_join_those_of_the_newest_version(knowledge, embedder, sources):
    def add(files, **fields):
        return add_documents(knowledge, "drinks", sources(files, **fields), lambda ref: embedder)

    assert names(knowledge, add({"tea.md": TEA})) == ["tea.md"]
    assert names(knowledge, add({"coffee.md": COFFEE})) == ["coffee.md", "tea.md"]
    version = add({"tea.md": TEA.replace("two", "three")}, metadata={"hot": True})
    assert version.ref == "drinks@3"
    assert "three minutes" in knowledge.text(version, "tea.md").text
    assert "two minutes" in knowledge.text(knowledge.resolve("drinks@1"), "tea.md").text
    assert knowledge.document(version, "tea.md").metadata == {"hot": True}
    assert add({"tea.md": TEA.replace("two", "three")}) == version


def test_documents_with_the_same_content_share_an_entry_and_are_embedded_once(knowledge, sync, embedder):
    version = sync({f"{number}.md": TEA for number in range(6)})
    assert len(embedder.texts) == 1
    assert len({document.entry.blob for document in knowledge.documents(version)}) == 1
    hits = knowledge.search(version, "steep", vector_of("steep"))
    assert {hit.place.document for hit in hits} == set(names(knowledge, version))


def test_documents_of_every_format_become_knowledge(knowledge, sync):
    version = sync(
        {
            "a.pdf": make_pdf([Line("Heading", 20), "A page of tea."], ["A page of coffee."]),
            "b.docx": make_docx(paragraph("Cocoa", "heading1"), paragraph("Stir the cocoa.")),
            "c.html": "<h1>Juice</h1><p>Press the oranges.</p>",
            "d.csv": "drink,minutes\ntea,2\n",
            "e.txt": "Water is enough.",
        }
    )
    assert [each.entry.facts.format for each in knowledge.documents(version)] == ["pdf", "docx", "html", "csv", "text"]
    best = knowledge.search(version, "coffee", vector_of("coffee"), limit=1)[0].place
    assert (best.document, best.page, best.heading) == ("a.pdf", 1, ("Heading",))
    start = best.start + best.quote.index("A page of coffee.")
    assert knowledge.passage(version, "a.pdf", start, best.end).page == 2


def test_documents_that_cannot_be_read_are_named_and_nothing_is_kept(knowledge, sync, embedder, store):
    before = sync({"tea.md": TEA})
    files: dict[str, str | bytes] = {f"bad{number:02}.pdf": b"%PDF-1.7 nothing" for number in range(23)}
    files["tea.md"] = TEA.replace("two", "nine")
    embedded = len(embedder.texts)
    with pytest.raises(BadDocument) as error:
        sync(files)
    lines = error.value.message.splitlines()
    assert lines[0].startswith("23 documents can't be read, and nothing was kept.")
    assert [line.split(" ")[0] for line in lines[1:-1]] == [f"bad{number:02}.pdf" for number in range(20)]
    assert lines[-1] == "… and 3 more"
    assert len(embedder.texts) == embedded
    assert knowledge.resolve("faq") == before


def test_bad_documents_can_be_skipped_and_are_counted(knowledge, sync):
    version = sync({"tea.md": TEA, "scan.pdf": make_pdf([]), "empty.txt": ""}, on_error="skip")
    assert names(knowledge, version) == ["tea.md"]
    assert version.report["skipped"] == 2
    reasons = "\n".join(version.report["problems"])
    assert "empty.txt can't be read. It is empty." in reasons
    assert "scan.pdf can't be read." in reasons
    with pytest.raises(BadDocument, match="1 document can't be read"):
        sync({"tea.md": b"\x00"}, on_error="skip")
    assert knowledge.resolve("faq") == version


def test_a_file_that_is_gone_is_a_problem_of_that_document(knowledge, embedder, tmp_path):
    gone = [SourceDocument(name="gone.md", path=tmp_path / "gone.md")]
    with pytest.raises(BadDocument, match=r"gone\.md can't be read: No such file"):
        add_documents(knowledge, "faq", gone, lambda ref: embedder)


def test_the_recipe_stays_and_a_new_one_cuts_again_without_the_files(knowledge, sync, embedder, tmp_path):
    long = "# Tea\n\n" + "\n\n".join(f"Rule {number}: steep it for two minutes." for number in range(20))
    first = sync({"tea.md": long}, max_tokens=40, overlap_tokens=4)
    assert (first.recipe.max_tokens, first.recipe.overlap_tokens) == (40, 4)
    for path in (tmp_path / "sources").iterdir():
        path.unlink()
    again = add_documents(knowledge, "faq", [], lambda ref: embedder)
    assert again == first
    cut = add_documents(knowledge, "faq", [], lambda ref: embedder, AddOptions(max_tokens=16, overlap_tokens=0))
    assert cut.ref == "faq@2"
    assert cut.num_chunks > first.num_chunks
    assert knowledge.text(cut, "tea.md") == knowledge.text(first, "tea.md")


def test_another_model_embeds_again_and_is_kept(knowledge, sync, sources):
    first = sync({"tea.md": TEA})
    asked = []

    def open_embedder(ref):
        asked.append(ref)
        return FakeEmbedder(ref=ref if "@" in ref else f"{ref}@1")

    second = add_documents(knowledge, "faq", [], open_embedder, AddOptions(embedding="other"))
    third = add_documents(knowledge, "faq", sources({"coffee.md": COFFEE}), open_embedder)
    assert asked == ["other", "other@1"]
    assert (first.embedding, second.embedding, third.embedding) == ("words@1", "other@1", "other@1")
    assert len({first.embedding_digest, second.embedding_digest}) == 2


def test_the_default_model_is_minilm_and_chunks_are_as_long_as_it_takes(knowledge, sources):
    asked = []

    def open_embedder(ref):
        asked.append(ref)
        return FakeEmbedder(max_tokens=200)

    version = add_documents(knowledge, "faq", sources({"tea.md": TEA}), open_embedder)
    assert asked == ["minilm"]
    assert version.recipe.max_tokens == 200
    with pytest.raises(BadRequest, match=r"words@1 takes texts of 200 tokens, so chunks can't have 300"):
        add_documents(knowledge, "faq", [], open_embedder, AddOptions(max_tokens=300))
    with pytest.raises(BadRequest, match="max_tokens"):
        add_documents(knowledge, "faq", [], open_embedder, AddOptions(max_tokens=0))
    with pytest.raises(BadRequest, match="can't overlap by 150"):
        add_documents(knowledge, "faq", [], open_embedder, AddOptions(overlap_tokens=150))


def test_metadata_is_part_of_the_digest_and_stays_unless_it_is_given(knowledge, embedder, sources):
    def add(**fields):
        return add_documents(knowledge, "faq", sources({"tea.md": TEA}, **fields), lambda ref: embedder)

    first = add(metadata={"year": 2026, "score": 0.5, "draft": False, "lang": "en"})
    assert add() == first
    second = add(metadata={})
    assert second.ref == "faq@2"
    assert second.digest != first.digest
    assert len(embedder.texts) == 1


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"a": None}, "must be a text, a number, true or false"),
        ({"a": float("nan")}, "must be a finite number"),
        ({"a": 1 << 60}, "must be less than 2"),
        ({"a": "x" * 513}, "at most 512 characters"),
        ({"a": "\ud800"}, "at most 512 characters"),
        ({"": 1}, "is no key of metadata"),
        ({str(number): 1 for number in range(17)}, "at most 16 fields"),
    ],
)
def test_metadata_that_cannot_be_kept_is_refused(knowledge, embedder, sources, metadata, message):
    with pytest.raises(BadRequest, match=message):
        add_documents(knowledge, "faq", sources({"tea.md": TEA}, metadata=metadata), lambda ref: embedder)


def test_names_are_relative_paths_and_different(knowledge, embedder, tmp_path):
    twice = [SourceDocument(name="a.md", path=tmp_path / "a.md")] * 2
    with pytest.raises(BadRequest, match=r"Two documents are called a\.md"):
        sync_documents(knowledge, "faq", twice, lambda ref: embedder)
    with pytest.raises(BadRequest, match="is not a valid file name"):
        sync_documents(knowledge, "faq", [SourceDocument(name="../a.md", path=tmp_path / "a.md")], lambda ref: embedder)


def test_a_document_whose_content_is_known_needs_no_file(knowledge, sync, embedder):
    known = knowledge.document(sync({"tea.md": TEA}), "tea.md").digest
    version = add_documents(
        knowledge, "other", [SourceDocument(name="copy.md", path=None, digest=known)], lambda ref: embedder
    )
    assert knowledge.text(version, "copy.md").text == knowledge.text(knowledge.resolve("faq"), "tea.md").text
    assert len(embedder.texts) == 1
    for name, digest in (("copy.txt", known), ("copy.md", f"sha256:{'0' * 64}")):  # Another format; another file.
        with pytest.raises(NotFound, match="was not uploaded"):
            add_documents(
                knowledge, "other", [SourceDocument(name=name, path=None, digest=digest)], lambda ref: embedder
            )


def test_a_removed_version_lends_no_entry(knowledge, sync, embedder):
    sync({"tea.md": TEA})
    knowledge.remove("faq")
    version = sync({"tea.md": TEA})
    assert version.ref == "faq@2"
    assert len(embedder.texts) == 2


def test_removing_from_nothing_says_what_there_is(knowledge):
    with pytest.raises(NotFound, match="There is no knowledge 'faq'"):
        remove_documents(knowledge, "faq", ["a.md"])


def test_documents_of_a_folder_are_found_by_their_suffixes(tmp_path):
    for name in ("b/c.PDF", "a.md", ".git/x.md", "b/.hidden.md", "photo.png", "文档.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert [each.name for each in find_documents(tmp_path)] == ["a.md", "b/c.PDF", "文档.txt"]
    assert [check_file_name(each.name) for each in find_documents(tmp_path / "a.md")] == ["a.md"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadRequest, match="There are no documents in"):
        find_documents(tmp_path / "empty")
    with pytest.raises(BadRequest, match="There is no file or folder"):
        find_documents(tmp_path / "missing")


class LazyEmbedder(FakeEmbedder):
    """Answers when somebody waits for an answer: all questions, the last one first."""

    def __init__(self):
        super().__init__()
        self.waiting, self.most = [], 0

    def embed(self, texts, role):
        future = LazyFuture(self)
        self.waiting.append((future, list(texts)))
        self.most = max(self.most, len(self.waiting))
        return future

    def answer(self):
        while self.waiting:
            future, texts = self.waiting.pop()
            future.set_result(np.stack([vector_of(text) for text in texts]))


class LazyFuture(Future):
    def __init__(self, embedder):
        super().__init__()
        self._embedder = embedder

    def result(self, timeout=None):
        self._embedder.answer()
        return super().result(timeout)


def test_several_batches_are_embedded_at_once_and_vectors_stay_with_their_texts(knowledge, sources, monkeypatch):
    monkeypatch.setattr(batching, "BATCH_TEXTS", 3)
    embedder = LazyEmbedder()
    files = {
        f"{number:02}.md": "".join(f"# Part {number} {part}\n\nText.\n\n" for part in range(7)) for number in range(9)
    }
    version = add_documents(knowledge, "faq", sources(files), lambda ref: embedder)
    assert embedder.most == batching.BATCHES_UNDER_WAY
    for number in range(9):
        for part in range(7):
            vector = vector_of(f"Part {number} {part}\n\nText.")
            assert knowledge.search(version, None, vector, limit=1)[0].cosine == pytest.approx(1)


def test_an_error_of_the_model_ends_the_adding_and_nothing_is_kept(knowledge, sync, sources, embedder, monkeypatch):
    before = sync({"tea.md": TEA})

    def fail(texts, role):
        future: Future[np.ndarray] = Future()
        future.set_exception(RateLimited("Too many tokens."))
        return future

    monkeypatch.setattr(embedder, "embed", fail)
    with pytest.raises(RateLimited):
        add_documents(knowledge, "faq", sources({"coffee.md": COFFEE}), lambda ref: embedder)
    assert knowledge.list() == [before]


def test_a_text_that_the_tokenizer_refuses_is_a_problem_of_its_document(knowledge, sync, embedder, monkeypatch):
    real = embedder.count_tokens

    def count(text):
        if "Grind" in text:
            raise BadRequest("The text has a character that is a control token of this model.")
        return real(text)

    monkeypatch.setattr(embedder, "count_tokens", count)
    version = sync({"tea.md": TEA, "coffee.md": COFFEE}, on_error="skip")
    assert names(knowledge, version) == ["tea.md"]
    assert "coffee.md can't be cut into chunks. The text has a character" in version.report["problems"][0]


def test_a_text_that_a_guardrail_blocks_is_a_problem_of_its_document(knowledge, sync, embedder, monkeypatch):
    real = embedder.embed

    def embed(texts, role):
        if not any("Grind" in text for text in texts):
            return real(texts, role)
        future: Future[np.ndarray] = Future()
        future.set_exception(PromptBlocked("The policy secrets blocks it."))
        return future

    monkeypatch.setattr(embedder, "embed", embed)
    files = {"coffee.md": COFFEE, "tea.md": TEA}
    with pytest.raises(BadDocument, match=r"coffee\.md can't be embedded. The policy secrets blocks it"):
        sync(files)
    version = sync(files, on_error="skip")
    assert names(knowledge, version) == ["tea.md"]
    assert version.report["skipped"] == 1


def test_progress_counts_documents(knowledge, sources, embedder):
    seen = []
    add_documents(
        knowledge,
        "faq",
        sources({"tea.md": TEA, "coffee.md": COFFEE}),
        lambda ref: embedder,
        progress=lambda *step: seen.append(step),
    )
    assert ("documents", 2, 2) in seen
    assert seen[-1] == ("index", 1, 1)


def test_entries_of_one_project_are_not_taken_by_another(all_knowledge, sync, embedder, sources, store: Path):
    sync({"tea.md": TEA})
    add_documents(all_knowledge.of("acme"), "faq", sources({"tea.md": TEA}), lambda ref: embedder)
    assert len(embedder.texts) == 2

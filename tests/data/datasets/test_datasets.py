"""Versions of datasets: rows in order, one digest, shared segments, aliases, labels and removal."""

from contextlib import suppress

import pytest

from llmos.core.errors import BadModelFile, BadRequest, Conflict, NotFound, StoreFailed
from llmos.core.store.blob_files import digest_of
from llmos.data.datasets import segments
from llmos.data.datasets import writer as writer_module
from llmos.data.datasets.datasets import Datasets
from llmos.data.datasets.rows import make_row
from support.operating import text_row


def blobs(store):
    return {digest for digest, _ in store.digests()}


def test_the_rows_of_a_version_are_read_in_order_with_their_columns(datasets, write):
    rows = [
        text_row("one", origin="a.jsonl:1", language="en", split="train"),
        text_row("two", consent="eval"),
        text_row(""),
    ]
    version = write(*rows)
    assert list(datasets.rows(version)) == rows
    assert (version.ref, version.num_rows, version.content_bytes) == ("notes@1", 3, sum(len(row.body) for row in rows))
    assert datasets.resolve("notes") == version
    assert datasets.resolve(f"notes@{version.digest[:19]}") == version


def test_the_same_rows_are_the_same_version(datasets, write):
    first = write("one", "two")
    assert write("one", "two").ref == first.ref
    assert write("two", "one").ref == "notes@2"
    assert write("one", "two", name="copy").digest == first.digest


def test_columns_license_parents_and_recipe_are_part_of_the_digest(write):
    plain = write("one")
    others = [
        write(text_row("one", language="en")),
        write("one", license="MIT"),
        write("one", parents=[plain]),
        write("one", parents=[plain], recipe={"operators": []}),
    ]
    assert len({plain.digest, *(each.digest for each in others)}) == 5
    assert all(each.manifest.digest == each.digest for each in others)


def test_the_digest_depends_neither_on_the_cut_nor_on_the_database(datasets, write, monkeypatch):
    texts = [f"text {number}" for number in range(300)]
    whole = write(*texts)
    monkeypatch.setattr(segments, "TARGET_BYTES", 500)
    cut = write(*texts, name="cut")
    assert len(whole.segments) == 1
    assert len(cut.segments) > 10
    assert cut.digest == whole.digest
    assert list(datasets.rows(cut)) == list(datasets.rows(whole))
    assert whole.digest == "sha256:1062546ffeeefe65cf232b752d276c5010928654b914f6c80d84d21ed763e91a"


@pytest.mark.thorough
def test_the_digest_and_the_files_are_the_same_on_any_number_of_threads(all_datasets, monkeypatch):
    monkeypatch.setattr(segments, "TARGET_BYTES", 500)
    made = set()
    for num_threads in (1, 2, 8):
        monkeypatch.setattr(writer_module, "_NUM_THREADS", num_threads)
        monkeypatch.setattr(writer_module, "_MAX_PENDING", num_threads)
        project = all_datasets.of(f"project-{num_threads}")  # It finds no segments of the others.
        with project.writing("notes", "text", source="test") as writer:
            for number in range(300):
                writer.add(text_row(f"text {number}"))
            version = writer.finish()
        blobs = [
            all_datasets.store.blob_path(segment.blob) for segment in version.segments
        ]  # Each project has its own.
        made.add((version.digest, *map(digest_of, blobs)))
    ((digest, *blobs),) = made
    assert digest == "sha256:1062546ffeeefe65cf232b752d276c5010928654b914f6c80d84d21ed763e91a"
    assert len(blobs) > 10


def test_a_version_shares_the_segments_that_did_not_change(store, write, monkeypatch):
    monkeypatch.setattr(segments, "TARGET_BYTES", 500)
    texts = [f"text {number}" for number in range(300)]
    parent = write(*texts)
    before = blobs(store)
    child = write(*texts[:100], *texts[101:], parents=[parent])
    shared = {each.blob for each in parent.segments} & {each.blob for each in child.segments}
    assert len(shared) >= len(parent.segments) - 2
    assert len(blobs(store) - before) <= 2


def test_head_reads_only_the_segments_that_have_the_rows(datasets, store, write, monkeypatch):
    monkeypatch.setattr(segments, "TARGET_BYTES", 500)
    rows = [text_row(f"text {number}") for number in range(300)]
    version = write(*rows)
    store.blob_path(version.segments[0].blob).unlink()
    assert datasets.head(version, 7, skip=290) == rows[290:297]
    assert datasets.head(version, 20, skip=290) == rows[290:]


def test_dropped_and_replaced_rows_are_found_again_with_their_reasons(datasets, write):
    parent = write("  keep ", "drop me", "same")
    keep, drop, same = datasets.rows(parent)
    with datasets.writing("notes", "text", parents=[parent], recipe={"operators": ["normalize"]}) as writer:
        writer.replace(keep, keep.map_texts(str.strip), "normalize", "spaces")
        writer.drop(drop, "quality", "too_short", "2 words; the least is 3")
        writer.replace(same, same.map_texts(str.strip), "normalize", "spaces")
        child = writer.finish()
    assert [row.content.text for row in datasets.rows(child)] == ["keep", "same"]
    replaced, dropped = datasets.changes(child)
    assert (replaced.id, replaced.successor) == (keep.id, text_row("keep").id)
    assert (dropped.id, dropped.reason, dropped.detail) == (drop.id, "too_short", "2 words; the least is 3")
    assert child.report == {"dropped": {"quality": {"too_short": 1}}, "replaced": {"normalize": {"spaces": 1}}}
    assert datasets.show("notes").made_from == (parent.ref,)


def test_nothing_remains_of_a_version_that_was_not_finished(datasets, store, write):
    write("one")
    before = blobs(store)
    with suppress(ZeroDivisionError), datasets.writing("notes", "text", source="test") as writer:
        writer.add(text_row("two"))
        raise ZeroDivisionError
    assert blobs(store) == before
    assert [version.ref for version in datasets.list()] == ["notes@1"]
    assert not [path for path in (store.path / "incoming").iterdir() if path.suffix != ".lock"]


def test_a_version_has_rows_of_one_kind(datasets, write):
    write("one")
    with pytest.raises(Conflict, match="notes@1 has rows of the kind text, and these are of the kind chat"):
        datasets.writing("notes", "chat", source="test")
    with (
        pytest.raises(BadRequest, match="A row of the kind case can't be in a version of the kind text"),
        datasets.writing("notes", "text", source="test") as writer,
    ):
        writer.add(make_row("case", {"input": "1 + 1"}))


def test_a_version_without_rows_is_refused(datasets):
    with pytest.raises(BadRequest, match="No row is left for notes"), datasets.writing("notes", "text") as writer:
        writer.finish()


def test_another_projects_datasets_do_not_exist(all_datasets, datasets, write):
    write("one")
    other = all_datasets.of("acme")
    assert not other.list()
    with pytest.raises(NotFound, match=r"There is no dataset 'notes'\. There are: none"):
        other.resolve("notes@1")
    with pytest.raises(NotFound):
        other.remove("notes")
    with pytest.raises(NotFound):
        other.labels.tag("notes", {"a": ""})
    with other.writing("notes", "text", source="test") as writer:
        writer.add(text_row("theirs"))
        assert writer.finish().ref == "notes@1"
    assert [row.content.text for row in datasets.rows(datasets.resolve("notes"))] == ["one"]


def test_a_project_finds_no_segments_of_another_one(all_datasets, datasets, write):
    (segment,) = write("one").segments
    assert datasets._find_segment(segment.rows_digest) == segment
    assert all_datasets.of("acme")._find_segment(segment.rows_digest) is None


def test_nothing_of_a_removed_project_is_left(all_datasets, datasets, store, write):
    mine = write("one")
    datasets.aliases.set("notes", "gold", "notes@1")
    datasets.labels.tag("notes", {"good": ""})
    other = all_datasets.of("acme")
    with other.writing("notes", "text", source="test") as writer:
        writer.add(text_row("theirs"))
        writer.finish()
    other.aliases.set("notes", "gold", "notes@1")
    other.labels.tag("notes@1", {"good": ""})
    all_datasets.remove_project("acme")
    assert not other.list()
    assert blobs(store) == {segment.blob for segment in mine.segments}
    assert datasets.show("notes:gold").aliases == ("gold",)
    with other.writing("notes", "text", source="test") as writer:
        writer.add(text_row("again"))
        assert writer.finish().ref == "notes@1"
    assert not other.aliases.list("notes")


def test_an_unknown_version_is_explained(datasets, write):
    write("one")
    with pytest.raises(NotFound, match=r"There is no dataset 'note'. Did you mean notes\?"):
        datasets.resolve("note")
    with pytest.raises(NotFound, match=r"notes has no such version\. It has notes@1\."):
        datasets.resolve("notes@7")
    with pytest.raises(BadRequest, match="is not a reference to a dataset"):
        datasets.resolve("no notes")


def test_aliases_move_and_keep_their_history(datasets, write):
    for text in ("one", "two"):
        write(text)
    datasets.aliases.set("notes", "gold", "notes@1", actor="ann")
    move = datasets.aliases.set("notes", "gold", "notes@2", expected="notes@1", actor="bob")
    assert (move.was, move.now, move.actor) == ("notes@1", "notes@2", "bob")
    assert datasets.resolve("notes:gold").number == 2
    assert datasets.show("notes@2").aliases == ("gold",)
    with pytest.raises(Conflict, match="llmos dataset alias history notes:gold"):
        datasets.aliases.set("notes", "gold", "notes@1", expected="notes@1")
    with pytest.raises(Conflict, match="The alias notes:gold points at notes@2"):
        datasets.remove("notes@2")


def test_tags_and_descriptions_belong_to_names_and_versions(datasets, write):
    write("one")
    datasets.labels.tag("notes@1", {"reviewed": "yes"})
    datasets.labels.describe("notes", "What we noted")
    details = datasets.show("notes")
    assert (details.labels.tags, details.dataset_labels.description) == ({"reviewed": "yes"}, "What we noted")
    assert [change.subject for change in datasets.labels.history("notes")] == ["notes@1", "notes"]


def test_removing_a_version_keeps_what_others_share(datasets, store, write, monkeypatch):
    monkeypatch.setattr(segments, "TARGET_BYTES", 500)
    texts = [f"text {number}" for number in range(100)]
    first, second = write(*texts), write(*texts[1:])
    removed = datasets.remove("notes@1")
    assert removed.versions == ("notes@1",)
    assert removed.freed_bytes > 0
    assert blobs(store) == {segment.blob for segment in second.segments}
    assert len(list(datasets.rows(second))) == 99
    again = write(*texts)
    assert (again.number, again.digest) == (1, first.digest)
    assert [row.content.text for row in datasets.rows(again)] == texts


def test_removing_a_dataset_removes_its_aliases_and_never_reuses_numbers(datasets, store, write):
    write("one")
    datasets.aliases.set("notes", "gold", "notes@1")
    assert datasets.remove("notes:gold").aliases == ("gold",)
    datasets.aliases.set("notes", "gold", "notes@1")
    assert datasets.remove("notes").aliases == ("gold",)
    assert not blobs(store)
    assert write("two").ref == "notes@2"


def test_a_store_that_encrypts_models_keeps_datasets(database, store):
    datasets = Datasets(database, store.encrypting()).of()
    with datasets.writing("notes", "text", source="test") as writer:
        writer.add(text_row("one"))
        version = writer.finish()
    assert [row.texts for row in datasets.rows(version)] == [["one"]]


def test_a_damaged_segment_is_named(datasets, store, write):
    version = write("one")
    path = store.blob_path(version.segments[0].blob)
    path.chmod(0o644)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(BadModelFile, match=r"The segment .* of a dataset can't be read"):
        list(datasets.rows(version))


def test_a_shared_segment_that_is_removed_meanwhile_stops_the_version(datasets, write):
    write("one")
    with datasets.writing("copy", "text", source="test") as writer:
        writer.add(text_row("one"))
        writer._cut()
        writer._collect(0)
        datasets.remove("notes")
        with pytest.raises(StoreFailed, match="were removed meanwhile"):
            writer.finish()
    assert not datasets.list()

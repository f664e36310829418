"""The glossary: its files, and which places of a text are terms."""

from pathlib import Path

import pytest

from llmos.applications.translate.glossary import Glossary
from llmos.applications.translate.pieces import find_pieces
from llmos.core.errors import BadRequest

CSV = """source,target,from,to,case
refund policy,Rückgaberegeln|Rückgaberegel,en,de,
ACME,,,,exact
windows 11,Windows 11,,,any
"""


def terms(text: str, glossary: Glossary) -> list[tuple[str, tuple[str, ...]]]:
    return [(piece.text, tuple(piece.forms)) for piece in find_pieces(text, glossary) if piece.kind == "term"]


@pytest.fixture
def glossary(tmp_path: Path) -> Glossary:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.yaml").write_text('- {source: refund, target: erstattung, to: "de"}\n')
    (tmp_path / "README.md").write_text("No glossary.")
    return Glossary.read(tmp_path)


def test_the_longest_term_counts_in_whole_words(glossary: Glossary) -> None:
    found = terms("A refund policy for refunds, a refund and `refund`", glossary.between("en", "de"))
    assert found == [("refund policy", ("Rückgaberegeln", "Rückgaberegel")), ("refund", ("erstattung",))]


def test_case_is_followed_kept_or_required(glossary: Glossary) -> None:
    found = terms("Refund of acme and ACME on WINDOWS 11", glossary.between("en", "de"))
    assert found == [("Refund", ("Erstattung",)), ("ACME", ("ACME",)), ("WINDOWS 11", ("Windows 11",))]


def test_a_term_belongs_to_a_pair_of_languages(glossary: Glossary) -> None:
    assert terms("refund policy of ACME", glossary.between("en", "fr")) == [("ACME", ("ACME",))]
    assert terms("refund policy", glossary.between("", "de-AT")) != []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("g.csv", "source,traget\nx,y\n", r"g\.csv, line 2: there is no field 'traget'\. Did you mean target"),
        ("g.csv", "source,target\n,y\n", "line 2: `source` is empty"),
        ("g.csv", "source,target,case\nx,y,loud\n", "`case` is 'loud'; it takes follow, any, exact"),
        ("g.csv", "source,target\nx,y,z\n", "line 2: a term has the fields"),
        ("g.csv", "source,to\nx,klingon\n", "'klingon' is no language"),
        ("g.csv", "source,target\nx,a⟦b\n", "has '⟦'"),
        ("g.yaml", "a: [", r"g\.yaml isn't YAML"),
        ("g.yaml", "a: b", "a glossary is a list of terms"),
        ("g.yaml", "- {source: x, to: no}", "`to` takes a text; put it in quotes"),
        ("g.txt", "", "isn't a glossary"),
    ],
)
def test_a_file_with_a_fault_is_one_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(BadRequest, match=message):
        Glossary.read(path)


def test_a_missing_or_foreign_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="can't be read: No such file"):
        Glossary.read(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"source,target\nx,\xe9\n")
    with pytest.raises(BadRequest, match="isn't UTF-8"):
        Glossary.read(tmp_path / "latin.csv")

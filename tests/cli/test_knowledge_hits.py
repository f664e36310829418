"""The output of a search: places, quotes, and the words that the query has, too."""

import pytest

from llmos.cli.knowledge_hits import print_hits
from llmos.core.schemas.knowledge import Citation, SearchDescription, SearchHit


def found(quote: str, **citation: object) -> SearchDescription:
    place = Citation(knowledge="faq@1", document="a.md", quote=quote, end=len(quote), **citation)
    return SearchDescription(version="faq@1", hits=[SearchHit(text=quote, cosine=0.5, citation=place)])


@pytest.fixture
def styled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")


def marked(printed: str) -> list[str]:
    """Return the parts that stand out."""
    return [part.partition("\x1b[0m")[0] for part in printed.split("\x1b[1;33m")[1:]]


def test_a_hit_says_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    print_hits(found("Two years.", page=3, heading=["Shop", "Guarantee"]), "how long?")
    assert capsys.readouterr().out == ("1. a.md, page 3, Shop > Guarantee [0–10]  similarity 0.50\n   Two years.\n\n")


def test_a_long_quote_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_hits(found("word " * 500), "x")
    assert len(capsys.readouterr().out) < 800


@pytest.mark.usefixtures("styled")
@pytest.mark.parametrize(
    ("query", "quote", "expected"),
    [
        ("battery", "Batteries are excluded.", ["Batteries"]),
        ("nothing here", "Batteries are excluded.", []),
        ("电池", "保修期为两年，电池除外。", ["电", "池"]),
        ("年", "保修期为两年。", ["年"]),
    ],
)
def test_words_of_the_query_stand_out(
    query: str, quote: str, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    print_hits(found(quote), query)
    assert "".join(marked(capsys.readouterr().out)) == "".join(expected)


def test_no_hit_and_no_answer_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_hits(SearchDescription(version="faq@1"), "x")
    assert capsys.readouterr().err == "faq@1 has no passage that fits.\n"
    doubtful = found("Two years.")
    print_hits(SearchDescription(version="faq@1", hits=doubtful.hits, answerable=False), "x")
    assert "probably don't answer" in capsys.readouterr().err

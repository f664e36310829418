"""Summaries of a document's own sentences."""

import pytest

from llmos.applications.summarize.aspects import WHOLE, aspect_of
from llmos.applications.summarize.extracting import Length, central_sentences, first_sentences, num_words

TEXT = """# Bridges

The old bridge carries the traffic of the town. However, the old bridge of the town is limited to cars, a problem.
Bananas are yellow. We propose a new bridge of steel for the town. Results of the tests show that the new steel bridge
of the town carries trucks.
"""


def quoted(text: str, length: Length, aspect: str = "") -> list[str]:
    return [" ".join(text[start:end].split()) for start, end in central_sentences(text, aspect_of(aspect), length)]


def test_the_sentences_are_the_documents_own_and_in_its_order() -> None:
    found = quoted(TEXT, Length(sentences=3))
    plain = " ".join(TEXT.split())
    assert len(found) == 3
    assert [plain.index(each) for each in found] == sorted(plain.index(each) for each in found)
    assert "Bananas are yellow." not in found


def test_an_aspect_prefers_the_sentences_about_it() -> None:
    endings = ["every day", "however with a problem", "which we propose", "as results show", "under yellow paint"]
    sentences = [f"The bridge carries the traffic of the town {ending}." for ending in endings]
    aspects = {"challenge": 1, "approach": 2, "Outcome": 3, "paint": 4}
    found = {aspect: quoted(" ".join(sentences), Length(sentences=1), aspect) for aspect in aspects}
    assert found == {aspect: [sentences[index]] for aspect, index in aspects.items()}


def test_a_sentence_that_repeats_another_one_is_not_chosen() -> None:
    text = "The bridge carries the traffic. The bridge carries the traffic! Ships carry the coal of the traffic."
    assert len({each.rstrip("!.") for each in quoted(text, Length(sentences=2))}) == 2


def test_the_length_is_held_in_sentences_and_in_words() -> None:
    assert num_words(" ".join(quoted(TEXT, Length(sentences=5, words=25)))) <= 25
    assert len(quoted(TEXT, Length(sentences=5, words=1))) == 1, "the shortest sentence is better than none"


def test_texts_without_sentences() -> None:
    assert central_sentences("", WHOLE, Length()) == []
    assert central_sentences("...\n\n", WHOLE, Length()) == []
    assert quoted("One sentence.", Length()) == ["One sentence."]
    assert quoted("# Title\n\nOne.", Length()) == ["One."]
    assert quoted("# Title", Length()) == ["# Title"]


def test_an_endless_line_gives_pieces_of_it() -> None:
    (piece,) = quoted("word " * 40_000, Length(sentences=1))
    assert len(piece) <= 1_000


@pytest.mark.thorough
def test_a_document_of_5_mb_is_quoted() -> None:
    text = "".join(f"Sentence number {index} speaks of bridge {index % 97}. " for index in range(120_000))
    assert len(text) > 5_000_000
    assert len(quoted(text, Length(sentences=5))) == 5


def test_other_scripts_are_words_too() -> None:
    assert num_words("電池除外") == 4
    text = "電池は除外。電池は保証の対象外です。天気がいい。"
    assert quoted(text, Length(sentences=1))[0].startswith("電池は")


def test_first_sentences_are_those_at_the_beginning() -> None:
    assert first_sentences("One. Two. Three.", Length(sentences=2)) == [(0, 4), (5, 9)]
    assert first_sentences("", Length()) == []

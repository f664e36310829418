"""Support: which sentences get a citation, of which passage, and which get none."""

import pytest

from llmos.data.knowledge.support import Supported, supported_sentences

GUARANTEE = "The guarantee covers material and workmanship for 24 months from the date of purchase."
RETURNS = "Goods that were not used can be returned within 14 days. The customer pays for the transport."


def cited(answer: str, *passages: str) -> list[tuple[str, int]]:
    return [(answer[: each.end].rpartition(". ")[2], each.passage) for each in supported_sentences(answer, passages)]


def test_each_sentence_gets_the_passage_that_has_its_words() -> None:
    answer = "Unused goods can be returned within 14 days. The guarantee covers workmanship for 24 months."
    assert supported_sentences(answer, [GUARANTEE, RETURNS]) == [Supported(44, 1), Supported(92, 0)]
    assert answer[43] == "."


@pytest.mark.parametrize(
    "sentence",
    [
        "The guarantee covers material and workmanship for 36 months.",  # a number that no passage has
        "The guarantee covers accidents, theft and water for everybody.",  # most words are elsewhere
        "Yes, it does.",  # words that any text has
        "The guarantee is the guarantee of the material.",  # too few of them say something
        "",
    ],
)
def test_a_sentence_that_no_passage_supports_gets_no_citation(sentence: str) -> None:
    assert supported_sentences(sentence, [GUARANTEE, RETURNS]) == []


def test_without_passages_nothing_is_cited() -> None:
    assert supported_sentences("The guarantee covers workmanship.", []) == []


def test_of_passages_with_the_same_text_the_first_one_is_cited() -> None:
    assert [each.passage for each in supported_sentences(GUARANTEE, [RETURNS, GUARANTEE, GUARANTEE])] == [1]


def test_chinese_sentences_are_compared_by_pairs_of_characters() -> None:
    answer = "保修期从购买之日起为二十四个月。今天天气很好。"
    assert supported_sentences(answer, ["本产品的保修期从购买之日起为二十四个月。"]) == [Supported(16, 0)]


def test_a_sentence_in_capitals_and_with_accents_has_the_same_words() -> None:
    assert cited("LES ARTICLES PEUVENT ETRE RETOURNES.", "Les articles peuvent être retournés.") != []

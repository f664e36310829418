"""Facts: used word for word, or in one sentence with their figures and names."""

import pytest

from llmos.applications.write.facts import as_sentence, assign, has_fact, missing_facts

FACT = "The bakery opens on 1 May 2027 in Leipzig"


@pytest.mark.parametrize(
    "text",
    [
        "As you know, the bakery   opens on 1 May 2027 in Leipzig.",
        "In Leipzig, the new bakery opens its doors on May 1, 2027!",
        "Before. The bakery in Leipzig opens on 2027-05-01. After.",
    ],
)
def test_a_text_has_a_fact(text: str) -> None:
    assert has_fact(text, FACT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The bakery opens on 2 May 2027 in Leipzig.",
        "The bakery opens on 1 May 2027 in Dresden.",
        "The bakery opens. It is in Leipzig. The date is 1 May 2027.",
        "In Leipzig, on 1 May 2027, it rained.",
    ],
)
def test_a_text_lacks_a_fact(text: str) -> None:
    assert not has_fact(text, FACT)
    assert missing_facts(text, [FACT, "It"]) in ([FACT], [FACT, "It"])


def test_facts_go_to_the_part_that_shares_their_words_and_else_to_the_emptiest() -> None:
    parts = ["The opening of the bakery", "Prices of bread"]
    facts = ["Bread costs 2 euros", FACT, "Ada founded it", "It has 3 ovens"]
    assert assign(facts, parts) == [[FACT, "Ada founded it"], ["Bread costs 2 euros", "It has 3 ovens"]]


def test_a_fact_becomes_a_sentence() -> None:
    assert as_sentence("it has  3 ovens") == "It has 3 ovens."
    assert as_sentence("Really?") == "Really?"

"""Cases: which rows are questions, and what is said about the others."""

import pytest

from llmos.core.errors import BadRequest
from llmos.data.datasets.rows import Row, make_row
from llmos.data.knowledge.evaluation.cases import Expected, KnowledgeCase, read_cases


def case(question: object, expected: object = None) -> Row:
    return make_row("case", {"input": question, "expected": expected})


def test_a_row_names_a_document_a_quote_both_or_nothing() -> None:
    rows = [
        case("How long?", {"document": "a.md", "quote": "two years"}),
        case("Where?", {"document": "a.md"}),
        case("Why?", {"quote": "because"}),
        case(" Who won? "),
        case([{"role": "system", "content": "Be short."}, {"role": "user", "content": "When?"}], {"quote": "now"}),
    ]
    assert read_cases(rows) == [
        KnowledgeCase(question="How long?", expected=Expected(document="a.md", quote="two years")),
        KnowledgeCase(question="Where?", expected=Expected(document="a.md")),
        KnowledgeCase(question="Why?", expected=Expected(quote="because")),
        KnowledgeCase(question="Who won?"),
        KnowledgeCase(question="When?", expected=Expected(quote="now")),
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "There are no cases"),
        ([make_row("text", {"text": "x"})], "Rows of the kind text are no questions"),
        ([case("How?", "two years")], r"`expected` of the question 'How\?' is wrong: Expected `object`, got `str`"),
        ([case("How?", {"file": "a"})], "unknown field `file`"),
        ([case("How?", {"quote": "  "})], "names neither a document nor a quote"),
        ([case("  ")], "has no question"),
        ([case([{"role": "assistant", "content": "Hello"}])], "has no question"),
        ([case("How?", {"document": "a"}), case("How? ")], r"'How\?' is there twice, with different answers"),
    ],
)
def test_a_row_that_is_no_case_is_named(rows: list[Row], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        read_cases(rows)


def test_the_same_question_twice_is_one_case() -> None:
    assert len(read_cases([case("How?", {"document": "a"}), case("How? ", {"document": "a"})])) == 1

"""Sentences: found in languages with and without spaces, and not at abbreviations."""

import pytest

from llmos.core.sentences import sentences_in


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("We open at 9. We close at 5!", ["We open at 9.", "We close at 5!"]),
        ("Dr. Smith asked J. Doe. She left.", ["Dr. Smith asked J. Doe.", "She left."]),
        ("Open at 9.30 a.m. on weekdays, e.g. Mondays.", ["Open at 9.30 a.m. on weekdays, e.g. Mondays."]),
        ('He said "Go." She went.', ['He said "Go."', "She went."]),
        ("1. Open the app.\n2. Close it.", ["1. Open the app.", "2. Close it."]),
        ("退货需要三十天。我们免费送货。", ["退货需要三十天。", "我们免费送货。"]),
        ("彼は「はい。」と言った。次に帰った。", ["彼は「はい。」", "と言った。", "次に帰った。"]),
        ("# Hours\n\n---\n\nOpen", ["# Hours", "Open"]),
        ("", []),
    ],
)
def test_a_text_is_cut_into_its_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in sentences_in(text)] == sentences

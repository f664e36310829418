"""The operators, one by one: which rows each keeps, changes and drops, and the reasons that it gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.core.errors import BadRequest
from llmos.data.datasets.rows import make_row
from llmos.data.operators.kinds import kinds, load_kind
from llmos.data.operators.operator import Context, Span
from support.operating import chat_row, operate, text_row

PROSE = (
    "The ferry to the island leaves twice a day, in the morning and again in the late afternoon, and it takes about"
    " forty minutes. Tickets are sold on board, but in summer people who arrive late find no place for their cars."
)


def texts(rows):
    return ["\n".join(row.texts) for row in rows]


def reasons(dropped):
    return {index: why.reason for index, why in dropped.items()}


@pytest.mark.parametrize("name", kinds())
def test_each_kind_says_what_it_does_and_has_a_version(name):
    kind = load_kind(name)
    assert kind.__doc__
    assert kind.__doc__.splitlines()[0][0].isupper()
    assert kind.VERSION >= 1


class TestNormalize:
    @pytest.mark.parametrize(
        ("text", "normal"),
        [
            ("Cafe\u0301", "Caf\u00e9"),
            ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
            ("\ufeffa\u200bb\x00c\u00ad", "abc"),
            ("a  \t\nb\n\n\n\n\nc \n", "a\nb\n\nc"),
            ("می\u200cخواهم", "می\u200cخواهم"),
            ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
            ("  code\n    indented", "code\n    indented"),
        ],
    )
    def test_equal_texts_get_one_form(self, text, normal):
        assert texts(operate("normalize", [text])[0]) == [normal]

    def test_every_message_is_normalized(self):
        (row,), _ = operate("normalize", [chat_row("Hi ", "e\u0301 ")])
        assert row.texts == ["Hi", "é"]

    @given(st.text())
    def test_normalizing_twice_changes_nothing_more(self, text):
        once, _ = operate("normalize", [text])
        assert operate("normalize", once)[0] == once


class TestExactDuplicates:
    def test_the_first_of_equal_rows_stays(self):
        kept, dropped = operate("exact_duplicates", ["a b", "c", "a b", "a b"])
        assert texts(kept) == ["a b", "c"]
        assert reasons(dropped) == {2: "duplicate", 3: "duplicate"}
        assert dropped[3].detail == "the same as 0"

    def test_by_words_case_and_punctuation_say_nothing(self):
        kept, _ = operate("exact_duplicates", ["Hello, World!", "hello world", "hello words", "!!", "??"], by="words")
        assert texts(kept) == ["Hello, World!", "hello words", "!!", "??"]

    def test_by_question_the_answer_says_nothing(self):
        rows = [chat_row("Why?", "Because."), chat_row("Why?", "No idea."), chat_row("How?", "Because.")]
        assert operate("exact_duplicates", rows, by="question")[0] == [rows[0], rows[2]]


class TestNearDuplicates:
    def test_a_row_that_hardly_differs_from_an_earlier_one_goes(self):
        rows = [PROSE, "Something else entirely.", PROSE.replace("forty", "fifty")]
        kept, dropped = operate("near_duplicates", rows, threshold=0.7)
        assert len(kept) == 2
        assert reasons(dropped) == {2: "near_duplicate"}
        assert dropped[2].detail == "77% of the sequences of words are those of 0"

    def test_the_threshold_decides(self):
        assert not operate("near_duplicates", [PROSE, PROSE.replace("forty", "fifty")], threshold=0.8)[1]

    def test_texts_without_words_are_no_duplicates(self):
        assert not operate("near_duplicates", ["…", "!!!", "", "--"])[1]

    def test_chinese_has_words_too(self):
        text = "今天天气很好，我们一起去公园散步，然后在湖边的小店里喝茶，晚上再回家做饭，明天还要上班。"
        assert reasons(operate("near_duplicates", [text, text.replace("晚上", "下午")], threshold=0.7)[1]) == {
            1: "near_duplicate"
        }


class TestLanguage:
    TEXTS = (
        PROSE,
        "Das Schiff zur Insel fährt zweimal am Tag, und die Überfahrt dauert ungefähr vierzig Minuten.",
        "今天天气很好，我们一起去公园散步。",
        "12345 67890",
    )

    @pytest.mark.thorough
    def test_rows_get_their_language(self):
        kept, _ = operate("language", self.TEXTS)
        assert [row.language for row in kept] == ["en", "de", "zh", None]

    @pytest.mark.thorough
    def test_other_languages_go(self):
        kept, dropped = operate("language", self.TEXTS, keep=["en", "zh"])
        assert [row.language for row in kept] == ["en", "zh"]
        assert reasons(dropped) == {1: "other_language", 3: "no_language"}

    def test_an_unknown_language_is_named(self):
        with pytest.raises(BadRequest, match="`keep` has 'english'"):
            operate("language", ["x"], keep=["english"])


class TestQuality:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "too_short"),
            ("…!", "too_short"),
            ("# " * 30 + PROSE, "symbols"),
            ("- one\n- two\n- three\n- four\n- five", "bullets"),
            ("And then…\nthere was…\nmore of it…\nto come…", "ellipses"),
            ("1 2 3 4 5 6 7 8 9 " * 4, "not_language"),
            ("Click here\nHome\nClick here\nHome\nClick here", "repeated_lines"),
            ("buy now " * 20, "repeated_words"),
            (f"{PROSE} Lorem ipsum dolor sit amet.", "boilerplate"),
            ("x" * 30 + " " + "abcdefghijklmnopqrstuvwxyzabcdefg " * 25, "word_length"),
        ],
    )
    def test_what_nobody_wrote_for_a_reader_goes(self, text, reason):
        kept, dropped = operate("quality", [text, PROSE])
        assert reasons(dropped) == {0: reason}
        assert texts(kept) == [PROSE]

    @pytest.mark.parametrize(
        "text",
        [
            "Yes.",
            "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n",
            "今天天气很好，我们一起去公园散步，然后在湖边的小店里喝茶，晚上再回家做饭。",
            "Ingredients:\n- flour\n- sugar\n- eggs\nMix everything and bake it for half an hour.",
            "Thanks…",
        ],
    )
    def test_short_answers_code_and_lists_stay(self, text):
        assert not operate("quality", [text])[1]

    def test_the_detail_has_the_value_and_the_limit(self):
        assert operate("quality", ["one two"], min_words=3)[1][0].detail == "2 words; the least is 3"


def digits(kinds_wanted):
    """Find runs of digits, as a stand-in for the detectors of guardrails."""

    def find(text):
        spans, start = [], None
        for place, character in enumerate(f"{text} "):
            if character.isdigit() and start is None:
                start = place
            elif not character.isdigit() and start is not None:
                spans.append(Span(start, place, "phone"))
                start = None
        return spans

    return find


class TestPersonalData:
    CONTEXT = Context(personal_data=digits)

    def test_it_is_masked(self):
        (row,), _ = operate("personal_data", [chat_row("Call 555", "I called 555 and 77.")], self.CONTEXT)
        assert row.texts == ["Call [PHONE]", "I called [PHONE] and [PHONE]."]

    def test_placeholders_are_the_same_for_the_same_text_of_a_row(self):
        rows = [chat_row("Call 555", "I called 77 and 555."), chat_row("And 77?", "Yes.")]
        kept, _ = operate("personal_data", rows, self.CONTEXT, action="placeholder")
        assert kept[0].texts == ["Call [PHONE_1]", "I called [PHONE_2] and [PHONE_1]."]
        assert kept[1].texts == ["And [PHONE_1]?", "Yes."]

    def test_rows_with_it_go(self):
        _, dropped = operate("personal_data", ["Call 555", "Call me"], self.CONTEXT, action="drop")
        assert {index: (why.reason, why.detail) for index, why in dropped.items()} == {0: ("personal_data", "phone")}

    def test_without_a_detector_it_says_so(self):
        with pytest.raises(BadRequest, match="The operator personal_data: Personal data can't be found here"):
            operate("personal_data", ["x"])


class TestTokens:
    CONTEXT = Context(token_counter=lambda model: lambda content: len(content.text))

    def test_rows_within_the_limits_stay(self):
        kept, dropped = operate("tokens", ["a" * n for n in (1, 3, 5, 7)], self.CONTEXT, model="m", least=2, most=5)
        assert texts(kept) == ["aaa", "aaaaa"]
        assert reasons(dropped) == {0: "too_short", 3: "too_long"}
        assert dropped[3].detail == "7 tokens; the most is 5"

    def test_a_limit_is_needed(self):
        with pytest.raises(BadRequest, match="`tokens` needs `least` or `most`"):
            operate("tokens", ["x"], self.CONTEXT, model="m")


class TestSample:
    ROWS = tuple(f"row {i}" for i in range(100))

    def test_so_many_rows_stay_in_their_order(self):
        kept, dropped = operate("sample", self.ROWS, count=10)
        assert len(kept) == 10
        assert {why.reason for why in dropped.values()} == {"not_sampled"}
        assert len(operate("sample", self.ROWS, share=0.25)[0]) == 25
        assert len(operate("sample", ["same"] * 10, count=4)[0]) == 4

    def test_the_seed_decides(self):
        first = operate("sample", self.ROWS, count=10)[0]
        assert operate("sample", self.ROWS, count=10)[0] == first
        assert operate("sample", self.ROWS, count=10, seed=1)[0] != first

    def test_other_rows_change_little(self):
        few = {row.id for row in operate("sample", self.ROWS, count=10)[0]}
        more = {row.id for row in operate("sample", [*self.ROWS, *(f"new {i}" for i in range(10))], count=10)[0]}
        assert len(few & more) >= 7

    @pytest.mark.parametrize("options", [{}, {"count": 1, "share": 0.5}])
    def test_count_and_share_exclude_each_other(self, options):
        with pytest.raises(BadRequest, match="`count` or `share`, and not both"):
            operate("sample", ["x"], **options)


class TestBalance:
    ROWS = tuple(text_row(f"row {i}", language=("en", "en", "en", "de", None)[i % 5]) for i in range(50))

    def test_all_groups_are_as_small_as_the_smallest(self):
        kept, dropped = operate("balance", self.ROWS, by="language")
        assert sorted(str(row.language) for row in kept) == ["None"] * 10 + ["de"] * 10 + ["en"] * 10
        assert {why.detail for why in dropped.values()} == {"30 rows of en; 10 stay"}

    def test_a_limit_cuts_larger_groups_only(self):
        kept, _ = operate("balance", self.ROWS, by="language", most=12)
        assert len(kept) == 32


class TestDecontaminate:
    QUESTION = (
        "A train leaves the station at nine and travels at eighty kilometres an hour. How far has it come at half past"
        " eleven, if it stops for thirty minutes on the way?"
    )
    CASES = (
        make_row("case", {"input": QUESTION, "expected": "160 kilometres"}),
        make_row("case", {"input": "What colour is the sky on Mars at noon?", "expected": "butterscotch"}),
        make_row("case", {"input": "2 + 2?", "expected": "4"}),
    )
    CONTEXT = Context(rows_of=lambda reference: TestDecontaminate.CASES)

    def run(self, *rows, **options):
        return operate("decontaminate", rows, self.CONTEXT, against=["gold@1"], **options)[1]

    def test_a_question_alone_and_one_with_its_answer_are_told_apart(self):
        dropped = self.run(
            chat_row(f"Please solve this: {self.QUESTION.upper()}", "I can't."),
            chat_row(self.QUESTION, "It has come 160 kilometres."),
            chat_row("What is for lunch?", "It has come 160 kilometres."),
        )
        assert reasons(dropped) == {0: "question", 1: "question_and_answer"}

    def test_the_span_is_shown(self):
        detail = self.run(self.QUESTION)[0].detail
        assert detail.startswith("100% of the question gold@1 ")
        assert "“a train leaves the station at nine" in detail

    def test_a_short_question_is_looked_for_as_a_whole(self):
        assert reasons(self.run("Tell me: what colour is the sky on Mars at noon?")) == {0: "question"}
        assert not self.run("What colour is the sky on Earth at noon?")

    def test_a_shared_quotation_is_no_contamination(self):
        beginning = " ".join(self.QUESTION.split()[:14])
        assert not self.run(f"{beginning} and nobody minds.")
        assert self.run(f"{beginning} and nobody minds.", min_share=0.4)

    def test_questions_of_a_few_words_stand_everywhere(self):
        assert not self.run("What is 2 + 2? It is 4.")


class TestSplit:
    def test_the_shares_hold(self):
        rows = [f"{PROSE} {' '.join(str(i * k) for k in range(40))}" for i in range(200)]
        kept, dropped = operate("split", rows, shares={"train": 0.8, "test": 0.2}, by=["content"])
        assert not dropped
        assert [row.split for row in kept].count("test") == 40

    @pytest.mark.parametrize(
        ("by", "columns"),
        [("subject", lambda i: {"subject": f"person {i % 7}"}), ("origin", lambda i: {"origin": f"{i % 5}.jsonl:{i}"})],
    )
    def test_a_group_never_straddles(self, by, columns):
        rows = [text_row(f"row {i}", **columns(i)) for i in range(70)]
        kept, _ = operate("split", rows, shares={"train": 1, "test": 1}, by=[by])
        sides = {}
        for i, row in enumerate(kept):
            value = columns(i)[by].partition(":")[0]
            assert sides.setdefault(value, row.split) == row.split
        assert len(set(sides.values())) == 2

    def test_conversations_with_one_question_and_near_duplicates_stay_together(self):
        rows = [chat_row("Why?", "Because."), chat_row("why", "No idea."), PROSE, PROSE.replace("forty", "fifty")]
        for seed in range(20):
            kept, _ = operate("split", rows, shares={"a": 1, "b": 1}, threshold=0.7, seed=seed)
            assert kept[0].split == kept[1].split
            assert kept[2].split == kept[3].split

    def test_the_same_rows_are_split_alike(self):
        rows = [f"row {i}" for i in range(30)]
        first = operate("split", rows, shares={"a": 1, "b": 1})[0]
        assert operate("split", rows, shares={"a": 1, "b": 1})[0] == first

    def test_one_split_is_none(self):
        with pytest.raises(BadRequest, match="at least two splits"):
            operate("split", ["x"], shares={"train": 1})

"""Reasoning is split from the answer, whatever pieces the text comes in."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.engine.text.reasoning import ReasoningSplitter, ReasoningTags, detect_reasoning

TAGS = ReasoningTags("<think>", "</think>")


def split(pieces, *, is_open=False):
    splitter = ReasoningSplitter(TAGS, is_open=is_open)
    parts = [*[splitter.push(piece) for piece in pieces], splitter.finish()]
    return "".join(reasoning for reasoning, _ in parts), "".join(answer for _, answer in parts)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>\nHm.\n\nOh.\n</think>\n\nYes.", "Hm.\n\nOh.", "Yes."),
        ("\n<think>Hm</think>Yes\n", "Hm", "Yes\n"),
        ("<think>\n\n</think>\n\nYes", "", "Yes"),
        ("Yes.", "", "Yes."),
        ("\n Yes <think>x</think>", "", "\n Yes <think>x</think>"),
        ("<thin", "", "<thin"),
        ("<think>Hm </thi", "Hm </thi", ""),
        ("<think>a </ think> < </think> b", "a </ think> < ", " b"),
        ("", "", ""),
        ("\n", "", "\n"),
    ],
)
def test_reasoning_is_split_from_the_answer(text, reasoning, answer):
    assert split([text]) == (reasoning, answer)
    assert split(text) == (reasoning, answer)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [("\nHm.\n</think>\n\nYes", "Hm.", "Yes"), ("</think>Yes", "", "Yes"), ("Hm", "Hm", ""), ("", "", "")],
)
def test_the_prompt_may_have_opened_the_reasoning(text, reasoning, answer):
    assert split([text], is_open=True) == (reasoning, answer)
    assert split(text, is_open=True) == (reasoning, answer)


def test_the_label_of_a_channel_belongs_to_the_opening_tag():
    splitter = ReasoningSplitter(ReasoningTags("<|channel>", "<channel|>", "thought"), is_open=False)
    pieces = ["<|channel>", "thou", "ght", "\nHm.\n", "<channel|>", "Yes"]
    parts = [*[splitter.push(piece) for piece in pieces], splitter.finish()]
    assert tuple(map("".join, zip(*parts, strict=True))) == ("Hm.", "Yes")


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "\n", " ", "a", "<", "</th", "ink>"]), max_size=12),
    st.lists(st.integers(0, 60), max_size=12),
    st.booleans(),
)
def test_the_pieces_make_no_difference(parts, cuts, is_open):
    text = "".join(parts)
    cuts = sorted({0, len(text), *(cut for cut in cuts if cut <= len(text))})
    assert split([text[a:b] for a, b in pairwise(cuts)], is_open=is_open) == split([text], is_open=is_open)


def test_the_tags_are_detected_from_the_template():
    assert detect_reasoning("{{ '<think>' }} … {{ '</think>' }}") == TAGS
    assert detect_reasoning("[THINK][/THINK]") == ReasoningTags("[THINK]", "[/THINK]")
    assert detect_reasoning("{{ messages }}") is None
    gemma = ReasoningTags("<|channel>", "<channel|>", "thought")
    assert detect_reasoning("{{ '<|channel>thought\n' + message.reasoning + '\n<channel|>' }}") == gemma
    assert gemma.are_open_in("<|turn>model\n<|channel>thought\n")
    assert not gemma.are_open_in("<|turn>model\n<|channel>thought\n<channel|>")
    assert TAGS.are_open_in("<|im_start|>assistant\n<think>\n")
    assert not TAGS.are_open_in("<|im_start|>assistant\n<think>\n\n</think>\n\n")

"""What the caller of a choice is told: text, tokens and logprobs that agree with each other, and why it ended."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine.messages import SamplingParams, TokenLogprob
from llmos.engine.text.output import OutputProcessor
from support.fakes import EOS, SPECIAL, FakeTokenizer, text_of, tokens_of


def make(max_tokens=100, stop_ids=(EOS,), echo="", **params):
    return OutputProcessor(
        "r", 0, SamplingParams(**params), max_tokens=max_tokens, stop_ids=frozenset(stop_ids),
        tokenizer=FakeTokenizer(), echo=echo,
    )  # fmt: skip


def entry(token):
    data = FakeTokenizer().token_bytes(token)
    text = data.decode(errors="replace")
    return TokenLogprob(token, text, data, -0.5, [(token, text, data, -0.5), (7, "\a", b"\a", -2.0)])


def say(choice, tokens):
    """Push until the choice ends; return what was told at each token (None: nothing)."""
    told = []
    for token in tokens:
        told.append(choice.push(token, entry(token) if choice.wants_logprobs else None))
        if choice.finish_reason:
            break
    return told


def texts(told):
    return [delta.text if delta else None for delta in told]


def test_every_token_is_told_at_once():
    told = say(make(), b"abc")
    assert texts(told) == ["a", "b", "c"]
    assert [(d.token_ids, d.num_output_tokens) for d in told] == [([97], 1), ([98], 2), ([99], 3)]


def test_a_character_is_told_when_it_is_complete():
    assert texts(say(make(), "a你b".encode())) == ["a", "", "", "你", "b"]


def test_a_broken_end_is_told_as_a_replacement_character():
    told = say(make(max_tokens=3), "a你".encode())
    assert texts(told) == ["a", "", "�"]
    assert told[-1].finish_reason == "length"
    assert texts(say(make(), [*"你".encode()[:2], EOS])) == ["", "", "�"]


def test_a_stop_token_ends_the_answer_and_is_counted_but_not_told():
    told = say(make(logprobs=1), [*b"hi", EOS, *b"no"])
    assert text_of(told) == "hi"
    assert tokens_of(told) == list(b"hi")
    assert [len(d.logprobs) for d in told] == [1, 1, 0]
    assert (told[-1].finish_reason, told[-1].stop_reason, told[-1].num_output_tokens) == ("stop", EOS, 3)


def test_include_stop_tells_the_stop_token():
    told = say(make(include_stop=True, logprobs=1, stop_ids=[33]), b"hi!")
    assert text_of(told) == "hi!"
    assert tokens_of(told) == list(b"hi!")
    assert told[-1].logprobs == [entry(33)]


def test_the_last_token_that_is_allowed_may_still_be_a_stop():
    told = say(make(max_tokens=3), [*b"hi", EOS])
    assert told[-1].finish_reason == "stop"
    told = say(make(max_tokens=3, stop=["i!"]), b"hi!")
    assert (text_of(filter(None, told)), told[-1].finish_reason) == ("h", "stop")


def test_a_stop_string_is_never_told_and_its_beginnings_only_when_they_are_none():
    told = say(make(stop=["END"]), b"aENxEND")
    assert texts(told) == ["a", None, None, "ENx", None, None, ""]
    assert (told[-1].finish_reason, told[-1].stop_reason, told[-1].num_output_tokens) == ("stop", "END", 7)
    assert tokens_of(filter(None, told)) == list(b"aENx")


def test_include_stop_tells_the_stop_string():
    told = say(make(stop=["END"], include_stop=True, logprobs=0), b"aENDb")
    assert texts(told) == ["a", None, None, "END"]
    assert [e.token_id for e in told[-1].logprobs] == list(b"END")


def test_what_is_held_back_is_told_at_the_end():
    told = say(make(stop=["END"], max_tokens=3), b"aEN")
    assert texts(told) == ["a", None, "EN"]
    assert (told[-1].finish_reason, told[-1].token_ids) == ("length", list(b"EN"))
    told = say(make(stop=["END"]), [*b"aE", EOS])
    assert texts(told) == ["a", None, "E"]


def test_logprobs_are_held_back_with_their_text():
    told = say(make(stop=["END"], logprobs=1), b"aENx")
    assert [[e.text for e in d.logprobs] if d else None for d in told] == [["a"], None, None, ["E", "N", "x"]]


class Words(FakeTokenizer):
    """Tokens that are words: the stop string may begin in the middle of one."""

    vocabulary = ("Hel", "lo wo", "rld", "!", "wonder")

    class Detokenizer:
        def push(self, token):
            return Words.vocabulary[token]

        def finish(self):
            return ""

    def detokenizer(self, *, continues_prompt=False, visible_control=()):
        return self.Detokenizer()

    def token_bytes(self, token):
        return self.vocabulary[token].encode()


def test_a_stop_string_that_begins_inside_a_token_leaves_the_tokens_first_part():
    choice = OutputProcessor(
        "r", 0, SamplingParams(stop=["world"], logprobs=1), max_tokens=9, stop_ids=frozenset(), tokenizer=Words()
    )
    told = []
    for token in (0, 1, 2):
        text = Words.vocabulary[token]
        data = text.encode()
        told.append(choice.push(token, TokenLogprob(token, text, data, -1.0, [(token, text, data, -1.0)])))
    assert [d.text for d in told] == ["Hel", "lo ", ""]
    assert [e.text for d in told for e in d.logprobs] == ["Hel", "lo "]
    last = told[-1].logprobs[-1]
    assert (last.token_id, last.bytes, last.top) == (1, b"lo ", [(1, "lo ", b"lo ", -1.0)])


def test_a_stop_string_is_looked_for_only_from_the_min_tokens_th_token_on():
    told = say(make(stop=["a"], min_tokens=3), b"aabab")
    assert text_of(filter(None, told)) == "aab"
    assert told[-1].num_output_tokens == 4
    assert text_of(filter(None, say(make(stop=["a"], min_tokens=3), b"bbab"))) == "bb"


def test_control_tokens_are_tokens_without_text():
    told = say(make(stop=["zz"]), [97, SPECIAL, 98])
    assert "".join(d.text for d in told if d) == "ab"
    assert tokens_of(filter(None, told)) == [97, SPECIAL, 98]


@pytest.mark.parametrize("stop", [[], ["zz"]])
def test_echo_comes_in_front_once(stop):
    assert texts(say(make(echo="prompt ", stop=stop), b"ab")) == ["prompt a", "b"]


def test_an_echo_is_told_even_when_nothing_follows():
    assert texts(say(make(echo="prompt"), [EOS])) == ["prompt"]


@settings(deadline=None)
@given(
    text=st.text("ab你é", max_size=20),
    stops=st.lists(st.text("ab你é", min_size=1, max_size=4), min_size=1, max_size=3),
    include_stop=st.booleans(),
)
def test_text_tokens_and_logprobs_always_tell_the_same(text, stops, include_stop):
    told = [d for d in say(make(stop=stops, logprobs=0, include_stop=include_stop), [*text.encode(), EOS]) if d]
    answer, entries = text_of(told), [e for d in told for e in d.logprobs]
    assert b"".join(e.bytes for e in entries if e.token_id != EOS).decode() == answer.replace("<256>", "")
    assert [e.token_id for e in entries] == tokens_of(told)
    assert [d.finish_reason for d in told[:-1]] == [None] * (len(told) - 1)
    assert told[-1].finish_reason == "stop"
    if isinstance(told[-1].stop_reason, str):
        body = answer.removesuffix(told[-1].stop_reason) if include_stop else answer
        assert text.startswith(body + told[-1].stop_reason)
        assert not any(stop in body for stop in stops)
    else:
        assert not any(stop in text for stop in stops)
        assert answer == text + ("<256>" if include_stop else "")

"""The output of a choice: text, tokens and logprobs that agree with each other, and why it ended."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine.messages import SamplingParams, TokenLogprob
from llmos.engine.text.output import OutputProcessor, OutputSettings
from support.fakes import EOS, SPECIAL, FakeTokenizer, text_of, tokens_of


def make(max_tokens=100, stop_ids=(EOS,), echo="", **params):
    return OutputProcessor(output_settings(max_tokens, stop_ids, echo, **params))


def output_settings(max_tokens=100, stop_ids=(EOS,), echo="", tokenizer=None, **params):
    return OutputSettings(
        request_id="r",
        params=SamplingParams(**params),
        max_tokens=max_tokens,
        stop_ids=frozenset(stop_ids),
        tokenizer=tokenizer or FakeTokenizer(),
        echo=echo,
    )


def entry(token):
    data = FakeTokenizer().token_bytes(token)
    text = data.decode(errors="replace")
    return TokenLogprob(token, text, data, -0.5, [(token, text, data, -0.5), (7, "\a", b"\a", -2.0)])


def push_all(output, tokens):
    """Push tokens until the choice ends. Return the delta of each token (None: nothing was released)."""
    deltas = []
    for token in tokens:
        deltas.append(output.push(token, entry(token) if output.wants_logprobs else None))
        if output.finish_reason:
            break
    return deltas


def texts(deltas):
    return [delta.text if delta else None for delta in deltas]


def test_every_token_is_released_at_once():
    deltas = push_all(make(), b"abc")
    assert texts(deltas) == ["a", "b", "c"]
    assert [(d.token_ids, d.num_output_tokens) for d in deltas] == [([97], 1), ([98], 2), ([99], 3)]


def test_a_character_is_released_when_it_is_complete():
    assert texts(push_all(make(), "a你b".encode())) == ["a", "", "", "你", "b"]


def test_an_incomplete_character_at_the_end_becomes_a_replacement_character():
    deltas = push_all(make(max_tokens=3), "a你".encode())
    assert texts(deltas) == ["a", "", "�"]
    assert deltas[-1].finish_reason == "length"
    assert texts(push_all(make(), [*"你".encode()[:2], EOS])) == ["", "", "�"]


def test_a_stop_token_ends_the_answer_and_is_counted_but_not_part_of_it():
    deltas = push_all(make(logprobs=1), [*b"hi", EOS, *b"no"])
    assert text_of(deltas) == "hi"
    assert tokens_of(deltas) == list(b"hi")
    assert [len(d.logprobs) for d in deltas] == [1, 1, 0]
    assert (deltas[-1].finish_reason, deltas[-1].stop_reason, deltas[-1].num_output_tokens) == ("stop", EOS, 3)


def test_include_stop_keeps_the_stop_token():
    deltas = push_all(make(include_stop=True, logprobs=1, stop_ids=[33]), b"hi!")
    assert text_of(deltas) == "hi!"
    assert tokens_of(deltas) == list(b"hi!")
    assert deltas[-1].logprobs == [entry(33)]


def test_a_stop_at_the_last_allowed_token_is_still_a_stop():
    deltas = push_all(make(max_tokens=3), [*b"hi", EOS])
    assert deltas[-1].finish_reason == "stop"
    deltas = push_all(make(max_tokens=3, stop=["i!"]), b"hi!")
    assert (text_of(filter(None, deltas)), deltas[-1].finish_reason) == ("h", "stop")


def test_a_stop_string_is_never_released_and_a_prefix_of_it_only_when_it_is_none():
    deltas = push_all(make(stop=["END"]), b"aENxEND")
    assert texts(deltas) == ["a", None, None, "ENx", None, None, ""]
    assert (deltas[-1].finish_reason, deltas[-1].stop_reason, deltas[-1].num_output_tokens) == ("stop", "END", 7)
    assert tokens_of(filter(None, deltas)) == list(b"aENx")


def test_a_stop_token_is_shown_without_its_text_where_every_token_has_to_have_its_logprob():
    output = OutputProcessor(replace(output_settings(logprobs=1), shows_stop_token=True))
    deltas = push_all(output, [*b"hi", EOS])
    assert "".join(delta.text for delta in deltas) == "hi"
    tokens = [token for delta in deltas for token in delta.token_ids]
    assert tokens == [*b"hi", EOS]
    assert [entry.token_id for delta in deltas for entry in delta.logprobs] == tokens
    assert len(tokens) == deltas[-1].num_output_tokens


def test_include_stop_keeps_the_stop_string():
    deltas = push_all(make(stop=["END"], include_stop=True, logprobs=0), b"aENDb")
    assert texts(deltas) == ["a", None, None, "END"]
    assert [e.token_id for e in deltas[-1].logprobs] == list(b"END")


def test_text_that_is_held_back_is_released_at_the_end():
    deltas = push_all(make(stop=["END"], max_tokens=3), b"aEN")
    assert texts(deltas) == ["a", None, "EN"]
    assert (deltas[-1].finish_reason, deltas[-1].token_ids) == ("length", list(b"EN"))
    deltas = push_all(make(stop=["END"]), [*b"aE", EOS])
    assert texts(deltas) == ["a", None, "E"]


def test_logprobs_are_held_back_with_their_text():
    deltas = push_all(make(stop=["END"], logprobs=1), b"aENx")
    assert [[e.text for e in d.logprobs] if d else None for d in deltas] == [["a"], None, None, ["E", "N", "x"]]


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


def test_a_stop_string_that_begins_inside_a_token_leaves_the_first_part_of_the_token():
    output = OutputProcessor(output_settings(9, (), tokenizer=Words(), stop=["world"], logprobs=1))
    deltas = []
    for token in (0, 1, 2):
        text = Words.vocabulary[token]
        data = text.encode()
        deltas.append(output.push(token, TokenLogprob(token, text, data, -1.0, [(token, text, data, -1.0)])))
    assert [d.text for d in deltas] == ["Hel", "lo ", ""]
    assert [e.text for d in deltas for e in d.logprobs] == ["Hel", "lo "]
    last = deltas[-1].logprobs[-1]
    assert (last.token_id, last.bytes, last.top) == (1, b"lo ", [(1, "lo ", b"lo ", -1.0)])


def test_stop_strings_count_only_from_the_min_tokens_th_token_on():
    deltas = push_all(make(stop=["a"], min_tokens=3), b"aabab")
    assert text_of(filter(None, deltas)) == "aab"
    assert deltas[-1].num_output_tokens == 4
    assert text_of(filter(None, push_all(make(stop=["a"], min_tokens=3), b"bbab"))) == "bb"


def test_control_tokens_are_tokens_without_text():
    deltas = push_all(make(stop=["zz"]), [97, SPECIAL, 98])
    assert "".join(d.text for d in deltas if d) == "ab"
    assert tokens_of(filter(None, deltas)) == [97, SPECIAL, 98]


@pytest.mark.parametrize("stop", [[], ["zz"]])
def test_the_echo_comes_first_and_once(stop):
    assert texts(push_all(make(echo="prompt ", stop=stop), b"ab")) == ["prompt a", "b"]


def test_the_echo_is_released_even_if_nothing_follows():
    assert texts(push_all(make(echo="prompt"), [EOS])) == ["prompt"]


@settings(deadline=None)
@given(
    text=st.text("ab你é", max_size=20),
    stops=st.lists(st.text("ab你é", min_size=1, max_size=4), min_size=1, max_size=3),
    include_stop=st.booleans(),
)
def test_text_tokens_and_logprobs_always_agree(text, stops, include_stop):
    deltas = [d for d in push_all(make(stop=stops, logprobs=0, include_stop=include_stop), [*text.encode(), EOS]) if d]
    answer, entries = text_of(deltas), [e for d in deltas for e in d.logprobs]
    assert b"".join(e.bytes for e in entries if e.token_id != EOS).decode() == answer.replace("<256>", "")
    assert [e.token_id for e in entries] == tokens_of(deltas)
    assert [d.finish_reason for d in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert deltas[-1].finish_reason == "stop"
    if isinstance(deltas[-1].stop_reason, str):
        body = answer.removesuffix(deltas[-1].stop_reason) if include_stop else answer
        assert text.startswith(body + deltas[-1].stop_reason)
        assert not any(stop in body for stop in stops)
    else:
        assert not any(stop in text for stop in stops)
        assert answer == text + ("<256>" if include_stop else "")

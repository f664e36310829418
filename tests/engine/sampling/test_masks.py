"""Each row of a step gets its mask, rows behind drafted tokens included, whether or not these are allowed."""

import json

import numpy as np
import pytest

from llmos.engine.messages import Grammar
from llmos.engine.sampling.masks import MaskMaker
from llmos.engine.text.grammar import GrammarCompiler
from support.fakes import EOS, VOCAB_SIZE, FakeTokenizer, drain, make_engine, tokens_of
from support.grammars import PERSON_GRAMMAR, ask

pytestmark = pytest.mark.process  # A grammar is tried in a process of its own.

PLACE = Grammar("regex", "(at home|at work|away)( [a-z]+)?")


@pytest.fixture(scope="module")
def grammars():
    return GrammarCompiler(FakeTokenizer(), VOCAB_SIZE)


def allowed(mask):
    return set(np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))[:VOCAB_SIZE].tolist())


def masks_of(*rows):
    maker = MaskMaker(VOCAB_SIZE)
    maker.start(rows)
    masks = maker.finish()
    everything = set(range(VOCAB_SIZE))
    return [everything if number < 0 else allowed(masks.words_MW[number]) & everything for number in masks.mask_of_R]


def text(characters):
    return set(characters.encode())


def test_rows_without_a_grammar_have_no_mask_and_steps_without_one_do_no_work(grammars):
    assert masks_of((None, []), (grammars.compile(PLACE), []), (None, [1, 2])) == [
        set(range(VOCAB_SIZE)), text("a"), *[set(range(VOCAB_SIZE))] * 3,
    ]  # fmt: skip
    maker = MaskMaker(VOCAB_SIZE)
    maker.start([(None, []), (None, [4])])
    assert maker.finish() is None


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        ("", ["a"]),
        ("a", ["a", "tw"]),
        ("at", ["a", "tw", " "]),
        ("at h", ["a", "tw", " ", "hw", "o"]),
        ("aw", ["a", "tw", "a"]),
    ],
)
def test_each_drafted_token_has_a_mask_behind_it(grammars, draft, expected):
    matcher = grammars.compile(PLACE)
    assert masks_of((matcher, [*draft.encode()])) == [text(each) for each in expected]
    # The draft did not advance the matcher.
    assert masks_of((matcher, [])) == [text("a")]


def test_behind_a_forbidden_token_all_tokens_are_allowed(grammars):
    masks = masks_of((grammars.compile(PLACE), [*b"atx "]))
    assert masks == [text("a"), text("tw"), text(" "), *[set(range(VOCAB_SIZE))] * 2]


def test_the_end_token_is_allowed_where_the_text_may_end(grammars):
    matcher = grammars.compile(PLACE)
    assert [matcher.accept(token) for token in b"away"] == [False] * 4
    assert masks_of((matcher, [])) == [text(" ") | {EOS}]
    matcher = grammars.compile(Grammar("choice", '["x", "yy"]'))
    assert matcher.accept(ord("x"))


def test_forced_tokens_are_drafted_and_accepted():
    engine = make_engine()
    engine.submit(ask(PERSON_GRAMMAR, temperature=1.0, seed=1))
    outputs = drain(engine)
    load = engine.load()
    assert load.num_draft_tokens == load.num_accepted_tokens > 10
    assert load.num_steps < len(tokens_of(outputs["r", 0])) - 10


def test_a_draft_that_the_grammar_forbids_is_not_computed():
    """The prompt repeats itself, and the model would go on with it."""
    engine = make_engine()
    engine.submit(ask(Grammar("regex", "[a-f]{40}"), tokens=[*b"ghghghghghghghghgh"], max_tokens=50))
    drain(engine)
    assert engine.load().num_draft_tokens < 40


def test_a_grammar_with_a_schema_of_many_names_remembers_how_they_are_spelled(grammars):
    schema = {
        "type": "object",
        "properties": {f"property {i}": {"enum": [i]} for i in range(50)},
        "required": [f"property {i}" for i in range(50)],
        "additionalProperties": False,
    }
    matcher = grammars.compile(Grammar("json_schema", json.dumps(schema)))
    tokens = []
    while forced := matcher.forced_tokens():
        tokens += forced
        for token in forced:
            is_complete = matcher.accept(token)
    assert is_complete
    assert json.loads(bytes(tokens)) == {f"property {i}": i for i in range(50)}
